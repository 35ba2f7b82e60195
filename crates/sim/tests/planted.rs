//! Every planted mistake is found.

#![cfg(feature = "planted-bugs")]

use plerion_sim::{Bug, seed_run_planted};

/// Seeds that are tried.
const SEEDS: u64 = 1000;
/// Events with faults in each.
const STEPS: u64 = 3000;
/// Hosts of a run.
const HOSTS: usize = 3;

#[test]
fn every_planted_mistake_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = (1..=SEEDS).find_map(|seed| {
            let report = seed_run_planted(seed, STEPS, HOSTS, *bug);
            report.violation.map(|violation| (seed, violation))
        });
        match found {
            Some((seed, violation)) => {
                let short: String = violation.chars().take(100).collect();
                println!("{bug:?}: seed {seed}: {short}");
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
