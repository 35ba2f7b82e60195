//! Calls that change devices of a VM.

use plerion_model::Id;
use plerion_world::{Command, VmDeviceCommand};

use crate::decode::{Decoded, template_or_empty};
use crate::xmlrpc::Params;

fn vm_device(id: Id, command: VmDeviceCommand) -> Decoded {
    Ok(Command::VmDevice { id, command })
}

pub(crate) fn nic_attach(params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    vm_device(id, VmDeviceCommand::NicAttach(template_or_empty(&text)?))
}

pub(crate) fn nic_detach(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::NicDetach(params.int()?))
}

pub(crate) fn nic_update(params: &mut Params) -> Decoded {
    let (id, nic, text) = (params.int()?, params.int()?, params.string()?);
    let merge = params.int_or(0)? != 0;
    let template = template_or_empty(&text)?;
    let command = VmDeviceCommand::NicUpdate { nic, template, merge };
    vm_device(id, command)
}

pub(crate) fn pci_attach(params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    vm_device(id, VmDeviceCommand::PciAttach(template_or_empty(&text)?))
}

pub(crate) fn pci_detach(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::PciDetach(params.int()?))
}

pub(crate) fn secgroup_attach(params: &mut Params) -> Decoded {
    secgroup(params, true)
}

pub(crate) fn secgroup_detach(params: &mut Params) -> Decoded {
    secgroup(params, false)
}

fn secgroup(params: &mut Params, attach: bool) -> Decoded {
    let (id, nic, group) = (params.int()?, params.int()?, params.int()?);
    vm_device(id, VmDeviceCommand::SecurityGroup { nic, group, attach })
}

pub(crate) fn disk_resize(params: &mut Params) -> Decoded {
    let (id, disk, size) = (params.int()?, params.int()?, params.string()?);
    vm_device(id, VmDeviceCommand::DiskResize { disk, size })
}

pub(crate) fn disk_save_as(params: &mut Params) -> Decoded {
    let (id, disk, name) = (params.int()?, params.int()?, params.string()?);
    let kind = params.string_or("")?;
    let command = VmDeviceCommand::DiskSaveAs {
        disk,
        name,
        kind,
        snapshot: params.int_or(-1)?,
    };
    vm_device(id, command)
}

pub(crate) fn disk_snapshot_create(params: &mut Params) -> Decoded {
    let (id, disk, name) = (params.int()?, params.int()?, params.string()?);
    vm_device(id, VmDeviceCommand::DiskSnapshotCreate(disk, name))
}

pub(crate) fn disk_snapshot_revert(params: &mut Params) -> Decoded {
    let (id, disk, snapshot) = (params.int()?, params.int()?, params.int()?);
    vm_device(id, VmDeviceCommand::DiskSnapshotRevert(disk, snapshot))
}

pub(crate) fn disk_snapshot_delete(params: &mut Params) -> Decoded {
    let (id, disk, snapshot) = (params.int()?, params.int()?, params.int()?);
    vm_device(id, VmDeviceCommand::DiskSnapshotDelete(disk, snapshot))
}

pub(crate) fn disk_snapshot_rename(params: &mut Params) -> Decoded {
    let (id, disk, snapshot) = (params.int()?, params.int()?, params.int()?);
    let name = params.string()?;
    vm_device(id, VmDeviceCommand::DiskSnapshotRename(disk, snapshot, name))
}

pub(crate) fn snapshot_create(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::SnapshotCreate(params.string()?))
}

pub(crate) fn snapshot_revert(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::SnapshotRevert(params.int()?))
}

pub(crate) fn snapshot_delete(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::SnapshotDelete(params.int()?))
}

pub(crate) fn disk_attach(params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    vm_device(id, VmDeviceCommand::DiskAttach(template_or_empty(&text)?))
}

pub(crate) fn disk_detach(params: &mut Params) -> Decoded {
    vm_device(params.int()?, VmDeviceCommand::DiskDetach(params.int()?))
}
