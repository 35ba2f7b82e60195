//! [`Dispatcher`]: carries out the outbox. It looks at the published world and at what is under way, and says what to
//! send; it keeps nothing that a restart could not make again from the outbox.

use std::collections::{BTreeMap, HashSet};

use plerion_drivers::{Environment, Place, Plan, intent_plan, output_of};
use plerion_model::{Id, Kind};
use plerion_protocol::{
    Action, ActionKey, ContextFile, ErrorKind, Location, ObjectKind, Report, Request, ToNode,
};
use plerion_world::{Caller, Command, Intent, IntentKey, IntentResult, Order, Site, World};

/// Actions of one intent at most; the number is part of the key that agents see.
const STEPS_MAX: u32 = 256;
/// How often a step is asked for in the middle of which an agent or host was restarted, or a connection lost.
const ATTEMPTS_MAX: u32 = 8;

/// What the dispatcher wants done.
#[derive(Clone, Debug)]
pub enum Dispatch {
    /// Send a message to an agent. If it cannot be sent now, tell [`Dispatcher::link_down`].
    Send(Site, Box<ToNode>),
    /// Give an order to the writer.
    Order(Box<Order>),
    /// Keep for people what the plan for a VM says and brings.
    Keep {
        /// VM.
        vm: Id,
        /// Lines for its log.
        notes: Vec<String>,
        /// Files for its directory.
        files: Vec<ContextFile>,
    },
}

/// An intent under way.
struct Work {
    plan: Plan,
    /// Index of the step that runs.
    at: usize,
    /// Whether it was sent to an agent that has not answered yet.
    sent: bool,
    /// Whether its end was given to the writer.
    ended: bool,
    /// How often the step has been asked for, from 1.
    attempt: u32,
    /// Whose link must be up before the step is asked for again: the other end of a transfer that was cut off.
    waits: Option<Site>,
}

impl Work {
    /// Whether the step that is due is one of this agent's.
    fn is_at(&self, site: Site) -> bool {
        self.plan
            .steps
            .get(self.at)
            .is_some_and(|step| site_of(step.place) == site)
    }

    /// Whether the step that is due could as well be left out.
    fn is_dispensable(&self) -> bool {
        self.plan.steps.get(self.at).is_some_and(|step| step.dispensable)
    }

    /// The step is to be asked for again after this report, once that link is up.
    fn again(&mut self, report: &Report, waits: Option<Site>) {
        self.attempt = report.attempt.saturating_add(1);
        self.sent = false;
        self.waits = waits;
    }

    /// Leaves the step out. Returns what is said of it.
    fn skip(&mut self, key: IntentKey, why: &str) -> Option<Dispatch> {
        let left = self.plan.steps.get(self.at).map(|step| &step.action);
        let what = match left {
            Some(Action::PathDelete { path }) => format!("{path} was not deleted, remove it by hand: {why}"),
            _ => format!("a step was left out: {why}"),
        };
        tracing::warn!(kind = ?key.kind, id = key.id, "{what}");
        self.at = self.at.saturating_add(1);
        self.sent = false;
        self.attempt = 1;
        (key.kind == Kind::Vm).then(|| Dispatch::Keep {
            vm: key.id,
            notes: vec![what],
            files: Vec::new(),
        })
    }
}

/// See the head of the file.
pub struct Dispatcher {
    epoch: u64,
    work: BTreeMap<IntentKey, Work>,
    up: HashSet<Site>,
}

impl Dispatcher {
    /// Nothing under way, no link up.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            work: BTreeMap::new(),
            up: HashSet::new(),
        }
    }

    /// The world has changed: takes up new intents, lets go of those that are over.
    pub fn world_changed(&mut self, world: &World, environment: &Environment<'_>) -> Vec<Dispatch> {
        let mut out = Vec::new();
        let mut forget: BTreeMap<Site, Vec<ActionKey>> = BTreeMap::new();
        self.work.retain(|key, work| {
            let keep = world.outbox.contains_key(key);
            if !keep {
                // Those to come, too: an earlier front-end may have had them done.
                for (index, step) in work.plan.steps.iter().enumerate() {
                    forget
                        .entry(site_of(step.place))
                        .or_default()
                        .push(action_key(key, index));
                }
            }
            keep
        });
        for (site, keys) in forget {
            if self.up.contains(&site) {
                out.push(Dispatch::Send(site, Box::new(ToNode::Forget(keys))));
            }
        }
        for intent in world.outbox.values() {
            if self.work.contains_key(&intent.key) {
                // Does nothing but for an intent whose end was lost.
                self.go_on(intent.key, &mut out);
            } else {
                self.take_up(world, intent, environment, &mut out);
            }
        }
        out
    }

    fn take_up(
        &mut self,
        world: &World,
        intent: &Intent,
        environment: &Environment<'_>,
        out: &mut Vec<Dispatch>,
    ) {
        match intent_plan(world, intent, environment) {
            Ok(mut plan) => {
                for note in &plan.notes {
                    tracing::warn!(kind = ?intent.key.kind, id = intent.key.id, "{note}");
                }
                let notes = std::mem::take(&mut plan.notes);
                let files = std::mem::take(&mut plan.records);
                if intent.key.kind == Kind::Vm && !(notes.is_empty() && files.is_empty()) {
                    let vm = intent.key.id;
                    out.push(Dispatch::Keep { vm, notes, files });
                }
                self.work.insert(
                    intent.key,
                    Work {
                        plan,
                        at: 0,
                        sent: false,
                        ended: false,
                        attempt: 1,
                        waits: None,
                    },
                );
                self.go_on(intent.key, out);
            }
            Err(reason) => {
                let work = Work {
                    plan: Plan::default(),
                    at: 0,
                    sent: false,
                    ended: true,
                    attempt: 1,
                    waits: None,
                };
                self.work.insert(intent.key, work);
                out.push(ended(intent.key, Err(reason)));
            }
        }
    }

    /// Sends the step that is due, or ends the intent when there is none left.
    fn go_on(&mut self, key: IntentKey, out: &mut Vec<Dispatch>) {
        let Some(work) = self.work.get_mut(&key) else {
            return;
        };
        if work.sent || work.ended || work.waits.is_some_and(|site| !self.up.contains(&site)) {
            return;
        }
        work.waits = None;
        let Some(step) = work.plan.steps.get(work.at) else {
            work.ended = true;
            out.push(ended(key, Ok(work.plan.output.clone())));
            return;
        };
        let site = site_of(step.place);
        if !self.up.contains(&site) {
            if step.dispensable {
                out.extend(work.skip(key, "its host is not reached"));
                self.go_on(key, out);
            }
            return;
        }
        work.sent = true;
        let request = Request {
            key: action_key(&key, work.at),
            epoch: self.epoch,
            attempt: work.attempt,
            deadline_s: step.deadline_s,
            action: step.action.clone(),
        };
        out.push(Dispatch::Send(site, Box::new(ToNode::Do(Box::new(request)))));
    }

    /// A link is up: what waits for it is sent, what had been sent before is asked for again by its key.
    pub fn link_up(&mut self, site: Site) -> Vec<Dispatch> {
        self.up.insert(site);
        let mut out = Vec::new();
        for key in self.keys_of(|work| work.is_at(site)) {
            if let Some(work) = self.work.get_mut(&key) {
                work.sent = false;
            }
            self.go_on(key, &mut out);
        }
        for key in self.keys_of(|work| work.waits == Some(site)) {
            self.go_on(key, &mut out);
        }
        out
    }

    /// A link is down: what was under way there is asked for again when it is up.
    pub fn link_down(&mut self, site: Site) {
        self.up.remove(&site);
        for work in self.work.values_mut().filter(|work| work.is_at(site)) {
            work.sent = false;
        }
    }

    fn keys_of(&self, wanted: impl Fn(&Work) -> bool) -> Vec<IntentKey> {
        self.work
            .iter()
            .filter(|(_, work)| wanted(work))
            .map(|(key, _)| *key)
            .collect()
    }

    /// An agent tells whose results it keeps: those that nobody waits for are to be forgotten. The word for it may have
    /// been said before, and lost.
    pub fn settled(&self, site: Site, keys: &[ActionKey], world: &World) -> Option<Dispatch> {
        let keys: Vec<ActionKey> = keys
            .iter()
            .filter(|key| !is_wanted(key, world) || self.is_elsewhere(site, key))
            .copied()
            .collect();
        (!keys.is_empty()).then(|| Dispatch::Send(site, Box::new(ToNode::Forget(keys))))
    }

    /// Whether a step is another agent's by now: a VM can be moved while its host is asked to await the end of a command.
    fn is_elsewhere(&self, site: Site, key: &ActionKey) -> bool {
        let work = intent_key(key).and_then(|(key, index)| Some((self.work.get(&key)?, index)));
        work.and_then(|(work, index)| work.plan.steps.get(index))
            .is_some_and(|step| site_of(step.place) != site)
    }

    /// An agent reports. A report for a step that is not the one under way, or not this agent's, is dropped; one that nobody
    /// waits for any more is forgotten, since the agent could not do so while it ran.
    pub fn reported(&mut self, site: Site, report: &Report, world: &World) -> Vec<Dispatch> {
        let mut out = Vec::new();
        out.extend(self.settled(site, &[report.key], world));
        let Some((key, index)) = intent_key(&report.key).filter(|_| !self.is_elsewhere(site, &report.key))
        else {
            return out;
        };
        let Some(work) = self
            .work
            .get_mut(&key)
            .filter(|work| work.at == index && !work.ended && report.attempt >= work.attempt)
        else {
            return out;
        };
        match &report.result {
            Ok(given) => {
                output_of(&mut work.plan.output, given);
                work.at = work.at.saturating_add(1);
                work.sent = false;
                work.attempt = 1;
                self.go_on(key, &mut out);
            }
            Err(error) if error.kind == ErrorKind::Interrupted && work.attempt < ATTEMPTS_MAX => {
                work.again(report, None);
                self.go_on(key, &mut out);
            }
            Err(error) if error.kind == ErrorKind::Unreachable && work.attempt < ATTEMPTS_MAX => {
                let far = work
                    .plan
                    .steps
                    .get(index)
                    .and_then(|step| far_end(&step.action, world));
                work.again(report, far);
                self.go_on(key, &mut out);
            }
            Err(error) if work.is_dispensable() => {
                out.extend(work.skip(key, &error.text));
                self.go_on(key, &mut out);
            }
            Err(error) => {
                work.ended = true;
                let reason = match error.kind {
                    ErrorKind::Deadline => format!("no end in time: {}", error.text),
                    ErrorKind::Refused
                    | ErrorKind::Epoch
                    | ErrorKind::Version
                    | ErrorKind::Failed
                    | ErrorKind::Interrupted
                    | ErrorKind::Unreachable => error.text.clone(),
                };
                out.push(ended(key, Err(reason)));
            }
        }
        out
    }

    /// The end of an intent could not be given to the writer: it is given again with the next change.
    pub fn order_lost(&mut self, key: IntentKey) {
        let Some(work) = self.work.get_mut(&key) else {
            return;
        };
        if work.plan.steps.is_empty() {
            // No agent was asked for anything; why it could not be planned is found out again.
            self.work.remove(&key);
        } else {
            // What the agents did stays known, so that it will be forgotten there; a step that failed is asked for
            // again by its key, and reported again.
            work.ended = false;
            work.sent = false;
        }
    }

    /// Number of intents under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.work.len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }
}

/// Whether the outbox still holds the intent of an action. Actions outside of it are never asked for again.
fn is_wanted(key: &ActionKey, world: &World) -> bool {
    intent_key(key).is_some_and(|(key, _)| world.outbox.contains_key(&key))
}

fn ended(key: IntentKey, result: IntentResult) -> Dispatch {
    Dispatch::Order(Box::new(Order {
        caller: Caller::system(),
        command: Command::IntentEnded { key, result },
    }))
}

fn site_of(place: Place) -> Site {
    match place {
        Place::FrontEnd => Site::FrontEnd,
        Place::Host(id) => Site::Host(id),
    }
}

/// The host at the other end of a transfer.
fn far_end(action: &Action, world: &World) -> Option<Site> {
    let Action::Transfer { source, destination } = action else {
        return None;
    };
    let ((Location::There(target, _), _) | (_, Location::There(target, _))) = (source, destination) else {
        return None;
    };
    let host = world.hosts.values().find(|host| host.name == target.host)?;
    Some(Site::Host(host.id))
}

/// The key that an agent sees: the part carries the part of the intent and the index of the action within its plan.
fn action_key(key: &IntentKey, index: usize) -> ActionKey {
    let kind = match key.kind {
        Kind::Image => ObjectKind::Image,
        Kind::Datastore => ObjectKind::Datastore,
        Kind::Host => ObjectKind::Host,
        // Only these three and VMs ask hosts for anything.
        _ => ObjectKind::Vm,
    };
    let index = u32::try_from(index).unwrap_or(u32::MAX).min(STEPS_MAX - 1);
    let part = key
        .part
        .min(u32::MAX / STEPS_MAX - 1)
        .saturating_mul(STEPS_MAX)
        .saturating_add(index);
    ActionKey {
        kind,
        id: key.id,
        step: key.step,
        part,
    }
}

fn intent_key(key: &ActionKey) -> Option<(IntentKey, usize)> {
    let kind = match key.kind {
        ObjectKind::Vm => Kind::Vm,
        ObjectKind::Image => Kind::Image,
        ObjectKind::Datastore | ObjectKind::Host => return None,
    };
    let index = usize::try_from(key.part % STEPS_MAX).ok()?;
    Some((
        IntentKey {
            kind,
            id: key.id,
            step: key.step,
            part: key.part / STEPS_MAX,
        },
        index,
    ))
}
