//! Calls on access control rules and group administrators.

use plerion_model::acl::AclRule;
use plerion_model::{ApiError, Kind, Operation};
use plerion_world::{AclCommand, Command};

use crate::decode::Decoded;
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let manage = Right::On(Operation::Manage, Kind::Acl);
    let admin = Right::On(Operation::Admin, Kind::Group);
    vec![
        command(
            "one.acl.addrule",
            "user:string, resource:string, rights:string, zone:string(empty)",
            manage,
            "adds an access control rule",
            add,
        ),
        command(
            "one.acl.delrule",
            "rule:int",
            manage,
            "deletes an access control rule",
            delete,
        ),
        command(
            "one.group.addadmin",
            "id:int, user:int",
            admin,
            "makes a member administrator of a group",
            |params| group_admin(params, true),
        ),
        command(
            "one.group.deladmin",
            "id:int, user:int",
            admin,
            "makes an administrator of a group an ordinary member",
            |params| group_admin(params, false),
        ),
    ]
}

fn add(params: &mut Params) -> Decoded {
    let (user, resource, rights) = (params.string()?, params.string()?, params.string()?);
    let zone = params.string_or("")?;
    let rule = AclRule::parse(&user, &resource, &rights, &zone).map_err(ApiError::internal)?;
    Ok(Command::Acl(AclCommand::Add(rule)))
}

fn delete(params: &mut Params) -> Decoded {
    Ok(Command::Acl(AclCommand::Delete(params.int()?)))
}

fn group_admin(params: &mut Params, add: bool) -> Decoded {
    Ok(Command::GroupAdmin {
        id: params.int()?,
        uid: params.int()?,
        add,
    })
}
