//! What agents measure.

use serde::{Deserialize, Serialize};

use crate::lease::{LeaseKeep, LeaseLook};
use crate::numa::{NumaNode, NumaSample};
use crate::pci::PciFound;

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Seconds between samples. A sample is also sent at once when this message arrives.
    pub interval_s: u32,
    /// Datastores: id and directory.
    pub datastores: Vec<(i32, String)>,
    /// Whether to watch domains and the host (false for the front-end's own agent).
    pub hypervisor: bool,
    /// Caches of images that are to be pruned.
    #[serde(default)]
    pub caches: Vec<CacheWatch>,
    /// Domains that must not run, by name and UUID: they are ended before anything else is done or said.
    #[serde(default)]
    pub unwanted: Vec<(String, String)>,
    /// Datastores on which it keeps a lease.
    #[serde(default)]
    pub leases: Vec<LeaseKeep>,
    /// VMs of other hosts whose leases and locks it looks at.
    #[serde(default)]
    pub looks: Vec<LeaseLook>,
}

/// A system datastore whose cache of images is pruned by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheWatch {
    /// Directory of the datastore.
    pub directory: String,
    /// Seconds after its last use from which an image goes.
    pub unused_s: u64,
    /// Percent of the file system that are to be free: with less, images go that have not been used longest.
    pub free_percent: u8,
}

/// State of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// It runs (or is blocked, idle).
    Running,
    /// It is paused.
    Paused,
    /// It is gone: the guest shut itself down, or somebody destroyed it.
    Off,
    /// It is gone: QEMU died or the guest crashed.
    Crashed,
    /// It is gone: it was shut down while its host was shutting down.
    HostStops,
    /// It is not there any more, and nobody saw why.
    Gone,
    /// It was saved.
    Saved,
    /// It left by migration.
    Migrated,
}

/// What a host is; changes rarely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its own name.
    pub hostname: String,
    /// `x86_64`, …
    pub arch: String,
    /// Name of the CPU model.
    pub cpu_model: String,
    /// MHz.
    pub cpu_mhz: u32,
    /// Number of CPUs.
    pub cpus: u32,
    /// Total memory in KiB.
    pub memory_kib: u64,
    /// Whether guests start under KVM (probed by starting one, not by looking for /dev/kvm).
    pub kvm_usable: bool,
    /// 1 or 2.
    pub cgroups_version: u8,
    /// `kvm` or `qemu`: what the host's guests should run on.
    pub hypervisor: String,
    /// Version of this program.
    pub version: String,
}

/// Use of a host at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// Used CPU in hundredths of a CPU.
    pub cpu_used: u32,
    /// Used memory in KiB.
    pub memory_used_kib: u64,
    /// Bytes received on physical interfaces since boot.
    pub net_rx_bytes: u64,
    /// Bytes sent.
    pub net_tx_bytes: u64,
    /// Use of its NUMA nodes.
    #[serde(default)]
    pub numa: Vec<NumaSample>,
    /// What its NUMA nodes are; only where that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_nodes: Option<Vec<NumaNode>>,
    /// Its PCI devices; only where that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<Vec<PciFound>>,
}

/// What the agent in a guest says of it. All of it is the guest's own word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSample {
    /// Its addresses that others can reach, as texts, IPv4 first.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its host name.
    #[serde(default)]
    pub hostname: String,
    /// Its operating system, with its version.
    #[serde(default)]
    pub system: String,
}

/// Use of a VM at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmSample {
    /// Name of the domain.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its state.
    pub state: DomainState,
    /// Used CPU in hundredths of a CPU since the last sample.
    pub cpu: f32,
    /// Resident memory in KiB.
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
    /// What its guest says of itself, if its agent has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestSample>,
}

impl VmSample {
    /// Of a domain that has used nothing yet.
    #[must_use]
    pub fn unused(name: String, uuid: String, state: DomainState) -> Self {
        Self {
            name,
            uuid,
            state,
            cpu: 0.0,
            memory_kib: 0,
            net_rx_bytes: 0,
            net_tx_bytes: 0,
            disk_read_bytes: 0,
            disk_write_bytes: 0,
            disk_read_ops: 0,
            disk_write_ops: 0,
            guest: None,
        }
    }
}

/// A domain that no cloud manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WildSample {
    /// Name of the domain.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its CPUs.
    pub cpus: u32,
    /// Its memory in KiB.
    pub memory_kib: u64,
}

/// Space of a datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastoreSample {
    /// Id; -1 where the question had none.
    pub id: i32,
    /// MiB in all.
    pub total_mib: u64,
    /// MiB in use.
    pub used_mib: u64,
    /// MiB free.
    pub free_mib: u64,
}
