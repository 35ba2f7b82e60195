//! Snapshots of running machines: memory and disks, kept by the hypervisor.

use plerion_lifecycle::{DeviceWork, Event, Recover};
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id};
use plerion_template::{Template, Value, Vector};

use crate::auth::Caller;
use crate::config::Config;
use crate::txn::Txn;
use crate::vm_device::{device_begin, device_vm, template_set};

const SNAPSHOT: &str = "SNAPSHOT";

/// Most snapshots of a VM.
const SNAPSHOTS_MAX: usize = 1000;

fn snapshot_id(snapshot: &Vector) -> Id {
    snapshot
        .get("SNAPSHOT_ID")
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1)
}

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

/// The hypervisor has given the snapshot under way a name.
pub(crate) fn snapshot_named(vm: &mut Vm, name: &str) {
    let Some(DeviceChange::SnapshotCreate { snapshot }) = vm.device_change else {
        return;
    };
    let mut template = vm.template.unpack();
    if let Some(found) = template
        .vectors_mut(SNAPSHOT)
        .find(|found| snapshot_id(found) == snapshot)
    {
        found.set("HYPERVISOR_ID", name);
    }
    template_set(vm, &template);
}

/// A snapshot has been taken or deleted, or has not.
pub(crate) fn snapshot_end(vm: &mut Vm, change: DeviceChange, success: bool) {
    match change {
        DeviceChange::SnapshotCreate { snapshot } if !success => {
            snapshots_retain(vm, |found| snapshot_id(found) != snapshot);
        }
        DeviceChange::SnapshotDelete { snapshot } if success => {
            snapshots_retain(vm, |found| snapshot_id(found) != snapshot);
        }
        _ => {}
    }
}

fn snapshots_retain(vm: &mut Vm, keep: impl Fn(&Vector) -> bool) {
    let mut template: Template = vm.template.unpack();
    template.retain(|attribute| match &attribute.value {
        Value::Vector(found) if attribute.name == SNAPSHOT => keep(found),
        _ => true,
    });
    template_set(vm, &template);
}

/// Snapshots of the machine end with it, or with its stay on a host, unless the driver keeps them. (Recorded: gone after
/// poweroff and after a live migration.) A VM that starts anew has none, of its disks neither.
pub(crate) fn snapshots_drop(config: &Config, vm: &mut Vm, old: Phase, new: Phase, event: Event) {
    if new.state == VmState::Pending && old == Phase::active(LcmState::CleanupResubmit) {
        vm.disk_snapshots.clear();
        let mut template = vm.template.unpack();
        for disk in template
            .vectors_mut("DISK")
            .filter(|disk| disk.get("DISK_SNAPSHOT_TOTAL_SIZE").is_some())
        {
            disk.set("DISK_SNAPSHOT_TOTAL_SIZE", "0");
        }
        template.remove(SNAPSHOT);
        template_set(vm, &template);
        return;
    }
    let driver = vm.last_history().map_or("", |record| record.vm_mad.as_str());
    if vm.template.vectors(SNAPSHOT).next().is_none() || config.hypervisor_keeps_snapshots(driver) {
        return;
    }
    let moved = new == Phase::active(LcmState::Running)
        && matches!(event, Event::Done | Event::Recover(Recover::Success))
        && (old == Phase::active(LcmState::Migrate) || old == Phase::active(LcmState::BootMigrate));
    let rests = matches!(
        new.state,
        VmState::Poweroff | VmState::Suspended | VmState::Stopped | VmState::Undeployed | VmState::Pending
    );
    if moved || rests {
        snapshots_retain(vm, |_| false);
    }
}
