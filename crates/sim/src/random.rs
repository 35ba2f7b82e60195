//! [`Random`]: all chance of a run, from its seed.

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// One in a thousand.
pub(crate) type PerMille = u32;

impl Random {
    /// The sequence of a seed. Neighbouring seeds give unrelated sequences.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed ^ 0x5851_f42d_4c95_7f2d,
        };
        random.next();
        random
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "nothing is below 0");
        self.next() % bound.max(1)
    }

    /// A number from `first` to `last`.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True `chance` times in a thousand.
    pub(crate) fn chance(&mut self, chance: PerMille) -> bool {
        self.below(1000) < u64::from(chance)
    }

    /// One of some things; `None` of nothing.
    pub(crate) fn pick<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        if things.is_empty() {
            return None;
        }
        let index = usize::try_from(self.below(things.len() as u64)).unwrap_or(0);
        things.get(index).cloned()
    }
}
