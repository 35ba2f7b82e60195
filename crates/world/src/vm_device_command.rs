//! The calls that change devices of a VM.

use plerion_model::{ApiError, Id};
use plerion_template::Template;

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_disk_change::{vm_disk_attach, vm_disk_detach, vm_disk_resize};
use crate::vm_disk_save::{SaveAs, vm_disk_save_as};
use crate::vm_disk_snapshot::{
    disk_snapshot_create, disk_snapshot_delete, disk_snapshot_rename, disk_snapshot_revert,
};
use crate::vm_nic_change::{vm_nic_attach, vm_nic_detach, vm_nic_update, vm_secgroup_set};
use crate::vm_pci::{vm_pci_attach, vm_pci_detach};
use crate::vm_snapshot::{snapshot_create, snapshot_delete, snapshot_revert};

/// What can be asked for.
#[derive(Clone, Debug)]
pub enum VmDeviceCommand {
    /// `one.vm.attachnic`: one `NIC` or `NIC_ALIAS`.
    NicAttach(Template),
    /// `one.vm.detachnic`: a NIC_ID.
    NicDetach(Id),
    /// `one.vm.updatenic`.
    NicUpdate {
        /// NIC_ID.
        nic: Id,
        /// One `NIC`.
        template: Template,
        /// Whether attributes that are not named stay.
        merge: bool,
    },
    /// `one.vm.attachsg` and `one.vm.detachsg`.
    SecurityGroup {
        /// NIC_ID.
        nic: Id,
        /// Security group.
        group: Id,
        /// Whether it comes.
        attach: bool,
    },
    /// `one.vm.attachpci`: one `PCI`.
    PciAttach(Template),
    /// `one.vm.detachpci`: a PCI_ID.
    PciDetach(Id),
    /// `one.vm.attach`: one `DISK`.
    DiskAttach(Template),
    /// `one.vm.detach`: a DISK_ID.
    DiskDetach(Id),
    /// `one.vm.diskresize`.
    DiskResize {
        /// DISK_ID.
        disk: Id,
        /// New size in MiB, as given.
        size: String,
    },
    /// `one.vm.disksaveas`.
    DiskSaveAs {
        /// DISK_ID.
        disk: Id,
        /// Name of the image.
        name: String,
        /// Type of the image; empty for that of the disk's image.
        kind: String,
        /// Snapshot of the disk; -1 for what the disk is now.
        snapshot: Id,
    },
    /// `one.vm.disksnapshotcreate`: a DISK_ID and a name.
    DiskSnapshotCreate(Id, String),
    /// `one.vm.disksnapshotrevert`: a DISK_ID and a snapshot.
    DiskSnapshotRevert(Id, Id),
    /// `one.vm.disksnapshotdelete`: a DISK_ID and a snapshot.
    DiskSnapshotDelete(Id, Id),
    /// `one.vm.disksnapshotrename`: a DISK_ID, a snapshot and its new name.
    DiskSnapshotRename(Id, Id, String),
    /// `one.vm.snapshotcreate`: a name.
    SnapshotCreate(String),
    /// `one.vm.snapshotrevert`: a snapshot.
    SnapshotRevert(Id),
    /// `one.vm.snapshotdelete`: a snapshot.
    SnapshotDelete(Id),
}

/// Carries a command out. Answers the id of the VM, or of the snapshot or image that is made.
pub(crate) fn vm_device_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    command: &VmDeviceCommand,
) -> Result<Id, ApiError> {
    match command {
        VmDeviceCommand::NicAttach(template) => vm_nic_attach(txn, caller, id, template),
        VmDeviceCommand::NicDetach(nic) => vm_nic_detach(txn, caller, id, *nic),
        VmDeviceCommand::NicUpdate { nic, template, merge } => {
            vm_nic_update(txn, caller, id, *nic, template, *merge)
        }
        VmDeviceCommand::SecurityGroup { nic, group, attach } => {
            vm_secgroup_set(txn, caller, id, (*nic, *group), *attach)
        }
        VmDeviceCommand::PciAttach(template) => vm_pci_attach(txn, caller, id, template),
        VmDeviceCommand::PciDetach(pci) => vm_pci_detach(txn, caller, id, *pci),
        VmDeviceCommand::DiskAttach(template) => vm_disk_attach(txn, caller, id, template),
        VmDeviceCommand::DiskDetach(disk) => vm_disk_detach(txn, caller, id, *disk),
        VmDeviceCommand::DiskResize { disk, size } => vm_disk_resize(txn, caller, id, *disk, size),
        VmDeviceCommand::DiskSaveAs {
            disk,
            name,
            kind,
            snapshot,
        } => {
            let wanted = SaveAs {
                disk: *disk,
                name,
                kind,
                snapshot: *snapshot,
            };
            vm_disk_save_as(txn, caller, id, &wanted)
        }
        VmDeviceCommand::DiskSnapshotCreate(disk, name) => disk_snapshot_create(txn, caller, id, *disk, name),
        VmDeviceCommand::DiskSnapshotRevert(disk, snapshot) => {
            disk_snapshot_revert(txn, caller, id, (*disk, *snapshot))
        }
        VmDeviceCommand::DiskSnapshotDelete(disk, snapshot) => {
            disk_snapshot_delete(txn, caller, id, (*disk, *snapshot))
        }
        VmDeviceCommand::DiskSnapshotRename(disk, snapshot, name) => {
            disk_snapshot_rename(txn, caller, id, (*disk, *snapshot), name)
        }
        VmDeviceCommand::SnapshotCreate(name) => snapshot_create(txn, caller, id, name),
        VmDeviceCommand::SnapshotRevert(snapshot) => snapshot_revert(txn, caller, id, *snapshot),
        VmDeviceCommand::SnapshotDelete(snapshot) => snapshot_delete(txn, caller, id, *snapshot),
    }
}
