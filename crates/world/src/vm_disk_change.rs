//! Disks of VMs that exist: they come, go and grow.

use plerion_lifecycle::DeviceWork;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, require};
use crate::disk_size::size_read;
use crate::pairs::datastores_fit;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::vm_device::device_begin;
use crate::vm_disk::{DISKS_MAX, DiskPlan, disk_complete, target_assign};
use crate::vm_disk_snapshot::image_right;
use crate::vm_require::device_vm;
use crate::vm_system_store::volatile_set;
use crate::vm_template::{DISK, disk_find, disk_id, number};
use crate::vm_template::{as_action, is_router};

fn router_refuse(vm: &Vm) -> Result<(), ApiError> {
    if is_router(vm) {
        return Err(ApiError::action("Action is not supported for virtual router VMs"));
    }
    Ok(())
}

/// `one.vm.attach`.
pub(crate) fn vm_disk_attach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    restricted_check(&txn.world, caller, Kind::Vm, given)?;
    router_refuse(&vm)?;
    let Some(record) = vm.last_history().cloned() else {
        return Err(ApiError::action("VM is not running in any host"));
    };
    let what = format!("attach a new disk to VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::DiskAttach, &what)?;
    let mut disk = disk_given(given)?;
    let mut template = vm.template.unpack();
    if template.vectors(DISK).count() >= DISKS_MAX {
        return Err(ApiError::action(format!(
            "A VM has {DISKS_MAX} disks at most, and VM {id} has as many"
        )));
    }
    let number = next_id(&template);
    let index = usize::try_from(number).unwrap_or_default();
    let mut plan = DiskPlan::default();
    let image = disk_complete(&txn.world, caller, index, &mut disk, &mut plan).map_err(as_action)?;
    require(&txn.world, caller, &plan.rights)?;
    if let Some(image) = plan.coming {
        return Err(ApiError::action(format!(
            "Image [{image}] is not ready yet: wait until it is in state READY."
        )));
    }
    let system = txn.world.datastore(record.datastore)?;
    match image {
        Some(image) => {
            let home = txn.world.datastore(image.datastore_id)?;
            if !home.clusters.contains(&record.cluster) {
                return Err(ApiError::action(format!(
                    "Datastore {} of the image is not in cluster {} of host {} ({}), on which the VM is",
                    home.id, record.cluster, record.host, record.hostname
                )));
            }
            datastores_fit(home, system).map_err(|refusal| ApiError::action(refusal.0))?;
        }
        None => {
            volatile_set(&mut disk, system);
            // Recorded for volatile disks that are attached.
            disk.set("TM_MAD_SYSTEM", system.tm_mad.clone());
        }
    }
    target_assign(&template, &mut disk).map_err(as_action)?;
    disk.set("ATTACH", "YES");
    template.add_vector(DISK, disk);
    let change = DeviceChange::DiskAttach { disk: number };
    begun.go(txn, caller, &template, change, Some(HistoryAction::DiskAttach));
    Ok(id)
}

fn disk_given(given: &Template) -> Result<Vector, ApiError> {
    let mut found = given.vectors(DISK);
    match (found.next(), found.next()) {
        (Some(disk), None) => Ok(disk.clone()),
        (None, _) => Err(ApiError::internal(
            "The template holds no DISK: write DISK=[IMAGE=\"…\"] or DISK=[TYPE=\"fs\",SIZE=\"…\",FORMAT=\"raw\"]",
        )),
        (Some(_), Some(_)) => Err(ApiError::internal(
            "The template holds more than one DISK: attach them one by one",
        )),
    }
}

/// The number after those of the disks and of the context disk (recorded).
fn next_id(template: &Template) -> Id {
    [DISK, "CONTEXT"]
        .into_iter()
        .flat_map(|name| template.vectors(name))
        .map(disk_id)
        .max()
        .unwrap_or(-1)
        .saturating_add(1)
}

/// `one.vm.detach`.
pub(crate) fn vm_disk_detach(txn: &mut Txn<'_>, caller: &Caller, id: Id, number: Id) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    router_refuse(&vm)?;
    let what = format!("detach disk from VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::DiskDetach, &what)?;
    let mut template = vm.template.unpack();
    disk_find(&mut template, number)?.set("ATTACH", "YES");
    let change = DeviceChange::DiskDetach { disk: number };
    begun.go(txn, caller, &template, change, Some(HistoryAction::DiskDetach));
    Ok(id)
}

/// `one.vm.diskresize`: a disk grows.
pub(crate) fn vm_disk_resize(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    disk: Id,
    size: &str,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let what = format!("resize disk for VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::DiskResize, &what)?;
    begun.only_built_in_storage("Resizing a disk")?;
    let mut template = vm.template.unpack();
    let found = disk_find(&mut template, disk)?;
    let before_mib = number(found, "SIZE").unwrap_or(0);
    let wanted = size_read(size);
    let Some(wanted) = wanted else {
        return Err(ApiError::action(format!(
            "Wrong size \"{size}\": it is a number of MiB"
        )));
    };
    if wanted <= before_mib {
        return Err(ApiError::action(
            "New disk size has to be greater than current one",
        ));
    }
    image_right(txn, caller, found)?;
    if vm
        .disk_snapshots
        .get(&disk)
        .is_some_and(|tree| !tree.snapshots.is_empty())
    {
        return Err(ApiError::action(
            "Cannot resize a disk with snapshots: delete them first",
        ));
    }
    found.set("SIZE", wanted.to_string());
    let change = DeviceChange::DiskResize { disk, before_mib };
    // A record of a VM that is on no host is over already.
    let noted = vm.phase.state != VmState::Undeployed;
    begun.go(
        txn,
        caller,
        &template,
        change,
        noted.then_some(HistoryAction::DiskResize),
    );
    Ok(id)
}
