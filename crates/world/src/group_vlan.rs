//! Which VLANs callers may name in networks: those that the rules of one of their groups allow.

use std::sync::Arc;

use plerion_model::group_vlan::{VlanScope, rules_allow, rules_read};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::Template;

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::world::World;

/// What a template wants: of which kind, of which address range (none for the network itself), and the numbers.
type Wanted<'a> = (VlanScope, Option<&'a str>, &'a str);

/// `one.group.vlan`: the rules of a group become those given.
pub(crate) fn group_vlan(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, Kind::Group, id)?;
    require(&txn.world, caller, &[(Operation::Admin, target)])?;
    let mut group = txn.world.group(id)?.clone();
    Arc::make_mut(&mut group).vlan_rules = rules_read(template).map_err(ApiError::action)?;
    txn.update(group);
    Ok(id)
}

/// Refuses VLANs of a network that no group of the caller may use. What is there already (`old`) may be given again. A
/// network of a network template has rules of its own besides those for all networks.
pub(crate) fn vlans_allowed(
    world: &World,
    caller: &Caller,
    given: &Template,
    old: &Template,
    template: Option<Id>,
) -> Result<(), ApiError> {
    if caller.is_admin() {
        return Ok(());
    }
    let refused = |reason: &str| Err(ApiError::authorization(caller.uid, reason));
    let automatic = |name: &str| given.get_bool(name).unwrap_or(false);
    if (automatic("AUTOMATIC_VLAN_ID") || automatic("AUTOMATIC_OUTER_VLAN_ID"))
        && template.is_some()
        && has_rules(world, caller, template)
    {
        return refused(
            "Automatic selection of VLAN ID cannot be used with VLAN rules scoped to the VN Template",
        );
    }
    let there = wanted(old);
    for one in wanted(given) {
        let (scope, _, text) = one;
        if there.contains(&one) {
            continue;
        }
        let Some(numbers) = scope.numbers(text) else {
            return refused(&format!("Invalid {scope} specification."));
        };
        let groups = caller.groups.iter().filter_map(|id| world.groups.get(*id));
        let mut rules = groups.map(|group| &group.vlan_rules);
        if !rules.any(|rules| rules_allow(rules, scope, &numbers, template)) {
            return refused(&format!("User is not authorized to use the requested {scope}"));
        }
    }
    Ok(())
}

fn has_rules(world: &World, caller: &Caller, template: Option<Id>) -> bool {
    let groups = caller.groups.iter().filter_map(|id| world.groups.get(*id));
    groups
        .flat_map(|group| &group.vlan_rules)
        .any(|rule| rule.concerns(template))
}

fn wanted(template: &Template) -> Vec<Wanted<'_>> {
    let attributes = || {
        VlanScope::ALL
            .into_iter()
            .filter_map(|scope| scope.attribute().map(|name| (scope, name)))
    };
    let own = attributes().filter_map(|(scope, name)| template.get(name).map(|text| (scope, None, text)));
    let of_ranges = template.vectors("AR").flat_map(|range| {
        let place = Some(range.get("AR_ID").unwrap_or_default());
        attributes().filter_map(move |(scope, name)| range.get(name).map(|text| (scope, place, text)))
    });
    own.chain(of_ranges)
        .filter(|(.., text)| !text.is_empty())
        .collect()
}
