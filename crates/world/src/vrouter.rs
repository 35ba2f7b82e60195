//! Commands on virtual routers.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_lifecycle::{Event, Refusal};
use plerion_model::vm::Vm;
use plerion_model::vrouter::Vrouter;
use plerion_model::{ApiError, Id, Kind, Operation, Owned};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::index::members;
use crate::name::name_check_new;
use crate::on_behalf::on_behalf;
use crate::owner::owned_new;
use crate::restricted::{restricted_check, restricted_merge};
use crate::txn::Txn;
use crate::vm_allocate::{VmOrigin, vm_create};
use crate::vm_cause::Cause;
use crate::vm_disk::named_id;
use crate::vm_nic::{is_yes, lease_choose};
use crate::vm_nic_change::{router_nic_attach, router_nic_detach};
use crate::vm_state::vm_event;
use crate::world::World;

/// Most VMs that one call makes.
const VMS_MAX: i32 = 100;
/// Most NICs of a virtual router.
const NICS_MAX: usize = 256;

/// What can be asked of virtual routers beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum VrouterCommand {
    /// `one.vrouter.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
    },
    /// `one.vrouter.instantiate`.
    Instantiate {
        /// Virtual router.
        id: Id,
        /// Number of VMs.
        count: i32,
        /// VM template; -1 the one used last.
        template: Id,
        /// Name of the VMs, in which `%i` stands for their number; empty for one made of the router's.
        name: String,
        /// On hold.
        hold: bool,
        /// Attributes to merge.
        extra: Template,
    },
    /// `one.vrouter.attachnic`.
    NicAttach {
        /// Virtual router.
        id: Id,
        /// `NIC=[…]`.
        template: Template,
    },
    /// `one.vrouter.detachnic`.
    NicDetach {
        /// Virtual router.
        id: Id,
        /// NIC.
        nic: Id,
    },
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn vrouter_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &VrouterCommand,
) -> Result<Id, ApiError> {
    match command {
        VrouterCommand::Allocate { template } => allocate(txn, caller, template),
        VrouterCommand::Instantiate {
            id,
            count,
            template,
            name,
            hold,
            extra,
        } => {
            let wanted = Wanted {
                count: *count,
                template: *template,
                name,
                hold: *hold,
                extra,
            };
            instantiate(txn, caller, *id, &wanted)
        }
        VrouterCommand::NicAttach { id, template } => nic_attach(txn, caller, *id, template),
        VrouterCommand::NicDetach { id, nic } => nic_detach(txn, caller, *id, *nic),
    }
}

fn allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template) -> Result<Id, ApiError> {
    let mut rights = vec![(Operation::Create, Target::new_of(Kind::Vrouter))];
    restricted_check(&txn.world, caller, Kind::Vrouter, template)?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    let count = template.vectors("NIC").count();
    if count > NICS_MAX {
        return Err(ApiError::allocate(
            Kind::Vrouter,
            &format!("{count} NICs are more than the {NICS_MAX} allowed."),
        ));
    }
    let mut taken = BTreeSet::new();
    for (number, nic) in template.vectors_mut("NIC").enumerate() {
        nic.set("NIC_ID", number.to_string());
        rights.push(nic_complete(&txn.world, caller, nic, &mut taken)?);
    }
    require(&txn.world, caller, &rights)?;
    let id = txn.id_next(Kind::Vrouter);
    let name = if name.is_empty() { format!("vr-{id}") } else { name };
    name_check_new(&txn.world, Kind::Vrouter, caller.uid, &name)?;
    txn.create(Vrouter {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        template: PackedTemplate::new(&template),
    });
    Ok(id)
}

/// Completes a NIC and takes its floating address. Gives the right that it needs.
fn nic_complete(
    world: &World,
    caller: &Caller,
    nic: &mut Vector,
    taken: &mut BTreeSet<(Id, Id, u32)>,
) -> Result<(Operation, Target), ApiError> {
    let keys = ["NETWORK_ID", "NETWORK", "NETWORK_UID", "NETWORK_UNAME"];
    let Some(id) = named_id(world, caller, Kind::Vnet, nic, keys)? else {
        return Err(ApiError::allocate(
            Kind::Vrouter,
            "A NIC names no network: set NETWORK or NETWORK_ID.",
        ));
    };
    let vnet = world.vnet(id)?;
    nic.set("NETWORK", vnet.name.clone());
    nic.set("NETWORK_ID", id.to_string());
    for name in ["VROUTER_MAC", "VROUTER_IP", "VROUTER_IP6"] {
        nic.remove(name);
    }
    if is_yes(nic, "FLOATING_IP") || is_yes(nic, "FLOATING_ONLY") {
        let (range, offset) = lease_choose(world, nic, vnet, taken)?;
        taken.insert((id, range.id, offset));
        // What was asked for is the floating address; VMs have others.
        for name in ["IP", "IP6", "MAC"] {
            nic.remove(name);
        }
        nic.set("AR_ID", range.id.to_string());
        nic.set("VROUTER_MAC", range.mac_at(offset).to_string());
        for (name, address) in range.addresses_at(offset) {
            nic.set(&format!("VROUTER_{name}"), address);
        }
    }
    Ok((Operation::Use, Target::of(world, Kind::Vnet, id)?))
}

/// What one.vrouter.instantiate asks for.
struct Wanted<'a> {
    count: i32,
    template: Id,
    name: &'a str,
    hold: bool,
    extra: &'a Template,
}

fn instantiate(txn: &mut Txn<'_>, caller: &Caller, id: Id, wanted: &Wanted<'_>) -> Result<Id, ApiError> {
    let manage = (Operation::Manage, Target::of(&txn.world, Kind::Vrouter, id)?);
    let mut vrouter = txn.world.vrouter(id)?.clone();
    let template_id = match wanted.template {
        -1 => vrouter
            .template
            .get("TEMPLATE_ID")
            .and_then(|text| text.parse().ok()),
        named => Some(named),
    };
    let Some(template_id) = template_id else {
        return Err(ApiError::action(format!(
            "Virtual router {id} has no TEMPLATE_ID: name the VM template"
        )));
    };
    let using = (
        Operation::Use,
        Target::of(&txn.world, Kind::Template, template_id)?,
    );
    require(&txn.world, caller, &[manage])?;
    if !(1..=VMS_MAX).contains(&wanted.count) {
        return Err(ApiError::action(format!(
            "Wrong number of VMs {}: it is from 1 to {VMS_MAX}",
            wanted.count
        )));
    }
    let mut template = vm_template(&txn.world, &vrouter, template_id, wanted.extra)?;
    let acting = on_behalf(&txn.world, caller, &mut template)?;
    require(&txn.world, &acting, &[using])?;
    let old = txn.world.template(template_id)?.template.unpack();
    restricted_merge(&txn.world, caller, Kind::Template, &old, wanted.extra)?;
    for number in 0..wanted.count {
        let name = if wanted.name.is_empty() {
            format!("vr-{}-{number}", vrouter.name)
        } else {
            wanted.name.replace("%i", &number.to_string())
        };
        let origin = VmOrigin {
            template: Some(template_id),
            name,
            name_default: String::new(),
            hold: wanted.hold,
            system: system_attributes(&vrouter),
        };
        let vm = vm_create(txn, &acting, template.clone(), &origin)?;
        if acting == *caller {
            vm_follow(txn, vm, |owned| {
                owned.uid = vrouter.owned.uid;
                owned.gid = vrouter.owned.gid;
            });
        }
    }
    let own = Arc::make_mut(&mut vrouter);
    let mut template = own.template.unpack();
    template.set("TEMPLATE_ID", template_id.to_string());
    own.template = PackedTemplate::new(&template);
    txn.update(vrouter);
    Ok(id)
}

/// The template of its VMs: that of the call with the NICs of the router.
fn vm_template(
    world: &World,
    vrouter: &Vrouter,
    template_id: Id,
    extra: &Template,
) -> Result<Template, ApiError> {
    let mut template = world.template(template_id)?.template.unpack();
    if !template.get_bool("VROUTER").unwrap_or(false) {
        // Recorded.
        return Err(ApiError::action("Only virtual router templates are allowed"));
    }
    template.merge(extra);
    template.set("VROUTER", "YES");
    template.remove("NIC");
    for nic in vrouter.template.unpack().vectors("NIC") {
        let mut nic = nic.clone();
        nic.remove("NIC_ID");
        template.add_vector("NIC", nic);
    }
    Ok(template)
}

fn system_attributes(vrouter: &Vrouter) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("VROUTER_ID", vrouter.id.to_string()),
        ("VROUTER_KEEPALIVED_ID", vrouter.keepalived_id()),
    ];
    if let Some(password) = vrouter.template.get("KEEPALIVED_PASSWORD") {
        attributes.push(("VROUTER_KEEPALIVED_PASSWORD", password.to_owned()));
    }
    attributes
}

fn vms_of(world: &World, id: Id) -> Vec<Arc<Vm>> {
    members(&world.index.vrouter_vms, id)
        .into_iter()
        .filter_map(|vm| world.vms.get(vm).cloned())
        .collect()
}

fn vm_follow(txn: &mut Txn<'_>, id: Id, change: impl FnOnce(&mut Owned)) {
    let Some(mut vm) = txn.world.vms.get(id).cloned() else {
        return;
    };
    let before = vm.owned.clone();
    change(&mut Arc::make_mut(&mut vm).owned);
    if vm.owned != before {
        txn.update(vm);
    }
}

/// What is done to owner, group or permissions of a virtual router is done to those of its VMs.
pub(crate) fn vms_follow(txn: &mut Txn<'_>, id: Id, change: impl Fn(&mut Owned)) {
    for vm in vms_of(&txn.world, id) {
        vm_follow(txn, vm.id, &change);
    }
}

/// Its NICs have calls of their own, and the template it was instantiated with is kept unless another is named.
pub(crate) fn vrouter_updated(vrouter: &mut Vrouter, old: &Template, mut new: Template) {
    new.remove("NAME");
    new.remove("NIC");
    for nic in old.vectors("NIC") {
        new.add_vector("NIC", nic.clone());
    }
    if let Some(template) = old.get("TEMPLATE_ID") {
        new.set_if_missing("TEMPLATE_ID", template);
    }
    vrouter.template = PackedTemplate::new(&new);
}

/// A virtual router goes with its VMs.
pub(crate) fn vrouter_delete(txn: &mut Txn<'_>, caller: &Caller, id: Id) -> Result<(), ApiError> {
    for vm in vms_of(&txn.world, id) {
        vm_event(
            txn,
            vm.id,
            Event::Terminate { hard: true },
            &Cause::user(caller),
        )
        .map_err(|Refusal::State(phase)| {
            ApiError::action(format!(
                "Cannot delete virtual router. VM {} cannot be terminated in state {}: wait, or recover it",
                vm.id,
                phase.as_str()
            ))
        })?;
    }
    txn.delete(Kind::Vrouter, id);
    Ok(())
}

fn nic_attach(txn: &mut Txn<'_>, caller: &Caller, id: Id, template: &Template) -> Result<Id, ApiError> {
    let mut rights = vec![(Operation::Manage, Target::of(&txn.world, Kind::Vrouter, id)?)];
    restricted_check(&txn.world, caller, Kind::Vrouter, template)?;
    let Some(mut nic) = template.vector("NIC").cloned() else {
        return Err(ApiError::action("No NIC in template: write NIC=[NETWORK=\"…\"]"));
    };
    let mut vrouter = txn.world.vrouter(id)?.clone();
    let own = Arc::make_mut(&mut vrouter);
    let mut new = own.template.unpack();
    let ids = new
        .vectors("NIC")
        .filter_map(|nic| nic.get("NIC_ID")?.parse::<Id>().ok());
    let next = ids.max().map_or(0, |last| last.saturating_add(1));
    if new.vectors("NIC").count() >= NICS_MAX {
        return Err(ApiError::action(format!(
            "A virtual router has at most {NICS_MAX} NICs"
        )));
    }
    nic.set("NIC_ID", next.to_string());
    rights.push(nic_complete(&txn.world, caller, &mut nic, &mut BTreeSet::new())?);
    require(&txn.world, caller, &rights)?;
    new.add_vector("NIC", nic.clone());
    own.template = PackedTemplate::new(&new);
    // Before the VMs: they must not get the floating address.
    txn.update(vrouter);
    nic.remove("NIC_ID");
    let mut given = Template::new();
    given.add_vector("NIC", nic);
    for vm in vms_of(&txn.world, id) {
        router_nic_attach(txn, caller, vm.id, &given)?;
    }
    Ok(id)
}

fn nic_detach(txn: &mut Txn<'_>, caller: &Caller, id: Id, nic: Id) -> Result<Id, ApiError> {
    let right = (Operation::Manage, Target::of(&txn.world, Kind::Vrouter, id)?);
    require(&txn.world, caller, &[right])?;
    let mut vrouter = txn.world.vrouter(id)?.clone();
    let own = Arc::make_mut(&mut vrouter);
    let mut new = own.template.unpack();
    let wanted = nic.to_string();
    let is_it = |vector: &Vector| vector.get("NIC_ID") == Some(wanted.as_str());
    let place = new.vectors("NIC").enumerate().find(|(_, vector)| is_it(vector));
    let Some((place, network)) =
        place.map(|(place, vector)| (place, vector.get("NETWORK_ID").map(str::to_owned)))
    else {
        return Err(ApiError::action(format!(
            "Could not detach NIC with NIC_ID {nic}, it does not exist."
        )));
    };
    for vm in vms_of(&txn.world, id) {
        // VMs have their NICs in the order of the router's, whatever their numbers are. One that failed to get it has none.
        let template = vm.template.unpack();
        let own = template.vectors("NIC").nth(place);
        let number = own
            .filter(|own| own.get("NETWORK_ID") == network.as_deref())
            .and_then(|own| own.get("NIC_ID")?.parse().ok());
        if let Some(number) = number {
            router_nic_detach(txn, caller, vm.id, number)?;
        }
    }
    new.retain(|attribute| match &attribute.value {
        plerion_template::Value::Vector(vector) => attribute.name != "NIC" || !is_it(vector),
        plerion_template::Value::Single(_) => true,
    });
    own.template = PackedTemplate::new(&new);
    txn.update(vrouter);
    Ok(id)
}
