//! Which offsets of an address range are in use and which are free.

use plerion_model::vnet_range::Holder;

/// Used and free offsets of one address range.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RangeLeases {
    size: u32,
    /// Offset and who has it.
    pub(crate) used: imbl::OrdMap<u32, Holder>,
    /// Runs of free offsets: first and last. The lowest is at hand without a search.
    pub(crate) free: imbl::OrdMap<u32, u32>,
}

impl RangeLeases {
    pub(crate) fn new(size: u32) -> Self {
        let mut leases = Self {
            size,
            ..Self::default()
        };
        leases.free_add(0, size);
        leases
    }

    /// The lowest free offset.
    pub(crate) fn first_free(&self) -> Option<u32> {
        self.free.get_min().map(|(first, _)| *first)
    }

    /// The lowest free offset that `size` - 1 others follow.
    pub(crate) fn first_free_run(&self, size: u32) -> Option<u32> {
        let long = |(first, last): &(&u32, &u32)| last.saturating_sub(**first) >= size.saturating_sub(1);
        self.free.iter().find(long).map(|(first, _)| *first)
    }

    /// Whether an offset and the `size` - 1 that follow are free.
    pub(crate) fn is_free_run(&self, first: u32, size: u32) -> bool {
        let Some(last) = first.checked_add(size.saturating_sub(1)) else {
            return false;
        };
        self.free.get_prev(&first).is_some_and(|(_, end)| last <= *end)
    }

    /// Takes an offset. Returns whether it was free.
    pub(crate) fn take(&mut self, offset: u32, holder: Holder) -> bool {
        let Some((first, last)) = self.free.get_prev(&offset).map(|(first, last)| (*first, *last)) else {
            return false;
        };
        if offset > last {
            return false;
        }
        self.free.remove(&first);
        if first < offset {
            self.free.insert(first, offset.saturating_sub(1));
        }
        if offset < last {
            self.free.insert(offset.saturating_add(1), last);
        }
        self.used.insert(offset, holder);
        true
    }

    /// Gives an offset back.
    pub(crate) fn give(&mut self, offset: u32) {
        if self.used.remove(&offset).is_some() {
            self.free_add(offset, offset.saturating_add(1));
        }
    }

    /// Makes it larger or smaller. What was in use beyond the new end is forgotten.
    pub(crate) fn resize(&mut self, size: u32) {
        if size >= self.size {
            self.free_add(self.size, size);
            self.size = size;
            return;
        }
        let (kept, _) = self.used.split(&size);
        self.used = kept;
        let mut free = imbl::OrdMap::new();
        for (first, last) in &self.free {
            if *first < size {
                free.insert(*first, (*last).min(size.saturating_sub(1)));
            }
        }
        self.free = free;
        self.size = size;
    }

    /// Adds the offsets from `first` to before `end` to the free ones, joining them with their free neighbours.
    fn free_add(&mut self, mut first: u32, end: u32) {
        let Some(mut last) = end.checked_sub(1).filter(|last| *last >= first) else {
            return;
        };
        if let Some((before, stop)) = self.free.get_prev(&first).map(|(first, last)| (*first, *last))
            && stop.saturating_add(1) == first
        {
            self.free.remove(&before);
            first = before;
        }
        if let Some(stop) = self.free.remove(&end) {
            last = stop;
        }
        self.free.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_taken_lowest_first_and_join_again() {
        let mut leases = RangeLeases::new(5);
        for expect in 0..5 {
            assert_eq!(leases.first_free(), Some(expect));
            assert!(leases.take(expect, Holder::Vm(7)));
            assert!(!leases.take(expect, Holder::Vm(8)), "taken twice");
        }
        assert_eq!(leases.first_free(), None);
        for offset in [3, 1, 2, 0, 4] {
            leases.give(offset);
            leases.give(offset);
        }
        assert_eq!(leases, RangeLeases::new(5));
        assert!(!leases.take(5, Holder::Hold), "outside");
        assert_eq!(RangeLeases::new(0).first_free(), None);
    }

    #[test]
    fn runs_are_found_lowest_first() {
        let mut leases = RangeLeases::new(10);
        leases.take(2, Holder::Hold);
        leases.take(6, Holder::Hold);
        let runs: Vec<_> = (1..=4).map(|size| leases.first_free_run(size)).collect();
        assert_eq!(runs, [Some(0), Some(0), Some(3), None]);
        assert!(leases.is_free_run(7, 3) && leases.is_free_run(0, 2));
        for (first, size) in [(7, 4), (1, 2), (2, 1), (u32::MAX, 2)] {
            assert!(!leases.is_free_run(first, size), "{first} {size}");
        }
    }

    #[test]
    fn sizes_change_at_the_end_only() {
        let mut leases = RangeLeases::new(5);
        leases.take(4, Holder::Vm(1));
        leases.resize(8);
        assert_eq!(leases.first_free_run(4), Some(0));
        leases.give(4);
        assert_eq!(leases, RangeLeases::new(8));
        leases.take(7, Holder::Vm(1));
        leases.take(1, Holder::Vm(2));
        leases.resize(3);
        let mut expected = RangeLeases::new(3);
        expected.take(1, Holder::Vm(2));
        assert_eq!(leases, expected);
    }
}
