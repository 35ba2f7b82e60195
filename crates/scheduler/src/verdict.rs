//! Why a VM waits, for people and for programs.

use plerion_model::Id;

use crate::reason::Reason;

/// Why a host was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVerdict {
    /// Host.
    pub host: Id,
    /// Why, for machines.
    pub code: Reason,
    /// Why, in plain words.
    pub reason: String,
}

/// Why a VM waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// VM.
    pub vm: Id,
    /// Why, for machines: how far the hosts came that came furthest.
    pub code: Reason,
    /// One line for SCHED_MESSAGE, without a time: it stays the same while the reasons do.
    pub summary: String,
    /// The first hosts by id, as many as [`crate::Limits::hosts_named`], and why each was refused.
    pub hosts: Vec<HostVerdict>,
    /// How many of the other hosts were refused for each reason.
    pub others: Vec<(Reason, usize)>,
}
