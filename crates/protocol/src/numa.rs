//! What agents tell of NUMA nodes.

use serde::{Deserialize, Serialize};

/// A core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaCore {
    /// Its number within its node.
    pub id: u32,
    /// Its threads: numbers of CPUs of the host.
    pub cpus: Vec<u32>,
}

/// Huge pages of a node, of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaPages {
    /// Size of a page in KiB.
    pub size_kib: u64,
    /// How many there are, used or not.
    pub pages: u64,
}

/// A NUMA node: what of it changes rarely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNode {
    /// Its number.
    pub id: u32,
    /// Its cores, by number.
    pub cores: Vec<NumaCore>,
    /// Its huge pages, by size.
    pub pages: Vec<NumaPages>,
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// All nodes, the nearest (itself) first.
    pub near: Vec<u32>,
}

/// Use of a NUMA node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaSample {
    /// The number of the node.
    pub id: u32,
    /// Free memory in KiB.
    pub memory_free_kib: u64,
    /// Used memory in KiB.
    pub memory_used_kib: u64,
    /// Size in KiB and number of huge pages that nobody uses.
    pub pages_free: Vec<(u64, u64)>,
}
