//! What an event leads to.

use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{Phase, VmState};

use crate::transient::{Ask, transient};

/// What an event leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The phases it goes through, the last one being the one it stays in; empty when it stays.
    pub path: Vec<Phase>,
    /// What hosts are asked for.
    pub ask: Option<Ask>,
    /// What the history record is told to have ended with.
    pub action: Option<HistoryAction>,
    /// Whether the VM goes back to the host that it was to leave.
    pub back: bool,
}

/// Why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not in this phase.
    State(Phase),
}

impl Outcome {
    pub(crate) fn stay() -> Self {
        Self::default()
    }

    /// Goes to a phase, asking hosts for what it needs.
    pub(crate) fn to(phase: Phase) -> Self {
        Self::through(vec![phase])
    }

    pub(crate) fn through(path: Vec<Phase>) -> Self {
        let ask = path.last().and_then(|phase| match phase.state {
            VmState::Active => transient(phase.lcm).map(|row| row.ask),
            _ => None,
        });
        Self {
            path,
            ask,
            action: None,
            back: false,
        }
    }

    /// With the VM back on the host that it was to leave.
    pub(crate) fn back(mut self) -> Self {
        self.back = true;
        self
    }

    pub(crate) fn because(mut self, action: HistoryAction) -> Self {
        self.action = Some(action);
        self
    }
}
