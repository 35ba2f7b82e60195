//! Placing a VM on a host.

use std::sync::Arc;

use plerion_lifecycle::{Event, Refusal, vm_step};
use plerion_model::datastore::{Datastore, DatastoreState, DatastoreType};
use plerion_model::host::{Host, HostState};
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::pairs::datastores_fit;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_nic_auto::nics_choose;
use crate::vm_numa::numa_take;
use crate::vm_pci::pci_choose;
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::vm_go;
use crate::vm_system_store::system_set;
use crate::vmgroup_affinity::vm_affinity_refusal;
use crate::world::World;

/// Console ports lie between the first and the last TCP port.
const PORT_LAST: u32 = 65535;

/// `one.vm.deploy`: the scheduler's placements come this way, too, and are checked again here.
pub(crate) fn vm_deploy(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    host_id: Id,
    enforce: bool,
    datastore: Id,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Deploy))?;
    let mut rights = vec![(Operation::Manage, Target::of(&txn.world, Kind::Host, host_id)?)];
    if datastore >= 0 {
        rights.push((
            Operation::Use,
            Target::of(&txn.world, Kind::Datastore, datastore)?,
        ));
    }
    require(&txn.world, caller, &rights)?;
    let mut vm = txn.world.vm(id)?.clone();
    let host = txn.world.host(host_id)?.clone();
    let last = vm
        .last_history()
        .map_or(HistoryAction::None, |record| record.action);
    let outcome = vm_step(vm.phase, last, Event::Deploy).map_err(|Refusal::State(phase)| {
        ApiError::action(format!(
            "Deploy action is not available for state {}",
            phase.as_str()
        ))
    })?;
    // Recorded: what is pinned must have what it asks for, whatever the caller says.
    let pinned = vm.demand.numa.as_ref().is_some_and(|numa| numa.is_pinned());
    if (enforce || pinned)
        && let Some(refusal) = host_refusal(&txn.world, &vm.demand, &host)
    {
        return Err(ApiError::action(format!(
            "virtual machine [{id}] does not fit in host [{host_id}]. {refusal}"
        )));
    }
    if enforce && let Some(refusal) = vm_affinity_refusal(&txn.world, &vm, host_id) {
        return Err(ApiError::action(format!(
            "virtual machine [{id}] may not be on host [{host_id}]: {refusal}"
        )));
    }
    if matches!(host.state, HostState::Offline) {
        return Err(ApiError::action(format!(
            "Host {host_id} is offline: enable it first (onehost enable {host_id})"
        )));
    }
    let system = system_datastore(&txn.world, &vm, &host, datastore)?;
    let own = Arc::make_mut(&mut vm);
    history_open(own, &host, &system, txn.context.now);
    nics_choose(&txn.world, own, &host).map_err(ApiError::action)?;
    pci_choose(&txn.world, own, &host).map_err(|reason| {
        ApiError::action(format!(
            "virtual machine [{id}] does not fit in host [{host_id}]: {reason}"
        ))
    })?;
    numa_take(&txn.world, own, &host).map_err(|reason| {
        ApiError::action(format!(
            "virtual machine [{id}] does not fit in host [{host_id}]. {reason}"
        ))
    })?;
    deploy_template(&txn.world, own, &system)?;
    vm_go(txn, vm, &outcome, Event::Deploy, &Cause::user(caller));
    Ok(id)
}

/// Why a host has no room for what a VM asks, in words.
#[must_use]
pub fn host_refusal(world: &World, demand: &Demand, host: &Host) -> Option<String> {
    let usage = world.host_usage(host.id);
    let free_cpu = usage.max_cpu.saturating_sub(usage.cpu);
    if demand.cpu > free_cpu.max(0) {
        return Some(format!("Not enough CPU: {}/{free_cpu}", demand.cpu));
    }
    let free_memory = usage.max_memory_kib.saturating_sub(usage.memory_kib);
    let wanted = demand.memory_mib.saturating_mul(1024);
    if wanted > free_memory.max(0) {
        return Some(format!("Not enough memory: {wanted}/{free_memory}"));
    }
    None
}

/// The datastore that is named; else the one used last; else the first of the host's cluster that fits the disks.
fn system_datastore(world: &World, vm: &Vm, host: &Host, named: Id) -> Result<Arc<Datastore>, ApiError> {
    if named >= 0 {
        let datastore = world.datastore(named)?;
        if datastore.kind != DatastoreType::System {
            return Err(ApiError::internal(format!(
                "Trying to use datastore [{named}] to deploy the VM, but it is not of type system datastore."
            )));
        }
        return fits(world, vm, host, datastore)
            .map(|()| datastore.clone())
            .map_err(ApiError::action);
    }
    let last = vm
        .last_history()
        .filter(|_| vm.files_at_front_end)
        .and_then(|record| world.datastores.get(record.datastore));
    if let Some(datastore) = last {
        return Ok(datastore.clone());
    }
    let mut reasons = Vec::new();
    for datastore in world
        .datastores
        .values()
        .filter(|datastore| datastore.kind == DatastoreType::System)
    {
        match fits(world, vm, host, datastore) {
            Ok(()) => return Ok(datastore.clone()),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons.push("there is none".into());
    }
    Err(ApiError::action(format!(
        "No system datastore fits the VM on host {}: {}",
        host.id,
        reasons.join("; ")
    )))
}

pub(crate) fn fits(world: &World, vm: &Vm, host: &Host, system: &Datastore) -> Result<(), String> {
    if system.state != DatastoreState::Ready {
        return Err(format!("datastore {} is disabled", system.id));
    }
    if !system.clusters.contains(&host.cluster_id) {
        return Err(format!(
            "datastore {} is not in cluster {} of the host",
            system.id, host.cluster_id
        ));
    }
    for disk in vm
        .demand
        .disks
        .iter()
        .filter(|disk| disk.datastore >= 0 && disk.image >= 0)
    {
        if let Some(image) = world.datastores.get(disk.datastore) {
            datastores_fit(image, system).map_err(|refusal| refusal.0)?;
        }
    }
    Ok(())
}

pub(crate) fn history_open(vm: &mut Vm, host: &Host, system: &Datastore, now: i64) {
    let seq = vm.last_history().map_or(0, |record| record.seq.saturating_add(1));
    let records = Arc::make_mut(&mut vm.history);
    records.push(History {
        seq,
        hostname: host.name.clone(),
        host: host.id,
        cluster: host.cluster_id,
        datastore: system.id,
        vm_mad: host.vm_mad.clone(),
        tm_mad: system.tm_mad.clone(),
        stime: now,
        etime: 0,
        pstime: 0,
        petime: 0,
        rstime: 0,
        retime: 0,
        estime: 0,
        eetime: 0,
        action: HistoryAction::None,
        uid: -1,
        gid: -1,
        request_id: -1,
    });
}

/// What the template gets when the VM is placed (recorded): the system datastore in volatile disks, the console port,
/// TM_MAD_SYSTEM. The reason why it had waited goes.
fn deploy_template(world: &World, vm: &mut Vm, system: &Datastore) -> Result<(), ApiError> {
    let mut template = vm.template.unpack();
    system_set(&mut template, system);
    port_set(world, vm, &mut template)?;
    vm.template = PackedTemplate::new(&template);
    vm.demand = Arc::new(Demand::read(&vm.template));
    placement_reason_forget(vm);
    Ok(())
}

/// Takes the scheduler's reason away.
pub(crate) fn placement_reason_forget(vm: &mut Vm) {
    if vm.user_template.get("SCHED_MESSAGE").is_some() {
        let mut user = vm.user_template.unpack();
        user.remove("SCHED_MESSAGE");
        user.remove("SCHED_VERDICT");
        vm.user_template = PackedTemplate::new(&user);
    }
}

/// The console port: the first port plus the VM's id where that is free, else the next free one. The pool is that of the
/// whole cloud, so a VM keeps its port wherever it goes. What a VM gave up with its host it may have lost to another one: then
/// it gets a new one. A port that was asked for is not looked at before that: VMs on different hosts may share it.
///
/// # Errors
/// When no port is free.
pub(crate) fn port_set(world: &World, vm: &Vm, template: &mut Template) -> Result<(), ApiError> {
    let gave_up = !vm.holds().port && vm.history.len() > 1;
    for graphics in template.vectors_mut("GRAPHICS") {
        let kind = graphics.get("TYPE").unwrap_or_default().to_ascii_lowercase();
        let has = graphics.get("PORT").filter(|port| !port.is_empty());
        let lost = gave_up
            && has
                .and_then(|port| port.parse().ok())
                .is_some_and(|port: u16| world.index.ports.contains_key(&port));
        if matches!(kind.as_str(), "vnc" | "spice") && (has.is_none() || lost) {
            let port = port_free(world, vm)?;
            graphics.set("PORT", port.to_string());
        }
    }
    Ok(())
}

/// A console port that no VM has.
fn port_free(world: &World, vm: &Vm) -> Result<u16, ApiError> {
    let attributes = &world.config.attributes;
    let reserved = attributes.pair("VNC_PORTS", "RESERVED").unwrap_or_default();
    let start = u32::from(world.config.port_start);
    let span = PORT_LAST.saturating_sub(start).saturating_add(1);
    let wanted = u32::try_from(vm.id).unwrap_or(0) % span;
    (0..span)
        .map(|step| start.saturating_add((wanted.saturating_add(step)) % span))
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| !world.index.ports.contains_key(port) && !is_reserved(reserved, *port))
        .ok_or_else(|| {
            ApiError::action(format!(
                "No port is free for the screen of virtual machine [{}]: from {start} on all are taken or reserved. Change \
                 VNC_PORTS in oned.conf, or end VMs that have a screen.",
                vm.id
            ))
        })
}

/// Whether a port is in a list such as `6000,32768:65536`.
fn is_reserved(list: &str, port: u16) -> bool {
    list.split(',').any(|part| {
        let mut ends = part
            .trim()
            .splitn(2, ':')
            .map(|end| end.trim().parse::<u32>().ok());
        match (ends.next().flatten(), ends.next()) {
            (Some(first), None) => u32::from(port) == first,
            (Some(first), Some(Some(last))) => (first..=last).contains(&u32::from(port)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_single_or_ranges() {
        for (port, expect) in [
            (5900, false),
            (6000, true),
            (32768, true),
            (65535, true),
            (32767, false),
        ] {
            assert_eq!(is_reserved("6000, 32768:65536", port), expect, "{port}");
        }
    }
}
