//! Which hosts the rules of VM groups leave to a VM.

use std::collections::BTreeSet;

use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vmgroup::{Policy, VmGroup};

use crate::world::World;

/// Hosts that VMs of a role are on, but for one VM.
#[must_use]
pub fn hosts_of(world: &World, group: Id, role: &str, but: Id) -> BTreeSet<Id> {
    world
        .vmgroup_vms(group, role)
        .filter(|vm| vm.id != but)
        .filter_map(|vm| vm.held_host())
        .collect()
}

/// Why a VM of a group may not be on a host, in words. `hosts` gives the hosts that the other VMs of a role are on, as far
/// as they are known: a group and the name of a role.
#[must_use]
pub fn affinity_refusal(
    world: &World,
    (id, name): (Id, &str),
    host: Id,
    hosts: &dyn Fn(Id, &str) -> BTreeSet<Id>,
) -> Option<String> {
    let group = world.vmgroups.get(id)?;
    let role = group.role(name)?;
    if !role.host_affined.is_empty() && !role.host_affined.contains(&host) {
        return Some(format!(
            "role {name} of VM group {id} has HOST_AFFINED {}",
            crate::vm_disk_image::join(&role.host_affined)
        ));
    }
    if role.host_anti_affined.contains(&host) {
        return Some(format!(
            "role {name} of VM group {id} has HOST_ANTI_AFFINED {}",
            crate::vm_disk_image::join(&role.host_anti_affined)
        ));
    }
    match role.policy {
        None | Some(Policy::None) => {}
        Some(Policy::Affined) => {
            if let Some(other) = elsewhere(&hosts(id, name), host) {
                return Some(format!(
                    "VMs of role {name} of VM group {id} share one host, which is {other}"
                ));
            }
        }
        Some(Policy::AntiAffined) => {
            if hosts(id, name).contains(&host) {
                return Some(format!(
                    "a VM of role {name} of VM group {id} is there, and no two share a host"
                ));
            }
        }
    }
    roles_refusal(group, name, host, hosts)
}

/// Why the group of a VM does not let it be on a host, in words.
pub(crate) fn vm_affinity_refusal(world: &World, vm: &Vm, host: Id) -> Option<String> {
    let (group, role) = vm.demand.group.as_ref()?;
    let others = |id: Id, name: &str| hosts_of(world, id, name, vm.id);
    affinity_refusal(world, (*group, role), host, &others)
}

/// The host of others, when it is not the one in question.
fn elsewhere(hosts: &BTreeSet<Id>, host: Id) -> Option<Id> {
    if hosts.contains(&host) {
        return None;
    }
    hosts.first().copied()
}

/// What the lists of roles that share hosts or keep apart say.
fn roles_refusal(
    group: &VmGroup,
    name: &str,
    host: Id,
    hosts: &dyn Fn(Id, &str) -> BTreeSet<Id>,
) -> Option<String> {
    let id = group.id;
    for names in group.rules(Policy::Affined).filter(|names| names.contains(&name)) {
        let all: BTreeSet<Id> = names.iter().flat_map(|role| hosts(id, role)).collect();
        if let Some(other) = elsewhere(&all, host) {
            return Some(format!(
                "the roles {} of VM group {id} share one host, which is {other}",
                names.join(", ")
            ));
        }
    }
    for names in group
        .rules(Policy::AntiAffined)
        .filter(|names| names.contains(&name))
    {
        let others = names.iter().filter(|role| **role != name);
        if let Some(role) = others.into_iter().find(|role| hosts(id, role).contains(&host)) {
            return Some(format!(
                "a VM of role {role} of VM group {id} is there, and {name} keeps apart from it"
            ));
        }
    }
    None
}
