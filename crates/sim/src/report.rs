//! [`Report`]: what a run came to.

use std::collections::BTreeMap;
use std::fmt;

use crate::coverage::{FAULTS, below, table};
use crate::plant::Plant;
use crate::rows::ROWS;
use crate::simulation::{Settings, Simulation};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Events that happened.
    pub steps: u64,
    /// Simulated time in milliseconds.
    pub time_ms: u64,
    /// Digest of everything that happened: equal for equal runs.
    pub digest: u64,
    /// What was wrong; none for a good run.
    pub violation: Option<String>,
    /// What happened last.
    pub last: Vec<String>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Rows of the table of the life cycle that were begun, and how often.
    pub rows: BTreeMap<&'static str, u64>,
    /// Edges of the life cycle that VMs took, and how often.
    pub edges: BTreeMap<(&'static str, &'static str), u64>,
    /// Number of edges that there are.
    pub edges_all: usize,
    /// Known shortcomings that were met.
    pub known: BTreeMap<&'static str, u64>,
    /// VMs that were made, and those of them about whose domains nothing was promised in the end.
    pub vms: [u64; 2],
    /// Commits.
    pub commits: u64,
    /// Calls that were acknowledged, refused, and never answered.
    pub calls: [u64; 3],
}

/// Runs a seed for some steps with faults, and then until everything is at rest.
#[must_use]
pub fn seed_run(seed: u64, steps: u64, hosts: usize, loud: bool) -> Report {
    run(Settings {
        seed,
        steps,
        hosts,
        plant: Plant::default(),
        loud,
    })
}

/// Runs a seed with a mistake planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn seed_run_planted(seed: u64, steps: u64, hosts: usize, bug: crate::Bug) -> Report {
    run(Settings {
        seed,
        steps,
        hosts,
        plant: Plant::new(bug),
        loud: false,
    })
}

fn run(settings: Settings) -> Report {
    let mut simulation = Simulation::new(settings);
    simulation.run(settings.steps);
    Report {
        seed: settings.seed,
        steps: simulation.steps,
        time_ms: simulation.now,
        digest: simulation.trace.digest(),
        violation: simulation.violation.take(),
        last: simulation.trace.last(),
        faults: std::mem::take(&mut simulation.faults),
        rows: std::mem::take(&mut simulation.checker.rows),
        edges: std::mem::take(&mut simulation.checker.seen),
        edges_all: simulation.checker.edges_all(),
        known: std::mem::take(&mut simulation.checker.known),
        vms: [
            simulation.checker.vms_made() as u64,
            simulation.checker.waivers.len() as u64,
        ],
        commits: simulation.checker.commits,
        calls: [
            simulation.ledger.acknowledged,
            simulation.ledger.refused,
            simulation.ledger.unanswered,
        ],
    }
}

impl Report {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.time_ms += other.time_ms;
        self.commits += other.commits;
        for (sum, more) in self.vms.iter_mut().zip(other.vms) {
            *sum += more;
        }
        for (sum, more) in self.calls.iter_mut().zip(other.calls) {
            *sum += more;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_insert(0) += count;
        }
        for (row, count) in &other.rows {
            *self.rows.entry(row).or_insert(0) += count;
        }
        for (edge, count) in &other.edges {
            *self.edges.entry(*edge).or_insert(0) += count;
        }
        for (what, count) in &other.known {
            *self.known.entry(what).or_insert(0) += count;
        }
    }
}

impl Report {
    /// The rows and faults that were counted fewer times than this, with their counts.
    #[must_use]
    pub fn below(&self, least: u64) -> Vec<(u64, &'static str)> {
        below(least, &self.rows, &self.faults)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [acknowledged, refused, unanswered] = self.calls;
        writeln!(f, "steps            {}", self.steps)?;
        writeln!(f, "simulated time   {} s", self.time_ms / 1000)?;
        writeln!(f, "commits          {}", self.commits)?;
        writeln!(
            f,
            "calls            {acknowledged} acknowledged, {refused} refused, {unanswered} never answered"
        )?;
        let [made, waived] = self.vms;
        writeln!(
            f,
            "VMs              {made}, {waived} of them settled by hand or beyond what is promised"
        )?;
        write!(f, "{}", table("faults", FAULTS, &self.faults))?;
        write!(f, "{}", table("rows of the life cycle", ROWS, &self.rows))?;
        let seen = self.edges.len();
        writeln!(f, "edges of the life cycle: {seen} of {}", self.edges_all)?;
        let mut edges: Vec<_> = self.edges.iter().collect();
        edges.sort_unstable_by_key(|(edge, count)| (**count, **edge));
        for ((from, to), count) in edges {
            writeln!(f, "  {count:>8} {from} > {to}")?;
        }
        if !self.known.is_empty() {
            writeln!(f, "known shortcomings met")?;
            for (what, count) in &self.known {
                writeln!(f, "  {count:>8} {what}")?;
            }
        }
        Ok(())
    }
}
