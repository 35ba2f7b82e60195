//! Commands on access control rules, and the rules of group administrators.

use std::sync::Arc;

use plerion_model::acl::{self, AclRule};
use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::world::World;

/// What can be asked of rules.
#[derive(Clone, Debug)]
pub enum AclCommand {
    /// `one.acl.addrule`. The id of the rule is given here.
    Add(AclRule),
    /// `one.acl.delrule`.
    Delete(Id),
}

/// Carries a command out. Answers the id of the rule.
pub(crate) fn acl_command(txn: &mut Txn<'_>, caller: &Caller, command: &AclCommand) -> Result<Id, ApiError> {
    let target = Target::new_of(Kind::Acl);
    require(&txn.world, caller, &[(Operation::Manage, target)])?;
    match command {
        AclCommand::Add(rule) => {
            if let Some(same) = rule_find(&txn.world, rule) {
                return Err(ApiError::internal(format!(
                    "The rule exists already: it is rule {same}"
                )));
            }
            Ok(rule_add(txn, rule.clone()))
        }
        AclCommand::Delete(id) => {
            if txn.world.acls.get(*id).is_none() {
                return Err(ApiError::internal(format!("Rule {id} does not exist")));
            }
            txn.delete(Kind::Acl, *id);
            Ok(*id)
        }
    }
}

/// The rule that says the same.
pub(crate) fn rule_find(world: &World, rule: &AclRule) -> Option<Id> {
    let same = |other: &&Arc<AclRule>| rule.says_the_same(other);
    world.rules_for(rule.user).find(same).map(|found| found.id)
}

fn rule_add(txn: &mut Txn<'_>, mut rule: AclRule) -> Id {
    rule.id = txn.id_next(Kind::Acl);
    let id = rule.id;
    txn.create(rule);
    id
}

/// Adds a rule unless there is one that says the same.
pub(crate) fn rule_give(txn: &mut Txn<'_>, rule: AclRule) {
    if rule_find(&txn.world, &rule).is_none() {
        rule_add(txn, rule);
    }
}

/// Deletes the rule that says the same, if there is one.
pub(crate) fn rule_take(txn: &mut Txn<'_>, rule: &AclRule) {
    if let Some(found) = rule_find(&txn.world, rule) {
        txn.delete(Kind::Acl, found);
    }
}

/// Deletes the rules that name what is gone: a user or group as who may, or an object as that with which.
pub(crate) fn rules_forget(txn: &mut Txn<'_>, kind: Kind, id: Id) {
    let who = match kind {
        Kind::User => Some(acl::INDIVIDUAL | acl::id_bits(id)),
        Kind::Group => Some(acl::GROUP | acl::id_bits(id)),
        _ => None,
    };
    let which = match kind {
        Kind::Group => Some(acl::GROUP | acl::id_bits(id)),
        Kind::Cluster => Some(acl::CLUSTER | acl::id_bits(id)),
        _ => None,
    };
    let gone = |rule: &AclRule| {
        let place = rule.resource & (acl::GROUP | acl::CLUSTER | acl::INDIVIDUAL | 0xffff_ffff);
        who == Some(rule.user) || which == Some(place) || rule.is_for_one(kind, id)
    };
    let rules: Vec<Id> = txn
        .world
        .acls
        .values()
        .filter(|rule| gone(rule))
        .map(|rule| rule.id)
        .collect();
    for rule in rules {
        txn.delete(Kind::Acl, rule);
    }
}

/// `one.group.addadmin` and `one.group.deladmin`.
pub(crate) fn group_admin(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    uid: Id,
    add: bool,
) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Admin, Target::of(&txn.world, Kind::Group, id)?),
        (Operation::Admin, Target::of(&txn.world, Kind::User, uid)?),
    ];
    require(&txn.world, caller, &rights)?;
    let refused = |reason: String| Err(ApiError::internal(format!("Cannot edit group. {reason}")));
    if !txn.world.user(uid)?.groups.contains(&id) {
        return refused(format!("User {uid} is not part of Group {id}."));
    }
    match (txn.world.group(id)?.admins.contains(&uid), add) {
        (true, true) => return refused(format!("User {uid} is already an administrator of Group {id}.")),
        (false, false) => return refused(format!("User {uid} is not an administrator of Group {id}.")),
        _ => {}
    }
    group_admin_set(txn, id, uid, add)?;
    Ok(id)
}

/// Makes a user an administrator of a group or no longer one, with the rules that say what that means.
pub(crate) fn group_admin_set(txn: &mut Txn<'_>, id: Id, uid: Id, add: bool) -> Result<(), ApiError> {
    let mut group = txn.world.group(id)?.clone();
    let admins = &mut Arc::make_mut(&mut group).admins;
    match (admins.binary_search(&uid), add) {
        (Err(at), true) => admins.insert(at, uid),
        (Ok(at), false) => {
            admins.remove(at);
        }
        _ => return Ok(()),
    }
    txn.update(group);
    for rule in acl::group_admin_rules(id, uid) {
        match (rule_find(&txn.world, &rule), add) {
            (None, true) => {
                rule_add(txn, rule);
            }
            (Some(found), false) if !needed_elsewhere(&txn.world, &rule, uid) => txn.delete(Kind::Acl, found),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a rule of a group's administrator belongs to another group that the user still administers (the right to
/// create virtual routers does not name the group).
fn needed_elsewhere(world: &World, rule: &AclRule, uid: Id) -> bool {
    world
        .groups
        .values()
        .filter(|group| group.admins.contains(&uid))
        .flat_map(|group| acl::group_admin_rules(group.id, uid))
        .any(|other| rule.says_the_same(&other))
}
