//! Calls on access control rules and group administrators.

use plerion_model::acl::AclRule;
use plerion_model::{ApiError, Kind, Operation};
use plerion_template::Template;
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
        command(
            "one.group.vlan",
            "id:int, template:string",
            admin,
            "says which VLANs the members of a group may name in networks",
            group_vlan,
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

fn group_vlan(params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    let template = Template::parse_or_empty(&text).map_err(|error| ApiError::action(error.to_string()))?;
    Ok(Command::GroupVlan { id, template })
}

fn group_admin(params: &mut Params, add: bool) -> Decoded {
    Ok(Command::GroupAdmin {
        id: params.int()?,
        uid: params.int()?,
        add,
    })
}
