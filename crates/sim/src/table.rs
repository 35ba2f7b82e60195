//! The edges between phases that the life cycle allows.

use std::collections::BTreeSet;

use plerion_lifecycle::{Event, vm_step};
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{Phase, VmState};

/// From one phase to another, by their names.
pub(crate) type Edge = (&'static str, &'static str);

/// The ends of stays that a placement and a move tell apart.
const LASTS: &[HistoryAction] = &[
    HistoryAction::None,
    HistoryAction::Stop,
    HistoryAction::Undeploy,
    HistoryAction::UndeployHard,
    HistoryAction::PoweroffMigrate,
];

/// All edges that can be reached from a new VM.
pub(crate) fn edges() -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    let begin = [VmState::Pending, VmState::Hold, VmState::Cloning];
    let mut open = begin.map(Phase::rest).to_vec();
    let mut known: BTreeSet<Phase> = open.iter().copied().collect();
    while let Some(phase) = open.pop() {
        for event in Event::all() {
            for last in LASTS {
                let Ok(outcome) = vm_step(phase, *last, event) else {
                    continue;
                };
                let mut from = phase;
                for to in outcome.path {
                    edges.insert((from.as_str(), to.as_str()));
                    from = to;
                }
                if known.insert(from) {
                    open.push(from);
                }
            }
        }
    }
    edges
}
