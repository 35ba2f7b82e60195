//! Places for work that is dear: so many at a time, so many that wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So much of something at a time.
pub(crate) struct Slots {
    state: Mutex<State>,
    freed: Condvar,
    waiting_max: usize,
}

struct State {
    free: usize,
    waiting: usize,
}

/// A place that is held until this is dropped.
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    /// Places, and how many may wait for one.
    pub(crate) fn new(at_a_time: usize, waiting_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: at_a_time,
                waiting: 0,
            }),
            freed: Condvar::new(),
            waiting_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; `None` when too many wait already.
    pub(crate) fn take(&self) -> Option<Slot<'_>> {
        let mut state = self.lock();
        if state.free == 0 {
            if state.waiting >= self.waiting_max {
                return None;
            }
            state.waiting += 1;
            while state.free == 0 {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
        }
        state.free -= 1;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_on_to_who_waits_and_too_many_do_not() {
        let slots = Slots::new(1, 1);
        let held = slots.take().expect("a place");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| slots.take().is_some());
            while slots.lock().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(slots.take().is_none(), "one waits already");
            drop(held);
            assert!(waits.join().expect("no panic"));
        });
        assert!(slots.take().is_some());
    }
}
