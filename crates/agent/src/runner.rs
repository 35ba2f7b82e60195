//! Runs actions: each key once, bounded in number, never two steps of one object at the same time.

mod load;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{Action, ActionError, ActionKey, ActionOutput, ErrorKind, Report, Request};

use crate::epoch::epoch_refused;
use crate::evidence::{DomainLook, Evidence};
use crate::fault::{Act, failed};
use crate::journal::{Entry, Journal, Outcome};
use crate::limits::{Cancel, Limits};
use load::{Class, Load};

/// Actions that run at once, those that only wait for a guest not counted.
pub(crate) const ACTIONS_MAX: usize = 64;
/// Copies, transfers and downloads that run at once: more only compete for the same disks.
pub(crate) const COPIES_MAX: usize = 4;
/// Scripts of drivers that run at once.
pub(crate) const SCRIPTS_MAX: usize = 16;
/// Actions that wait for a guest at once.
pub(crate) const WAITS_MAX: usize = 512;
/// Actions that wait for their turn.
pub(crate) const QUEUE_MAX: usize = 8192;
/// Longest deadline, in seconds.
const DEADLINE_S_MAX: u32 = 7 * 24 * 3600;

/// Does one action.
pub(crate) type Doer = dyn Fn(&Action, &Limits) -> Act<ActionOutput> + Send + Sync;
/// Takes a report to the front-end, if one listens.
pub(crate) type Sink = dyn Fn(Report) + Send + Sync;

/// The runner of one cloud.
pub(crate) struct Runner {
    inner: Mutex<Inner>,
    idle: Condvar,
    doer: Box<Doer>,
    sink: Box<Sink>,
    boot_id: String,
}

struct Inner {
    journal: Journal,
    jobs: HashMap<ActionKey, Job>,
    queue: VecDeque<ActionKey>,
    draining: bool,
}

struct Job {
    request: Option<Arc<Request>>,
    /// Highest attempt that asked.
    attempt: u32,
    class: Class,
    running: bool,
    limits: Limits,
    cancel: Arc<Cancel>,
}

impl Runner {
    /// A runner over an opened journal.
    pub(crate) fn new(journal: Journal, boot_id: String, doer: Box<Doer>, sink: Box<Sink>) -> Arc<Self> {
        let inner = Inner {
            journal,
            jobs: HashMap::new(),
            queue: VecDeque::new(),
            draining: false,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            idle: Condvar::new(),
            doer,
            sink,
            boot_id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles, in a thread, the entries that an earlier process left open. Asking for one of them joins.
    pub(crate) fn settle(self: &Arc<Self>, domains: impl DomainLook + Send + 'static) {
        let mut open = Vec::new();
        {
            let mut inner = self.lock();
            for key in inner.journal.open_keys() {
                let Some(entry) = inner.journal.get(&key).cloned() else {
                    continue;
                };
                inner.jobs.insert(key, Job::settling(entry.attempt));
                open.push((key, entry));
            }
        }
        if open.is_empty() {
            return;
        }
        let runner = Arc::clone(self);
        std::thread::spawn(move || {
            for (key, entry) in open {
                let outcome = entry
                    .evidence
                    .examine(&domains)
                    .ok_or_else(|| runner.interrupted(&entry));
                runner.finish(key, outcome);
            }
        });
    }

    fn interrupted(&self, entry: &Entry) -> ActionError {
        let what = if entry.boot_id == self.boot_id {
            "the agent"
        } else {
            "the host"
        };
        if entry.evidence == Evidence::Once {
            return failed(format!(
                "{what} was restarted in the middle of it: whether it was done is not known, and it is not done again by itself"
            ));
        }
        ActionError::new(
            ErrorKind::Interrupted,
            format!(
                "{what} was restarted before it ended, and what it should have made is not there; ask again"
            ),
        )
    }

    /// Takes a request: starts it, joins a running one, or reports what is known.
    pub(crate) fn submit(self: &Arc<Self>, request: Request, epoch_highest: u64) {
        let (key, attempt) = (request.key, request.attempt);
        if request.epoch < epoch_highest {
            let result = Err(epoch_refused(request.epoch, epoch_highest));
            return (self.sink)(Report { key, attempt, result });
        }
        let mut inner = self.lock();
        match inner.take(request, &self.boot_id) {
            Ok(None) => {}
            Ok(Some(result)) => {
                drop(inner);
                return (self.sink)(Report { key, attempt, result });
            }
            Err(error) => {
                drop(inner);
                return (self.sink)(Report {
                    key,
                    attempt,
                    result: Err(error),
                });
            }
        }
        self.dispatch(inner);
    }

    /// What the front-end waits for no longer: copies of running disks that are still made are stopped, and what has ended
    /// of them all is given back, to be tidied and then forgotten.
    pub(crate) fn unwanted(&self, keys: &[ActionKey]) -> Vec<(ActionKey, Evidence)> {
        let inner = self.lock();
        for job in keys.iter().filter_map(|key| inner.jobs.get(key)) {
            let request = job.request.as_deref();
            if request.is_some_and(|request| matches!(request.action, Action::DomainDisksCopy { .. })) {
                job.cancel.cancel();
            }
        }
        keys.iter()
            .filter_map(|key| {
                let entry = inner.journal.get(key).filter(|entry| entry.outcome.is_some())?;
                Some((*key, entry.evidence.clone()))
            })
            .collect()
    }

    /// Drops journal entries that the front-end has committed.
    pub(crate) fn forget(&self, keys: &[ActionKey]) {
        if let Err(error) = self.lock().journal.forget(keys) {
            tracing::error!(%error, "cannot forget journal entries");
        }
    }

    /// The keys whose results are kept for the front-end.
    pub(crate) fn settled_keys(&self) -> Vec<ActionKey> {
        self.lock().journal.settled_keys()
    }

    /// Takes no new actions and waits until all have ended, at most `patience`; then stops the copies. Returns whether
    /// all had ended.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut inner = self.lock();
        inner.draining = true;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // What waits for a guest leaves nothing behind: the next agent can wait as well.
            let busy = inner
                .jobs
                .values()
                .any(|job| job.running && job.class != Class::Wait);
            if !busy || left.is_zero() {
                for job in inner.jobs.values().filter(|job| job.class.is_stoppable()) {
                    job.cancel.cancel();
                }
                return !busy;
            }
            inner = self
                .idle
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Number of actions known and not ended.
    pub(crate) fn busy(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Starts what may start now.
    fn dispatch(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let mut lost = Vec::new();
        while let Some((key, request, limits)) = inner.next() {
            if let Err(error) = inner.begin(&request, &self.boot_id) {
                lost.push((key, error));
                continue;
            }
            let runner = Arc::clone(self);
            let spawned = std::thread::Builder::new().name(key.to_string()).spawn(move || {
                let outcome = runner.run(&request, &limits);
                runner.finish(key, outcome);
            });
            if let Err(error) = spawned {
                lost.push((
                    key,
                    failed(format!("the host gives no thread for another action: {error}")),
                ));
            }
        }
        drop(inner);
        for (key, error) in lost {
            self.finish(key, Err(error));
        }
    }

    fn run(&self, request: &Request, limits: &Limits) -> Outcome {
        let began = Instant::now();
        limits.remaining()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.doer)(&request.action, limits)));
        let mut output = outcome.unwrap_or_else(|_| Err(failed("the agent has a fault: see its log")))?;
        output.total_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(output)
    }

    fn finish(self: &Arc<Self>, key: ActionKey, outcome: Outcome) {
        let mut inner = self.lock();
        let Some(job) = inner.jobs.remove(&key) else {
            return;
        };
        if let Err(error) = &outcome {
            tracing::info!(%key, %error, "an action failed");
        }
        // A result that cannot be noted is still true; the entry stays open and is settled at the next start.
        if let Err(error) = inner.journal.end(key, job.attempt, outcome.clone()) {
            tracing::error!(%key, %error, "cannot note how an action ended");
        }
        self.dispatch(inner);
        self.idle.notify_all();
        (self.sink)(Report {
            key,
            attempt: job.attempt,
            result: outcome,
        });
    }
}

impl Job {
    fn settling(attempt: u32) -> Self {
        let limits = Limits::new(Duration::from_secs(u64::from(DEADLINE_S_MAX)));
        let cancel = limits.cancel_handle();
        Self {
            request: None,
            attempt,
            class: Class::Other,
            running: true,
            limits,
            cancel,
        }
    }
}

impl Inner {
    /// `None`: it is queued or joined; `Some`: this is known of it already.
    fn take(&mut self, request: Request, boot_id: &str) -> Act<Option<Outcome>> {
        let key = request.key;
        if let Some(job) = self.jobs.get_mut(&key) {
            job.attempt = job.attempt.max(request.attempt);
            return Ok(None);
        }
        if let Some(entry) = self.journal.get(&key) {
            // A domain that was started before the host was restarted is gone.
            let gone = entry.boot_id != boot_id && matches!(entry.evidence, Evidence::DomainRuns { .. });
            match &entry.outcome {
                Some(Ok(_)) if gone => {}
                Some(Ok(output)) => return Ok(Some(Ok(output.clone()))),
                // Attempts are counted by each front-end for itself: what its forerunners' ends have cut off is no
                // result that it has to hear of.
                Some(Err(error)) if error.kind == ErrorKind::Interrupted && request.epoch > entry.epoch => {}
                Some(Err(error)) if request.attempt <= entry.attempt => return Ok(Some(Err(error.clone()))),
                _ => {}
            }
        }
        // The agent is about to end: the next one is asked again once its channel is up.
        if self.draining {
            return Ok(None);
        }
        if self.queue.len() >= QUEUE_MAX {
            return Err(failed(format!(
                "{QUEUE_MAX} actions wait on this host already; ask again later"
            )));
        }
        self.supersede(&key);
        let seconds = request.deadline_s.clamp(1, DEADLINE_S_MAX);
        let limits = Limits::new(Duration::from_secs(u64::from(seconds)));
        let job = Job {
            attempt: request.attempt,
            class: Class::of(&request.action),
            running: false,
            cancel: limits.cancel_handle(),
            limits,
            request: Some(Arc::new(request)),
        };
        self.jobs.insert(key, job);
        self.queue.push_back(key);
        Ok(None)
    }

    /// Notes that an action begins. What waits in the queue is not noted: after a kill it is asked for again as if for
    /// the first time.
    fn begin(&mut self, request: &Request, boot_id: &str) -> Act<()> {
        let entry = Entry {
            attempt: request.attempt,
            epoch: request.epoch,
            boot_id: boot_id.to_owned(),
            evidence: Evidence::of(&request.action),
            outcome: None,
        };
        self.journal.begin(request.key, entry)
    }

    /// A newer step of an object makes the copies and scripts of its older steps pointless.
    fn supersede(&self, key: &ActionKey) {
        for (other, job) in &self.jobs {
            let older = other.kind == key.kind && other.id == key.id && other.step < key.step;
            if older && job.class.is_stoppable() {
                job.cancel.cancel();
            }
        }
    }

    /// The next action in the queue that may run; none when the agent is about to end, as the next agent is asked again.
    fn next(&mut self) -> Option<(ActionKey, Arc<Request>, Limits)> {
        if self.draining {
            return None;
        }
        let running = self.jobs.iter().filter(|(_, job)| job.running);
        let load = Load::of(running.map(|(key, job)| (key, job.class)));
        let position = self.queue.iter().position(|key| {
            let class = self.jobs.get(key).map(|job| job.class);
            class.is_some_and(|class| load.has_room(class) && load.is_free(key, class))
        })?;
        let key = self.queue.remove(position)?;
        let job = self.jobs.get_mut(&key)?;
        job.running = true;
        let request = job.request.clone()?;
        Some((key, request, job.limits.clone()))
    }
}
