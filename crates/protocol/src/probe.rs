//! Scripts by which an administrator measures more than the agent does.

use serde::{Deserialize, Serialize};

/// What probes of one directory are about, and how often they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFamily {
    /// `host/beacon`: something is done on the host; what it prints is of no interest.
    HostBeacon,
    /// `host/system`: what the host is.
    HostSystem,
    /// `host/monitor`: how the host is used.
    HostMonitor,
    /// `vm/monitor`: how VMs are used.
    VmMonitor,
    /// `vm/status`: states of VMs.
    VmStatus,
}

impl ProbeFamily {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::HostBeacon,
        Self::HostSystem,
        Self::HostMonitor,
        Self::VmMonitor,
        Self::VmStatus,
    ];

    /// Its directory beneath the one of a driver's probes.
    #[must_use]
    pub fn directory(self) -> &'static str {
        match self {
            Self::HostBeacon => "host/beacon",
            Self::HostSystem => "host/system",
            Self::HostMonitor => "host/monitor",
            Self::VmMonitor => "vm/monitor",
            Self::VmStatus => "vm/status",
        }
    }
}

/// A file that goes to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFile {
    /// Its path beneath the directory of the drivers' scripts.
    pub path: String,
    /// Whether it may be run.
    pub runs: bool,
    /// What is in it, in base64.
    pub content: String,
}

/// The probes of a host, instead of those that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSet {
    /// Said again when they are there.
    pub token: String,
    /// Driver of the host.
    pub driver: String,
    /// Id of the host.
    pub host: i32,
    /// Name of the host.
    pub name: String,
    /// The probes and what they need.
    pub files: Vec<ProbeFile>,
    /// Which of the files are run.
    pub probes: Vec<(ProbeFamily, String)>,
}

/// What came of the probes of a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRound {
    /// The family.
    pub family: ProbeFamily,
    /// Path of each probe, and what it printed or why it failed.
    pub outcomes: Vec<(String, Result<String, String>)>,
}
