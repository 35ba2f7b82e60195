//! [`Ranking`]: the fit hosts of a class, the best one at hand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A host as it was ranked at a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The higher, the better.
    pub(crate) rank: i64,
    /// Number of the host; of equal ones the lowest is taken.
    pub(crate) host: Reverse<usize>,
    /// The host's stamp. When the host has gone on the entry is void.
    pub(crate) stamp: u32,
}

/// The fit hosts of a class. Entries are not removed when a host changes: a new one is put beside the old one, which is
/// dropped when it comes up.
#[derive(Debug)]
pub(crate) struct Ranking {
    heap: BinaryHeap<Entry>,
    /// How much of the plan's placements it has taken in.
    pub(crate) cursor: usize,
}

impl Ranking {
    /// The ranking of hosts as they are after `cursor` placements.
    pub(crate) fn new(entries: Vec<Entry>, cursor: usize) -> Self {
        Self {
            heap: BinaryHeap::from(entries),
            cursor,
        }
    }

    /// Puts a host that has changed.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.heap.push(entry);
    }

    /// The best one.
    pub(crate) fn peek(&self) -> Option<Entry> {
        self.heap.peek().copied()
    }

    /// Drops the best one.
    pub(crate) fn pop(&mut self) {
        self.heap.pop();
    }
}
