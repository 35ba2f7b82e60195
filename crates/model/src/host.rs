//! Hosts.

use std::borrow::Cow;

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::host_failure::{GivenUp, HostLoss};
use crate::numa::{HostNode, PinRules, nodes_read, nodes_render};
use crate::pci::{PciDevice, PciFilter};
use crate::user::render_ids;
use crate::view::HostSampleView;
use crate::wire_enum::wire_enum;
use crate::{Id, View};

wire_enum! {
    /// State of a host.
    HostState {
        Init = 0 "INIT",
        MonitoringMonitored = 1 "MONITORING_MONITORED",
        Monitored = 2 "MONITORED",
        Error = 3 "ERROR",
        Disabled = 4 "DISABLED",
        MonitoringError = 5 "MONITORING_ERROR",
        MonitoringInit = 6 "MONITORING_INIT",
        MonitoringDisabled = 7 "MONITORING_DISABLED",
        Offline = 8 "OFFLINE",
    }
}

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Id.
    pub id: Id,
    /// Name or address by which the front-end reaches it; unique.
    pub name: String,
    /// State.
    pub state: HostState,
    /// State before.
    pub prev_state: HostState,
    /// Monitoring driver.
    pub im_mad: String,
    /// Hypervisor driver.
    pub vm_mad: String,
    /// Cluster.
    pub cluster_id: Id,
    /// CPU of the host in hundredths of a CPU, as last told.
    pub total_cpu: i64,
    /// Memory of the host in KiB, as last told.
    pub total_memory_kib: i64,
    /// Kernel boot id, as last told; empty before the first contact.
    #[serde(default)]
    pub boot_id: String,
    /// Why the host is in error, for people; empty otherwise.
    #[serde(default)]
    pub error: String,
    /// What is known of it while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<HostLoss>,
    /// How often it has gone away so far.
    #[serde(default)]
    pub losses: u64,
    /// VMs that were given up on it, until it is known that no copy of them runs on it.
    #[serde(default, skip_serializing_if = "GivenUp::is_empty")]
    pub given_up: GivenUp,
    /// Its NUMA nodes, as last told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numa: Vec<HostNode>,
    /// All its PCI devices, as last told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciDevice>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Host, template);

/// TOTAL less RESERVED: an amount, or a percentage of the total (`10%`); negative amounts overcommit.
#[must_use]
pub fn capacity_less_reserved(total: i64, reserved: &str) -> i64 {
    let text = reserved.trim();
    let amount = match text.strip_suffix('%') {
        Some(percent) => percent
            .trim()
            .parse::<f64>()
            .ok()
            .map(|percent| (total as f64 * percent / 100.0) as i64),
        None => text.parse::<i64>().ok(),
    };
    total.saturating_sub(amount.unwrap_or(0))
}

impl Host {
    /// The capacity that may be held: the host's reservation if it says one, else the cluster's.
    #[must_use]
    pub fn capacity_max(&self, cluster: Option<&PackedTemplate>) -> (i64, i64) {
        let reserved = |name: &str| {
            let own = self.template.get(name).filter(|text| !text.trim().is_empty());
            own.or_else(|| cluster.and_then(|template| template.get(name)))
                .unwrap_or_default()
                .to_owned()
        };
        (
            capacity_less_reserved(self.total_cpu, &reserved("RESERVED_CPU")),
            capacity_less_reserved(self.total_memory_kib, &reserved("RESERVED_MEM")),
        )
    }

    /// Its PCI devices that VMs may get: those in its template (a `PCI` that is no device was refused when it was set), and
    /// of those that it has told of the ones that its filter lets pass.
    #[must_use]
    pub fn pci_devices(&self) -> Vec<PciDevice> {
        let mut devices: Vec<PciDevice> = self
            .template
            .vectors("PCI")
            .filter_map(|vector| PciDevice::read(|name| vector.get(name)).ok())
            .collect();
        if !self.pci.is_empty() {
            let filter = PciFilter::of_host(&self.template);
            let given: Vec<String> = devices.iter().map(PciDevice::address).collect();
            let found = self
                .pci
                .iter()
                .filter(|device| PciFilter::lets(filter.as_ref(), device));
            devices.extend(found.filter(|device| !given.contains(&device.address())).cloned());
        }
        devices
    }

    /// Its NUMA nodes: as it told, else as its template says.
    #[must_use]
    pub fn numa_nodes(&self) -> Cow<'_, [HostNode]> {
        if self.numa.is_empty() {
            Cow::Owned(nodes_read(&self.template))
        } else {
            Cow::Borrowed(&self.numa)
        }
    }

    /// What its template says of pinned VMs.
    #[must_use]
    pub fn pin_rules(&self) -> PinRules {
        PinRules::read(&self.template)
    }

    /// Whether VMs may be placed on it.
    #[must_use]
    pub fn accepts_vms(&self) -> bool {
        self.state == HostState::Monitored
    }

    /// Whether what it was asked for goes on: it is neither lost nor given up by an administrator.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        !matches!(
            self.state,
            HostState::Error | HostState::MonitoringError | HostState::Offline
        )
    }

    /// `<HOST>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        let sample = view.host_sample(self.id);
        out.open("HOST");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        out.number("STATE", i64::from(self.state.number()));
        out.number("PREV_STATE", i64::from(self.prev_state.number()));
        out.cdata_element("IM_MAD", &self.im_mad);
        out.cdata_element("VM_MAD", &self.vm_mad);
        out.number("CLUSTER_ID", i64::from(self.cluster_id));
        out.element("CLUSTER", view.cluster_name(self.cluster_id));
        self.render_share(out, view, sample.as_deref());
        render_ids(out, "VMS", &view.host_vms(self.id));
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        self.render_monitoring(out, sample.as_deref());
        out.close("HOST");
    }

    fn render_share(&self, out: &mut impl Markup, view: &impl View, sample: Option<&HostSampleView>) {
        let usage = view.host_usage(self.id);
        out.open("HOST_SHARE");
        out.number("MEM_USAGE", usage.memory_kib);
        out.number("CPU_USAGE", usage.cpu);
        out.number("TOTAL_MEM", self.total_memory_kib);
        out.number("TOTAL_CPU", self.total_cpu);
        out.number("MAX_MEM", usage.max_memory_kib);
        out.number("MAX_CPU", usage.max_cpu);
        out.number("RUNNING_VMS", usage.vms);
        let rules = self.pin_rules();
        out.number("VMS_THREAD", i64::from(rules.vms_thread));
        render_datastores(out, sample.map_or(&[], |sample| &sample.datastores));
        out.open("PCI_DEVICES");
        for device in self.pci_devices() {
            let holder = view.pci_holder(self.id, &device.address());
            device.render(out, holder.unwrap_or(-1));
        }
        out.close("PCI_DEVICES");
        nodes_render(out, &self.numa_nodes(), &rules, &view.host_numa(self.id));
        out.close("HOST_SHARE");
    }

    fn render_monitoring(&self, out: &mut impl Markup, sample: Option<&HostSampleView>) {
        match sample {
            Some(sample) => sample.render(out, self.id),
            None => {
                out.open("MONITORING");
                out.close("MONITORING");
            }
        }
    }
}

/// Space that the host reports: the totals are those of its first datastore, as its local disk.
fn render_datastores(out: &mut impl Markup, datastores: &[(Id, u64, u64, u64)]) {
    let (_, total, used, free) = datastores.first().copied().unwrap_or_default();
    out.open("DATASTORES");
    out.cdata_element("DISK_USAGE", "0");
    for (id, total, used, free) in datastores {
        out.open("DS");
        out.cdata_element("FREE_MB", &free.to_string());
        out.cdata_element("ID", &id.to_string());
        out.cdata_element("TOTAL_MB", &total.to_string());
        out.cdata_element("USED_MB", &used.to_string());
        out.close("DS");
    }
    out.cdata_element("FREE_DISK", &free.to_string());
    out.cdata_element("MAX_DISK", &total.to_string());
    out.cdata_element("USED_DISK", &used.to_string());
    out.close("DATASTORES");
}

#[cfg(test)]
mod tests {
    use super::capacity_less_reserved;

    #[test]
    fn reservations_are_amounts_or_percentages_and_may_overcommit() {
        for (reserved, left) in [
            ("", 1000),
            ("10", 990),
            ("10%", 900),
            ("-50%", 1500),
            ("-200", 1200),
            ("x", 1000),
            (" 5 % ", 950),
        ] {
            assert_eq!(capacity_less_reserved(1000, reserved), left, "{reserved:?}");
        }
    }
}
