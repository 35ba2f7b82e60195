//! Calls on security groups.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, SecgroupCommand};

use crate::decode::Decoded;
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    vec![
        command(
            "one.secgroup.clone",
            "id:int, name:string",
            Right::On(Operation::Create, Kind::SecurityGroup),
            "copies a security group",
            clone,
        ),
        command(
            "one.secgroup.commit",
            "id:int, recovery:bool",
            Right::On(Operation::Manage, Kind::SecurityGroup),
            "gives the VMs of a security group its rules again",
            commit,
        ),
    ]
}

fn clone(params: &mut Params) -> Decoded {
    Ok(Command::Secgroup(SecgroupCommand::Clone {
        id: params.int()?,
        name: params.string()?,
    }))
}

/// Recovery would leave out VMs that have the rules: those are not changed in any case.
fn commit(params: &mut Params) -> Decoded {
    let id = params.int()?;
    params.bool()?;
    Ok(Command::Secgroup(SecgroupCommand::Commit { id }))
}
