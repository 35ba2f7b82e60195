//! NICs and aliases of VMs that exist: they come, go, get other attributes and security groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_lifecycle::DeviceWork;
use plerion_model::numbers::id_list;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::restricted::{is_restricted_key, restricted_check, restricted_check_given, restricted_check_kept};
use crate::txn::Txn;
use crate::vm_context::context_nic_set;
use crate::vm_device::device_begin;
use crate::vm_disk_image::join;
use crate::vm_nic::{NICS_MAX, NicPlan, nic_complete};
use crate::vm_nic_end::{ALIAS, NIC, nic_id, nic_number, rules_renew};
use crate::vm_require::device_vm;
use crate::vm_require::vm_require;
use crate::vm_template::{as_action, is_router, template_set};

/// Attributes of a NIC that can be changed after it was made: the bounds on its traffic.
const UPDATABLE: &[&str] = &[
    "INBOUND_AVG_BW",
    "INBOUND_PEAK_BW",
    "INBOUND_PEAK_KB",
    "OUTBOUND_AVG_BW",
    "OUTBOUND_PEAK_BW",
    "OUTBOUND_PEAK_KB",
];

/// NICs and aliases; those that are PCI devices have numbers of the same row.
fn nics(template: &Template) -> impl Iterator<Item = &Vector> {
    [NIC, ALIAS, "PCI"]
        .into_iter()
        .flat_map(|name| template.vectors(name))
}

fn router_refuse(vm: &Vm) -> Result<(), ApiError> {
    if is_router(vm) {
        return Err(ApiError::action("Action is not supported for virtual router VMs"));
    }
    Ok(())
}

fn work_of(txn: &Txn<'_>, vm: &Vm) -> DeviceWork {
    let driver = vm.last_history().map_or("", |record| record.vm_mad.as_str());
    DeviceWork::Nic {
        cold: txn.world.config.hypervisor_attaches_cold(driver),
    }
}

/// `one.vm.attachnic`.
pub(crate) fn vm_nic_attach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
) -> Result<Id, ApiError> {
    attach(txn, caller, id, given, false)
}

/// What `one.vrouter.attachnic` does to each VM.
pub(crate) fn router_nic_attach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
) -> Result<Id, ApiError> {
    attach(txn, caller, id, given, true)
}

fn attach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    given: &Template,
    by_router: bool,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    if !by_router {
        // Recorded: before the state is looked at.
        router_refuse(&vm)?;
        restricted_check(&txn.world, caller, Kind::Vm, given)?;
    }
    let what = format!("add a new NIC to VM {id}");
    let begun = device_begin(vm.clone(), work_of(txn, &vm), &what)?;
    let (name, mut nic) = nic_given(given)?;
    let mut template = vm.template.unpack();
    let last = nics(&template).map(nic_id).max().unwrap_or(-1);
    let number = last.saturating_add(1);
    if nics(&template).count() >= NICS_MAX {
        return Err(ApiError::action(format!(
            "A VM has {NICS_MAX} NICs at most, and VM {id} has as many"
        )));
    }
    if name == ALIAS {
        parent_find(&mut template, &mut nic, number)?;
    }
    if let Some(wanted) = nic.get("NAME").map(str::to_owned)
        && nics(&template).any(|other| other.get("NAME") == Some(&wanted))
    {
        return Err(ApiError::action(format!(
            "Another NIC of VM {id} has the NAME {wanted}"
        )));
    }
    let mut plan = NicPlan::default();
    let index = usize::try_from(number).unwrap_or_default();
    nic_complete(
        &txn.world,
        caller,
        id,
        index,
        &mut nic,
        &mut BTreeSet::new(),
        &mut plan,
    )
    .map_err(as_action)?;
    require(&txn.world, caller, &plan.rights)?;
    cluster_check(&vm, &plan)?;
    context_nic_set(&txn.world, &mut template, &nic, true);
    nic.set("ATTACH", "YES");
    template.add_vector(name, nic);
    rules_renew(&txn.world, &mut template);
    let action = if name == ALIAS {
        HistoryAction::AliasAttach
    } else {
        HistoryAction::NicAttach
    };
    let change = DeviceChange::NicAttach { nic: number };
    begun.go(txn, caller, &template, change, Some(action));
    Ok(id)
}

/// The one NIC that a template holds.
fn nic_given(given: &Template) -> Result<(&'static str, Vector), ApiError> {
    if given.vectors("PCI").next().is_some() {
        return Err(ApiError::action(
            "Attaching PCI devices as NICs is not supported yet: attach a NIC of a virtual network",
        ));
    }
    let mut found = [NIC, ALIAS]
        .into_iter()
        .flat_map(|name| given.vectors(name).map(move |nic| (name, nic.clone())));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(ApiError::internal(
            "The template holds no NIC: write NIC=[NETWORK=\"…\"] or NIC_ALIAS=[NETWORK=\"…\",PARENT=\"…\"]",
        )),
        (Some(_), Some(_)) => Err(ApiError::internal(
            "The template holds more than one NIC: attach them one by one",
        )),
    }
}

/// Notes the alias in its NIC and the NIC in its alias.
fn parent_find(template: &mut Template, alias: &mut Vector, number: Id) -> Result<(), ApiError> {
    let wanted = alias.get("PARENT").unwrap_or_default().to_owned();
    let next = template
        .vectors(ALIAS)
        .filter(|other| other.get("PARENT") == Some(&wanted))
        .map(|other| nic_number(other, "ALIAS_ID"))
        .max()
        .map_or(0, |last| last.saturating_add(1));
    let Some(parent) = template
        .vectors_mut(NIC)
        .find(|nic| !wanted.is_empty() && nic.get("NAME") == Some(&wanted))
    else {
        return Err(ApiError::action(format!(
            "The VM has no NIC with the NAME \"{wanted}\", which PARENT of the alias names"
        )));
    };
    let parent_id = nic_id(parent);
    let mut ids: Vec<Id> = id_list(parent.get("ALIAS_IDS").unwrap_or_default()).collect();
    ids.push(number);
    parent.set("ALIAS_IDS", join(&ids));
    alias.set("ALIAS_ID", next.to_string());
    alias.set("PARENT_ID", parent_id.to_string());
    alias.set_if_missing("NAME", format!("{wanted}_ALIAS{number}"));
    Ok(())
}

/// The network has to be in the cluster of the VM's host.
fn cluster_check(vm: &Vm, plan: &NicPlan) -> Result<(), ApiError> {
    let Some(record) = vm.last_history() else {
        return Ok(());
    };
    if plan
        .clusters
        .iter()
        .all(|clusters| clusters.contains(&record.cluster))
    {
        return Ok(());
    }
    Err(ApiError::action(format!(
        "The network of the NIC is not in cluster {} of host {} ({}), on which the VM is",
        record.cluster, record.host, record.hostname
    )))
}

/// `one.vm.detachnic`.
pub(crate) fn vm_nic_detach(txn: &mut Txn<'_>, caller: &Caller, id: Id, number: Id) -> Result<Id, ApiError> {
    detach(txn, caller, id, number, false)
}

/// What `one.vrouter.detachnic` does to each VM.
pub(crate) fn router_nic_detach(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    number: Id,
) -> Result<Id, ApiError> {
    detach(txn, caller, id, number, true)
}

fn detach(txn: &mut Txn<'_>, caller: &Caller, id: Id, number: Id, by_router: bool) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    if !by_router {
        router_refuse(&vm)?;
    }
    let begun = device_begin(vm.clone(), work_of(txn, &vm), &format!("detach NIC from VM {id}"))?;
    let mut template = vm.template.unpack();
    let mut action = None;
    for (name, noted) in [
        (NIC, HistoryAction::NicDetach),
        (ALIAS, HistoryAction::AliasDetach),
    ] {
        if let Some(nic) = template.vectors_mut(name).find(|nic| nic_id(nic) == number) {
            nic.set("ATTACH", "YES");
            action = Some(noted);
        }
    }
    if action.is_none() {
        return Err(ApiError::action(format!(
            "Could not detach NIC with NIC_ID {number}, it does not exist."
        )));
    }
    let change = DeviceChange::NicDetach { nic: number };
    begun.go(txn, caller, &template, change, action);
    Ok(id)
}

/// `one.vm.updatenic`.
pub(crate) fn vm_nic_update(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    number: Id,
    given: &Template,
    merge: bool,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let one = |nic: &Vector| {
        let mut template = Template::new();
        template.add_vector(NIC, nic.clone());
        template
    };
    let own = vm.template.vectors(NIC).map(|nic| nic.to_vector());
    let own = own
        .into_iter()
        .find(|nic| nic_id(nic) == number)
        .unwrap_or_default();
    restricted_check_given(&txn.world, caller, Kind::Vm, given, &one(&own))?;
    router_refuse(&vm)?;
    let runs = vm.phase == Phase::active(LcmState::Running);
    if vm.phase.state == VmState::Done || (vm.phase.state == VmState::Active && !runs) {
        return Err(ApiError::action(format!(
            "Could not update NIC for VM {id}, wrong state {}.",
            vm.phase.as_str()
        )));
    }
    let wanted = given
        .vector(NIC)
        .ok_or_else(|| ApiError::internal("The template holds no NIC: write NIC=[INBOUND_AVG_BW=\"…\"]"))?;
    let mut template = vm.template.unpack();
    let Some(nic) = template.vectors_mut(NIC).find(|nic| nic_id(nic) == number) else {
        return Err(ApiError::action(format!(
            "Could not update NIC with NIC_ID {number}: VM {id} has no such NIC, and aliases cannot be updated."
        )));
    };
    let before = nic.clone();
    for name in UPDATABLE {
        match wanted.get(name) {
            Some(value) if !value.is_empty() => {
                if value.parse::<u64>().is_err() {
                    return Err(ApiError::action(format!(
                        "Wrong {name} \"{value}\": it is a number of kilobytes"
                    )));
                }
                nic.set(name, value);
            }
            None if merge => {}
            // Not theirs to take away.
            None if !caller.is_admin() && is_restricted_key(&txn.world, Kind::Vm, NIC, name) => {}
            Some(_) | None => {
                nic.remove(name);
            }
        }
    }
    if *nic == before {
        return Ok(id);
    }
    restricted_check_kept(&txn.world, caller, Kind::Vm, &one(&before), &one(nic))?;
    if !runs {
        let mut vm = vm;
        template_set(Arc::make_mut(&mut vm), &template);
        txn.update(vm);
        return Ok(id);
    }
    let begun = device_begin(
        vm,
        DeviceWork::Nic { cold: false },
        &format!("update NIC for VM {id}"),
    )?;
    let change = DeviceChange::NicUpdate { nic: number };
    begun.go(txn, caller, &template, change, Some(HistoryAction::NicUpdate));
    Ok(id)
}

/// `one.vm.attachsg` and `one.vm.detachsg`. The network drivers that are built in apply no rules on hosts, so only the
/// template changes.
pub(crate) fn vm_secgroup_set(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    (number, group): (Id, Id),
    attach: bool,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, Operation::Manage)?;
    if attach {
        let target = Target::of(&txn.world, Kind::SecurityGroup, group)?;
        require(&txn.world, caller, &[(Operation::Use, target)])?;
    }
    let mut vm = txn.world.vm(id)?.clone();
    if secgroups_wait(vm.phase) {
        return Err(ApiError::action(format!(
            "Could not {} security group {group} {} VM {id}, wrong state {}.",
            if attach { "attach" } else { "detach" },
            if attach { "to" } else { "from" },
            vm.phase.as_str()
        )));
    }
    let mut template = vm.template.unpack();
    let nic = [NIC, ALIAS]
        .into_iter()
        .find(|name| template.vectors(name).any(|nic| nic_id(nic) == number));
    let Some(nic) = nic.and_then(|name| template.vectors_mut(name).find(|nic| nic_id(nic) == number)) else {
        return Err(ApiError::action(format!("VM {id} has no NIC {number}")));
    };
    let mut groups: Vec<Id> = id_list(nic.get("SECURITY_GROUPS").unwrap_or_default()).collect();
    match (groups.contains(&group), attach) {
        (true, true) => {
            return Err(ApiError::action(format!(
                "VM {id} SG {group} already in NIC {number}"
            )));
        }
        (false, false) => {
            return Err(ApiError::action(format!(
                "VM {id} SG {group} not in NIC {number}"
            )));
        }
        (false, true) => groups.push(group),
        (true, false) => groups.retain(|other| *other != group),
    }
    nic.set("SECURITY_GROUPS", join(&groups));
    rules_renew(&txn.world, &mut template);
    template_set(Arc::make_mut(&mut vm), &template);
    txn.update(vm);
    Ok(id)
}

/// Phases in which the NICs of a VM are being made or moved.
fn secgroups_wait(phase: Phase) -> bool {
    phase.state == VmState::Active
        && matches!(
            phase.lcm,
            LcmState::Boot
                | LcmState::BootFailure
                | LcmState::BootMigrate
                | LcmState::BootMigrateFailure
                | LcmState::BootPoweroff
                | LcmState::BootStopped
                | LcmState::BootStoppedFailure
                | LcmState::BootSuspended
                | LcmState::BootUndeploy
                | LcmState::BootUndeployFailure
                | LcmState::BootUnknown
                | LcmState::HotplugNic
                | LcmState::HotplugNicPoweroff
                | LcmState::Migrate
                | LcmState::Unknown
        )
}
