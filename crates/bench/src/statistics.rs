//! Times of calls, and what is said of them.

use std::time::Duration;

/// What a run of calls came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// Nanoseconds from the first byte sent to the last received, sorted.
    sorted: Vec<u64>,
    /// From the first call to the last answer.
    pub(crate) elapsed: Duration,
    /// Bytes of all bodies.
    pub(crate) body_bytes: u64,
}

impl Times {
    /// Of times in any order.
    pub(crate) fn new(mut nanoseconds: Vec<u64>, elapsed: Duration, body_bytes: u64) -> Self {
        nanoseconds.sort_unstable();
        Self {
            sorted: nanoseconds,
            elapsed,
            body_bytes,
        }
    }

    /// Answers.
    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that `share` (0 to 1) of the calls did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.sorted.get(at).map_or(f64::NAN, |time| *time as f64 / 1e6)
    }

    /// Mean size of a body in bytes.
    pub(crate) fn body_mean(&self) -> f64 {
        self.body_bytes as f64 / self.count() as f64
    }
}

/// The middle one of figures that can be compared; of an even number the upper one of the two.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rate() {
        let times = Times::new(
            (0..=100).rev().map(|ms| ms * 1_000_000).collect(),
            Duration::from_secs(2),
            202,
        );
        assert_eq!(times.quantile_ms(0.5), 50.0);
        assert_eq!(times.quantile_ms(0.99), 99.0);
        assert_eq!(times.quantile_ms(1.0), 100.0);
        assert_eq!(times.rate(), 50.5);
        assert_eq!(times.body_mean(), 2.0);
        assert!(Times::default().quantile_ms(0.5).is_nan());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [3.0, 1.0]), 3.0);
        assert!(median(&mut []).is_nan());
    }
}
