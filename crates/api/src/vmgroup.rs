//! Calls on VM groups.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, VmGroupCommand};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let manage = Right::On(Operation::Manage, Kind::VmGroup);
    let manage_vm = Right::On(Operation::Manage, Kind::Vm);
    vec![
        command(
            "one.vmgroup.allocate",
            "template:string",
            Right::On(Operation::Create, Kind::VmGroup),
            "makes a VM group",
            allocate,
        ),
        command(
            "one.vmgroup.roleadd",
            "id:int, template:string",
            manage,
            "adds a role to a VM group",
            role_add,
        ),
        command(
            "one.vmgroup.roledelete",
            "id:int, role:int",
            manage,
            "takes a role out of a VM group",
            role_delete,
        ),
        command(
            "one.vmgroup.roleupdate",
            "id:int, role:int, template:string",
            manage,
            "changes a role of a VM group",
            role_update,
        ),
        command(
            "one.vm.vmgroupadd",
            "id:int, group:int, role:string",
            manage_vm,
            "puts a VM into a VM group",
            vm_add,
        ),
        command(
            "one.vm.vmgroupdel",
            "id:int",
            manage_vm,
            "takes a VM out of its VM group",
            vm_remove,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn role_add(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::RoleAdd {
        id: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn role_delete(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::RoleDelete {
        id: params.int()?,
        role: params.int()?,
    }))
}

fn role_update(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::RoleUpdate {
        id: params.int()?,
        role: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn vm_add(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::VmAdd {
        vm: params.int()?,
        id: params.int()?,
        role: params.string()?,
    }))
}

fn vm_remove(params: &mut Params) -> Decoded {
    Ok(Command::VmGroup(VmGroupCommand::VmRemove { vm: params.int()? }))
}
