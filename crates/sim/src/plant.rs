//! [`Bug`]: mistakes that the simulator must find, each where the real code decides the same thing right.
//!
//! Without the feature `planted-bugs` [`Plant::has`] is a constant `false`, and nothing of them is left.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Agents obey front-ends of lower epochs.
    EpochIgnored,
    /// A front-end that takes over does not raise the epoch.
    EpochNotRaised,
    /// The store lets a front-end write that was replaced.
    FenceIgnored,
    /// Callers are answered before their change is committed.
    AnswerBeforeCommit,
    /// Agents are asked before the change that asks for it is committed.
    SendBeforeCommit,
    /// The store says that it has committed, and has not.
    CommitSkipped,
    /// The store loses objects of a commit.
    ObjectLost,
    /// The store keeps objects that were deleted.
    DeleteLost,
    /// The store forgets which ids were handed out.
    IdsLost,
    /// The store keeps intents that are over.
    OutboxKept,
    /// After a restart the leases of VMs count as free.
    LeasesFreed,
    /// After a restart VMs hold no capacity of their hosts.
    UsageLost,
    /// A result of an older step ends the step that runs now.
    LateResultTaken,
    /// The result of an action is lost within the front-end.
    ResultDropped,
    /// What was under way is not asked for again after a link was down.
    LinkUpSilent,
    /// Actions go to another host than the VM's.
    HostMistaken,
    /// Placements are not checked against the capacity of hosts.
    CapacityIgnored,
    /// An agent starts a domain that runs already.
    StartTwice,
    /// An agent says that it destroyed a domain before it has.
    DestroyPretended,
    /// Agents do not say which results they keep when a link is up.
    JournalUntold,
    /// A host that was restarted has the boot id of before.
    BootIdOld,
    /// After a restart it is not known which VMs are to be started again.
    RestartsForgotten,
    /// The program that fences hosts says that it has, and has not.
    FencePretended,
    /// That a host is silent for long counts as a proof that it runs nothing.
    SilenceProves,
    /// An agent runs a command in a guest again of which it does not know whether it ran.
    CommandRepeated,
    /// An agent takes the silence of libvirt for the end of all domains.
    LibvirtBelieved,
    /// A file gets its name before it is whole.
    HalfNamed,
    /// An agent does not notice that there was no room.
    RoomIgnored,
    /// A disk is said to be what it was in a snapshot, and is not.
    RevertPretended,
    /// The time for which a host is silent counts twice.
    SilenceDoubled,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::EpochIgnored,
        Self::EpochNotRaised,
        Self::FenceIgnored,
        Self::AnswerBeforeCommit,
        Self::SendBeforeCommit,
        Self::CommitSkipped,
        Self::ObjectLost,
        Self::DeleteLost,
        Self::IdsLost,
        Self::OutboxKept,
        Self::LeasesFreed,
        Self::UsageLost,
        Self::LateResultTaken,
        Self::ResultDropped,
        Self::LinkUpSilent,
        Self::HostMistaken,
        Self::CapacityIgnored,
        Self::StartTwice,
        Self::DestroyPretended,
        Self::JournalUntold,
        Self::BootIdOld,
        Self::RestartsForgotten,
        Self::FencePretended,
        Self::SilenceProves,
        Self::CommandRepeated,
        Self::LibvirtBelieved,
        Self::HalfNamed,
        Self::RoomIgnored,
        Self::RevertPretended,
        Self::SilenceDoubled,
    ];
}

/// The mistake of a run, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plant {
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Plant {
    /// A run with a mistake.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn new(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    /// Whether the run has this mistake.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether the run has this mistake: never without the feature.
    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(crate) const fn has(self, _bug: Bug) -> bool {
        false
    }
}
