//! What becomes of the snapshots of a disk when a change of them ends, or the disk comes or goes home.

use std::sync::Arc;

use plerion_model::Id;
use plerion_model::snapshot::SnapshotTree;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_template::{Template, Vector};

use crate::txn::Txn;
use crate::vm_template::{disk_find, disk_id, number, saves, template_set};

const TOTAL: &str = "DISK_SNAPSHOT_TOTAL_SIZE";

/// Notes in a disk what its snapshots take.
pub(crate) fn total_set(vm: &Vm, template: &mut Template, disk: Id) {
    let total = vm.disk_snapshots.get(&disk).map_or(0, SnapshotTree::size_mib);
    if let Ok(disk) = disk_find(template, disk) {
        disk.set(TOTAL, total.to_string());
    }
}

/// What was done to a snapshot has worked, or has not.
pub(crate) fn disk_snapshot_end(vm: &mut Vm, change: DeviceChange, success: bool) {
    let (disk, snapshot) = match change {
        DeviceChange::DiskSnapshotCreate { disk, snapshot, .. }
        | DeviceChange::DiskSnapshotRevert { disk, snapshot }
        | DeviceChange::DiskSnapshotDelete { disk, snapshot } => (disk, snapshot),
        DeviceChange::NicAttach { .. }
        | DeviceChange::NicDetach { .. }
        | DeviceChange::NicUpdate { .. }
        | DeviceChange::DiskAttach { .. }
        | DeviceChange::DiskDetach { .. }
        | DeviceChange::DiskResize { .. }
        | DeviceChange::DiskSaveAs { .. }
        | DeviceChange::SnapshotCreate { .. }
        | DeviceChange::SnapshotRevert { .. }
        | DeviceChange::SnapshotDelete { .. }
        | DeviceChange::GuestExec
        | DeviceChange::GuestCancel => return,
    };
    let Some(tree) = vm.disk_snapshots.get_mut(&disk) else {
        return;
    };
    match change {
        DeviceChange::DiskSnapshotCreate { active, .. } if !success => {
            tree.remove(snapshot);
            tree.active = active;
        }
        DeviceChange::DiskSnapshotRevert { .. } if success => tree.revert(snapshot),
        DeviceChange::DiskSnapshotDelete { .. } if success => tree.remove(snapshot),
        _ => return,
    }
    let mut template = vm.template.unpack();
    total_set(vm, &mut template, disk);
    template_set(vm, &template);
}

/// Disks that are their images have come, but for those that are waited for: so have the images' snapshots.
pub(crate) fn snapshots_take(txn: &Txn<'_>, vm: &mut Vm) {
    let mut template = vm.template.unpack();
    let mut taken = false;
    let here = |disk: &&mut Vector| saves(disk) && disk.get("CLONING").is_none();
    for disk in template.vectors_mut("DISK").filter(here) {
        let id = disk_id(disk);
        let image = number(disk, "IMAGE_ID").and_then(|image| Id::try_from(image).ok());
        let Some(image) = image.and_then(|image| txn.world.images.get(image)) else {
            continue;
        };
        if image.snapshots.is_unused() || vm.disk_snapshots.contains_key(&id) {
            continue;
        }
        let mut tree = image.snapshots.clone();
        tree.home_mib = tree.size_mib();
        disk.set(TOTAL, tree.home_mib.to_string());
        vm.disk_snapshots.insert(id, tree);
        taken = true;
    }
    if taken {
        template_set(vm, &template);
    }
}

/// A disk has gone home: its snapshots with it.
pub(crate) fn snapshots_give(txn: &mut Txn<'_>, vm: &Vm, disk: &Vector) {
    let Some(tree) = vm.disk_snapshots.get(&disk_id(disk)).filter(|_| saves(disk)) else {
        return;
    };
    let image = number(disk, "IMAGE_ID").and_then(|image| Id::try_from(image).ok());
    let Some(mut image) = image.and_then(|image| txn.world.images.get(image)).cloned() else {
        return;
    };
    let kept = disk
        .get("PERSISTENT_SNAPSHOTS")
        .is_none_or(|text| text.eq_ignore_ascii_case("yes"));
    let mut tree = tree.clone();
    tree.home_mib = 0;
    if kept && image.snapshots != tree {
        Arc::make_mut(&mut image).snapshots = tree;
        txn.update(image);
    }
}
