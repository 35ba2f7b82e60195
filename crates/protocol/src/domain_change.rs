//! Changes of a domain that runs.

use serde::{Deserialize, Serialize};

use crate::bridge::Bridge;

/// A device of a domain, by what tells it from the others there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The disk with that target (`vdb`).
    Disk(String),
    /// The network interface with that MAC address.
    Nic(String),
}

/// What changes. Each is idempotent: a device that is there is not attached again, one that is gone is not looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainChange {
    /// A device comes.
    Attach {
        /// Which.
        device: Device,
        /// Its `<disk>` or `<interface>`.
        xml: String,
        /// Bridges that must exist.
        bridges: Vec<Bridge>,
    },
    /// A device goes, once the guest has let go of it.
    Detach {
        /// Which.
        device: Device,
    },
    /// A device gets other attributes.
    Update {
        /// Which.
        device: Device,
        /// Its `<interface>` as it is to be.
        xml: String,
    },
    /// A disk grows, and its file with it; one that is as large already stays.
    Grow {
        /// Its target.
        target: String,
        /// Size in MiB.
        size_mib: u64,
    },
    /// Memory and disks are saved within the disks, under a name.
    SnapshotTake {
        /// The name.
        snapshot: String,
    },
    /// Memory and disks are as they were saved.
    SnapshotRevert {
        /// The name.
        snapshot: String,
    },
    /// What was saved is dropped; none of that name is a success.
    SnapshotDelete {
        /// The name.
        snapshot: String,
    },
}
