//! The writer of a front-end: commits, publishes, answers, and may be killed in between.

use plerion_engine::Clock as _;
use plerion_model::{ApiError, Id};
use plerion_store::FailPoint;
use plerion_world::{Command, Context, Migration, Order, Reply, apply};

use crate::front_end::Asker;
use crate::plant::Bug;
use crate::queue::{Event, FrontEndId, Millis};
use crate::simulation::Simulation;

/// Most orders of one transaction, as many as in a small burst, so that batches of one and of many both occur.
const BATCH_MAX: usize = 16;
/// Longest time until somebody starts a front-end that died.
const RESTART_MAX: Millis = 15_000;

/// Where a front-end dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    BeforeCommit,
    AfterCommit,
    BeforeAnswers,
    BeforeSends,
    BetweenSends,
}

/// Whoever gave an order, and what it was.
pub(crate) type Entry = (Order, Asker);

impl Simulation {
    /// The writer takes what has queued.
    pub(crate) fn write(&mut self, id: FrontEndId) {
        let death = self.death_draw();
        let Some(front_end) = self
            .front_ends
            .get_mut(id)
            .filter(|front_end| front_end.core.is_some())
        else {
            return;
        };
        front_end.write_due = false;
        let count = front_end.queue.len().min(BATCH_MAX);
        let entries: Vec<Entry> = front_end.queue.drain(..count).collect();
        if !front_end.queue.is_empty() {
            front_end.write_due = true;
            self.queue.put(self.now + 1, Event::Write(id));
        }
        if entries.is_empty() {
            return;
        }
        self.plants_before(id, &entries);
        self.store.fail_set(match death {
            Some(Death::BeforeCommit) => Some(FailPoint::BeforeCommit),
            Some(Death::AfterCommit) => Some(FailPoint::AfterCommit),
            _ => None,
        });
        self.commit(id, entries, death);
    }

    fn death_draw(&mut self) -> Option<Death> {
        if self.calm || !self.random.chance(self.profile.commit_kill) {
            return None;
        }
        self.random.pick(&[
            Death::BeforeCommit,
            Death::AfterCommit,
            Death::BeforeAnswers,
            Death::BeforeSends,
            Death::BetweenSends,
        ])
    }

    fn commit(&mut self, id: FrontEndId, entries: Vec<Entry>, death: Option<Death>) {
        let orders: Vec<Order> = entries.iter().map(|(order, _)| order.clone()).collect();
        let Some(front_end) = self.front_ends.get_mut(id) else {
            return;
        };
        let before = front_end.published.clone();
        let Some(core) = front_end.core.as_mut() else {
            return;
        };
        let result = core.process(&orders);
        let after = core.world().clone();
        self.store.fail_set(None);
        match result {
            Ok(outcomes) => {
                self.committed(&before, &after, &entries, &outcomes);
                if let Some(front_end) = self.front_ends.get_mut(id) {
                    front_end.published = after;
                }
                if death == Some(Death::BeforeAnswers) {
                    self.fault_count("front-end killed before answers");
                    return self.front_end_fail(id);
                }
                self.answers(id, entries, outcomes);
                if death == Some(Death::BeforeSends) {
                    self.fault_count("front-end killed before sends");
                    return self.front_end_fail(id);
                }
                if death == Some(Death::BetweenSends)
                    && let Some(front_end) = self.front_ends.get_mut(id)
                {
                    front_end.sends_left = Some(1);
                }
                self.coordinate_soon(id);
                self.schedule_soon(id, 5);
            }
            Err(error) => {
                self.commit_failed(&entries);
                self.say(&format!("f{id} cannot commit: {error}"));
                self.fault_count(match death {
                    Some(Death::BeforeCommit) => "front-end killed before commit",
                    Some(Death::AfterCommit) => "front-end killed after commit",
                    _ => "front-end fenced",
                });
                self.front_end_fail(id);
            }
        }
    }

    /// A front-end dies, and is started again when no other one runs.
    pub(crate) fn front_end_fail(&mut self, id: FrontEndId) {
        self.front_end_kill(id);
        if self.front_ends_alive().is_empty() && !self.start_due {
            self.start_due = true;
            let pause = self.random.between(100, RESTART_MAX);
            self.queue.put(self.now + pause, Event::FrontEndStart);
        }
    }

    fn answers(&mut self, id: FrontEndId, entries: Vec<Entry>, outcomes: Vec<Result<Reply, ApiError>>) {
        for ((order, asker), outcome) in entries.into_iter().zip(outcomes) {
            match asker {
                Asker::Call(number) => self.answer(number, &outcome),
                Asker::Scheduler => {
                    if let Some(front_end) = self.front_ends.get_mut(id) {
                        front_end.placing = front_end.placing.saturating_sub(1);
                    }
                }
                Asker::Coordinator if outcome.is_err() => self.order_refused(id, &order),
                Asker::Coordinator => {}
            }
        }
    }

    fn answer(&mut self, number: u64, outcome: &Result<Reply, ApiError>) {
        if let Err(refusal) = outcome {
            self.say(&format!("call {number} is refused: {refusal}"));
        }
        if self.plant.has(Bug::AnswerBeforeCommit) {
            return;
        }
        if let Err(problem) = self.ledger.answered(number, outcome) {
            self.violate(problem);
        }
    }

    /// What a front-end does too early that makes mistakes.
    fn plants_before(&mut self, id: FrontEndId, entries: &[Entry]) {
        let early_answers = self.plant.has(Bug::AnswerBeforeCommit);
        let early_sends = self.plant.has(Bug::SendBeforeCommit);
        if !early_answers && !early_sends {
            return;
        }
        let Some(mut world) = self
            .front_ends
            .get(id)
            .map(|front_end| (*front_end.published).clone())
        else {
            return;
        };
        for (order, asker) in entries {
            let context = Context {
                now: self.clock.now(),
                random: self.clock.random(),
            };
            let outcome = apply(&world, order, &context).map(|applied| {
                world = applied.world;
                applied.reply
            });
            if let (Asker::Call(number), true) = (asker, early_answers)
                && let Err(problem) = self.ledger.answered(*number, &outcome)
            {
                self.violate(problem);
            }
        }
        if early_sends {
            self.carry_out(id, &world);
        }
    }
}

/// Whether an order may leave more on a host than it has: a placement by hand without a check.
pub(crate) fn host_overcommitted((order, asker): &Entry) -> Option<Id> {
    match (&order.command, asker) {
        (
            Command::VmDeploy {
                host, enforce: false, ..
            },
            Asker::Call(_),
        ) => Some(*host),
        (
            Command::VmMigrate {
                migration: Migration {
                    host, enforce: false, ..
                },
                ..
            },
            Asker::Call(_),
        ) => Some(*host),
        _ => None,
    }
}
