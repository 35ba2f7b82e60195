//! [`Limits`]: the bounds of a plan and the policies of VMs that name none.

use plerion_model::Seconds;
use plerion_world::Config;

/// Bounds of a plan, and what holds for VMs that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// VMs looked at in one plan, the first by priority and id. The others are put off.
    pub vms: usize,
    /// Placements in one plan. VMs beyond are put off.
    pub placements: usize,
    /// VMs that may be starting on one host at once; `None` is no bound. It does not change which host a VM goes to:
    /// one whose host is busy is put off and its place there is kept.
    pub host_starts: Option<usize>,
    /// VMs that may be starting on all hosts together; `None` is no bound. Those beyond are put off, their places kept.
    pub starts: Option<usize>,
    /// Bytes of a user's expression; a longer one is not evaluated.
    pub expression_bytes: usize,
    /// Hosts that a refusal names with their reason; of the others it tells how many there are by reason.
    pub hosts_named: usize,
    /// Bytes of the summary of a refusal.
    pub summary_bytes: usize,
    /// Age in seconds above which a host's measurement no longer tells its free disk space.
    pub sample_age: Seconds,
    /// Rank of hosts for VMs without SCHED_RANK; empty is the host with the fewest VMs.
    pub host_rank: String,
    /// Rank of system datastores for VMs without SCHED_DS_RANK; empty is the one with the most free space.
    pub datastore_rank: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            vms: 5000,
            placements: 5000,
            host_starts: None,
            starts: None,
            expression_bytes: 16 * 1024,
            hosts_named: 10,
            summary_bytes: 2048,
            sample_age: 900,
            host_rank: String::new(),
            datastore_rank: String::new(),
        }
    }
}

impl Limits {
    /// The usual bounds, with those that oned.conf sets (`MAX_ACTIONS_PER_HOST`, `MAX_ACTIONS_PER_CLUSTER`).
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            host_starts: config.host_starts,
            starts: config.starts,
            ..Self::default()
        }
    }
}
