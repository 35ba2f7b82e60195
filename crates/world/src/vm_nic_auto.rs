//! NICs whose network is chosen when the VM is placed (`NETWORK_MODE = "auto"`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use plerion_model::host::Host;
use plerion_model::vm::{Demand, Vm};
use plerion_model::vnet::{Vnet, VnetState};
use plerion_model::{Id, Kind, Operation};
use plerion_template::{Attributes, PackedTemplate, Vector};

use crate::auth::{Caller, Target, allows};
use crate::vm_context::context_nic_set;
use crate::vm_nic::{NicPlan, groups_set, lease_choose, nic_of_vnet, rules_add};
use crate::vm_nic_mode::{Wish, is_auto};
use crate::world::World;

/// Most networks of which a reason tells.
const NETWORKS_NAMED_MAX: usize = 4;

/// A network as expressions see it: its template, then what it has beside that.
struct VnetDocument<'a> {
    world: &'a World,
    vnet: &'a Vnet,
}

impl Attributes for VnetDocument<'_> {
    fn for_each_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        let (own, template) = match name.strip_prefix("/VNET/") {
            Some(path) => (path, path.strip_prefix("TEMPLATE/")),
            None => (name, Some(name)),
        };
        let mut over = false;
        if let Some(name) = template {
            self.vnet.template.for_each_value(name, &mut |value| {
                let flow = visit(value);
                over |= flow.is_break();
                flow
            });
        }
        if over {
            return;
        }
        if own == "CLUSTERS/ID" {
            let mut ids = self.vnet.clusters.iter().map(Id::to_string);
            // What breaks off needs no more of them.
            let _ = ids.try_for_each(|id| visit(&id));
            return;
        }
        if let Some(value) = self.field(own) {
            let _ = visit(&value);
        }
    }
}

impl VnetDocument<'_> {
    fn field(&self, name: &str) -> Option<String> {
        let vnet = self.vnet;
        let user = |id: Id| self.world.users.get(id).map(|user| user.name.clone());
        let group = |id: Id| self.world.groups.get(id).map(|group| group.name.clone());
        match name {
            "ID" => Some(vnet.id.to_string()),
            "NAME" => Some(vnet.name.clone()),
            "UID" => Some(vnet.owned.uid.to_string()),
            "GID" => Some(vnet.owned.gid.to_string()),
            "UNAME" => user(vnet.owned.uid),
            "GNAME" => group(vnet.owned.gid),
            "USED_LEASES" => Some(used(self.world, vnet).to_string()),
            "STATE" => Some(vnet.state.number().to_string()),
            "PARENT_NETWORK_ID" => vnet.parent.map(|id| id.to_string()),
            "TEMPLATE_ID" => vnet.template_id.map(|id| id.to_string()),
            _ => None,
        }
    }
}

/// Leases in use.
fn used(world: &World, vnet: &Vnet) -> usize {
    let leases = vnet
        .ranges
        .iter()
        .filter_map(|range| world.index.leases.get(&(vnet.id, range.id)));
    leases.map(|leases| leases.used.len()).sum()
}

/// Free addresses.
fn free(world: &World, vnet: &Vnet) -> i64 {
    let size: i64 = vnet.ranges.iter().map(|range| i64::from(range.size)).sum();
    size.saturating_sub(i64::try_from(used(world, vnet)).unwrap_or(i64::MAX))
}

/// The owner of a VM, as networks are used in its name.
fn owner(world: &World, vm: &Vm) -> Caller {
    let groups = world.users.get(vm.owned.uid).map(|user| user.groups.clone());
    Caller {
        uid: vm.owned.uid,
        gid: vm.owned.gid,
        groups: groups.unwrap_or_default(),
        token: None,
    }
}

/// A VM that is to be placed on a host.
struct Placing<'a> {
    world: &'a World,
    owner: Caller,
    host: &'a Host,
}

impl Placing<'_> {
    /// Why a network does not serve a NIC; its rank if it does.
    fn rank(
        &self,
        wish: &Wish,
        nic: &Vector,
        vnet: &Vnet,
        taken: &BTreeSet<(Id, Id, u32)>,
    ) -> Result<i64, String> {
        let world = self.world;
        if vnet.state != VnetState::Ready {
            return Err(format!("is in state {}", vnet.state));
        }
        if !vnet.clusters.contains(&self.host.cluster_id) {
            return Err(format!("is not in cluster {} of the host", self.host.cluster_id));
        }
        let target = Target::owned(Kind::Vnet, vnet.id, &vnet.owned).in_clusters(&vnet.clusters);
        if !allows(world, &self.owner, Operation::Use, &target) {
            return Err(format!("may not be used by user {}", self.owner.uid));
        }
        let document = VnetDocument { world, vnet };
        if !wish.requirements.matches(&document) {
            let why = wish.requirements.explain_for(&document, "the network");
            return Err(why.unwrap_or_else(|| "does not meet SCHED_REQUIREMENTS".into()));
        }
        if lease_choose(world, nic, vnet, taken).is_err() {
            return Err("has no free address for it".into());
        }
        Ok(match &wish.rank {
            Some(rank) => rank.value(&document),
            None => free(world, vnet),
        })
    }

    /// The network of the highest rank, of those the one with the lowest id.
    fn choose(&self, nic: &Vector, taken: &BTreeSet<(Id, Id, u32)>) -> Result<Arc<Vnet>, String> {
        let wish = Wish::read(nic)?;
        let mut best: Option<(i64, &Arc<Vnet>)> = None;
        let mut reasons = Vec::new();
        let mut more = 0usize;
        for vnet in self.world.vnets.values() {
            match self.rank(&wish, nic, vnet, taken) {
                Ok(rank) if best.is_none_or(|(so_far, _)| rank > so_far) => best = Some((rank, vnet)),
                Ok(_) => {}
                Err(reason) if reasons.len() < NETWORKS_NAMED_MAX => {
                    reasons.push(format!("network {} ({}) {reason}", vnet.id, vnet.name));
                }
                Err(_) => more = more.saturating_add(1),
            }
        }
        if let Some((_, vnet)) = best {
            return Ok(vnet.clone());
        }
        if reasons.is_empty() {
            reasons.push("there is none".into());
        }
        if more > 0 {
            reasons.push(format!("and {more} more networks will not do"));
        }
        Err(format!(
            "no network serves NIC {}: {}",
            nic.get("NIC_ID").unwrap_or_default(),
            reasons.join(", ")
        ))
    }
}

/// Gives the NICs of a VM that wait for a network one each, with a lease, the rules of its security groups, and the
/// variables of the context.
pub(crate) fn nics_choose(world: &World, vm: &mut Vm, host: &Host) -> Result<(), String> {
    if !vm.demand.auto_nics {
        return Ok(());
    }
    let placing = Placing {
        world,
        owner: owner(world, vm),
        host,
    };
    let mut template = vm.template.unpack();
    let mut taken = BTreeSet::new();
    let mut plan = NicPlan::default();
    let mut chosen = Vec::new();
    for (index, nic) in template.vectors_mut("NIC").enumerate() {
        if !is_auto(nic) {
            continue;
        }
        let vnet = placing.choose(nic, &taken)?;
        nic_of_vnet(world, vm.id, index, nic, &vnet, &mut taken).map_err(|error| error.to_string())?;
        groups_set(world, nic, &vnet, &mut plan).map_err(|error| error.to_string())?;
        chosen.push(nic.clone());
    }
    plan.groups.extend(&vm.demand.security_groups);
    rules_add(world, &plan.groups, &mut template);
    for nic in &chosen {
        context_nic_set(world, &mut template, nic, true);
    }
    vm.template = PackedTemplate::new(&template);
    vm.demand = Arc::new(Demand::read(&vm.template));
    Ok(())
}

/// Why no network serves a NIC of a VM on a host, in words.
#[must_use]
pub fn nics_refusal(world: &World, vm: Id, host: &Host) -> Option<String> {
    let vm = world.vms.get(vm).filter(|vm| vm.demand.auto_nics)?;
    nics_choose(world, &mut Vm::clone(vm), host).err()
}
