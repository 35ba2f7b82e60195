//! New VMs.

use std::cell::Cell;
use std::sync::Arc;

use plerion_model::numbers::hundredths;
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_state::{Phase, VmState};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::sched_action::sched_create;
use crate::txn::Txn;
use crate::vm_context::{ContextOf, context_complete};
use crate::vm_disk::{disks_complete, targets_assign};
use crate::vm_disk_snapshot_end::snapshots_take;
use crate::vm_files::files_complete;
use crate::vm_nic::{nics_complete, rules_add};
use crate::vm_numa::{is_pinned, topology_complete};
use crate::vm_pci::pci_complete;
use crate::vmgroup::vmgroup_complete;

/// Attributes that the system uses, sorted; all others are the user's (USER_TEMPLATE).
const SYSTEM_ATTRIBUTES: &[&str] = &[
    "BACKUP_CONFIG",
    "CONTEXT",
    "CPU",
    "CPU_COST",
    "CPU_MODEL",
    "DISK",
    "DISK_COST",
    "EMULATOR",
    "FEATURES",
    "GRAPHICS",
    "INPUT",
    "MEMORY",
    "MEMORY_COST",
    "MEMORY_MAX",
    "MEMORY_RESIZE_MODE",
    "MEMORY_SLOTS",
    "NIC",
    "NIC_ALIAS",
    "NIC_DEFAULT",
    "NUMA_NODE",
    "OS",
    "PCI",
    "RAW",
    "SNAPSHOT",
    "SUBMIT_ON_HOLD",
    "TOPOLOGY",
    "TPM",
    "VCPU",
    "VCPU_MAX",
    "VIDEO",
    "VMGROUP",
];

/// What says which template the one of the VM was copied from.
pub(crate) const CLONING_TEMPLATE_ID: &str = "CLONING_TEMPLATE_ID";

/// How a VM came to be.
pub(crate) struct VmOrigin {
    pub(crate) template: Option<Id>,
    /// Name; empty for the default.
    pub(crate) name: String,
    /// What the default name is made of, before the id.
    pub(crate) name_default: String,
    pub(crate) hold: bool,
    /// Attributes that the system sets.
    pub(crate) system: Vec<(&'static str, String)>,
}

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Vm, reason)
}

/// `one.vm.allocate`.
pub(crate) fn vm_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    hold: bool,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Vm))],
    )?;
    restricted_check(&txn.world, caller, Kind::Vm, template)?;
    let name = template.get("NAME").unwrap_or_default().to_owned();
    let origin = VmOrigin {
        template: None,
        name,
        name_default: "one-".into(),
        hold,
        system: Vec::new(),
    };
    vm_create(txn, caller, template.clone(), &origin)
}

/// Makes a VM of a template: checks it, completes it, takes leases, and puts it in PENDING or HOLD; in CLONING when an image
/// is still being made.
pub(crate) fn vm_create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    mut template: Template,
    origin: &VmOrigin,
) -> Result<Id, ApiError> {
    template.remove("NAME");
    for name in ["TEMPLATE_ID", CLONING_TEMPLATE_ID] {
        template.remove(name);
    }
    let id = txn.id_next(Kind::Vm);
    let name = if origin.name.is_empty() {
        format!("{}{id}", origin.name_default)
    } else {
        // Recorded by guides: %i in a name stands for the number of the VM.
        origin.name.replace("%i", &id.to_string())
    };
    name_check_new(&txn.world, Kind::Vm, caller.uid, &name)?;
    let hold = origin.hold || template.get_bool("SUBMIT_ON_HOLD").unwrap_or(false);
    let (mut system, mut user) = split(template);
    let (scheduled, rest) = user.partition(|attribute| attribute.name == "SCHED_ACTION");
    user = rest;
    // Before the context is made: it may name the VM.
    system.set("VMID", id.to_string());
    for (name, value) in &origin.system {
        system.set(name, value.clone());
    }
    capacity_check(&mut system)?;
    topology_complete(&mut system).map_err(|reason| refused(&reason))?;
    system_defaults(txn, &mut system);
    let disks = disks_complete(&txn.world, caller, &mut system)?;
    let nics = nics_complete(&txn.world, caller, id, &mut system)?;
    pci_complete(&mut system).map_err(|reason| refused(&reason))?;
    let files = files_complete(&txn.world, caller, &mut system)?;
    let group = vmgroup_complete(&txn.world, caller, &mut system)?;
    let rights: Vec<_> = disks
        .rights
        .into_iter()
        .chain(nics.rights)
        .chain(files)
        .chain(group)
        .collect();
    require(&txn.world, caller, &rights)?;
    targets_and_context(txn, caller, &name, &mut system, &user)?;
    rules_add(&txn.world, &nics.groups, &mut system);
    requirements_set(&mut system, &disks.clusters, &nics.clusters)?;
    if hold {
        system.set("SUBMIT_ON_HOLD", "YES");
    }
    if let Some(template) = origin.template {
        system.set("TEMPLATE_ID", template.to_string());
    }
    let phase = Phase::rest(if disks.coming.is_some() {
        VmState::Cloning
    } else if hold {
        VmState::Hold
    } else {
        VmState::Pending
    });
    let template = PackedTemplate::new(&system);
    let mut vm = Vm {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        phase,
        prev_phase: phase,
        resched: false,
        stime: txn.context.now,
        etime: 0,
        deploy_id: String::new(),
        step: 0,
        parts: Vec::new(),
        files_at_front_end: false,
        home_datastore: None,
        moving_from: None,
        numa_left: None,
        capacity_before: None,
        device_change: None,
        backup: None,
        restart: None,
        disk_snapshots: std::collections::BTreeMap::new(),
        history: Arc::default(),
        demand: Arc::new(Demand::read(&template)),
        template,
        user_template: PackedTemplate::new(&user),
    };
    snapshots_take(txn, &mut vm);
    txn.log(Kind::Vm, id, "create", "", phase.as_str(), "");
    txn.put(vm);
    sched_create(txn, Kind::Vm, id, &scheduled)?;
    Ok(id)
}

fn split(template: Template) -> (Template, Template) {
    template.partition(|attribute| SYSTEM_ATTRIBUTES.binary_search(&attribute.name.as_str()).is_ok())
}

fn capacity_check(system: &mut Template) -> Result<(), ApiError> {
    let cpu = system.get("CPU").unwrap_or_default().to_owned();
    if !system.get_f64("CPU").is_some_and(|cpu| cpu > 0.0 && cpu <= 1.0e6) || hundredths(&cpu) < 1 {
        return Err(refused(&format!(
            "CPU attribute must be a positive float or integer value, and is \"{cpu}\"."
        )));
    }
    let memory = system.get("MEMORY").unwrap_or_default().to_owned();
    // In MiB; a PiB is more than any host has and leaves room for sums.
    if !system
        .get_i64("MEMORY")
        .is_some_and(|memory| (1..=1 << 30).contains(&memory))
    {
        return Err(refused(&format!(
            "MEMORY attribute must be a positive integer value (MiB), and is \"{memory}\"."
        )));
    }
    if let Some(vcpu) = system.get("VCPU").map(str::to_owned)
        && !system
            .get_i64("VCPU")
            .is_some_and(|vcpu| (1..=4096).contains(&vcpu))
    {
        return Err(refused(&format!(
            "VCPU attribute must be a positive integer value, and is \"{vcpu}\"."
        )));
    }
    Ok(())
}

/// What every VM has (recorded): the machine type and a UUID in OS, the console's address in GRAPHICS.
fn system_defaults(txn: &mut Txn<'_>, system: &mut Template) {
    let mut os = system.vector("OS").cloned().unwrap_or_default();
    os.set_if_missing("MACHINE", "q35");
    os.set("UUID", uuid(txn.random()));
    system.set_vector("OS", os);
    for graphics in system.vectors_mut("GRAPHICS") {
        graphics.set_if_missing("LISTEN", "127.0.0.1");
    }
}

/// A version 4 UUID of 128 random bits.
fn uuid(random: u128) -> String {
    let bits = random & 0xffffffff_ffff_0fff_3fff_ffffffffffff | 0x00000000_0000_4000_8000_000000000000;
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn targets_and_context(
    txn: &Txn<'_>,
    caller: &Caller,
    name: &str,
    system: &mut Template,
    user: &Template,
) -> Result<(), ApiError> {
    let of = ContextOf {
        world: &txn.world,
        uid: caller.uid,
        gid: caller.gid,
        name,
        template: system,
        user_template: user,
        secret: Cell::default(),
    };
    if let Some(context) = context_complete(&of).map_err(|reason| refused(&reason))? {
        system.set_vector("CONTEXT", context);
    }
    targets_assign(system)
}

/// Requirements that follow from the clusters of datastores and networks.
fn requirements_set(system: &mut Template, disks: &[Vec<Id>], nics: &[Vec<Id>]) -> Result<(), ApiError> {
    let mut common: Option<Vec<Id>> = None;
    for clusters in disks.iter().chain(nics) {
        common = Some(match common {
            None => clusters.clone(),
            Some(before) => before.into_iter().filter(|id| clusters.contains(id)).collect(),
        });
    }
    // Recorded by guides: hosts are for pinned VMs, or for others.
    let policy = if is_pinned(system) {
        "(PIN_POLICY = PINNED)"
    } else {
        "!(PIN_POLICY = PINNED)"
    };
    let Some(common) = common else {
        system.set("AUTOMATIC_REQUIREMENTS", policy);
        return Ok(());
    };
    if common.is_empty() {
        return Err(refused(
            "Incompatible clusters: no cluster holds all the datastores of its disks and the networks of its NICs.",
        ));
    }
    let any = |text: &dyn Fn(&Id) -> String| common.iter().map(text).collect::<Vec<_>>().join(" | ");
    let hosts = any(&|id| format!("CLUSTER_ID = {id}"));
    let members = any(&|id| format!("\"CLUSTERS/ID\" @> {id}"));
    system.set("AUTOMATIC_REQUIREMENTS", format!("({hosts}) & {policy}"));
    system.set("AUTOMATIC_DS_REQUIREMENTS", format!("({members})"));
    system.set("AUTOMATIC_NIC_REQUIREMENTS", format!("({members})"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_system_are_sorted_and_split_off() {
        assert!(SYSTEM_ATTRIBUTES.is_sorted());
        let template =
            Template::parse("VMGROUP=[ROLE=\"a\"]\nVMGROUPS=\"b\"\nCPU=\"1\"\nBACKUP=\"c\"\n").expect("good");
        let (system, user) = split(template);
        let names = |template: &Template| -> Vec<String> {
            template.iter().map(|attribute| attribute.name.clone()).collect()
        };
        assert_eq!(names(&system), ["CPU", "VMGROUP"]);
        assert_eq!(names(&user), ["BACKUP", "VMGROUPS"]);
    }

    #[test]
    fn uuids_are_of_version_four() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn requirements_follow_the_common_clusters() {
        let mut system = Template::new();
        requirements_set(&mut system, &[vec![0, 100]], &[vec![100, 0]]).expect("common");
        assert_eq!(
            system.get("AUTOMATIC_REQUIREMENTS"),
            Some("(CLUSTER_ID = 0 | CLUSTER_ID = 100) & !(PIN_POLICY = PINNED)")
        );
        assert!(requirements_set(&mut system, &[vec![0]], &[vec![100]]).is_err());
    }
}
