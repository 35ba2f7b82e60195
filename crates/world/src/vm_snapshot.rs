//! Snapshots of running machines: memory and disks, kept by the hypervisor.

use plerion_lifecycle::DeviceWork;
use plerion_model::vm_device::DeviceChange;
use plerion_model::{ApiError, Id};

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_device::device_begin;
use crate::vm_require::device_vm;
use crate::vm_snapshot_end::{SNAPSHOT, snapshot_id};

/// Most snapshots of a VM.
const SNAPSHOTS_MAX: usize = 1000;

/// `one.vm.snapshotcreate`. Answers the id of the snapshot.
pub(crate) fn snapshot_create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let what = format!("create a new snapshot for VM {id}");
    let begun = device_begin(vm.clone(), DeviceWork::Snapshot, &what)?;
    let mut template = vm.template.unpack();
    if template
        .pair("BACKUP_CONFIG", "MODE")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("increment"))
    {
        return Err(ApiError::action(
            "Cannot create a snapshot: the VM has incremental backups",
        ));
    }
    if template.vectors(SNAPSHOT).count() >= SNAPSHOTS_MAX {
        return Err(ApiError::action(format!(
            "A VM has {SNAPSHOTS_MAX} snapshots at most: delete one of VM {id} first"
        )));
    }
    let last = template.vectors(SNAPSHOT).map(snapshot_id).max().unwrap_or(-1);
    let snapshot = last.saturating_add(1);
    let number = snapshot.to_string();
    let name = if name.is_empty() {
        format!("snapshot-{number}")
    } else {
        name.to_owned()
    };
    let vector = [
        ("HYPERVISOR_ID", number.clone()),
        ("NAME", name),
        ("SNAPSHOT_ID", number),
        // Recorded: the memory that is saved with it.
        ("SYSTEM_DISK_SIZE", vm.demand.memory_mib.to_string()),
        ("TIME", txn.context.now.to_string()),
    ];
    template.add_vector(SNAPSHOT, vector.into_iter().collect());
    let change = DeviceChange::SnapshotCreate { snapshot };
    begun.go(txn, caller, &template, change, None);
    Ok(snapshot)
}

/// `one.vm.snapshotrevert`.
pub(crate) fn snapshot_revert(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    snapshot: Id,
) -> Result<Id, ApiError> {
    let what = format!("revert VM {id} to snapshot {snapshot}");
    let change = DeviceChange::SnapshotRevert { snapshot };
    snapshot_act(txn, caller, id, snapshot, DeviceWork::Snapshot, change, &what)
}

/// `one.vm.snapshotdelete`.
pub(crate) fn snapshot_delete(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    snapshot: Id,
) -> Result<Id, ApiError> {
    let what = format!("delete snapshot {snapshot} for VM {id}");
    let change = DeviceChange::SnapshotDelete { snapshot };
    snapshot_act(
        txn,
        caller,
        id,
        snapshot,
        DeviceWork::SnapshotDelete,
        change,
        &what,
    )
}

fn snapshot_act(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    snapshot: Id,
    work: DeviceWork,
    change: DeviceChange,
    what: &str,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let begun = device_begin(vm.clone(), work, what)?;
    let template = vm.template.unpack();
    if !template
        .vectors(SNAPSHOT)
        .any(|found| snapshot_id(found) == snapshot)
    {
        return Err(ApiError::action(format!("Could not {what}, it does not exist.")));
    }
    begun.go(txn, caller, &template, change, None);
    Ok(id)
}
