//! The calls that change devices of a VM.

use plerion_model::{ApiError, Id};
use plerion_template::Template;

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_disk_change::{vm_disk_attach, vm_disk_detach};
use crate::vm_nic_change::{vm_nic_attach, vm_nic_detach, vm_nic_update, vm_secgroup_set};

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
    /// `one.vm.attach`: one `DISK`.
    DiskAttach(Template),
    /// `one.vm.detach`: a DISK_ID.
    DiskDetach(Id),
}

/// Carries a command out. Answers the id of the VM.
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
        VmDeviceCommand::DiskAttach(template) => vm_disk_attach(txn, caller, id, template),
        VmDeviceCommand::DiskDetach(disk) => vm_disk_detach(txn, caller, id, *disk),
    }
}
