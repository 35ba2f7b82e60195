//! Commands on security groups.

use plerion_model::secgroup::SecurityGroup;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::index::members;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;

const PROTOCOLS: &[&str] = &["ALL", "TCP", "UDP", "ICMP", "ICMPV6", "IPSEC"];

/// `one.secgroup.allocate`.
pub(crate) fn secgroup_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::SecurityGroup))],
    )?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::SecurityGroup, caller.uid, &name)?;
    rules_check(&template).map_err(|reason| ApiError::allocate(Kind::SecurityGroup, &reason))?;
    let id = txn.id_next(Kind::SecurityGroup);
    let group = SecurityGroup {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        template: PackedTemplate::new(&template),
    };
    txn.create(group);
    Ok(id)
}

/// A rule that could not be applied would leave a NIC open or shut by surprise, so it is refused here.
fn rules_check(template: &Template) -> Result<(), String> {
    template.vectors("RULE").try_for_each(rule_check)
}

fn rule_check(rule: &Vector) -> Result<(), String> {
    let protocol = rule.get("PROTOCOL").unwrap_or_default();
    if !PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol)) {
        return Err(format!(
            "Wrong PROTOCOL \"{protocol}\" in a RULE: it is one of {}.",
            PROTOCOLS.join(", ")
        ));
    }
    let direction = rule.get("RULE_TYPE").unwrap_or_default();
    if !["INBOUND", "OUTBOUND"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(direction))
    {
        return Err(format!(
            "Wrong RULE_TYPE \"{direction}\" in a RULE: it is INBOUND or OUTBOUND."
        ));
    }
    let Some(range) = rule.get("RANGE").filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    for part in range.split(',') {
        let mut ends = part.trim().splitn(2, ':').map(|end| end.trim().parse::<u16>());
        let good = match (ends.next(), ends.next()) {
            (Some(Ok(_)), None) => true,
            (Some(Ok(first)), Some(Ok(last))) => first <= last,
            _ => false,
        };
        if !good {
            return Err(format!(
                "Wrong RANGE \"{range}\" in a RULE: it is a list of ports and ranges such as 22,80:90."
            ));
        }
    }
    Ok(())
}

/// The rules of the new template must be good.
pub(crate) fn secgroup_updated(group: &mut SecurityGroup, new: Template) -> Result<(), ApiError> {
    rules_check(&new).map_err(ApiError::internal)?;
    group.template = PackedTemplate::new(&new);
    Ok(())
}

/// A security group may go when it is not the first and no VM uses it.
pub(crate) fn secgroup_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if id == plerion_model::secgroup::DEFAULT {
        return Err(ApiError::action(
            "The default security group (ID 0) cannot be deleted.",
        ));
    }
    if let Some(vm) = members(&txn.world.index.secgroup_vms, id).first() {
        return Err(ApiError::action(format!(
            "Cannot delete security group. VM {vm} uses it."
        )));
    }
    txn.delete(Kind::SecurityGroup, id);
    Ok(())
}
