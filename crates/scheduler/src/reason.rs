//! [`Reason`]: why a VM or a host is refused, as a code; and the words for it.

use std::fmt;

use plerion_model::host::{Host, HostState};

/// Why a VM was not placed, or a host was not taken. The later one, the nearer the host was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An attribute of the VM is no expression.
    Expression,
    /// There is no host.
    NoHost,
    /// The host is not in state MONITORED.
    HostState,
    /// The VM's owner may not use the host.
    Rights,
    /// The VM is on the host and is to leave it, or the host has another hypervisor driver.
    Leaving,
    /// The VM is to be moved with its memory, and has what cannot be.
    Bound,
    /// The host does not meet AUTOMATIC_REQUIREMENTS: its cluster lacks a datastore or network of the VM.
    AutomaticRequirements,
    /// The host does not meet SCHED_REQUIREMENTS.
    Requirements,
    /// The VM's group does not let it be on the host.
    Affinity,
    /// No network serves a NIC there whose network is chosen.
    Network,
    /// The host has too little CPU left.
    Cpu,
    /// The host has too little memory left.
    Memory,
    /// The host has no PCI devices left that the VM asks for.
    Pci,
    /// The host has no place left for the VM on its NUMA nodes: CPUs to pin to, memory of a node, huge pages.
    Numa,
    /// No system datastore of the host's cluster will do.
    Datastore,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Expression,
        Self::NoHost,
        Self::HostState,
        Self::Rights,
        Self::Leaving,
        Self::Bound,
        Self::AutomaticRequirements,
        Self::Requirements,
        Self::Affinity,
        Self::Network,
        Self::Cpu,
        Self::Memory,
        Self::Pci,
        Self::Numa,
        Self::Datastore,
    ];

    /// A stable name for machines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expression => "EXPRESSION",
            Self::NoHost => "NO_HOST",
            Self::HostState => "HOST_STATE",
            Self::Rights => "RIGHTS",
            Self::Leaving => "LEAVING",
            Self::Bound => "BOUND",
            Self::AutomaticRequirements => "AUTOMATIC_REQUIREMENTS",
            Self::Requirements => "REQUIREMENTS",
            Self::Affinity => "AFFINITY",
            Self::Network => "NETWORK",
            Self::Cpu => "CPU",
            Self::Memory => "MEMORY",
            Self::Pci => "PCI",
            Self::Numa => "NUMA",
            Self::Datastore => "DATASTORE",
        }
    }

    /// What follows "Cannot dispatch VM: " where this is as far as any host came. (Recorded: the text for requirements.)
    pub(crate) const fn headline(self) -> &'static str {
        match self {
            Self::Expression => "An attribute of the VM is no expression",
            Self::NoHost => "There is no host: add one with onehost create",
            Self::HostState => "No host is enabled and monitored",
            Self::Rights => "The owner may use none of the hosts",
            Self::Leaving => "There is no other host that it could be moved to",
            Self::Bound => "It cannot be moved with its memory",
            Self::AutomaticRequirements => "No host meets AUTOMATIC_REQUIREMENTS",
            Self::Requirements => "No host meets SCHED_REQUIREMENTS",
            Self::Affinity => "No host suits the rules of its VM group",
            Self::Network => "No host has a network that will do for each NIC with NETWORK_MODE = auto",
            Self::Cpu | Self::Memory => "No host has enough capacity left",
            Self::Pci => "No host has the PCI devices left that the VM asks for",
            Self::Numa => "No host has a place left for the NUMA topology of the VM",
            Self::Datastore => "No host has a system datastore that will do",
        }
    }
}

/// How a host of this reason is counted.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expression => "no expression",
            Self::NoHost => "no host",
            Self::HostState => "not enabled and monitored",
            Self::Rights => "its owner may not use it",
            Self::Leaving => "the VM is to leave it",
            Self::Bound => "the VM cannot be moved to it with its memory",
            Self::AutomaticRequirements => "AUTOMATIC_REQUIREMENTS not met",
            Self::Requirements => "SCHED_REQUIREMENTS not met",
            Self::Affinity => "rules of the VM group not met",
            Self::Network => "no fitting network",
            Self::Cpu => "not enough CPU",
            Self::Memory => "not enough memory",
            Self::Pci => "no such PCI device free",
            Self::Numa => "no place for the NUMA topology",
            Self::Datastore => "no fitting system datastore",
        })
    }
}

/// Most characters of a foreign text that a reason shows.
const QUOTED_CHARS_MAX: usize = 160;

/// A text short enough to be part of a message, on one line.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

/// Why a host that is not MONITORED takes no VMs.
pub(crate) fn state_text(host: &Host) -> String {
    match host.state {
        HostState::Disabled | HostState::MonitoringDisabled => "is disabled".into(),
        HostState::Offline => "is offline".into(),
        HostState::Error | HostState::MonitoringError if host.error.is_empty() => "is in error".into(),
        HostState::Error | HostState::MonitoringError => format!("is in error: {}", clip(&host.error)),
        HostState::Init | HostState::MonitoringInit => "has not been reached yet".into(),
        HostState::Monitored | HostState::MonitoringMonitored => {
            "is being monitored for the first time".into()
        }
    }
}

/// Hundredths of a CPU as CPUs: `150` is `1.5`.
pub(crate) fn cpu_text(hundredths: i64) -> String {
    let part = hundredths.unsigned_abs() % 100;
    let whole = format!(
        "{}{}",
        if hundredths < 0 { "-" } else { "" },
        hundredths.unsigned_abs() / 100
    );
    match (part, part % 10) {
        (0, _) => whole,
        (_, 0) => format!("{whole}.{}", part / 10),
        _ => format!("{whole}.{part:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_shown_as_cpus() {
        for (hundredths, text) in [
            (0, "0"),
            (5, "0.05"),
            (10, "0.1"),
            (100, "1"),
            (150, "1.5"),
            (1234, "12.34"),
            (-50, "-0.5"),
        ] {
            assert_eq!(cpu_text(hundredths), text, "{hundredths}");
        }
    }

    #[test]
    fn foreign_texts_are_short_and_on_one_line() {
        assert_eq!(clip("a\nb"), "a b");
        assert_eq!(clip(&"ü".repeat(500)).chars().count(), QUOTED_CHARS_MAX + 1);
    }

    #[test]
    fn codes_differ() {
        let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
