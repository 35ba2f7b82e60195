//! What a user or group uses of its quotas.

use std::collections::BTreeMap;

use crate::Id;
use crate::numbers::id_list;
use crate::quota_section::{PlaceUse, Section};

/// What VMs use. Amounts are whole numbers, those of CPUs and generic metrics hundredths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmUse {
    /// By all VMs.
    pub all: VmAmounts,
    /// By those that count as running.
    pub running: VmAmounts,
    /// MiB of disks in system datastores.
    pub system_disk_mib: i64,
}

/// What is counted twice: for all VMs and for those that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmAmounts {
    /// Number of VMs.
    pub vms: i64,
    /// CPU in hundredths.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// PCI devices.
    pub pci_devices: i64,
    /// PCI devices that are NICs.
    pub pci_nics: i64,
    /// Generic metrics in hundredths, in the order of the configuration. Missing ones are 0.
    pub generic: Vec<i64>,
}

impl VmAmounts {
    fn add(&mut self, other: &Self, sign: i64) {
        let add = |to: &mut i64, amount: i64| *to = to.saturating_add(amount.saturating_mul(sign));
        add(&mut self.vms, other.vms);
        add(&mut self.cpu, other.cpu);
        add(&mut self.memory_mib, other.memory_mib);
        add(&mut self.pci_devices, other.pci_devices);
        add(&mut self.pci_nics, other.pci_nics);
        if self.generic.len() < other.generic.len() {
            self.generic.resize(other.generic.len(), 0);
        }
        for (to, amount) in self.generic.iter_mut().zip(&other.generic) {
            add(to, *amount);
        }
        while self.generic.last() == Some(&0) {
            self.generic.pop();
        }
    }
}

impl VmUse {
    /// Adds (1) or takes away (-1).
    pub fn add(&mut self, other: &Self, sign: i64) {
        self.all.add(&other.all, sign);
        self.running.add(&other.running, sign);
        self.system_disk_mib = self
            .system_disk_mib
            .saturating_add(other.system_disk_mib.saturating_mul(sign));
    }

    /// Each metric with its amount in hundredths, in the order in which limits are looked at.
    #[must_use]
    pub fn metrics(&self, generic: &[String]) -> Vec<(String, i64)> {
        let whole = |amount: i64| amount.saturating_mul(100);
        let mut metrics = Vec::with_capacity(11 + 2 * generic.len());
        let mut pair = |name: &str, all: i64, running: i64| {
            metrics.push((name.to_owned(), all));
            metrics.push((format!("RUNNING_{name}"), running));
        };
        let (all, running) = (&self.all, &self.running);
        pair("VMS", whole(all.vms), whole(running.vms));
        pair("CPU", all.cpu, running.cpu);
        pair("MEMORY", whole(all.memory_mib), whole(running.memory_mib));
        pair("PCI_DEV", whole(all.pci_devices), whole(running.pci_devices));
        pair("PCI_NIC", whole(all.pci_nics), whole(running.pci_nics));
        for (index, name) in generic.iter().enumerate() {
            let of = |amounts: &VmAmounts| amounts.generic.get(index).copied().unwrap_or(0);
            pair(name, of(all), of(running));
        }
        metrics.push(("SYSTEM_DISK_SIZE".to_owned(), whole(self.system_disk_mib)));
        metrics
    }
}

/// All that one user or group uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaUsage {
    /// By cluster; -1 all VMs, on hosts or not.
    pub vms: BTreeMap<Id, VmUse>,
    /// By what is used.
    pub places: BTreeMap<(Section, Id), PlaceUse>,
}

impl QuotaUsage {
    /// What VMs in some clusters use, given as in `0,100`; empty for all VMs.
    #[must_use]
    pub fn vms_in(&self, clusters: &str) -> VmUse {
        if clusters.is_empty() {
            return self.vms.get(&-1).cloned().unwrap_or_default();
        }
        let mut sum = VmUse::default();
        for used in id_list(clusters).filter_map(|id| self.vms.get(&id)) {
            sum.add(used, 1);
        }
        sum
    }

    /// What is used of one thing.
    #[must_use]
    pub fn place(&self, section: Section, id: Id) -> PlaceUse {
        self.places.get(&(section, id)).copied().unwrap_or_default()
    }

    /// What is used in a section.
    pub fn places(&self, section: Section) -> impl Iterator<Item = (Id, PlaceUse)> {
        self.places
            .range((section, Id::MIN)..=(section, Id::MAX))
            .map(|((_, id), used)| (*id, *used))
    }
}
