//! What a run must have counted, and how its counts are shown: the smallest first, so that what is missing is seen at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::rows::ROWS;

/// Every fault that runs have.
pub(crate) const FAULTS: &[&str] = &[
    "action done and said to have failed",
    "action fails",
    "action fails after half its work",
    "action hangs",
    "agent killed",
    "agent killed in the middle of an action",
    "answer lost",
    "clock jumps",
    "disk full on a host",
    "disk full on the front-end",
    "duplicate message",
    "front-end fenced",
    "front-end killed",
    "front-end killed after commit",
    "front-end killed before answers",
    "front-end killed before commit",
    "front-end killed before sends",
    "front-end killed between sends",
    "front-end paused",
    "front-end taken over",
    "guest does not react",
    "guest powers itself off",
    "host could not be fenced",
    "host fenced",
    "host rebooted",
    "late message",
    "libvirt restarted",
    "link cut",
    "lost message",
    "QEMU dies",
    "slow action",
    "slow sample",
    "transfer cut off",
    "VM given up on a fenced host",
];

/// Counts by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

fn of(names: &[&'static str], counts: &Counts) -> Vec<(u64, &'static str)> {
    let mut all: BTreeMap<&'static str, u64> = names.iter().map(|name| (*name, 0)).collect();
    all.extend(counts.iter().map(|(name, count)| (*name, *count)));
    let mut sorted: Vec<(u64, &'static str)> = all.into_iter().map(|(name, count)| (count, name)).collect();
    sorted.sort_unstable();
    sorted
}

/// A table of counts, one a line.
pub(crate) fn table(title: &str, names: &[&'static str], counts: &Counts) -> String {
    let sorted = of(names, counts);
    let met = sorted.iter().filter(|(count, _)| *count > 0).count();
    let mut text = format!("{title}: {met} of {}\n", sorted.len());
    for (count, name) in sorted {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {count:>8} {name}");
    }
    text
}

/// What was counted fewer times than this.
pub(crate) fn below(least: u64, rows: &Counts, faults: &Counts) -> Vec<(u64, &'static str)> {
    let mut few = of(ROWS, rows);
    few.extend(of(FAULTS, faults));
    few.retain(|(count, _)| *count < least);
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_met_is_shown_first_and_counts_as_too_few() {
        let rows: Counts = ROWS.iter().map(|row| (*row, 7)).collect();
        let faults: Counts = FAULTS.iter().skip(1).map(|fault| (*fault, 3)).collect();
        assert_eq!(below(3, &rows, &faults), [(0, FAULTS[0])]);
        assert_eq!(below(7, &rows, &faults).len(), FAULTS.len());
        let shown = table("faults", FAULTS, &faults);
        assert!(
            shown.lines().nth(1).is_some_and(|line| line.ends_with(FAULTS[0])),
            "{shown}"
        );
    }
}
