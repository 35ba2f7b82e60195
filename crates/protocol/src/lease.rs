//! Leases of hosts on shared datastores, and what other hosts see of them.

use serde::{Deserialize, Serialize};

/// Seconds beyond its own that a lease must not have been seen renewed until it counts as ended: time for the host to end
/// its guests.
pub const LEASE_MARGIN_S: u32 = 20;

/// A datastore on which an agent keeps a lease: it renews it there, and ends its guests there when it cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseKeep {
    /// Directory of the datastore.
    pub directory: String,
    /// Id of the host.
    pub host: i32,
    /// Seconds after the last renewal at which guests are ended.
    pub seconds: u32,
}

/// A VM of another host that does not answer: its lease and the locks on its disks are to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseLook {
    /// Id of the VM.
    pub vm: i32,
    /// Its UUID.
    pub uuid: String,
    /// Id of its host.
    pub host: i32,
    /// Number of the loss of that host.
    pub loss: u64,
    /// Directory of the datastore.
    pub directory: String,
    /// Seconds of the lease.
    pub seconds: u32,
}

/// What was seen of a [`LeaseLook`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSeen {
    /// Id of the VM.
    pub vm: i32,
    /// Number of the loss of its host.
    pub loss: u64,
    /// What it means.
    pub sight: LeaseSight,
}

/// Whether what a VM had open on its host can be written by it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseSight {
    /// It is not proved that it cannot, for this reason.
    Holds(String),
    /// It cannot: the lease has ended, and no disk of the VM is locked.
    Ended,
}
