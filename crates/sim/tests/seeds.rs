//! Seeds that must hold.

use plerion_sim::seed_run;

/// Hosts of a run.
const HOSTS: usize = 4;

fn seeds_hold(seeds: impl Iterator<Item = u64>, steps: u64) {
    for seed in seeds {
        let report = seed_run(seed, steps, HOSTS, false);
        if let Some(violation) = report.violation {
            panic!(
                "{}\nplerion sim --seed {seed} --steps {steps} --hosts {HOSTS} --loud\nstep {}: {violation}",
                report.last.join("\n"),
                report.steps
            );
        }
    }
}

#[test]
fn short_runs_hold() {
    seeds_hold(1..=100, 600);
}

#[test]
fn more_short_runs_hold() {
    seeds_hold(101..=200, 600);
}

#[test]
fn long_runs_hold() {
    seeds_hold(1..=12, 4000);
}

#[test]
fn vms_of_fenced_hosts_are_started_elsewhere() {
    let given_up = |seed| {
        let report = seed_run(seed, 3000, HOSTS, false);
        assert_eq!(report.violation, None, "seed {seed}");
        report
            .faults
            .get("VM given up on a fenced host")
            .copied()
            .unwrap_or(0)
    };
    assert!(
        (1..=30).any(|seed| given_up(seed) > 0),
        "no run does what is to be looked at"
    );
}

/// Seeds that once failed, with the steps that they needed.
const FAILED_ONCE: &[(u64, u64)] = &[
    // PCI devices of VMs whose files are on the front-end, or that move.
    (69, 1000),
    (74, 1500),
    // Persistent images on storage that all hosts see.
    (300, 1000),
    // The agent of a host that was deleted while it was offline.
    (5155, 1000),
    // A move that was made and not heard of.
    (619, 3000),
    // A command that is awaited where its VM was before it was moved.
    (186, 1000),
    // A start that had worked before the host was restarted.
    (3929, 3000),
    // A VM that is deleted while its disks come home.
    (4327, 3000),
    // A VM that runs although its start has failed.
    (4514, 3000),
    // A host that is lost by a commit that nobody heard of.
    (770, 1000),
    // What a VM that is ended holds while its files are on the front-end.
    (25, 3000),
    (134, 3000),
    // A VM that is deleted while its host does not answer is only forgotten.
    (84, 4000),
    (1035, 4000),
    // A commit that failed on behalf of another connection.
    (249, 4000),
    (304, 4000),
    // What is left to do after a live migration fails: it has been moved all the same.
    (43, 3000),
    (2060, 3000),
    // A move of a VM whose host was lost, and whose domain could not be ended there.
    (58, 3000),
];

#[test]
fn seeds_that_failed_once_hold() {
    for (seed, steps) in FAILED_ONCE {
        seeds_hold(std::iter::once(*seed), *steps);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [7, 8] {
        let first = seed_run(seed, 2000, HOSTS, false);
        let again = seed_run(seed, 2000, HOSTS, false);
        assert_eq!(first.digest, again.digest, "seed {seed}");
        assert_eq!(first.last, again.last, "seed {seed}");
        assert_eq!(first.edges, again.edges, "seed {seed}");
        assert_eq!(first.faults, again.faults, "seed {seed}");
        assert_eq!(
            (first.steps, first.time_ms),
            (again.steps, again.time_ms),
            "seed {seed}"
        );
    }
    let other = seed_run(9, 2000, HOSTS, false);
    assert_ne!(other.digest, seed_run(7, 2000, HOSTS, false).digest);
}

#[test]
fn faults_of_every_kind_occur_and_most_of_the_life_cycle_is_walked() {
    let mut sum = seed_run(1, 3000, HOSTS, false);
    for seed in 2..=12 {
        sum.add(&seed_run(seed, 3000, HOSTS, false));
    }
    for kind in [
        "link cut",
        "agent killed",
        "host rebooted",
        "front-end killed",
        "front-end taken over",
        "front-end paused",
        "front-end fenced",
        "action fails",
        "action done and said to have failed",
        "action hangs",
        "action fails after half its work",
        "agent killed in the middle of an action",
        "answer lost",
        "clock jumps",
        "disk full on a host",
        "disk full on the front-end",
        "libvirt restarted",
        "slow action",
        "duplicate message",
        "late message",
        "lost message",
    ] {
        assert!(sum.faults.contains_key(kind), "no {kind}: {sum}");
    }
    assert!(sum.edges.len() > 70, "{sum}");
    assert!(sum.rows.len() > 60, "{sum}");
    for edge in [("CLONING", "PENDING"), ("CLONING", "CLONING_FAILURE")] {
        assert!(sum.edges.contains_key(&edge), "no {edge:?}: {sum}");
    }
}
