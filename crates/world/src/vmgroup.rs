//! Commands on VM groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::numbers::id_list;
use plerion_model::vm::Demand;
use plerion_model::vmgroup::{Policy, Role, VmGroup};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;
use crate::vm_require::vm_require;
use crate::vmgroup_affinity::vm_affinity_refusal;
use crate::world::World;

/// Most roles of a group.
const ROLES_MAX: usize = 1024;

/// What can be asked of VM groups beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum VmGroupCommand {
    /// `one.vmgroup.allocate`.
    Allocate {
        /// Attributes and roles.
        template: Template,
    },
    /// `one.vmgroup.roleadd`.
    RoleAdd {
        /// VM group.
        id: Id,
        /// `ROLE=[…]`.
        template: Template,
    },
    /// `one.vmgroup.roledelete`.
    RoleDelete {
        /// VM group.
        id: Id,
        /// Role.
        role: Id,
    },
    /// `one.vmgroup.roleupdate`.
    RoleUpdate {
        /// VM group.
        id: Id,
        /// Role.
        role: Id,
        /// `ROLE=[…]`.
        template: Template,
    },
    /// `one.vm.vmgroupadd`.
    VmAdd {
        /// VM.
        vm: Id,
        /// VM group.
        id: Id,
        /// Name of the role.
        role: String,
    },
    /// `one.vm.vmgroupdel`.
    VmRemove {
        /// VM.
        vm: Id,
    },
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn vmgroup_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &VmGroupCommand,
) -> Result<Id, ApiError> {
    match command {
        VmGroupCommand::Allocate { template } => allocate(txn, caller, template),
        VmGroupCommand::RoleAdd { id, template } => changed(txn, caller, *id, |_, group| {
            role_new(group, role_given(template)?).map_err(ApiError::action)
        }),
        VmGroupCommand::RoleDelete { id, role } => changed(txn, caller, *id, |world, group| {
            role_delete(world, group, *role).map_err(ApiError::action)
        }),
        VmGroupCommand::RoleUpdate { id, role, template } => changed(txn, caller, *id, |world, group| {
            role_update(world, group, *role, role_given(template)?).map_err(ApiError::action)
        }),
        VmGroupCommand::VmAdd { vm, id, role } => vm_add(txn, caller, *vm, *id, role),
        VmGroupCommand::VmRemove { vm } => vm_remove(txn, caller, *vm),
    }
}

fn allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template) -> Result<Id, ApiError> {
    let right = (Operation::Create, Target::new_of(Kind::VmGroup));
    require(&txn.world, caller, &[right])?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::VmGroup, caller.uid, &name)?;
    let refused = |reason: String| ApiError::allocate(Kind::VmGroup, &format!("{reason}."));
    let mut group = VmGroup {
        id: txn.id_next(Kind::VmGroup),
        name,
        owned: owned_new(&txn.world, caller),
        roles: Vec::new(),
        template: PackedTemplate::default(),
    };
    for role in template.remove("ROLE") {
        let plerion_template::Value::Vector(role) = role else {
            return Err(refused("ROLE is not a vector: write ROLE=[NAME=\"…\"]".into()));
        };
        role_new(&mut group, &role).map_err(refused)?;
    }
    group.template = PackedTemplate::new(&template);
    rules_check(&group).map_err(refused)?;
    let id = group.id;
    txn.create(group);
    Ok(id)
}

fn role_given(template: &Template) -> Result<&Vector, ApiError> {
    template
        .vector("ROLE")
        .ok_or_else(|| ApiError::action("No ROLE in template: write ROLE=[NAME=\"…\"]"))
}

fn changed(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    change: impl FnOnce(&World, &mut VmGroup) -> Result<(), ApiError>,
) -> Result<Id, ApiError> {
    let right = (Operation::Manage, Target::of(&txn.world, Kind::VmGroup, id)?);
    require(&txn.world, caller, &[right])?;
    let mut group = txn.world.vmgroup(id)?.clone();
    change(&txn.world, Arc::make_mut(&mut group))?;
    txn.update(group);
    Ok(id)
}

fn role_new(group: &mut VmGroup, given: &Vector) -> Result<(), String> {
    if group.roles.len() >= ROLES_MAX {
        return Err(format!("A VM group has at most {ROLES_MAX} roles"));
    }
    let last = group.roles.iter().map(|role| role.id).max();
    let mut role = Role {
        id: last.map_or(0, |last| last.saturating_add(1)),
        name: String::new(),
        policy: None,
        host_affined: Vec::new(),
        host_anti_affined: Vec::new(),
    };
    role_set(&mut role, given)?;
    if role.name.is_empty() {
        return Err("Role NAME is missing: write ROLE=[NAME=\"…\"]".into());
    }
    if group.role(&role.name).is_some() {
        // Recorded.
        return Err("Role already exists".into());
    }
    group.roles.push(role);
    Ok(())
}

/// Sets what is given; an empty text takes it away.
fn role_set(role: &mut Role, given: &Vector) -> Result<(), String> {
    if let Some(name) = given.get("NAME").map(str::trim).filter(|name| !name.is_empty()) {
        if name.contains(',') || name.chars().any(char::is_control) {
            return Err(format!(
                "Wrong NAME \"{name}\" of a role: it holds a comma or a control character"
            ));
        }
        name.clone_into(&mut role.name);
    }
    match given.get("POLICY").map(str::trim) {
        None => {}
        Some("") => role.policy = None,
        Some(text) => {
            let known = Policy::ALL.map(Policy::as_str).join(", ");
            role.policy = Some(
                Policy::parse(text)
                    .ok_or_else(|| format!("Wrong POLICY \"{text}\" of a role: it is one of {known}"))?,
            );
        }
    }
    for (name, list) in [
        ("HOST_AFFINED", &mut role.host_affined),
        ("HOST_ANTI_AFFINED", &mut role.host_anti_affined),
    ] {
        if let Some(text) = given.get(name) {
            *list = hosts_read(name, text)?;
        }
    }
    if let Some(both) = role
        .host_affined
        .iter()
        .find(|id| role.host_anti_affined.contains(id))
    {
        return Err(format!(
            "Role {} has host {both} in HOST_AFFINED and in HOST_ANTI_AFFINED",
            role.name
        ));
    }
    Ok(())
}

fn hosts_read(name: &str, text: &str) -> Result<Vec<Id>, String> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty()).count();
    let mut ids: Vec<Id> = id_list(text).filter(|id| *id >= 0).collect();
    if ids.len() != parts {
        return Err(format!(
            "Wrong {name} \"{text}\" of a role: it is a list of ids of hosts such as 0,4"
        ));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The lists of roles name roles, and no two roles both share a host and keep apart.
fn rules_check(group: &VmGroup) -> Result<(), String> {
    for policy in [Policy::Affined, Policy::AntiAffined] {
        for names in group.rules(policy) {
            let rule = policy.as_str();
            if let Some(name) = names.iter().find(|name| group.role(name).is_none()) {
                return Err(format!(
                    "{rule} names the role {name}, which the group does not have"
                ));
            }
            if names.iter().all(|name| Some(name) == names.first()) {
                return Err(format!(
                    "{rule} = \"{}\" names fewer than two roles: for VMs of one role there is POLICY of the role",
                    names.join(",")
                ));
            }
        }
    }
    for apart in group.rules(Policy::AntiAffined) {
        for together in affined_sets(group) {
            let both: BTreeSet<&str> = apart
                .iter()
                .copied()
                .filter(|name| together.contains(name))
                .collect();
            if both.len() > 1 {
                return Err(format!(
                    "The roles {} are in AFFINED and in ANTI_AFFINED: they cannot share a host and keep apart",
                    both.into_iter().collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// The roles that share a host: of two lists with a role in common all do.
fn affined_sets(group: &VmGroup) -> Vec<BTreeSet<&str>> {
    let mut sets: Vec<BTreeSet<&str>> = Vec::new();
    for names in group.rules(Policy::Affined) {
        let mut whole: BTreeSet<&str> = names.into_iter().collect();
        sets.retain(|set| {
            let apart = set.is_disjoint(&whole);
            if !apart {
                whole.extend(set.iter().copied());
            }
            apart
        });
        sets.push(whole);
    }
    sets
}

fn role_named(group: &mut VmGroup, id: Id) -> Option<&mut Role> {
    group.roles.iter_mut().find(|role| role.id == id)
}

fn role_delete(world: &World, group: &mut VmGroup, id: Id) -> Result<(), String> {
    let Some(name) = role_named(group, id).map(|role| role.name.clone()) else {
        // Recorded.
        return Err(format!("Unable to delete role {id}, the role doesn't exists"));
    };
    if let Some(vm) = world.vmgroup_vms(group.id, &name).next() {
        return Err(format!("Unable to delete role {id}, VM {} is in it", vm.id));
    }
    group.roles.retain(|role| role.id != id);
    rules_check(group).map_err(|reason| format!("Unable to delete role {id}: {reason}"))
}

fn role_update(world: &World, group: &mut VmGroup, id: Id, given: &Vector) -> Result<(), String> {
    let Some(role) = role_named(group, id) else {
        return Err(format!("Unable to update role {id}, the role doesn't exists"));
    };
    let old = role.name.clone();
    role_set(role, given)?;
    let new = role.name.clone();
    if new != old {
        if let Some(vm) = world.vmgroup_vms(group.id, &old).next() {
            return Err(format!("Unable to rename role {id}, VM {} is in it", vm.id));
        }
        if group.roles.iter().filter(|role| role.name == new).count() > 1 {
            return Err("Role already exists".into());
        }
    }
    rules_check(group)
}

/// Roles have calls of their own.
pub(crate) fn vmgroup_updated(group: &mut VmGroup, mut new: Template) -> Result<(), ApiError> {
    new.remove("NAME");
    new.remove("ROLE");
    group.template = PackedTemplate::new(&new);
    rules_check(group).map_err(ApiError::internal)
}

/// A group may go when no VM is in it.
pub(crate) fn vmgroup_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if let Some(vm) = crate::index::member_first(&txn.world.index.vmgroup_vms, id) {
        return Err(ApiError::action(format!(
            "Cannot delete vm group. VM {vm} is in it."
        )));
    }
    txn.delete(Kind::VmGroup, id);
    Ok(())
}

/// What says which group a vector means.
pub(crate) const VMGROUP_KEYS: [&str; 4] = ["VMGROUP_ID", "VMGROUP_NAME", "VMGROUP_UID", "VMGROUP_UNAME"];

/// Completes VMGROUP of a new VM. Gives the right that it needs.
pub(crate) fn vmgroup_complete(
    world: &World,
    caller: &Caller,
    system: &mut Template,
) -> Result<Option<(Operation, Target)>, ApiError> {
    let Some(mut given) = system.vector("VMGROUP").cloned() else {
        return Ok(None);
    };
    let refused = |reason: &str| ApiError::allocate(Kind::Vm, reason);
    let Some(id) = crate::vm_disk::named_id(world, caller, Kind::VmGroup, &given, VMGROUP_KEYS)? else {
        return Err(refused("VMGROUP names no group: set VMGROUP_ID or VMGROUP_NAME."));
    };
    role_check(world, id, given.get("ROLE").unwrap_or_default()).map_err(|reason| refused(&reason))?;
    given.set("VMGROUP_ID", id.to_string());
    system.set_vector("VMGROUP", given);
    Ok(Some((Operation::Use, Target::of(world, Kind::VmGroup, id)?)))
}

fn role_check(world: &World, id: Id, role: &str) -> Result<(), String> {
    let Some(group) = world.vmgroups.get(id) else {
        return Err(format!("VM group {id} does not exist."));
    };
    if group.role(role).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = group.roles.iter().map(|role| role.name.as_str()).collect();
    Err(format!(
        "VM group {id} has no role \"{role}\": it has {}.",
        names.join(", ")
    ))
}

/// A VM that is on a host joins only where its host suits the role.
fn vm_add(txn: &mut Txn<'_>, caller: &Caller, vm: Id, id: Id, role: &str) -> Result<Id, ApiError> {
    vm_require(txn, caller, vm, Operation::Manage)?;
    let right = (Operation::Use, Target::of(&txn.world, Kind::VmGroup, id)?);
    require(&txn.world, caller, &[right])?;
    let mut object = txn.world.vm(vm)?.clone();
    if let Some((group, _)) = &object.demand.group {
        return Err(ApiError::action(format!(
            "VM {vm} is in VM group {group} already: take it out first (onevm vmgroup-del {vm})"
        )));
    }
    role_check(&txn.world, id, role).map_err(ApiError::action)?;
    let own = Arc::make_mut(&mut object);
    let mut template = own.template.unpack();
    let pairs = [("ROLE", role.to_owned()), ("VMGROUP_ID", id.to_string())];
    template.set_vector("VMGROUP", pairs.into_iter().collect());
    own.template = PackedTemplate::new(&template);
    own.demand = Arc::new(Demand::read(&own.template));
    if let Some(host) = own.held_host()
        && let Some(reason) = vm_affinity_refusal(&txn.world, own, host)
    {
        return Err(ApiError::action(format!(
            "VM {vm} cannot join role {role} on host {host}: {reason}"
        )));
    }
    txn.update(object);
    Ok(vm)
}

fn vm_remove(txn: &mut Txn<'_>, caller: &Caller, vm: Id) -> Result<Id, ApiError> {
    vm_require(txn, caller, vm, Operation::Manage)?;
    let mut object = txn.world.vm(vm)?.clone();
    if object.demand.group.is_none() {
        return Err(ApiError::action(format!("VM {vm} is in no VM group")));
    }
    let own = Arc::make_mut(&mut object);
    let mut template = own.template.unpack();
    template.remove("VMGROUP");
    own.template = PackedTemplate::new(&template);
    own.demand = Arc::new(Demand::read(&own.template));
    txn.update(object);
    Ok(vm)
}
