//! Domains on a host that are no VMs of this cloud there: how its template shows them.

use plerion_model::{Id, Kind};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::txn::Txn;

/// Domains that run on a host without being VMs of this cloud there. They are shown, and left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// Ids of VMs whose domains run although this cloud has no such VM, or has it elsewhere.
    pub zombies: Vec<Id>,
    /// Domains that no cloud has made.
    pub wilds: Vec<Wild>,
}

/// A domain that no cloud has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wild {
    /// Name.
    pub name: String,
    /// UUID.
    pub uuid: String,
    /// CPUs.
    pub cpus: u32,
    /// Memory in KiB.
    pub memory_kib: u64,
}

/// Name of the attribute of a wild domain.
pub(crate) const WILD: &str = "VM";
/// How far beyond the last id that was given out a domain's name may lead. Such ids come from a database put back from a
/// copy; what is further away is a name that somebody has made up.
const IDS_SKIPPED_MAX: Id = 100_000;

/// Puts them into a host's template, and takes away what an earlier report has put there.
pub(crate) fn strangers_show(template: &mut Template, strangers: &Strangers) {
    for name in ["TOTAL_ZOMBIES", "ZOMBIES", "TOTAL_WILDS", "WILDS", WILD] {
        template.remove(name);
    }
    let zombies: Vec<String> = strangers.zombies.iter().map(|id| format!("one-{id}")).collect();
    let wilds: Vec<String> = strangers.wilds.iter().map(|wild| wild.name.clone()).collect();
    for (total, list, names) in [
        ("TOTAL_ZOMBIES", "ZOMBIES", zombies),
        ("TOTAL_WILDS", "WILDS", wilds),
    ] {
        if !names.is_empty() {
            template.set(total, names.len().to_string());
            template.set(list, names.join(", "));
        }
    }
    for wild in &strangers.wilds {
        let mut vector = Vector::new();
        vector.set("CPU", wild.cpus.to_string());
        vector.set("DEPLOY_ID", wild.uuid.clone());
        vector.set("MEMORY", (wild.memory_kib / 1024).to_string());
        vector.set("VM_NAME", wild.name.clone());
        template.add_vector(WILD, vector);
    }
}

/// Whether a host's template shows other strangers than these.
#[must_use]
pub fn strangers_differ(shown: &PackedTemplate, strangers: &Strangers) -> bool {
    let none_shown = shown.get("TOTAL_ZOMBIES").is_none() && shown.get("TOTAL_WILDS").is_none();
    if none_shown && *strangers == Strangers::default() {
        return false;
    }
    let mut template = shown.unpack();
    strangers_show(&mut template, strangers);
    PackedTemplate::new(&template) != *shown
}

/// No VM gets an id that a domain bears already: neither its name nor its directory would be free.
pub(crate) fn ids_skip(txn: &mut Txn<'_>, zombies: &[Id]) {
    let last = txn.world.last_ids.get(&Kind::Vm).copied().unwrap_or(-1);
    let highest = zombies
        .iter()
        .copied()
        .filter(|id| *id > last && id.saturating_sub(last) <= IDS_SKIPPED_MAX)
        .max();
    if let Some(id) = highest {
        txn.id_used(Kind::Vm, id);
    }
}
