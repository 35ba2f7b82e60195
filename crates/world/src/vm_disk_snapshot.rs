//! Snapshots of disks of VMs. Those of a persistent image become the image's own when the disk goes home.

use std::sync::Arc;

use plerion_lifecycle::DeviceWork;
use plerion_model::snapshot::{Orphans, SnapshotTree};
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::Vector;

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::vm_device::{Begun, device_begin};
use crate::vm_disk_real::{is_on_real_host, snapshot_create_check, snapshot_delete_check, storage_check};
use crate::vm_disk_snapshot_end::total_set;
use crate::vm_require::device_vm;
use crate::vm_require::vm_require;
use crate::vm_template::{disk_find, number, saves};

/// Most snapshots of a disk.
const SNAPSHOTS_MAX: usize = 1000;

fn no_snapshot() -> ApiError {
    ApiError::action("Snapshot does not exist")
}

/// Refuses without rights to the image that the disk is: its snapshots will be the image's.
pub(crate) fn image_right(txn: &Txn<'_>, caller: &Caller, disk: &Vector) -> Result<(), ApiError> {
    let image = number(disk, "IMAGE_ID");
    match image.and_then(|id| Id::try_from(id).ok()).filter(|_| saves(disk)) {
        Some(id) => {
            let target = Target::of(&txn.world, Kind::Image, id)?;
            require(&txn.world, caller, &[(Operation::Manage, target)])
        }
        None => Ok(()),
    }
}

/// Refuses storage that neither agents nor dummy hosts know how to take snapshots in.
fn storage_or_dummy(begun: &Begun, vm: &Vm, disk: &Vector, what: &str) -> Result<(), ApiError> {
    if is_on_real_host(vm) {
        storage_check(vm, disk, what)
    } else {
        begun.only_dummy_storage(what)
    }
}

/// `one.vm.disksnapshotcreate`. Answers the id of the snapshot.
pub(crate) fn disk_snapshot_create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    number: Id,
    name: &str,
) -> Result<Id, ApiError> {
    let mut vm = device_vm(txn, caller, id)?;
    let mut template = vm.template.unpack();
    let disk = disk_find(&mut template, number)?.clone();
    let what = format!("create a disk snapshot for VM {id}");
    // Looked at before the VM is changed.
    let begun = device_begin(vm.clone(), DeviceWork::DiskSnapshotCreate, &what)?;
    storage_or_dummy(&begun, &vm, &disk, "Taking a snapshot of a disk")?;
    image_right(txn, caller, &disk)?;
    if disk.get("TYPE") == Some("CDROM")
        || disk
            .get("TYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("swap"))
    {
        return Err(ApiError::action(format!(
            "Snapshots of disk {number} are not supported: it is a CD-ROM or a swap disk"
        )));
    }
    if is_on_real_host(&vm) {
        snapshot_create_check(&vm, &disk, number)?;
    }
    if template
        .pair("BACKUP_CONFIG", "MODE")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("increment"))
    {
        return Err(ApiError::action(
            "Cannot create a snapshot: the VM has incremental backups",
        ));
    }
    let own = Arc::make_mut(&mut vm);
    let orphans = Orphans::from_text(disk.get("ALLOW_ORPHANS").unwrap_or_default());
    let tree = own
        .disk_snapshots
        .entry(number)
        .or_insert_with(|| SnapshotTree::new(orphans));
    if tree.snapshots.len() >= SNAPSHOTS_MAX {
        return Err(ApiError::action(format!(
            "A disk has {SNAPSHOTS_MAX} snapshots at most: delete one of disk {number} first"
        )));
    }
    let active = tree.active;
    let size = crate::vm_template::number(&disk, "SIZE").unwrap_or(0);
    let default = format!("snapshot-{}", tree.next);
    let name = if name.is_empty() { &default } else { name };
    let snapshot = tree.add(name, txn.context.now, size);
    total_set(own, &mut template, number);
    let begun = device_begin(vm, DeviceWork::DiskSnapshotCreate, &what)?;
    let change = DeviceChange::DiskSnapshotCreate {
        disk: number,
        snapshot,
        active,
    };
    begun.go(
        txn,
        caller,
        &template,
        change,
        Some(HistoryAction::DiskSnapshotCreate),
    );
    Ok(snapshot)
}

/// `one.vm.disksnapshotrevert`.
pub(crate) fn disk_snapshot_revert(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    (disk, snapshot): (Id, Id),
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let mut template = vm.template.unpack();
    let found = disk_find(&mut template, disk)?.clone();
    let what = format!("revert to disk snapshot for VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::DiskSnapshotRevert, &what)?;
    storage_or_dummy(&begun, &vm, &found, "Going back to a snapshot of a disk")?;
    snapshot_find(&vm, disk, snapshot)?;
    let change = DeviceChange::DiskSnapshotRevert { disk, snapshot };
    begun.go(
        txn,
        caller,
        &template,
        change,
        Some(HistoryAction::DiskSnapshotRevert),
    );
    Ok(id)
}

/// `one.vm.disksnapshotdelete`.
pub(crate) fn disk_snapshot_delete(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    (disk, snapshot): (Id, Id),
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let mut template = vm.template.unpack();
    let what = format!("delete disk snapshot from VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::DiskSnapshotDelete, &what)?;
    let found = disk_find(&mut template, disk)?;
    storage_or_dummy(&begun, &vm, found, "Deleting a snapshot of a disk")?;
    snapshot_find(&vm, disk, snapshot)?;
    if saves(found) {
        return Err(ApiError::action(format!(
            "Cannot delete snapshot {snapshot} for persistent disk images"
        )));
    }
    if is_on_real_host(&vm)
        && let Some(tree) = vm.disk_snapshots.get(&disk)
    {
        snapshot_delete_check(&vm, found, tree, snapshot)?;
    }
    let change = DeviceChange::DiskSnapshotDelete { disk, snapshot };
    begun.go(
        txn,
        caller,
        &template,
        change,
        Some(HistoryAction::DiskSnapshotDelete),
    );
    Ok(id)
}

/// `one.vm.disksnapshotrename`.
pub(crate) fn disk_snapshot_rename(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    (disk, snapshot): (Id, Id),
    name: &str,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, Operation::Manage)?;
    if name.is_empty() {
        return Err(ApiError::action("New name cannot be empty"));
    }
    let mut vm = txn.world.vm(id)?.clone();
    disk_find(&mut vm.template.unpack(), disk)?;
    snapshot_find(&vm, disk, snapshot)?;
    let own = Arc::make_mut(&mut vm);
    if let Some(found) = own
        .disk_snapshots
        .get_mut(&disk)
        .and_then(|tree| tree.snapshots.iter_mut().find(|found| found.id == snapshot))
    {
        name.clone_into(&mut found.name);
    }
    txn.update(vm);
    Ok(id)
}

fn snapshot_find(vm: &Vm, disk: Id, snapshot: Id) -> Result<(), ApiError> {
    vm.disk_snapshots
        .get(&disk)
        .and_then(|tree| tree.get(snapshot))
        .map(|_| ())
        .ok_or_else(no_snapshot)
}
