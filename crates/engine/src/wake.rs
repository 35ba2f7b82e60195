//! [`Wake`]: lets a thread sleep until there is work for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wakes a thread.
#[derive(Default)]
pub(crate) struct Wake {
    due: Mutex<bool>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Wake {
    /// There is work.
    pub(crate) fn wake(&self) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits until woken, or for a time after which the thread looks again by itself. Returns whether to go on.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(due, time, |due| !*due);
        let (mut due, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *due = false;
        !self.stop.load(Ordering::Acquire)
    }
}
