//! When a VM of a host that does not answer may be started on another host: [`may_start_elsewhere`], a pure function.
//!
//! That a host does not answer proves nothing about its guests: the network between the two may be cut. A VM that was started
//! twice writes its disks twice, so there must be a proof that it does not run any more. Fencing is one: a program that the
//! administrator has named has ended well, which says that nothing of what ran on the host runs there any more. The other one is
//! storage that another host sees no lock of the VM on, after the lease of its host has ended ([`Lease`]). Time alone proves
//! nothing, however long.

use plerion_model::Id;
use plerion_model::host_failure::OnHostFailure;

/// How its host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostStanding {
    /// It answers.
    Answers,
    /// An administrator has set it aside.
    Offline,
    /// It does not answer; for so many seconds, as far as this front-end has seen by its own clock that never jumps.
    Silent(u64),
}

/// How it stands with fencing its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// No program is named for it.
    NoHook,
    /// It was not asked for yet.
    NotAsked,
    /// It runs, or is about to.
    Asked,
    /// It has failed.
    Failed {
        /// Whether it is to be tried again now.
        again: bool,
        /// What it said.
        why: String,
    },
    /// It has ended well since the host went away.
    Done,
}

/// What another host sees of the lease of a VM's host, and of the locks on the VM's disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// No lease is kept where its disks are.
    None,
    /// They prove nothing (yet); why.
    Holds(String),
    /// The lease has ended, and what has had the disks open can never write to them again.
    Ended,
}

/// What a host has said of the lease of another one and of the locks on a VM's disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseWord {
    /// Number of the loss of the VM's host that this is about.
    pub loss: u64,
    /// Why they prove nothing, if they do not.
    pub proof: Result<(), String>,
}

/// By VM.
pub type LeaseWords = imbl::HashMap<Id, LeaseWord>;

/// All that the decision looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is asked for.
    pub policy: OnHostFailure,
    /// Host on which the VM ran.
    pub host_id: Id,
    /// How it stands.
    pub host: HostStanding,
    /// Seconds that a host must have been silent to count as failed.
    pub wait_s: u64,
    /// Whether any other host answers. Where none does, the front-end itself may be cut off.
    pub others_answer: bool,
    /// Whether other hosts have the VM's disks; why not.
    pub storage: Result<(), String>,
    /// How it stands with fencing.
    pub fencing: Fencing,
    /// What is seen of its lease.
    pub lease: Lease,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, and nothing is to be said.
    Nothing,
    /// Nothing yet, for a reason that the VM shows.
    Wait(String),
    /// The host is to be fenced.
    Fence,
    /// It may be started elsewhere: it is proved that it does not run on its host.
    Start,
}

/// Decides about a VM that ran on a host that is not known to answer.
#[must_use]
pub fn may_start_elsewhere(standing: &Standing) -> Verdict {
    let host = standing.host_id;
    let silent_s = match (standing.policy, standing.host) {
        (OnHostFailure::Nothing, _) | (_, HostStanding::Answers) => return Verdict::Nothing,
        (_, HostStanding::Offline) => {
            return Verdict::Wait(format!(
                "Waits for host {host}, which is OFFLINE: it is left alone until it is enabled."
            ));
        }
        (OnHostFailure::Same, HostStanding::Silent(_)) => {
            return Verdict::Wait(format!("Waits for host {host}, which does not answer."));
        }
        (OnHostFailure::Elsewhere, HostStanding::Silent(seconds)) => seconds,
    };
    if let Err(why) = &standing.storage {
        return Verdict::Wait(format!("Not started elsewhere: {why} It waits for host {host}."));
    }
    if standing.fencing == Fencing::Done {
        return Verdict::Start;
    }
    if silent_s < standing.wait_s {
        return Verdict::Wait(format!(
            "Host {host} does not answer. It counts as failed after {} s (HOST_FAILURE_SECONDS).",
            standing.wait_s
        ));
    }
    if !standing.others_answer {
        return Verdict::Wait(format!(
            "Not started elsewhere: no other host answers either, so the front-end itself may be cut off. Host {host} is not \
             fenced for that."
        ));
    }
    if standing.lease == Lease::Ended {
        return Verdict::Start;
    }
    match &standing.fencing {
        Fencing::NotAsked | Fencing::Failed { again: true, .. } => Verdict::Fence,
        Fencing::Asked => Verdict::Wait(format!("Waits until host {host} is fenced.")),
        Fencing::Failed { again: false, why } => Verdict::Wait(format!(
            "Not started elsewhere: host {host} could not be fenced ({why}), so the VM may still run there. It is tried again."
        )),
        Fencing::NoHook => Verdict::Wait(nothing_proves(standing)),
        Fencing::Done => Verdict::Start,
    }
}

/// Why a VM waits whose host nobody can fence.
fn nothing_proves(standing: &Standing) -> String {
    let host = standing.host_id;
    match &standing.lease {
        Lease::Holds(why) => format!(
            "Not started elsewhere: {why} It is looked at again and again; a hook for fencing, or FENCED_BY_HAND = YES on host \
             {host} once you have switched it off, prove it as well."
        ),
        Lease::None | Lease::Ended => format!(
            "Not started elsewhere: nothing proves that it does not run on host {host} any more, as no hook for fencing is \
             there (RESOURCE = HOST, STATE = FENCE). Once you have switched the host off by hand, write FENCED_BY_HAND = YES \
             to it (onehost update -a {host})."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Nothing => "nothing",
            Verdict::Fence => "fence",
            Verdict::Start => "start",
            Verdict::Wait(why) => why,
        }
    }

    fn failed(again: bool) -> Fencing {
        Fencing::Failed {
            again,
            why: "exit status 1".into(),
        }
    }

    /// A row differs from one that leads to fencing by what it names.
    #[test]
    fn the_table() {
        use HostStanding::{Answers, Offline, Silent};
        use OnHostFailure::{Elsewhere, Nothing, Same};
        let base = || Standing {
            policy: Elsewhere,
            host_id: 7,
            host: Silent(60),
            wait_s: 60,
            others_answer: true,
            storage: Ok(()),
            fencing: Fencing::NotAsked,
            lease: Lease::None,
        };
        let holds = || Lease::Holds("disk.0 is still locked.".into());
        let local = || Err("its disks are on the host itself.".to_owned());
        let done = || Fencing::Done;
        let table: Vec<(Standing, &str)> = vec![
            (base(), "fence"),
            (
                Standing {
                    policy: Nothing,
                    ..base()
                },
                "nothing",
            ),
            (
                Standing {
                    policy: Nothing,
                    fencing: done(),
                    ..base()
                },
                "nothing",
            ),
            (
                Standing {
                    policy: Same,
                    ..base()
                },
                "Waits for host 7",
            ),
            (
                Standing {
                    policy: Same,
                    fencing: done(),
                    ..base()
                },
                "Waits for host 7",
            ),
            (
                Standing {
                    host: Answers,
                    ..base()
                },
                "nothing",
            ),
            (
                Standing {
                    host: Answers,
                    fencing: done(),
                    ..base()
                },
                "nothing",
            ),
            (
                Standing {
                    host: Offline,
                    ..base()
                },
                "Waits for host 7, which is OFFLINE",
            ),
            (
                Standing {
                    host: Offline,
                    fencing: done(),
                    ..base()
                },
                "Waits for host 7, which is OFFLINE",
            ),
            (
                Standing {
                    host: Silent(59),
                    ..base()
                },
                "counts as failed after 60 s",
            ),
            (
                Standing {
                    host: Silent(0),
                    fencing: done(),
                    ..base()
                },
                "start",
            ),
            (
                Standing {
                    host: Silent(u64::MAX),
                    fencing: Fencing::NoHook,
                    ..base()
                },
                "nothing proves",
            ),
            (
                Standing {
                    fencing: Fencing::NoHook,
                    lease: holds(),
                    ..base()
                },
                "disk.0 is still locked",
            ),
            (
                Standing {
                    lease: holds(),
                    ..base()
                },
                "fence",
            ),
            (
                Standing {
                    fencing: Fencing::NoHook,
                    lease: Lease::Ended,
                    ..base()
                },
                "start",
            ),
            (
                Standing {
                    fencing: failed(false),
                    lease: Lease::Ended,
                    ..base()
                },
                "start",
            ),
            (
                Standing {
                    host: Silent(59),
                    lease: Lease::Ended,
                    ..base()
                },
                "counts as failed after 60 s",
            ),
            (
                Standing {
                    host: Offline,
                    lease: Lease::Ended,
                    ..base()
                },
                "Waits for host 7, which is OFFLINE",
            ),
            (
                Standing {
                    storage: local(),
                    lease: Lease::Ended,
                    ..base()
                },
                "its disks are on the host itself",
            ),
            (
                Standing {
                    policy: Same,
                    lease: Lease::Ended,
                    ..base()
                },
                "Waits for host 7",
            ),
            (
                Standing {
                    others_answer: false,
                    ..base()
                },
                "cut off",
            ),
            (
                Standing {
                    others_answer: false,
                    fencing: done(),
                    ..base()
                },
                "start",
            ),
            (
                Standing {
                    storage: local(),
                    ..base()
                },
                "its disks are on the host itself",
            ),
            (
                Standing {
                    storage: local(),
                    fencing: done(),
                    ..base()
                },
                "its disks are on the host itself",
            ),
            (
                Standing {
                    fencing: Fencing::Asked,
                    ..base()
                },
                "is fenced",
            ),
            (
                Standing {
                    fencing: failed(false),
                    ..base()
                },
                "could not be fenced (exit status 1)",
            ),
            (
                Standing {
                    fencing: failed(true),
                    ..base()
                },
                "fence",
            ),
            (
                Standing {
                    fencing: failed(true),
                    host: Silent(1),
                    ..base()
                },
                "counts as failed",
            ),
            (
                Standing {
                    fencing: done(),
                    ..base()
                },
                "start",
            ),
        ];
        for (standing, expect) in table {
            let verdict = may_start_elsewhere(&standing);
            let said = short(&verdict);
            let same = if expect.contains(' ') {
                said.contains(expect)
            } else {
                said == expect
            };
            assert!(same, "{standing:?}: {said}, not {expect}");
        }
    }

    /// Whatever else is the case, nothing starts without a proof.
    #[test]
    fn silence_is_no_proof_and_a_lease_that_holds_is_none() {
        let fencings = [
            Fencing::NoHook,
            Fencing::NotAsked,
            Fencing::Asked,
            failed(false),
            failed(true),
        ];
        for fencing in fencings {
            for seconds in [0, 60, u64::MAX] {
                for (others_answer, lease) in [
                    (false, Lease::None),
                    (true, Lease::None),
                    (true, Lease::Holds("locked".into())),
                ] {
                    let standing = Standing {
                        policy: OnHostFailure::Elsewhere,
                        host_id: 0,
                        host: HostStanding::Silent(seconds),
                        wait_s: 60,
                        others_answer,
                        storage: Ok(()),
                        fencing: fencing.clone(),
                        lease,
                    };
                    assert_ne!(may_start_elsewhere(&standing), Verdict::Start, "{standing:?}");
                }
            }
        }
    }
}
