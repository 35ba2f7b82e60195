//! Calls on virtual routers.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, VrouterCommand};

use crate::decode::{Decoded, template, template_or_empty};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let manage = Right::On(Operation::Manage, Kind::Vrouter);
    vec![
        command(
            "one.vrouter.allocate",
            "template:string",
            Right::On(Operation::Create, Kind::Vrouter),
            "makes a virtual router",
            allocate,
        ),
        command(
            "one.vrouter.instantiate",
            "id:int, count:int, template:int, name:string, hold:bool, extra:string",
            manage,
            "makes VMs of a virtual router",
            instantiate,
        ),
        command(
            "one.vrouter.attachnic",
            "id:int, template:string",
            manage,
            "adds a NIC to a virtual router",
            nic_attach,
        ),
        command(
            "one.vrouter.detachnic",
            "id:int, nic:int",
            manage,
            "takes a NIC out of a virtual router",
            nic_detach,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::Vrouter(VrouterCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn instantiate(params: &mut Params) -> Decoded {
    Ok(Command::Vrouter(VrouterCommand::Instantiate {
        id: params.int()?,
        count: params.int()?,
        template: params.int()?,
        name: params.string()?,
        hold: params.bool()?,
        extra: template_or_empty(&params.string()?)?,
    }))
}

fn nic_attach(params: &mut Params) -> Decoded {
    Ok(Command::Vrouter(VrouterCommand::NicAttach {
        id: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn nic_detach(params: &mut Params) -> Decoded {
    Ok(Command::Vrouter(VrouterCommand::NicDetach {
        id: params.int()?,
        nic: params.int()?,
    }))
}
