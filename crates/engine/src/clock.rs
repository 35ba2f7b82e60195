//! Time and chance: the only places where the front-end asks for them, so that the simulator can say what they are.

use std::time::{SystemTime, UNIX_EPOCH};

use plerion_model::Seconds;

/// Tells the time and draws numbers.
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01 UTC.
    fn now(&self) -> Seconds;
    /// 128 bits that nobody can guess.
    fn random(&self) -> u128;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Seconds {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Seconds::try_from(since.as_secs()).unwrap_or(Seconds::MAX)
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        // Without the kernel's random numbers nothing here could be trusted; it does not fail once the system is up.
        getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
        u128::from_ne_bytes(bytes)
    }
}
