//! Commands on hosts, and what their links report.

use std::collections::BTreeMap;
use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::host::{Host, HostState};
use plerion_model::numa::HostNode;
use plerion_model::pci::PciDevice;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::cluster::cluster_named;
use crate::host_failure::{FENCE_MESSAGE, FENCED_BY_HAND, loss_begin, loss_end, vms_stay};
use crate::index::members;
use crate::name::{driver_name_check, name_check_new};
use crate::strangers::{Strangers, WILD, ids_skip, strangers_show};
use crate::txn::Txn;
use crate::vm_autostart::vms_restarted;
use crate::vm_cause::Cause;
use crate::vm_state::vm_event;

/// What an administrator wants of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostStatus {
    /// Monitored, takes VMs.
    Enabled = 0,
    /// Monitored, takes no VMs.
    Disabled = 1,
    /// Left alone.
    Offline = 2,
}

/// What the link to a host has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum HostReport {
    /// The host answered.
    Up {
        /// CPU in hundredths of a CPU.
        total_cpu: i64,
        /// Memory in KiB.
        total_memory_kib: i64,
        /// Kernel boot id.
        boot_id: String,
        /// Attributes to show in its template.
        facts: BTreeMap<String, String>,
    },
    /// The host does not answer; why.
    Down(String),
    /// Its NUMA nodes.
    Numa(Vec<HostNode>),
    /// Its PCI devices.
    Pci(Vec<PciDevice>),
    /// The domains that run on it without being VMs of this cloud there.
    Strangers(Strangers),
    /// What the administrator's probes say of it.
    Own(OwnReport),
    /// The administrator's probes have arrived; the word that went with them.
    Probes(String),
    /// VMs that were given up on it and of which no copy runs there.
    Gone(Vec<Id>),
}

/// What the administrator's probes say of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnReport {
    /// Attributes for its template; those of the same names go.
    pub attributes: Template,
    /// What is wrong with the probes: it is shown as the host's error while the host has no other. Empty when nothing is.
    pub faults: String,
}

impl OwnReport {
    /// Whether the host does not show all of it yet.
    #[must_use]
    pub fn is_news(&self, host: &Host) -> bool {
        let mut template = host.template.unpack();
        self.show(&mut template, &host.error);
        PackedTemplate::new(&template) != host.template
    }

    fn show(&self, template: &mut Template, error: &str) {
        for attribute in self.attributes.iter() {
            template.remove(&attribute.name);
        }
        for attribute in self.attributes.iter() {
            template.add(&attribute.name, attribute.value.clone());
        }
        if error.is_empty() && self.faults.is_empty() {
            template.remove("ERROR");
        } else if error.is_empty() {
            template.set("ERROR", format!("{OWN_FAULTS}{}", self.faults));
        }
    }
}

/// How an error begins that is one of the administrator's probes.
const OWN_FAULTS: &str = "probes of your own: ";

/// Attribute of a host: the word of the last `onehost sync` that it has followed.
pub const PROBES_SYNC: &str = "PROBES_SYNC";

/// Attributes of a host that no probe of the administrator's may set.
pub const OWN_RESERVED: &[&str] = &[
    "ARCH",
    "CGROUPS_VERSION",
    "CORE",
    "CPUSPEED",
    "ERROR",
    FENCED_BY_HAND,
    FENCE_MESSAGE,
    "FRONT_END_STORAGE",
    "HOSTNAME",
    "HUGEPAGE",
    "HYPERVISOR",
    "IM_MAD",
    "KVM_USABLE",
    "MEMORY_NODE",
    "MODELNAME",
    "PCI",
    PROBES_SYNC,
    "TOTALCPU",
    "TOTALMEMORY",
    "TOTAL_WILDS",
    "TOTAL_ZOMBIES",
    "VERSION",
    "VM",
    "VM_MAD",
    "WILDS",
    "ZOMBIES",
];

/// Attributes that the host tells of itself; a replacing update does not take them away.
const FACTS: &[&str] = &[
    "ARCH",
    "CGROUPS_VERSION",
    "CPUSPEED",
    "ERROR",
    FENCED_BY_HAND,
    FENCE_MESSAGE,
    "FRONT_END_STORAGE",
    "HOSTNAME",
    "HYPERVISOR",
    "IM_MAD",
    "KVM_USABLE",
    "MODELNAME",
    PROBES_SYNC,
    "TOTALCPU",
    "TOTALMEMORY",
    "TOTAL_WILDS",
    "TOTAL_ZOMBIES",
    "VERSION",
    "VM_MAD",
    "WILDS",
    "ZOMBIES",
];

/// `one.host.allocate`.
pub(crate) fn host_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    name: &str,
    im_mad: &str,
    vm_mad: &str,
    cluster: Id,
) -> Result<Id, ApiError> {
    let (cluster, cluster_right) = cluster_named(&txn.world, cluster)?;
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Host)), cluster_right],
    )?;
    name_check_new(&txn.world, Kind::Host, -1, name)?;
    for (what, driver) in [("IM_MAD_NAME", im_mad), ("VMM_MAD_NAME", vm_mad)] {
        if driver.is_empty() {
            return Err(ApiError::allocate(
                Kind::Host,
                &format!("{what} cannot be empty."),
            ));
        }
        driver_name_check(driver).map_err(|reason| ApiError::allocate(Kind::Host, &reason))?;
    }
    let id = txn.id_next(Kind::Host);
    let mut template = Template::new();
    template.set("IM_MAD", im_mad);
    template.set("RESERVED_CPU", "");
    template.set("RESERVED_MEM", "");
    template.set("VM_MAD", vm_mad);
    let host = Host {
        id,
        name: name.to_owned(),
        state: HostState::Init,
        prev_state: HostState::Init,
        im_mad: im_mad.to_owned(),
        vm_mad: vm_mad.to_owned(),
        cluster_id: cluster,
        total_cpu: 0,
        total_memory_kib: 0,
        boot_id: String::new(),
        error: String::new(),
        loss: None,
        losses: 0,
        given_up: BTreeMap::new(),
        numa: Vec::new(),
        pci: Vec::new(),
        template: PackedTemplate::new(&template),
    };
    txn.create(host);
    Ok(id)
}

/// A host may go when no VM is on it.
pub(crate) fn host_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let vms = members(&txn.world.index.host_vms, id);
    if !vms.is_empty() {
        return Err(ApiError::action(format!(
            "Cannot delete host. Can not remove a host with running VMs: {} VMs are on it, the first is {}.",
            vms.len(),
            vms.first().copied().unwrap_or(-1)
        )));
    }
    let left = txn
        .world
        .vms
        .values()
        .find(|vm| vm.moving_from.is_some() && vm.places().any(|place| place.host == id));
    if let Some(vm) = left {
        return Err(ApiError::action(format!(
            "Cannot delete host. VM {} is being moved away and may have its files on it.",
            vm.id
        )));
    }
    txn.delete(Kind::Host, id);
    Ok(())
}

/// `one.host.status`.
pub(crate) fn host_status(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    status: HostStatus,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Admin, Target::of(&txn.world, Kind::Host, id)?)],
    )?;
    let mut host = txn.world.host(id)?.clone();
    let next = match status {
        HostStatus::Disabled => HostState::Disabled,
        HostStatus::Offline => HostState::Offline,
        // An enabled host is looked at anew; one that is monitored stays so.
        HostStatus::Enabled if host.state == HostState::Disabled && host.total_cpu > 0 => {
            HostState::Monitored
        }
        HostStatus::Enabled if host.state == HostState::Monitored => HostState::Monitored,
        HostStatus::Enabled => HostState::Init,
    };
    set_state(txn, Arc::make_mut(&mut host), next);
    txn.put(host);
    Ok(id)
}

fn set_state(txn: &mut Txn<'_>, host: &mut Host, state: HostState) {
    if host.state != state {
        txn.log(
            Kind::Host,
            host.id,
            "state",
            host.state.as_str(),
            state.as_str(),
            "",
        );
    }
    host.prev_state = host.state;
    host.state = state;
}

/// What the link says: a host that answers is monitored, one that does not is in error and its VMs are unknown.
pub(crate) fn host_reported(txn: &mut Txn<'_>, id: Id, report: &HostReport) -> Result<(), ApiError> {
    let mut host = txn.world.host(id)?.clone();
    let own = Arc::make_mut(&mut host);
    let mut restarted = false;
    let mut stay = Vec::new();
    match report {
        HostReport::Up {
            total_cpu,
            total_memory_kib,
            boot_id,
            facts,
        } => {
            own.total_cpu = *total_cpu;
            own.total_memory_kib = *total_memory_kib;
            restarted = !own.boot_id.is_empty() && own.boot_id != *boot_id;
            boot_id.clone_into(&mut own.boot_id);
            own.error.clear();
            let mut template = own.template.unpack();
            template.remove("ERROR");
            stay = loss_end(&txn.world, own, &mut template, restarted);
            for (name, value) in facts {
                template.set(name, value.clone());
            }
            template.set("TOTALCPU", total_cpu.to_string());
            template.set("TOTALMEMORY", total_memory_kib.to_string());
            own.template = PackedTemplate::new(&template);
            if matches!(own.state, HostState::Init | HostState::Error) {
                set_state(txn, own, HostState::Monitored);
            }
        }
        HostReport::Down(reason) => {
            if own.state == HostState::Offline
                || (own.loss.is_some() && own.state == HostState::Error && own.error == *reason)
            {
                return Ok(());
            }
            reason.clone_into(&mut own.error);
            let mut template = own.template.unpack();
            template.set("ERROR", reason.clone());
            loss_begin(own, &mut template, txn.context.now);
            own.template = PackedTemplate::new(&template);
            if own.state != HostState::Disabled {
                set_state(txn, own, HostState::Error);
            }
        }
        HostReport::Numa(nodes) => own.numa.clone_from(nodes),
        HostReport::Pci(devices) => own.pci.clone_from(devices),
        HostReport::Strangers(strangers) => {
            ids_skip(txn, &strangers.zombies);
            let mut template = own.template.unpack();
            strangers_show(&mut template, strangers);
            own.template = PackedTemplate::new(&template);
        }
        HostReport::Own(report) => {
            let mut template = own.template.unpack();
            report.show(&mut template, &own.error);
            own.template = PackedTemplate::new(&template);
        }
        HostReport::Probes(token) => {
            let mut template = own.template.unpack();
            template.set(PROBES_SYNC, token.clone());
            own.template = PackedTemplate::new(&template);
        }
        HostReport::Gone(vms) => own.given_up.retain(|id, _| !vms.contains(id)),
    }
    let changed = txn.world.hosts.get(id) != Some(&host);
    if changed {
        txn.put(host);
    }
    vms_stay(txn, &stay);
    if restarted {
        txn.log(
            Kind::Host,
            id,
            "restart",
            "",
            "",
            "the host has been restarted: its kernel has another boot id",
        );
        vms_restarted(txn, id);
    }
    if matches!(report, HostReport::Down(_)) {
        vms_lost(txn, id);
    }
    Ok(())
}

fn vms_lost(txn: &mut Txn<'_>, host: Id) {
    for id in members(&txn.world.index.host_vms, host) {
        let running = txn
            .world
            .vms
            .get(id)
            .is_some_and(|vm| vm.phase == Phase::active(LcmState::Running));
        if running {
            // The phase was just looked at, so this cannot be refused.
            let _ = vm_event(
                txn,
                id,
                Event::HostLost,
                &Cause::system("its host does not answer"),
            );
        }
    }
}

/// A replacing update keeps what the host told of itself.
pub(crate) fn host_updated(host: &mut Host, old: &Template, mut new: Template) -> Result<(), ApiError> {
    for vector in new.vectors("PCI") {
        PciDevice::read(|name| vector.get(name)).map_err(ApiError::internal)?;
    }
    for name in FACTS {
        if let Some(value) = old.get(name) {
            new.set_if_missing(name, value);
        }
    }
    for wild in old.vectors(WILD) {
        new.add_vector(WILD, wild.clone());
    }
    for name in ["RESERVED_CPU", "RESERVED_MEM"] {
        new.set_if_missing(name, "");
    }
    host.template = PackedTemplate::new(&new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_say_what_they_may_and_hide_no_other_error() {
        let report = |text: &str, faults: &str| OwnReport {
            attributes: Template::parse_or_empty(text).expect("a template"),
            faults: faults.to_owned(),
        };
        let mut shown =
            Template::parse("RACK=\"1\"\nNOTE=\"mine\"\nFAN=\"1\"\nFAN=\"2\"").expect("a template");
        report("RACK=\"2\"\nFAN=\"3\"\nFAN=\"4\"", "a.sh: ?").show(&mut shown, "");
        assert_eq!((shown.get("RACK"), shown.get("NOTE")), (Some("2"), Some("mine")));
        assert_eq!(shown.all("FAN").count(), 2, "all of the same name are replaced");
        assert_eq!(shown.get("ERROR"), Some("probes of your own: a.sh: ?"));
        report("", "").show(&mut shown, "");
        assert_eq!((shown.get("ERROR"), shown.get("RACK")), (None, Some("2")));
        // A host that does not answer says why, whatever its probes had said.
        shown.set("ERROR", "no route");
        for faults in ["a.sh: ?", ""] {
            report("", faults).show(&mut shown, "no route");
            assert_eq!(shown.get("ERROR"), Some("no route"));
        }
    }
}
