//! NICs of a new VM: their networks, leases, security groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::numbers::id_list;
use plerion_model::vnet::{Vnet, VnetState};
use plerion_model::vnet_range::AddressRange;
use plerion_model::{ApiError, ErrorCode, Id, Kind, Operation};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target};
use crate::vm_disk::named_id;
use crate::vm_disk_image::{inherit, join};
use crate::vm_nic_mode::{auto_check, is_auto};
use crate::vnet_lease::{address_named, range_id_named};
use crate::world::World;

/// What says which network a vector means.
pub(crate) const NETWORK_KEYS: [&str; 4] = ["NETWORK_ID", "NETWORK", "NETWORK_UID", "NETWORK_UNAME"];
/// Most NICs of a VM.
pub(crate) const NICS_MAX: usize = 256;

/// What the NICs of a VM need.
#[derive(Default)]
pub(crate) struct NicPlan {
    pub(crate) rights: Vec<(Operation, Target)>,
    /// Clusters of each NIC's network.
    pub(crate) clusters: Vec<Vec<Id>>,
    /// Security groups in use.
    pub(crate) groups: BTreeSet<Id>,
}

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Vm, reason)
}

/// Completes the NIC vectors of a new VM and takes a lease for each.
pub(crate) fn nics_complete(
    world: &World,
    caller: &Caller,
    vm: Id,
    template: &mut Template,
) -> Result<NicPlan, ApiError> {
    let mut plan = NicPlan::default();
    // Leases taken by earlier NICs of the same VM; the world learns of them with the VM.
    let mut taken = BTreeSet::new();
    let nics = template.vectors("NIC").count();
    let count = nics.saturating_add(template.vectors("NIC_ALIAS").count());
    if count > NICS_MAX {
        return Err(refused(&format!(
            "{count} NICs are more than the {NICS_MAX} allowed."
        )));
    }
    let defaults = template.vector("NIC_DEFAULT").cloned();
    for (index, nic) in template.vectors_mut("NIC").enumerate() {
        for (name, value) in defaults.iter().flat_map(Vector::iter) {
            nic.set_if_missing(name, value);
        }
        if is_auto(nic) {
            nic.set("NIC_ID", index.to_string());
            nic.set_if_missing("NAME", format!("NIC{index}"));
            auto_check(nic).map_err(|reason| refused(&reason))?;
            continue;
        }
        nic_complete(world, caller, vm, index, nic, &mut taken, &mut plan)?;
    }
    aliases_number(template, nics)?;
    for (index, alias) in template.vectors_mut("NIC_ALIAS").enumerate() {
        let id = nics.saturating_add(index);
        nic_complete(world, caller, vm, id, alias, &mut taken, &mut plan)?;
    }
    Ok(plan)
}

/// Numbers a NIC or an alias, finds its network and takes a lease of it.
pub(crate) fn nic_complete(
    world: &World,
    caller: &Caller,
    vm: Id,
    index: usize,
    nic: &mut Vector,
    taken: &mut BTreeSet<(Id, Id, u32)>,
    plan: &mut NicPlan,
) -> Result<(), ApiError> {
    nic.set("NIC_ID", index.to_string());
    nic.set_if_missing("NAME", format!("NIC{index}"));
    if nic
        .get("NETWORK_MODE")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("auto"))
    {
        return Err(refused(
            "NETWORK_MODE=auto serves NICs of new VMs only: name the network of this one.",
        ));
    }
    let Some(id) = named_id(world, caller, Kind::Vnet, nic, NETWORK_KEYS)? else {
        return Err(refused("A NIC names no network: set NETWORK or NETWORK_ID."));
    };
    let vnet = world.vnet(id)?.clone();
    plan.rights
        .push((Operation::Use, Target::of(world, Kind::Vnet, id)?));
    plan.clusters.push(vnet.clusters.clone());
    nic_of_vnet(world, vm, index, nic, &vnet, taken)?;
    groups_set(world, nic, &vnet, plan)
}

/// Gives aliases their numbers and parents. (Recorded: their ids follow those of NICs, their names are made of the
/// parent's name and the id.)
fn aliases_number(template: &mut Template, nics: usize) -> Result<(), ApiError> {
    let mut parents: Vec<(String, Vec<String>)> = template
        .vectors("NIC")
        .map(|nic| (nic.get("NAME").unwrap_or_default().to_owned(), Vec::new()))
        .collect();
    for (index, alias) in template.vectors_mut("NIC_ALIAS").enumerate() {
        let id = nics.saturating_add(index).to_string();
        let parent = alias.get("PARENT").unwrap_or_default().to_owned();
        let found = parents
            .iter_mut()
            .enumerate()
            .find(|(_, (name, _))| *name == parent);
        let Some((parent_id, (_, aliases))) = found else {
            return Err(refused(&format!(
                "NIC_ALIAS has the PARENT \"{parent}\", which is the NAME of no NIC: NICs without a NAME are NIC0, NIC1, …"
            )));
        };
        alias.set("ALIAS_ID", aliases.len().to_string());
        alias.set("NIC_ID", id.clone());
        alias.set("PARENT_ID", parent_id.to_string());
        alias.set_if_missing("NAME", format!("{parent}_ALIAS{id}"));
        aliases.push(id);
    }
    for (nic, (_, aliases)) in template.vectors_mut("NIC").zip(&parents) {
        nic.remove("ALIAS_IDS");
        if !aliases.is_empty() {
            nic.set("ALIAS_IDS", aliases.join(","));
        }
    }
    Ok(())
}

pub(crate) fn nic_of_vnet(
    world: &World,
    vm: Id,
    index: usize,
    nic: &mut Vector,
    vnet: &Arc<Vnet>,
    taken: &mut BTreeSet<(Id, Id, u32)>,
) -> Result<(), ApiError> {
    if vnet.state != VnetState::Ready {
        return Err(refused(&format!(
            "Virtual network {} is not ready: it is in state {}.",
            vnet.id, vnet.state
        )));
    }
    let (range, offset) = lease_choose(world, nic, vnet, taken)?;
    taken.insert((vnet.id, range.id, offset));
    nic.set("AR_ID", range.id.to_string());
    nic.set("BRIDGE", vnet.bridge.clone());
    nic.set("BRIDGE_TYPE", vnet.bridge_type.clone());
    nic.set("CLUSTER_ID", join(&vnet.clusters));
    for (name, address) in range.addresses_at(offset) {
        nic.set(name, address);
    }
    if nic.get("VROUTER_MAC").is_some() && is_yes(nic, "FLOATING_ONLY") {
        // The VM of a virtual router that has the floating address, when it has it, and no other.
        for name in ["IP", "IP6", "IP6_GLOBAL", "IP6_LINK", "IP6_ULA"] {
            nic.remove(name);
        }
    }
    nic.set("MAC", range.mac_at(offset).to_string());
    nic.set("NETWORK", vnet.name.clone());
    nic.set("NETWORK_ID", vnet.id.to_string());
    nic.set_if_missing("TARGET", format!("one-{vm}-{index}"));
    nic.set("VN_MAD", vnet.vn_mad.clone());
    for name in ["PHYDEV", "VLAN_ID", "OUTER_VLAN_ID"] {
        if let Some(value) = vnet.link_attribute(name) {
            nic.set(name, value);
        }
    }
    inherit(world, "INHERIT_VNET_ATTR", nic, |name| range.attribute(name));
    inherit(world, "INHERIT_VNET_ATTR", nic, |name| vnet.template.get(name));
    Ok(())
}

/// Whether an attribute says yes.
pub(crate) fn is_yes(vector: &Vector, name: &str) -> bool {
    vector
        .get(name)
        .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
}

/// The address that the NIC asks for, or the lowest free one.
pub(crate) fn lease_choose<'a>(
    world: &World,
    nic: &Vector,
    vnet: &'a Vnet,
    taken: &BTreeSet<(Id, Id, u32)>,
) -> Result<(&'a AddressRange, u32), ApiError> {
    let is_free = |range: &AddressRange, offset: u32| {
        let leases = world.index.leases.get(&(vnet.id, range.id));
        leases.is_some_and(|leases| !leases.used.contains_key(&offset))
            && !taken.contains(&(vnet.id, range.id, offset))
    };
    let only = range_id_named(nic).map_err(|reason| refused(&format!("{reason}.")))?;
    let ranges = || {
        let ranges = vnet.ranges.iter();
        ranges.filter(|range| only.is_none_or(|id| id == range.id))
    };
    if let Some(address) = address_named(nic).map_err(|reason| refused(&format!("{reason}.")))? {
        let found = ranges().find_map(|range| {
            let offset = range.offset_of(address);
            offset
                .filter(|offset| is_free(range, *offset))
                .map(|offset| (range, offset))
        });
        return found.ok_or_else(|| {
            refused(&format!(
                "Cannot get {address} from virtual network {}: it is in use or not part of its ranges.",
                vnet.id
            ))
        });
    }
    ranges()
        .find_map(|range| lowest_free(world, vnet.id, range, taken).map(|offset| (range, offset)))
        .ok_or_else(|| {
            refused(&format!(
                "Cannot get IP/MAC lease from virtual network {}: all addresses are in use; add an address range.",
                vnet.id
            ))
        })
}

fn lowest_free(
    world: &World,
    vnet: Id,
    range: &AddressRange,
    taken: &BTreeSet<(Id, Id, u32)>,
) -> Option<u32> {
    let leases = world.index.leases.get(&(vnet, range.id))?;
    if taken.is_empty() {
        return leases.first_free();
    }
    leases
        .free
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .find(|offset| !taken.contains(&(vnet, range.id, *offset)))
}

/// The NIC's own security groups and the network's, without repetition. (Recorded: the network's come first.)
pub(crate) fn groups_set(
    world: &World,
    nic: &mut Vector,
    vnet: &Vnet,
    plan: &mut NicPlan,
) -> Result<(), ApiError> {
    let own: Vec<Id> = id_list(nic.get("SECURITY_GROUPS").unwrap_or_default()).collect();
    let inherited = vnet.template.get("SECURITY_GROUPS").unwrap_or_default();
    let mut groups = Vec::new();
    for id in id_list(inherited).chain(own.iter().copied()) {
        if world.secgroups.get(id).is_none() {
            return Err(ApiError::new(
                ErrorCode::Allocate,
                format!("Error getting security group [{id}]."),
            ));
        }
        if !groups.contains(&id) {
            groups.push(id);
        }
    }
    for id in own {
        plan.rights
            .push((Operation::Use, Target::of(world, Kind::SecurityGroup, id)?));
    }
    nic.set("SECURITY_GROUPS", join(&groups));
    plan.groups.extend(groups);
    Ok(())
}

/// The rules of the security groups in use, as the network drivers read them.
pub(crate) fn rules_add(world: &World, groups: &BTreeSet<Id>, template: &mut Template) {
    template.remove("SECURITY_GROUP_RULE");
    for group in groups.iter().filter_map(|id| world.secgroups.get(*id)) {
        for rule in group.template.vectors("RULE") {
            let mut rule = rule.to_vector();
            rule.set("SECURITY_GROUP_ID", group.id.to_string());
            rule.set("SECURITY_GROUP_NAME", group.name.clone());
            template.add_vector("SECURITY_GROUP_RULE", rule);
        }
    }
}
