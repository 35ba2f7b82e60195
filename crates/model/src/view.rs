//! What the XML form of an object needs to know beyond the object.

use std::sync::Arc;

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::numa::NumaUse;
use crate::quota::Quotas;
use crate::quota_usage::QuotaUsage;
use crate::sched_action::SchedAction;
use crate::vnet_range::LeaseUse;
use crate::{Id, Kind, Seconds};

/// Answers the questions of the XML forms: names, derived lists, measurements.
pub trait View {
    /// Name of a user, empty when it is gone.
    fn user_name(&self, id: Id) -> &str;
    /// Name of a group.
    fn group_name(&self, id: Id) -> &str;
    /// Name of a cluster.
    fn cluster_name(&self, id: Id) -> &str;
    /// Name of a datastore.
    fn datastore_name(&self, id: Id) -> &str;
    /// Users whose groups include this one.
    fn group_users(&self, id: Id) -> Vec<Id>;
    /// Hosts of a cluster.
    fn cluster_hosts(&self, id: Id) -> Vec<Id>;
    /// Datastores of a cluster.
    fn cluster_datastores(&self, id: Id) -> Vec<Id>;
    /// Virtual networks of a cluster.
    fn cluster_vnets(&self, id: Id) -> Vec<Id>;
    /// Images of a datastore.
    fn datastore_images(&self, id: Id) -> Vec<Id>;
    /// VMs that hold capacity of a host.
    fn host_vms(&self, id: Id) -> Vec<Id>;
    /// Capacity in use of a host.
    fn host_usage(&self, id: Id) -> HostUsage;
    /// What VMs have of the NUMA nodes of a host.
    fn host_numa(&self, id: Id) -> NumaUse;
    /// VM that has a PCI device of a host, by ADDRESS.
    fn pci_holder(&self, host: Id, address: &str) -> Option<Id>;
    /// VMs that hold an image.
    fn image_vms(&self, id: Id) -> Vec<Id>;
    /// Images that are clones of an image in the making.
    fn image_clones(&self, id: Id) -> Vec<Id>;
    /// Backup images of a VM.
    fn vm_backups(&self, id: Id) -> Vec<Id>;
    /// The backup job that a VM is part of.
    fn vm_backup_job(&self, id: Id) -> Option<Id>;
    /// Whether a VM lives.
    fn vm_lives(&self, id: Id) -> bool;
    /// Leases in use of a virtual network.
    fn vnet_leases(&self, id: Id) -> Vec<LeaseUse>;
    /// VMs that use a virtual network.
    fn vnet_vms(&self, id: Id) -> Vec<Id>;
    /// Virtual routers with a NIC in a virtual network.
    fn vnet_vrouters(&self, id: Id) -> Vec<Id>;
    /// VMs of a virtual router.
    fn vrouter_vms(&self, id: Id) -> Vec<Id>;
    /// VMs of a role of a VM group.
    fn vmgroup_vms(&self, id: Id, role: &str) -> Vec<Id>;
    /// VMs with a NIC in a security group.
    fn secgroup_vms(&self, id: Id) -> Vec<Id>;
    /// Name of a marketplace, empty when it is gone.
    fn market_name(&self, id: Id) -> &str;
    /// Appliances of a marketplace.
    fn market_apps(&self, id: Id) -> Vec<Id>;
    /// Scheduled actions of an object, by ascending id.
    fn sched_actions(&self, kind: Kind, id: Id) -> Vec<Arc<SchedAction>>;
    /// Space of a datastore in MiB: total, free, used; zeros when unknown.
    fn datastore_space(&self, id: Id) -> (u64, u64, u64);
    /// Last measurement of a host.
    fn host_sample(&self, id: Id) -> Option<Arc<HostSampleView>>;
    /// Last measurement of a VM.
    fn vm_sample(&self, id: Id) -> Option<Arc<VmSampleView>>;
    /// What a user uses of its quotas.
    fn user_usage(&self, id: Id) -> QuotaUsage;
    /// What a group uses of its quotas.
    fn group_usage(&self, id: Id) -> QuotaUsage;
    /// The quotas of users that have none of their own.
    fn default_user_quotas(&self) -> Option<&Quotas>;
    /// The quotas of groups that have none of their own.
    fn default_group_quotas(&self) -> Option<&Quotas>;
    /// Metrics of VM quotas that the configuration adds.
    fn quota_metrics(&self) -> &[String];
}

/// Capacity of a host: what its VMs hold, and how much may be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostUsage {
    /// Held CPU in hundredths of a CPU.
    pub cpu: i64,
    /// Held memory in KiB.
    pub memory_kib: i64,
    /// Number of VMs that hold capacity.
    pub vms: i64,
    /// CPU that may be held.
    pub max_cpu: i64,
    /// Memory that may be held, in KiB.
    pub max_memory_kib: i64,
}

/// A measurement of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSampleView {
    /// When.
    pub time: Seconds,
    /// Used CPU in hundredths of a CPU.
    pub cpu_used: i64,
    /// Free CPU in hundredths of a CPU.
    pub cpu_free: i64,
    /// Used memory in KiB.
    pub memory_used_kib: i64,
    /// Free memory in KiB.
    pub memory_free_kib: i64,
    /// Bytes received.
    pub net_rx_bytes: u64,
    /// Bytes sent.
    pub net_tx_bytes: u64,
    /// Datastores as the host sees them: id, MiB in all, used, free. Not kept.
    #[serde(skip)]
    pub datastores: Vec<(Id, u64, u64, u64)>,
    /// Its NUMA nodes. Not kept.
    #[serde(skip)]
    pub numa: Vec<NodeSample>,
    /// What the administrator's probes have measured. Not kept.
    #[serde(skip)]
    pub own: Option<Arc<PackedTemplate>>,
}

/// A measurement of a NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSample {
    /// Its number.
    pub id: u32,
    /// Free memory in KiB.
    pub memory_free_kib: u64,
    /// Used memory in KiB.
    pub memory_used_kib: u64,
    /// Size in KiB and number of huge pages that nobody uses.
    pub pages_free: Vec<(u64, u64)>,
}

impl NodeSample {
    fn render(&self, out: &mut impl Markup) {
        out.open("NUMA_NODE");
        for (size, free) in &self.pages_free {
            out.open("HUGEPAGE");
            out.cdata_element("FREE", &free.to_string());
            out.cdata_element("SIZE", &size.to_string());
            out.close("HUGEPAGE");
        }
        out.open("MEMORY");
        out.cdata_element("FREE", &self.memory_free_kib.to_string());
        out.cdata_element("USED", &self.memory_used_kib.to_string());
        out.close("MEMORY");
        out.cdata_element("NODE_ID", &self.id.to_string());
        out.close("NUMA_NODE");
    }
}

/// What a guest says of itself, by its agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestView {
    /// Its addresses, IPv4 first.
    pub addresses: Vec<String>,
    /// Its host name.
    pub hostname: String,
    /// Its operating system.
    pub system: String,
}

/// A measurement of a VM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VmSampleView {
    /// When.
    pub time: Seconds,
    /// Used CPU in hundredths of a CPU.
    pub cpu: f32,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Bytes received.
    pub net_rx_bytes: u64,
    /// Bytes sent.
    pub net_tx_bytes: u64,
    /// Bytes read from disks.
    pub disk_read_bytes: u64,
    /// Bytes written to disks.
    pub disk_write_bytes: u64,
    /// Read operations.
    pub disk_read_ops: u64,
    /// Write operations.
    pub disk_write_ops: u64,
    /// What its guest says of itself; it is no measurement, and is not kept as one.
    #[serde(skip)]
    pub guest: Option<Box<GuestView>>,
    /// What the administrator's probes have measured. Not kept.
    #[serde(skip)]
    pub own: Option<Arc<PackedTemplate>>,
}

impl HostSampleView {
    /// `<MONITORING>` of a host.
    pub fn render(&self, out: &mut impl Markup, host: Id) {
        out.open("MONITORING");
        out.number("TIMESTAMP", self.time);
        out.number("ID", i64::from(host));
        out.open("CAPACITY");
        out.cdata_element("FREE_CPU", &self.cpu_free.to_string());
        out.cdata_element("FREE_MEMORY", &self.memory_free_kib.to_string());
        out.cdata_element("USED_CPU", &self.cpu_used.to_string());
        out.cdata_element("USED_MEMORY", &self.memory_used_kib.to_string());
        out.close("CAPACITY");
        out.open("SYSTEM");
        out.cdata_element("NETRX", &self.net_rx_bytes.to_string());
        out.cdata_element("NETTX", &self.net_tx_bytes.to_string());
        out.close("SYSTEM");
        if let Some(own) = &self.own {
            out.packed(own);
        }
        for node in &self.numa {
            node.render(out);
        }
        out.close("MONITORING");
    }
}

impl GuestView {
    /// The names are those that OpenNebula's drivers have had for it; its schema has none of them.
    fn render(&self, out: &mut impl Markup) {
        let mut shown = |name: &str, text: &str| {
            if !text.is_empty() {
                out.cdata_element(name, text);
            }
        };
        shown("GUEST_HOSTNAME", &self.hostname);
        shown("GUEST_IP", self.addresses.first().map_or("", String::as_str));
        shown("GUEST_IP_ADDRESSES", &self.addresses.join(","));
        shown("GUEST_OS", &self.system);
    }
}

impl VmSampleView {
    /// `<MONITORING>` of a VM.
    pub fn render(&self, out: &mut impl Markup, vm: Id) {
        out.open("MONITORING");
        out.cdata_element("CPU", &format!("{:.1}", self.cpu));
        out.cdata_element("DISKRDBYTES", &self.disk_read_bytes.to_string());
        out.cdata_element("DISKRDIOPS", &self.disk_read_ops.to_string());
        out.cdata_element("DISKWRBYTES", &self.disk_write_bytes.to_string());
        out.cdata_element("DISKWRIOPS", &self.disk_write_ops.to_string());
        if let Some(guest) = &self.guest {
            guest.render(out);
        }
        out.cdata_element("ID", &vm.to_string());
        out.cdata_element("MEMORY", &self.memory_kib.to_string());
        out.cdata_element("NETRX", &self.net_rx_bytes.to_string());
        out.cdata_element("NETTX", &self.net_tx_bytes.to_string());
        out.cdata_element("TIMESTAMP", &self.time.to_string());
        if let Some(own) = &self.own {
            out.packed(own);
        }
        out.close("MONITORING");
    }
}
