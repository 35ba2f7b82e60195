//! [`SimClock`]: simulated time, and the identifiers that are drawn in it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use plerion_engine::Clock;
use plerion_model::Seconds;

/// When every run begins, in seconds since 1970.
const EPOCH_S: i64 = 1_700_000_000;

/// The clock of all front-ends of a run.
#[derive(Debug)]
pub(crate) struct SimClock {
    now_ms: AtomicU64,
    /// By how many seconds it has been set wrong.
    offset_s: AtomicI64,
    /// By how many it was ahead at most.
    ahead_s: AtomicI64,
    drawn: AtomicU64,
    seed: u64,
}

impl SimClock {
    /// At the beginning of a run.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now_ms: AtomicU64::new(0),
            offset_s: AtomicI64::new(0),
            ahead_s: AtomicI64::new(0),
            drawn: AtomicU64::new(0),
            seed,
        }
    }

    /// Sets it wrong by some seconds, forward or back.
    pub(crate) fn jump(&self, seconds: i64) {
        let offset = self.offset_s.load(Ordering::Relaxed).saturating_add(seconds);
        // Not before the beginning of the run.
        let offset = offset.max(0);
        self.offset_s.store(offset, Ordering::Relaxed);
        self.ahead_s.fetch_max(offset, Ordering::Relaxed);
    }

    /// Sets it so that it is not before any time that it has shown.
    pub(crate) fn catch_up(&self) {
        let ahead = self.ahead_s.load(Ordering::Relaxed);
        self.offset_s.store(ahead, Ordering::Relaxed);
    }

    /// Sets the time, in milliseconds since the beginning.
    pub(crate) fn set(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Seconds {
        let seconds = self.now_ms.load(Ordering::Relaxed) / 1000;
        let offset = self.offset_s.load(Ordering::Relaxed);
        EPOCH_S
            .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
            .saturating_add(offset)
    }

    fn random(&self) -> u128 {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut value = (u128::from(self.seed) << 64) | u128::from(number.wrapping_add(1));
        value = value.wrapping_mul(0xda94_2042_e4dd_58b5_2545_f491_4f6c_dd1d);
        value ^= value >> 61;
        value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        value ^ (value >> 67)
    }
}
