//! What the front-end's agent and the two ends of a live migration say to each other, one frame each.

use plerion_protocol::DiskFormat;
use serde::{Deserialize, Serialize};

/// To the end that the domain leaves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Departure {
    pub(super) name: String,
    pub(super) uuid: String,
    /// What the names of the sockets of this migration have in common.
    pub(super) token: String,
    /// Targets of the disks that are copied; none where both hosts see the same files.
    pub(super) targets: Vec<String>,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Leaving {
    /// Whether the domain is there.
    pub(super) runs: bool,
    /// Sizes of the disks in bytes, as the guest sees them.
    pub(super) bytes: Vec<u64>,
}

/// To the same end: the other one is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Go;

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) error: Option<String>,
    /// Whether the domain is still there.
    pub(super) runs: bool,
}

/// To the end where the domain arrives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Arrival {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) token: String,
    /// Disks to make, which the hypervisor fills.
    pub(super) disks: Vec<ArrivingDisk>,
}

/// A disk to make.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ArrivingDisk {
    pub(super) path: String,
    pub(super) format: DiskFormat,
    pub(super) bytes: u64,
}

/// To the end where the domain arrives: what more is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Does the domain run there?
    Look,
    /// It did not arrive: its files are to go.
    Undo,
}

/// The answer to anything that the end where it arrives is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Arrived {
    /// Whether the domain runs there.
    pub(super) runs: bool,
}
