//! What the agents of real hosts do with disks, and what they do not do yet. Dummy hosts do everything.

use plerion_model::snapshot::SnapshotTree;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{ApiError, Id};
use plerion_template::Vector;

use crate::vm_nic::is_yes;
use crate::vm_template::saves;

/// Transfer drivers whose disks agents save, and take snapshots of.
const BY_AGENTS: &[&str] = &["ssh", "shared", "qcow2"];

/// Whether the VM's host is no dummy.
pub(crate) fn is_on_real_host(vm: &Vm) -> bool {
    vm.last_history().is_some_and(|record| record.vm_mad != "dummy")
}

/// Refuses disks in the hands of transfer drivers that are scripts.
pub(crate) fn storage_check(vm: &Vm, disk: &Vector, what: &str) -> Result<(), ApiError> {
    let own = disk.get("TM_MAD").filter(|driver| !driver.is_empty());
    for driver in [system_driver(vm), own].into_iter().flatten() {
        if !BY_AGENTS.contains(&driver) {
            return Err(ApiError::action(format!(
                "{what} is not supported yet with the transfer driver {driver}: only with {}",
                BY_AGENTS.join(", ")
            )));
        }
    }
    Ok(())
}

fn system_driver(vm: &Vm) -> Option<&str> {
    vm.last_history().map(|record| record.tm_mad.as_str())
}

/// Whether a transfer driver lets all see the same files.
fn is_shared(driver: &str) -> bool {
    matches!(driver, "shared" | "qcow2")
}

fn is_qcow2(disk: &Vector) -> bool {
    disk.get("FORMAT").or_else(|| disk.get("DRIVER")) == Some("qcow2")
}

/// Whether the snapshots of the disk are files that follow from each other. Those of other disks are copies.
fn is_chain(vm: &Vm, disk: &Vector) -> bool {
    is_qcow2(disk) && system_driver(vm).is_some_and(is_shared)
}

/// Refuses snapshots that a real host cannot take: of what it would have to copy while it is written to, and of images whose
/// own storage would not understand them.
pub(crate) fn snapshot_create_check(vm: &Vm, disk: &Vector, number: Id) -> Result<(), ApiError> {
    let refused = |why: String| {
        Err(ApiError::action(format!(
            "No snapshot of disk {number} can be taken: {why}"
        )))
    };
    if is_yes(disk, "SHAREABLE") {
        return refused("other VMs may write to it, too (SHAREABLE)".into());
    }
    if saves(disk) && is_qcow2(disk) {
        let own = disk.get("TM_MAD").unwrap_or_default();
        let system = system_driver(vm).unwrap_or_default();
        if is_shared(own) != is_shared(system) {
            return refused(format!(
                "its persistent image is in a datastore of the transfer driver {own}, which keeps snapshots in another way than \
                 {system}; migrate the VM to a system datastore of the driver {own}, or disk-saveas it"
            ));
        }
        if is_chain(vm, disk)
            && disk
                .get("PERSISTENT_SNAPSHOTS")
                .is_some_and(|text| text.eq_ignore_ascii_case("no"))
        {
            return refused(
                "its persistent image is to have no snapshots (PERSISTENT_SNAPSHOTS = NO of its datastore); disk-saveas it".into(),
            );
        }
    }
    if vm.phase != Phase::active(LcmState::Running) {
        return Ok(());
    }
    if !is_chain(vm, disk) {
        return refused(format!(
            "VM {} runs, and the disk would have to be copied while it is written to; power the VM off or suspend it first, or \
             use qcow2 images on the transfer drivers shared or qcow2",
            vm.id
        ));
    }
    if disk.get("IMAGE_ID").is_none() {
        return refused(format!(
            "VM {} runs, and the disk is volatile; power the VM off or suspend it first",
            vm.id
        ));
    }
    Ok(())
}

/// Refuses to delete a snapshot of a real disk that something follows from.
pub(crate) fn snapshot_delete_check(
    vm: &Vm,
    disk: &Vector,
    tree: &SnapshotTree,
    snapshot: Id,
) -> Result<(), ApiError> {
    if !is_chain(vm, disk) {
        return Ok(());
    }
    let reason = if tree.active == snapshot {
        "it is the active one: go back to another one first"
    } else if tree.snapshots.iter().any(|other| other.parent == snapshot) {
        "others follow from it: delete those first"
    } else {
        return Ok(());
    };
    Err(ApiError::action(format!(
        "Snapshot {snapshot} cannot be deleted: {reason}"
    )))
}
