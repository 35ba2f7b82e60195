//! The end of a change of a VM's devices: it is completed or undone.

use plerion_lifecycle::{Ask, Event, Recover, transient};
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::txn::Txn;
use crate::vm_disk_end::{disk_change_end, disk_resize_end, disk_save_end};
use crate::vm_disk_snapshot_end::{disk_snapshot_end, snapshots_give};
use crate::vm_exec_end::guest_change_end;
use crate::vm_nic_end::nic_change_end;
use crate::vm_snapshot_end::{snapshot_end, snapshots_drop};

/// Why a change was not made that no host has refused.
const GIVEN_UP: &str = "it was given up before its end";

/// The VM has entered a phase: the change that was under way has ended, unless it is asked for again or its remains are
/// being cleaned up. Until then what comes and what goes both count as held.
pub(crate) fn device_end(
    txn: &mut Txn<'_>,
    vm: &mut Vm,
    (old, new): (Phase, Phase),
    event: Event,
    reason: Option<&str>,
) {
    snapshots_drop(&txn.world.config, vm, old, new, event);
    if new.state == VmState::Done && old == Phase::active(LcmState::Epilog) {
        for disk in vm.template.vectors("DISK") {
            snapshots_give(txn, vm, &disk.to_vector());
        }
    }
    let rests = new.state != VmState::Active || new.lcm == LcmState::Running;
    let Some(change) = vm.device_change.filter(|_| rests) else {
        return;
    };
    vm.device_change = None;
    let asked =
        old.state == VmState::Active && transient(old.lcm).is_some_and(|row| matches!(row.ask, Ask::Device));
    let success = asked && matches!(event, Event::Done | Event::Recover(Recover::Success));
    let result = if success {
        Ok(())
    } else {
        Err(reason.filter(|reason| !reason.is_empty()).unwrap_or(GIVEN_UP))
    };
    change_end(txn, vm, change, result);
}

/// `result`: that it was done, or why not.
pub(crate) fn change_end(txn: &mut Txn<'_>, vm: &mut Vm, change: DeviceChange, result: Result<(), &str>) {
    let success = result.is_ok();
    match change {
        DeviceChange::NicAttach { .. } | DeviceChange::NicDetach { .. } | DeviceChange::NicUpdate { .. } => {
            nic_change_end(txn, vm, change, success);
        }
        DeviceChange::DiskAttach { .. } | DeviceChange::DiskDetach { .. } => {
            disk_change_end(txn, vm, change, success);
        }
        DeviceChange::DiskResize { disk, before_mib } => {
            disk_resize_end(txn, vm, disk, before_mib, success);
        }
        DeviceChange::DiskSaveAs { image, .. } => disk_save_end(txn, image, result),
        DeviceChange::DiskSnapshotCreate { .. }
        | DeviceChange::DiskSnapshotRevert { .. }
        | DeviceChange::DiskSnapshotDelete { .. } => disk_snapshot_end(vm, change, success),
        DeviceChange::SnapshotCreate { .. }
        | DeviceChange::SnapshotRevert { .. }
        | DeviceChange::SnapshotDelete { .. } => snapshot_end(vm, change, success),
        DeviceChange::GuestExec | DeviceChange::GuestCancel => guest_change_end(vm, change, result),
    }
}
