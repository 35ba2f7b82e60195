//! Moving a VM to another host or system datastore.

use std::sync::Arc;

use plerion_lifecycle::{Event, Refusal, Relocation, vm_step};
use plerion_model::datastore::{Datastore, DatastoreType};
use plerion_model::host::{Host, HostState};
use plerion_model::numbers::id_list;
use plerion_model::vm::{Place, Vm};
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{ApiError, Id, Kind, Operation, Seconds};
use plerion_template::PackedVector;

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_deploy::{fits, history_open, host_refusal, placement_reason_forget};
use crate::vm_migrate_end::record_close;
use crate::vm_numa::{numa_leave, numa_take};
use crate::vm_pci::pci_choose;
use crate::vm_require::vm_unlocked;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::vm_go;
use crate::vm_system_store::system_take;
use crate::vmgroup_affinity::vm_affinity_refusal;
use crate::world::World;

/// What `one.vm.migrate` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Host to move to.
    pub host: Id,
    /// How.
    pub relocation: Relocation,
    /// Whether the host must have room.
    pub enforce: bool,
    /// System datastore; -1 the one that the VM is on.
    pub datastore: Id,
}

/// `one.vm.migrate`: the scheduler moves VMs this way, too.
pub(crate) fn vm_migrate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    migration: &Migration,
) -> Result<Id, ApiError> {
    rights(txn, caller, id, migration)?;
    let mut vm = txn.world.vm(id)?.clone();
    let host = txn.world.host(migration.host)?.clone();
    let event = Event::Relocate(migration.relocation);
    let mut outcome = vm_step(vm.phase, HistoryAction::None, event).map_err(|Refusal::State(phase)| {
        ApiError::action(format!(
            "Migrate action is not available for state {}",
            phase.as_str()
        ))
    })?;
    let Some(from) = vm.last_history().cloned() else {
        return Err(ApiError::action(format!(
            "VM {id} is on no host to be moved from"
        )));
    };
    let named = if migration.datastore >= 0 {
        migration.datastore
    } else {
        from.datastore
    };
    let system = txn.world.datastore(named)?.clone();
    let live = migration.relocation == Relocation::Live && vm.phase == Phase::active(LcmState::Running);
    let route = Route {
        world: &txn.world,
        vm: &vm,
        from: &from,
        host: &host,
        system: &system,
        live,
    };
    route.check(migration)?;
    let now = txn.context.now;
    let own = Arc::make_mut(&mut vm);
    own.moving_from = Some(Place {
        host: from.host,
        datastore: from.datastore,
    });
    let action = outcome.action.take();
    record_leave(own, action, caller, now);
    history_open(own, &host, &system, now);
    // Recorded: the new record of a VM that is not moved while it runs says what moves it until it runs.
    if !live {
        record_note(own, action.unwrap_or(HistoryAction::Migrate), caller);
    }
    if host.id != from.host {
        pci_choose(&txn.world, own, &host)
            .map_err(|reason| ApiError::action(format!("Cannot migrate to host {}: {reason}", host.id)))?;
        numa_leave(own);
        numa_take(&txn.world, own, &host)
            .map_err(|reason| ApiError::action(format!("Cannot migrate to host {}: {reason}", host.id)))?;
    }
    own.resched = false;
    placement_reason_forget(own);
    if system.id != from.datastore {
        system_take(own, &system);
    }
    vm_go(txn, vm, &outcome, event, &Cause::user(caller));
    Ok(id)
}

fn rights(txn: &Txn<'_>, caller: &Caller, id: Id, migration: &Migration) -> Result<(), ApiError> {
    let right = vm_right(&txn.world, caller, VmClass::Migrate);
    // Where its host has failed it is no action of a user: locks do not matter.
    let given_up = txn
        .world
        .vm(id)?
        .held_host()
        .and_then(|host| txn.world.hosts.get(host));
    if !(caller.is_admin() && given_up.is_some_and(|host| host.given_up.contains_key(&id))) {
        vm_unlocked(txn, caller, id, right)?;
    }
    // One refusal names all that is missing (recorded).
    let target = Target::of(&txn.world, Kind::Host, migration.host)?;
    let mut rights = vec![(right, Target::of(&txn.world, Kind::Vm, id)?)];
    rights.push((Operation::Manage, target));
    if migration.datastore >= 0 {
        let target = Target::of(&txn.world, Kind::Datastore, migration.datastore)?;
        rights.push((Operation::Use, target));
    }
    require(&txn.world, caller, &rights)
}

/// What is noted on the record that a VM leaves. Of one that is off already nothing but its end is.
fn record_leave(vm: &mut Vm, action: Option<HistoryAction>, caller: &Caller, now: Seconds) {
    let runs = vm.phase == Phase::active(LcmState::Running);
    if let Some(action) = action {
        record_note(vm, action, caller);
    }
    if let Some(record) = Arc::make_mut(&mut vm.history).last_mut()
        && !runs
    {
        record_close(record, now);
    }
}

fn record_note(vm: &mut Vm, action: HistoryAction, caller: &Caller) {
    if let Some(record) = Arc::make_mut(&mut vm.history).last_mut() {
        record.action = action;
        record.uid = caller.uid;
        record.gid = caller.gid;
    }
}

/// From where to where a VM is to be moved.
struct Route<'a> {
    world: &'a World,
    vm: &'a Vm,
    from: &'a History,
    host: &'a Host,
    system: &'a Datastore,
    live: bool,
}

impl Route<'_> {
    fn check(&self, migration: &Migration) -> Result<(), ApiError> {
        let refused = |text: String| Err(ApiError::action(text));
        let (same_host, same_store) = (
            self.from.host == self.host.id,
            self.from.datastore == self.system.id,
        );
        if same_host && same_store {
            return refused(format!(
                "VM is already running on host [{}] and datastore [{}]",
                self.host.id, self.system.id
            ));
        }
        if self.live && !same_host && !same_store {
            return refused("Cannot live migrate host and datastore at the same time.".into());
        }
        self.host_check()?;
        self.store_check(same_store)?;
        self.network_check()?;
        self.device_check(migration)?;
        if migration.enforce
            && !same_host
            && let Some(refusal) = vm_affinity_refusal(self.world, self.vm, self.host.id)
        {
            return refused(format!(
                "virtual machine [{}] may not be on host [{}]: {refusal}",
                self.vm.id, self.host.id
            ));
        }
        let pinned = self.vm.demand.numa.as_ref().is_some_and(|numa| numa.is_pinned());
        if (migration.enforce || pinned)
            && !same_host
            && let Some(refusal) = host_refusal(self.world, &self.vm.demand, self.host)
        {
            return refused(format!(
                "virtual machine [{}] does not fit in host [{}]. {refusal}",
                self.vm.id, self.host.id
            ));
        }
        Ok(())
    }

    fn host_check(&self) -> Result<(), ApiError> {
        let host = self.host;
        if host.state == HostState::Offline {
            return Err(ApiError::action(format!(
                "Host {0} is offline: enable it first (onehost enable {0})",
                host.id
            )));
        }
        if host.vm_mad != self.from.vm_mad {
            return Err(ApiError::action(format!(
                "Host {} has the hypervisor driver {}, and the VM runs with {}",
                host.id, host.vm_mad, self.from.vm_mad
            )));
        }
        Ok(())
    }

    fn store_check(&self, same_store: bool) -> Result<(), ApiError> {
        let system = self.system;
        if system.kind != DatastoreType::System {
            return Err(ApiError::internal(format!(
                "Trying to use datastore [{}] to deploy the VM, but it is not of type system datastore.",
                system.id
            )));
        }
        fits(self.world, self.vm, self.host, system).map_err(ApiError::action)?;
        if same_store {
            return Ok(());
        }
        if system.tm_mad != self.from.tm_mad {
            return Err(ApiError::action(format!(
                "Cannot migrate to datastore {}: its TM_MAD is {}, and that of the VM's datastore {} is {}",
                system.id, system.tm_mad, self.from.datastore, self.from.tm_mad
            )));
        }
        if self.live && self.host.vm_mad != "dummy" {
            return Err(ApiError::action(format!(
                "Cannot migrate to datastore {} while the VM runs: this is not supported yet with the driver {}. Migrate it \
                 without --live, or by poweroff (onevm migrate --poff)",
                system.id, self.host.vm_mad
            )));
        }
        let setting = if self.live {
            "DS_LIVE_MIGRATE"
        } else {
            "DS_MIGRATE"
        };
        let snapshots = self
            .vm
            .disk_snapshots
            .values()
            .any(|tree| !tree.snapshots.is_empty());
        let wanted = [Some(setting), snapshots.then_some("DS_MIGRATE_SNAP")];
        match wanted
            .into_iter()
            .flatten()
            .find(|setting| !self.world.config.transfer_allows(&system.tm_mad, setting))
        {
            Some(setting) => Err(ApiError::action(format!(
                "Cannot migrate to datastore {}: {setting} of its TM_MAD {} is not YES",
                system.id, system.tm_mad
            ))),
            None => Ok(()),
        }
    }

    /// Networks and images must be in the host's cluster.
    fn network_check(&self) -> Result<(), ApiError> {
        let cluster = self.host.cluster_id;
        let outside = |part: &PackedVector<'_>| {
            part.get("CLUSTER_ID")
                .is_some_and(|ids| !ids.is_empty() && !id_list(ids).any(|id| id == cluster))
        };
        for (name, what, id) in [
            ("NIC", "network", "NETWORK_ID"),
            ("NIC_ALIAS", "network", "NETWORK_ID"),
            ("DISK", "datastore", "DATASTORE_ID"),
        ] {
            // A volatile disk goes with the VM's own datastore.
            let part = self
                .vm
                .template
                .vectors(name)
                .filter(|part| name != "DISK" || part.get("IMAGE_ID").is_some())
                .find(outside);
            if let Some(part) = part {
                return Err(ApiError::action(format!(
                    "Cannot migrate to host {}: {what} {} of the VM is not in its cluster {cluster}",
                    self.host.id,
                    part.get(id).unwrap_or_default()
                )));
            }
        }
        Ok(())
    }

    /// What binds a running VM to its host.
    fn device_check(&self, migration: &Migration) -> Result<(), ApiError> {
        if self.vm.phase != Phase::active(LcmState::Running) {
            return Ok(());
        }
        if let Some(numa) = self.vm.demand.numa.as_ref().filter(|_| self.live) {
            let what = if numa.is_pinned() {
                "whose CPUs are pinned"
            } else {
                "that is bound to a NUMA node"
            };
            return Err(ApiError::action(format!(
                "Cannot live migrate a VM {what}. Migrate it by poweroff (onevm migrate --poff)"
            )));
        }
        let saved = matches!(migration.relocation, Relocation::Live | Relocation::Save);
        match memory_binds(self.vm) {
            Some(what) if saved => Err(ApiError::action(format!(
                "Cannot migrate a VM with {what} with its memory. Migrate it by poweroff (onevm migrate --poff)"
            ))),
            _ => Ok(()),
        }
    }
}

/// What a running VM has that cannot go to another host with its memory.
#[must_use]
pub fn memory_binds(vm: &Vm) -> Option<&'static str> {
    if vm.phase != Phase::active(LcmState::Running) {
        return None;
    }
    let file_system = vm.template.vectors("DISK").any(|disk| {
        disk.get("TYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("filesystem"))
    });
    if file_system {
        return Some("FILESYSTEM disks");
    }
    vm.template
        .vectors("PCI")
        .next()
        .is_some()
        .then_some("PCI devices")
}
