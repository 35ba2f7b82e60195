//! PCI devices of hosts in VMs: which they get where they are placed, and how they come and go.

use std::sync::Arc;

use plerion_model::host::Host;
use plerion_model::pci::{PCI_PLACE, PciDemand, PciDevice, pci_assign};
use plerion_model::vm::Vm;
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{Phase, VmState};
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{Template, Value, Vector};

use crate::auth::Caller;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_history::history_renew;
use crate::vm_require::device_vm;
use crate::vm_template::template_set;
use crate::world::World;

const PCI: &str = "PCI";
/// Most PCI devices of a VM.
const PCI_MAX: usize = 256;

/// Whether a `PCI` vector is the NIC of a network.
fn is_nic(vector: &Vector) -> bool {
    vector
        .get("TYPE")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("NIC"))
}

/// Checks and numbers the PCI devices of a new VM.
pub(crate) fn pci_complete(template: &mut Template) -> Result<(), String> {
    if template.vectors(PCI).count() > PCI_MAX {
        return Err(format!("A VM has {PCI_MAX} PCI devices at most"));
    }
    let mut problem = None;
    for (number, vector) in template.vectors_mut(PCI).enumerate() {
        problem = problem.or_else(|| pci_begin(vector, number).err());
    }
    problem.map_or(Ok(()), Err)
}

fn pci_begin(vector: &mut Vector, number: usize) -> Result<(), String> {
    for name in PCI_PLACE {
        vector.remove(name);
    }
    PciDemand::read(|name| vector.get(name))?;
    vector.set("PCI_ID", number.to_string());
    Ok(())
}

/// Which devices of a host a VM would get; `planned` tells of devices that are promised to others. No device is looked at
/// where none is asked for.
///
/// # Errors
/// Which demand no device of the host serves, in words.
pub fn pci_find(
    world: &World,
    vm: Id,
    demands: &[PciDemand],
    host: &Host,
    planned: &dyn Fn(&str) -> bool,
) -> Result<Vec<PciDevice>, String> {
    if demands.is_empty() {
        return Ok(Vec::new());
    }
    let devices = host.pci_devices();
    let free: Vec<bool> = devices
        .iter()
        .map(|device| {
            let address = device.address();
            let holder = world.pci_holder(host.id, &address);
            holder.is_none_or(|holder| holder == vm) && !planned(&address)
        })
        .collect();
    let chosen = pci_assign(&devices, &free, demands).map_err(|at| {
        let demand = demands.get(at).map(PciDemand::words).unwrap_or_default();
        let known = demands
            .get(at)
            .is_some_and(|demand| devices.iter().any(|device| device.serves(demand)));
        if known {
            format!("no PCI device with {demand} is free")
        } else {
            format!("it has no PCI device with {demand}")
        }
    })?;
    Ok(chosen
        .into_iter()
        .filter_map(|at| devices.get(at).cloned())
        .collect())
}

/// Gives a VM the devices of the host on which it is placed.
pub(crate) fn pci_choose(world: &World, vm: &mut Vm, host: &Host) -> Result<(), String> {
    if vm.demand.pci.is_empty() {
        return Ok(());
    }
    let devices = pci_find(world, vm.id, &vm.demand.pci, host, &|_| false)?;
    let mut template = vm.template.unpack();
    let asked = template
        .vectors_mut(PCI)
        .filter(|vector| PciDemand::read(|name| vector.get(name)).is_ok());
    for (vector, device) in asked.zip(&devices) {
        device.give(vector);
    }
    template_set(vm, &template);
    Ok(())
}

/// A VM that could not go to another host is back on its old one, and has devices of that again. Should somebody have taken
/// them meanwhile, it has none until it is deployed anew.
pub(crate) fn pci_return(world: &World, vm: &mut Vm) {
    if vm.demand.pci.is_empty() {
        return;
    }
    let host = vm.last_history().map_or(-1, |record| record.host);
    let found = world.hosts.get(host).cloned();
    if found.is_some_and(|host| pci_choose(world, vm, &host).is_ok()) {
        return;
    }
    let mut template = vm.template.unpack();
    for vector in template.vectors_mut(PCI) {
        for name in PCI_PLACE {
            vector.remove(name);
        }
    }
    template_set(vm, &template);
}

/// Where PCI devices come and go: a VM that is off has a place on its host; one that is undeployed gets its devices when it is
/// placed again.
fn state_check(vm: &Vm, what: &str) -> Result<(), ApiError> {
    let off = vm.phase == Phase::rest(VmState::Poweroff);
    let undeployed = vm.phase == Phase::rest(VmState::Undeployed) && !vm.history.is_empty();
    if off || undeployed {
        return Ok(());
    }
    Err(ApiError::action(format!(
        "Could not {what}, wrong state {}.",
        vm.phase.as_str()
    )))
}

fn nic_refused() -> ApiError {
    ApiError::action("The PCI device is a NIC: use one.vm.attachnic and one.vm.detachnic for it")
}

/// `one.vm.attachpci`.
pub(crate) fn vm_pci_attach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
) -> Result<Id, ApiError> {
    let mut vm = device_vm(txn, caller, id)?;
    restricted_check(&txn.world, caller, Kind::Vm, given)?;
    state_check(&vm, &format!("add a new PCI device to VM {id}"))?;
    let mut found = given.vectors(PCI);
    let (Some(vector), None) = (found.next(), found.next()) else {
        return Err(ApiError::internal(
            "The template must hold one PCI: write PCI=[VENDOR=\"…\",DEVICE=\"…\",CLASS=\"…\"] or PCI=[SHORT_ADDRESS=\"…\"]",
        ));
    };
    let mut vector = vector.clone();
    if is_nic(&vector) {
        return Err(nic_refused());
    }
    let mut template = vm.template.unpack();
    if template.vectors(PCI).count() >= PCI_MAX {
        return Err(ApiError::action(format!(
            "A VM has {PCI_MAX} PCI devices at most"
        )));
    }
    let last = template.vectors(PCI).map(pci_id).max().unwrap_or(-1);
    let number = usize::try_from(last.saturating_add(1)).unwrap_or_default();
    pci_begin(&mut vector, number).map_err(ApiError::action)?;
    template.add_vector(PCI, vector);
    let own = Arc::make_mut(&mut vm);
    template_set(own, &template);
    if own.phase.state == VmState::Poweroff {
        let host = txn.world.host(own.held_host().unwrap_or(-1))?.clone();
        let (name, host_id) = (host.name.clone(), host.id);
        pci_choose(&txn.world, own, &host).map_err(|reason| {
            ApiError::action(format!(
                "Could not add a PCI device to VM {id} on host {host_id} ({name}): {reason}"
            ))
        })?;
        history_renew(
            own,
            HistoryAction::PciAttach,
            &Cause::user(caller),
            txn.context.now,
        );
    }
    txn.update(vm);
    Ok(id)
}

fn pci_id(vector: &Vector) -> Id {
    vector.get("PCI_ID").and_then(|id| id.parse().ok()).unwrap_or(-1)
}

/// `one.vm.detachpci`.
pub(crate) fn vm_pci_detach(txn: &mut Txn<'_>, caller: &Caller, id: Id, pci: Id) -> Result<Id, ApiError> {
    let mut vm = device_vm(txn, caller, id)?;
    state_check(&vm, &format!("take PCI device {pci} from VM {id}"))?;
    let mut template = vm.template.unpack();
    let Some(vector) = template
        .vectors(PCI)
        .find(|vector| pci_id(vector) == pci)
        .cloned()
    else {
        return Err(ApiError::action(format!(
            "VM {id} has no PCI device {pci}: onevm show {id} lists them"
        )));
    };
    if is_nic(&vector) {
        return Err(nic_refused());
    }
    template.retain(|attribute| attribute.name != PCI || attribute.value != Value::Vector(vector.clone()));
    let own = Arc::make_mut(&mut vm);
    template_set(own, &template);
    if own.phase.state == VmState::Poweroff {
        history_renew(
            own,
            HistoryAction::PciDetach,
            &Cause::user(caller),
            txn.context.now,
        );
    }
    txn.update(vm);
    Ok(id)
}
