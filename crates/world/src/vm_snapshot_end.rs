//! What becomes of the snapshots of a machine when a change of them ends, or its stay on a host does.

use plerion_lifecycle::{Event, Recover};
use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_template::{Template, Value, Vector};

use crate::config::Config;
use crate::vm_template::template_set;

pub(crate) const SNAPSHOT: &str = "SNAPSHOT";

pub(crate) fn snapshot_id(snapshot: &Vector) -> Id {
    snapshot
        .get("SNAPSHOT_ID")
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1)
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
