//! Commands on VDCs, and the rules that VDCs give their groups.
//!
//! A rule is stored once, however many VDCs give it, and goes when the last of them no longer does.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::acl::AclRule;
use plerion_model::vdc::{self, ALL_RESOURCES, Vdc, VdcResource, VdcRights};
use plerion_model::{ApiError, Id, Kind, Operation, group, zone};
use plerion_template::{PackedTemplate, Template};

use crate::acl::{rule_find, rule_give, rule_take};
use crate::auth::{Caller, Target, require};
use crate::change::Change;
use crate::context::Context;
use crate::name::name_check_new;
use crate::txn::Txn;
use crate::world::World;

/// What can be asked of VDCs beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum VdcCommand {
    /// `one.vdc.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
    },
    /// `one.vdc.addgroup` and `one.vdc.delgroup`.
    Group {
        /// VDC.
        id: Id,
        /// Group.
        group: Id,
        /// Add or take out.
        add: bool,
    },
    /// `one.vdc.addcluster`, `one.vdc.delcluster`, and so on.
    Resource {
        /// VDC.
        id: Id,
        /// What.
        resource: VdcResource,
        /// Its zone.
        zone: Id,
        /// Its id; [`ALL_RESOURCES`] for all of the zone.
        member: Id,
        /// Add or take out.
        add: bool,
    },
}

/// Carries a command out. Answers the id of the VDC.
pub(crate) fn vdc_command(txn: &mut Txn<'_>, caller: &Caller, command: &VdcCommand) -> Result<Id, ApiError> {
    match command {
        VdcCommand::Allocate { template } => allocate(txn, caller, template),
        VdcCommand::Group { id, group, add } => group_set(txn, caller, *id, *group, *add),
        VdcCommand::Resource {
            id,
            resource,
            zone,
            member,
            add,
        } => resource_set(txn, caller, *id, (*resource, *zone, *member), *add),
    }
}

fn allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template) -> Result<Id, ApiError> {
    let right = (Operation::Create, Target::new_of(Kind::Vdc));
    require(&txn.world, caller, &[right])?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::Vdc, -1, &name)?;
    let id = txn.id_next(Kind::Vdc);
    txn.create(Vdc {
        id,
        name,
        template: PackedTemplate::new(&template),
        ..Vdc::default()
    });
    Ok(id)
}

fn group_set(txn: &mut Txn<'_>, caller: &Caller, id: Id, group: Id, add: bool) -> Result<Id, ApiError> {
    let mut rights = vec![(Operation::Admin, Target::of(&txn.world, Kind::Vdc, id)?)];
    // A group that is gone can still be taken out.
    match Target::of(&txn.world, Kind::Group, group) {
        Ok(target) => rights.push((Operation::Admin, target)),
        Err(missing) if add => return Err(missing),
        Err(_) => {}
    }
    require(&txn.world, caller, &rights)?;
    let old = txn.world.vdc(id)?.clone();
    let mut new = (*old).clone();
    let changed = if add {
        new.groups.insert(group)
    } else {
        new.groups.remove(&group)
    };
    if !changed {
        let already = if add { "already" } else { "not" };
        return Err(ApiError::internal(format!(
            "Group {group} is {already} assigned to the VDC {id}"
        )));
    }
    vdc_put(txn, &old, new);
    Ok(id)
}

fn resource_set(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    (resource, zone, member): (VdcResource, Id, Id),
    add: bool,
) -> Result<Id, ApiError> {
    let rights = resource_rights(&txn.world, id, (resource, zone, member), add)?;
    require(&txn.world, caller, &rights)?;
    let old = txn.world.vdc(id)?.clone();
    let mut new = (*old).clone();
    let changed = if add {
        new.resource_add(resource, zone, member)
    } else {
        new.resources_mut(resource).remove(&(zone, member))
    };
    if !changed {
        let what = format!("{} {member} from Zone {zone} is", resource.kind().acl_name());
        // Recorded: the second text ends with a space.
        return Err(ApiError::internal(if add {
            format!("{what} already assigned to the VDC")
        } else {
            format!("{what} not assigned to the VDC ")
        }));
    }
    vdc_put(txn, &old, new);
    Ok(id)
}

/// What adding or taking out a resource needs. What is gone can still be taken out.
fn resource_rights(
    world: &World,
    id: Id,
    (resource, zone, member): (VdcResource, Id, Id),
    add: bool,
) -> Result<Vec<(Operation, Target)>, ApiError> {
    let mut rights = vec![(Operation::Admin, Target::of(world, Kind::Vdc, id)?)];
    let kind = resource.kind();
    let member = if member == ALL_RESOURCES {
        Ok(Some(Target::new_of(kind)))
    } else if zone == zone::LOCAL || member < 0 {
        Target::of(world, kind, member).map(Some)
    } else {
        // Those of other zones are not known here.
        Ok(None)
    };
    for target in [Target::of(world, Kind::Zone, zone).map(Some), member] {
        match target {
            Ok(target) => rights.extend(target.map(|target| (Operation::Admin, target))),
            Err(missing) if add => return Err(missing),
            Err(_) => {}
        }
    }
    Ok(rights)
}

/// A VDC may go when it is not one of the first; its rules go with it.
pub(crate) fn vdc_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if id < Kind::Vdc.facts().first_id {
        return Err(ApiError::action(
            "Cannot delete VDC. System VDCs (ID < 100) cannot be deleted.",
        ));
    }
    let old = txn.world.vdc(id)?.clone();
    txn.delete(Kind::Vdc, id);
    rules_follow(txn, &old, &Vdc::default());
    Ok(())
}

/// Puts a new group into the default VDC.
pub(crate) fn vdc_join(txn: &mut Txn<'_>, group: Id) {
    if let Some(old) = txn.world.vdcs.get(vdc::DEFAULT).cloned() {
        let mut new = (*old).clone();
        new.groups.insert(group);
        vdc_put(txn, &old, new);
    }
}

/// Takes a group or a resource that is gone out of all VDCs.
pub(crate) fn vdcs_forget(txn: &mut Txn<'_>, kind: Kind, id: Id) {
    let vdcs: Vec<Arc<Vdc>> = txn.world.vdcs.values().cloned().collect();
    for old in vdcs {
        let mut new = (*old).clone();
        let changed = match VdcResource::of_kind(kind) {
            Some(resource) => new.resources_mut(resource).remove(&(zone::LOCAL, id)),
            None => kind == Kind::Group && new.groups.remove(&id),
        };
        if changed {
            vdc_put(txn, &old, new);
        }
    }
}

fn vdc_put(txn: &mut Txn<'_>, old: &Vdc, new: Vdc) {
    let new = Arc::new(new);
    txn.update(new.clone());
    rules_follow(txn, old, &new);
}

/// Gives the rules that a VDC gives now, and takes those that it no longer gives, nor any other VDC.
fn rules_follow(txn: &mut Txn<'_>, old: &Vdc, new: &Vdc) {
    let rights = vdc_rights(&txn.world);
    let (before, after) = (old.rules(&rights), new.rules(&rights));
    let kept: BTreeSet<RuleKey> = after.iter().map(key).collect();
    let lost: Vec<AclRule> = before
        .iter()
        .filter(|rule| !kept.contains(&key(rule)))
        .cloned()
        .collect();
    if !lost.is_empty() {
        let given = given_to(&txn.world, &old.groups, &rights);
        for rule in lost.iter().filter(|rule| !given.contains(&key(rule))) {
            rule_take(txn, rule);
        }
    }
    let had: BTreeSet<RuleKey> = before.iter().map(key).collect();
    for rule in after.into_iter().filter(|rule| !had.contains(&key(rule))) {
        rule_give(txn, rule);
    }
}

/// All that a rule says.
type RuleKey = (u64, u64, u64, u64);

const fn key(rule: &AclRule) -> RuleKey {
    (rule.user, rule.resource, rule.rights, rule.zone)
}

/// The rules that some groups have of all VDCs.
fn given_to(world: &World, groups: &BTreeSet<Id>, rights: &VdcRights) -> BTreeSet<RuleKey> {
    let vdcs = world.vdcs.values();
    vdcs.flat_map(|vdc| groups.intersection(&vdc.groups).map(move |group| (vdc, *group)))
        .flat_map(|(vdc, group)| vdc.rules_of(group, rights))
        .map(|rule| key(&rule))
        .collect()
}

fn vdc_rights(world: &World) -> VdcRights {
    VdcRights::of_settings(|name| world.config.attributes.get(name))
}

/// Makes the default VDC, with some groups and all clusters of this zone, and gives the rules that it gives.
pub(crate) fn vdc_default_make(txn: &mut Txn<'_>, groups: BTreeSet<Id>) {
    let mut template = Template::new();
    // Recorded.
    template.set(
        "DESCRIPTION",
        "Every new group is added to this VDC. Use it to store default access rules for your groups. NOTE: You may \
         need to remove a group from the default VDC before assigning it to other VDC.",
    );
    let vdc = Arc::new(Vdc {
        id: vdc::DEFAULT,
        name: "default".into(),
        groups,
        clusters: [(zone::LOCAL, ALL_RESOURCES)].into(),
        template: PackedTemplate::new(&template),
        ..Vdc::default()
    });
    // Its id is of those below the first that users get.
    txn.id_used(Kind::Vdc, Kind::Vdc.facts().first_id.saturating_sub(1));
    txn.create(vdc.clone());
    rules_follow(txn, &Vdc::default(), &vdc);
}

/// Gives a world from before there were VDCs the default one. The groups that still have the rules of new groups are in
/// it; rules stay as they are. `None` where there is nothing to do.
#[must_use]
pub fn vdcs_begin(world: &World, context: &Context) -> Option<(World, Change)> {
    if world.last_ids.contains_key(&Kind::Vdc) {
        return None;
    }
    let all = Vdc {
        clusters: [(zone::LOCAL, ALL_RESOURCES)].into(),
        ..Vdc::default()
    };
    let rights = vdc_rights(world);
    let has_rules = |group: Id| {
        let rules = all.rules_of(group, &rights);
        rules.iter().all(|rule| rule_find(world, rule).is_some())
    };
    let groups = world.groups.values().map(|group| group.id);
    let groups = groups
        .filter(|id| *id != group::ONEADMIN && has_rules(*id))
        .collect();
    let mut txn = Txn::new(world, context);
    vdc_default_make(&mut txn, groups);
    Some(txn.finish())
}
