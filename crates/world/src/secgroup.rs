//! Commands on security groups.

use std::net::IpAddr;
use std::sync::Arc;

use plerion_model::secgroup::SecurityGroup;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::index::members;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;
use crate::vm_nic::rules_add;

const PROTOCOLS: &[&str] = &["ALL", "TCP", "UDP", "ICMP", "ICMPV6", "IPSEC"];

/// What can be asked of security groups beyond what all kinds have in common and being made.
#[derive(Clone, Debug)]
pub enum SecgroupCommand {
    /// `one.secgroup.clone`.
    Clone {
        /// Security group.
        id: Id,
        /// Name of the copy.
        name: String,
    },
    /// `one.secgroup.commit`.
    Commit {
        /// Security group.
        id: Id,
    },
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn secgroup_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &SecgroupCommand,
) -> Result<Id, ApiError> {
    match command {
        SecgroupCommand::Clone { id, name } => {
            let rights = [
                (Operation::Create, Target::new_of(Kind::SecurityGroup)),
                (Operation::Use, Target::of(&txn.world, Kind::SecurityGroup, *id)?),
            ];
            require(&txn.world, caller, &rights)?;
            name_check_new(&txn.world, Kind::SecurityGroup, caller.uid, name)?;
            let template = txn.world.secgroup(*id)?.template.clone();
            let copy = txn.id_next(Kind::SecurityGroup);
            txn.create(SecurityGroup {
                id: copy,
                name: name.clone(),
                owned: owned_new(&txn.world, caller),
                template,
            });
            Ok(copy)
        }
        SecgroupCommand::Commit { id } => {
            let target = Target::of(&txn.world, Kind::SecurityGroup, *id)?;
            require(&txn.world, caller, &[(Operation::Manage, target)])?;
            vms_refresh(txn, *id);
            Ok(*id)
        }
    }
}

/// The VMs of a security group get its rules as they are now: those that VMs carry are copies.
pub(crate) fn vms_refresh(txn: &mut Txn<'_>, id: Id) {
    for vm in members(&txn.world.index.secgroup_vms, id) {
        let Some(mut vm) = txn.world.vms.get(vm).cloned() else {
            continue;
        };
        let mut template = vm.template.unpack();
        let groups = vm.demand.security_groups.iter().copied().collect();
        rules_add(&txn.world, &groups, &mut template);
        let template = PackedTemplate::new(&template);
        if template != vm.template {
            Arc::make_mut(&mut vm).template = template;
            txn.update(vm);
        }
    }
}

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
    addresses_check(rule)?;
    for name in ["ICMP_TYPE", "ICMPV6_TYPE"] {
        if let Some(text) = given(rule, name).filter(|text| text.parse::<u8>().is_err()) {
            return Err(format!(
                "Wrong {name} \"{text}\" in a RULE: it is a number from 0 to 255."
            ));
        }
    }
    let Some(range) = given(rule, "RANGE") else {
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

/// Whose packets a rule is about: addresses from IP on, as many as SIZE says, or those of a network.
fn addresses_check(rule: &Vector) -> Result<(), String> {
    if let Some(text) = given(rule, "IP").filter(|text| text.parse::<IpAddr>().is_err()) {
        return Err(format!("Wrong IP \"{text}\" in a RULE: it is an IP address."));
    }
    for (name, least) in [("SIZE", 1), ("NETWORK_ID", 0)] {
        let is_wrong = |text: &str| text.parse::<u32>().map_or(true, |number| number < least);
        if let Some(text) = given(rule, name).filter(|text| is_wrong(text)) {
            return Err(format!(
                "Wrong {name} \"{text}\" in a RULE: it is a number from {least} on."
            ));
        }
    }
    Ok(())
}

fn given<'a>(rule: &'a Vector, name: &str) -> Option<&'a str> {
    rule.get(name).map(str::trim).filter(|text| !text.is_empty())
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
