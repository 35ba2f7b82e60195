//! What is to become of VMs whose host fails, and what is known of a host that does not answer.

use std::collections::BTreeMap;

use plerion_template::PackedTemplate;
use serde::{Deserialize, Serialize};

use crate::{Id, Seconds};

/// What `ON_HOST_FAILURE` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHostFailure {
    /// Nothing: the VM is UNKNOWN until somebody does something.
    #[default]
    Nothing,
    /// It waits for its host and runs there again.
    Same,
    /// It is started on another host once it is proved that it does not run on its own, where its storage allows.
    Elsewhere,
}

impl OnHostFailure {
    /// The meaning of a value; `None` where it has none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim();
        [
            ("none", Self::Nothing),
            ("same", Self::Same),
            ("elsewhere", Self::Elsewhere),
        ]
        .into_iter()
        .find(|(known, _)| word.eq_ignore_ascii_case(known))
        .map(|(_, meaning)| meaning)
    }

    /// What a template asks for; `None` where it is silent or says something without a meaning.
    #[must_use]
    pub fn of(template: &PackedTemplate) -> Option<Self> {
        template.get("ON_HOST_FAILURE").and_then(Self::parse)
    }
}

/// What is known of a host that does not answer, from the moment at which that was noticed until it answers again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLoss {
    /// Number of the loss among those of the host: another one is another time that it went away.
    pub number: u64,
    /// When it was noticed.
    pub since: Seconds,
    /// How far it has come with fencing it; `None` before that was asked for.
    #[serde(default)]
    pub fence: Option<Fence>,
}

/// How far it has come with fencing a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The execution of the hook. Of this loss are the results of this one and of later ones only.
    pub execution: Id,
    /// When it was asked for, or how it ended was told.
    pub time: Seconds,
    /// How often it was asked for.
    pub tries: u32,
    /// How it went.
    pub state: FenceState,
}

/// How it went with fencing a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceState {
    /// It has not ended yet.
    Asked,
    /// The program has said that nothing of before runs on the host any more.
    Done,
    /// The program has failed: the host may run all that it ran.
    Failed,
}

/// Seconds before fencing is tried again for the first time; the pause doubles with each try.
const FENCE_PAUSE_S: Seconds = 60;
/// Most doublings of that pause.
const FENCE_DOUBLINGS_MAX: u32 = 4;

impl Fence {
    /// From when it may be tried again, after it has failed.
    #[must_use]
    pub fn next_try(&self) -> Seconds {
        let doublings = self.tries.saturating_sub(1).min(FENCE_DOUBLINGS_MAX);
        self.time
            .saturating_add(FENCE_PAUSE_S.saturating_mul(1_i64 << doublings))
    }
}

/// VMs that were given up on a host, with the UUIDs of their domains: a copy of them may run there that must not.
pub type GivenUp = BTreeMap<Id, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expect) in [
            ("none", Some(OnHostFailure::Nothing)),
            (" Same ", Some(OnHostFailure::Same)),
            ("ELSEWHERE", Some(OnHostFailure::Elsewhere)),
            ("anywhere", None),
            ("", None),
        ] {
            assert_eq!(OnHostFailure::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn fencing_is_tried_again_ever_more_rarely() {
        let fence = |tries| Fence {
            execution: 0,
            time: 100,
            tries,
            state: FenceState::Failed,
        };
        let pauses = [1, 2, 3, 4, 5, 6, u32::MAX].map(|tries| fence(tries).next_try() - 100);
        assert_eq!(pauses, [60, 120, 240, 480, 960, 960, 960]);
    }
}
