//! How long something may take, and stopping it early.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{ActionError, ErrorKind};
use rustix::process::Pid;

use crate::fault::Act;

/// A point in time to be done by, and a way to be told to stop before it.
#[derive(Clone)]
pub(crate) struct Limits {
    until: Instant,
    cancel: Arc<Cancel>,
}

/// Stops the copies and the child processes of one action.
#[derive(Default)]
pub(crate) struct Cancel {
    state: Mutex<CancelState>,
}

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    /// Process groups to kill.
    groups: BTreeSet<i32>,
}

impl Limits {
    /// Limits that end after `duration`.
    pub(crate) fn new(duration: Duration) -> Self {
        Self {
            until: Instant::now() + duration,
            cancel: Arc::default(),
        }
    }

    /// The handle that stops what runs under these limits.
    pub(crate) fn cancel_handle(&self) -> Arc<Cancel> {
        Arc::clone(&self.cancel)
    }

    /// The same limits, ending after `duration` at the latest.
    pub(crate) fn at_most(&self, duration: Duration) -> Self {
        Self {
            until: self.until.min(Instant::now() + duration),
            cancel: Arc::clone(&self.cancel),
        }
    }

    /// Time left.
    ///
    /// # Errors
    /// [`ErrorKind::Deadline`] when there is none, [`ErrorKind::Interrupted`] when it was told to stop.
    pub(crate) fn remaining(&self) -> Act<Duration> {
        if self.cancel.is_cancelled() {
            return Err(ActionError::new(
                ErrorKind::Interrupted,
                "stopped: a newer step or a new agent took over",
            ));
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ActionError::new(
                ErrorKind::Deadline,
                "it did not end in time; it can be asked for again, with a longer deadline if the data is large",
            ));
        }
        Ok(left)
    }
}

impl Cancel {
    /// Stops everything registered and refuses what comes later.
    pub(crate) fn cancel(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cancelled = true;
        for group in std::mem::take(&mut state.groups) {
            group_kill(group);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancelled
    }

    /// Registers a process group; one that comes after the stop is killed at once.
    pub(crate) fn group_add(&self, group: i32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cancelled {
            group_kill(group);
        } else {
            state.groups.insert(group);
        }
    }

    /// Forgets a process group. Must happen before its leader is reaped, while its number cannot be taken by another.
    pub(crate) fn group_remove(&self, group: i32) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .groups
            .remove(&group);
    }
}

impl Limits {
    /// Registers a process group with the handle of these limits.
    pub(crate) fn group_add(&self, group: i32) {
        self.cancel.group_add(group);
    }

    /// See [`Cancel::group_remove`].
    pub(crate) fn group_remove(&self, group: i32) {
        self.cancel.group_remove(group);
    }
}

/// Kills a process group; one that is gone already is fine.
pub(crate) fn group_kill(group: i32) {
    if let Some(pid) = Pid::from_raw(group)
        && let Err(error) = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(group, %error, "cannot kill a process group");
    }
}
