//! The runner with actions that a test begins and ends by hand.

use plerion_protocol::ObjectKind;

use super::*;
use crate::evidence::tests::Domains;
use crate::state::tests::Scratch;
use std::sync::mpsc::{Receiver, Sender, channel};

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    runner: Arc<Runner>,
    reports: Receiver<Report>,
    begun: Receiver<String>,
    release: Sender<Outcome>,
}

fn bench(scratch: &Scratch) -> Bench {
    let (report_sender, reports) = channel();
    let (begun_sender, begun) = channel();
    let (release, released) = channel::<Outcome>();
    let (released, report_sender, begun_sender) = (
        Mutex::new(released),
        Mutex::new(report_sender),
        Mutex::new(begun_sender),
    );
    let doer = move |action: &Action, limits: &Limits| {
        let (Action::DomainReboot { name, .. } | Action::DomainDisksCopy { name, .. }) = action else {
            panic!("a fault for the test")
        };
        begun_sender
            .lock()
            .expect("lock")
            .send(name.clone())
            .expect("begun");
        let outcome = released.lock().expect("lock").recv().expect("released");
        limits.remaining().and(outcome)
    };
    let sink = move |report| {
        report_sender
            .lock()
            .expect("lock")
            .send(report)
            .expect("reported")
    };
    let journal = Journal::open(scratch.path()).expect("journal");
    let runner = Runner::new(journal, "boot".to_owned(), Box::new(doer), Box::new(sink));
    Bench {
        runner,
        reports,
        begun,
        release,
    }
}

fn request(id: i32, step: u64, part: u32, attempt: u32) -> Request {
    Request {
        key: ActionKey {
            kind: ObjectKind::Vm,
            id,
            step,
            part,
        },
        epoch: 5,
        attempt,
        deadline_s: 60,
        action: Action::DomainReboot {
            name: format!("one-{id}.{step}.{part}"),
            uuid: String::new(),
        },
    }
}

#[test]
fn an_action_is_done_once_and_again_only_after_failing() {
    let scratch = Scratch::new("once");
    let bench = bench(&scratch);
    bench.runner.submit(request(1, 1, 0, 1), 5);
    bench.begun.recv_timeout(PATIENCE).expect("begun");
    bench.runner.submit(request(1, 1, 0, 1), 5);
    bench.release.send(Err(failed("no"))).expect("released");
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("one report")
            .result
            .is_err()
    );
    bench.runner.submit(request(1, 1, 0, 1), 5);
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("reported again")
            .result
            .is_err()
    );
    bench.runner.submit(request(1, 1, 0, 2), 5);
    bench.begun.recv_timeout(PATIENCE).expect("done again");
    bench.release.send(Ok(ActionOutput::default())).expect("released");
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("reported")
            .result
            .is_ok()
    );
    bench.runner.submit(request(1, 1, 0, 3), 5);
    let report = bench.reports.recv_timeout(PATIENCE).expect("reported");
    assert!(report.result.is_ok());
    assert_eq!(report.attempt, 3);
    assert!(bench.begun.try_recv().is_err(), "a success is not done again");
}

#[test]
fn a_lower_epoch_starts_nothing() {
    let scratch = Scratch::new("stale");
    let bench = bench(&scratch);
    bench.runner.submit(request(1, 1, 0, 1), 6);
    let error = bench
        .reports
        .recv_timeout(PATIENCE)
        .expect("reported")
        .result
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Epoch);
    assert!(bench.begun.try_recv().is_err());
}

#[test]
fn parts_of_a_step_run_together_and_steps_one_after_another() {
    let scratch = Scratch::new("steps");
    let bench = bench(&scratch);
    bench.runner.submit(request(1, 1, 0, 1), 5);
    bench.runner.submit(request(1, 2, 0, 1), 5);
    bench.runner.submit(request(1, 1, 1, 1), 5);
    bench.runner.submit(request(2, 1, 0, 1), 5);
    let mut begun: Vec<String> = (0..3)
        .map(|_| bench.begun.recv_timeout(PATIENCE).expect("three begin"))
        .collect();
    begun.sort();
    assert_eq!(begun, ["one-1.1.0", "one-1.1.1", "one-2.1.0"]);
    assert!(bench.begun.try_recv().is_err());
    for _ in 0..3 {
        bench.release.send(Ok(ActionOutput::default())).expect("released");
    }
    assert_eq!(
        bench.begun.recv_timeout(PATIENCE).expect("the next step"),
        "one-1.2.0"
    );
    bench.release.send(Ok(ActionOutput::default())).expect("released");
}

#[test]
fn no_more_than_the_bound_run_at_once() {
    let scratch = Scratch::new("bound");
    let bench = bench(&scratch);
    let count = i32::try_from(ACTIONS_MAX).expect("small") + 3;
    for id in 0..count {
        bench.runner.submit(request(id, 1, 0, 1), 5);
    }
    for _ in 0..ACTIONS_MAX {
        bench.begun.recv_timeout(PATIENCE).expect("begun");
    }
    assert!(bench.begun.try_recv().is_err());
    for _ in 0..count {
        bench.release.send(Ok(ActionOutput::default())).expect("released");
        bench.reports.recv_timeout(PATIENCE).expect("reported");
    }
    assert_eq!(bench.runner.busy(), 0);
}

#[test]
fn what_an_earlier_process_left_open_is_settled() {
    let scratch = Scratch::new("settle");
    let made = scratch.path().join("made");
    let evidence = |path: &std::path::Path| Evidence::File {
        path: path.to_string_lossy().into_owned(),
        before: None,
        image: false,
    };
    let entry = |evidence| Entry {
        attempt: 1,
        epoch: 5,
        boot_id: "earlier".to_owned(),
        evidence,
        outcome: None,
    };
    let mut journal = Journal::open(scratch.path()).expect("journal");
    journal
        .begin(request(1, 1, 0, 1).key, entry(evidence(&made)))
        .expect("begun");
    journal
        .begin(
            request(2, 1, 0, 1).key,
            entry(evidence(&scratch.path().join("missing"))),
        )
        .expect("begun");
    drop(journal);
    std::fs::write(&made, "whole").expect("written");
    let bench = bench(&scratch);
    bench.runner.settle(Domains(Vec::new()));
    let mut reports: Vec<Report> = (0..2)
        .map(|_| bench.reports.recv_timeout(PATIENCE).expect("settled"))
        .collect();
    reports.sort_by_key(|report| report.key);
    assert!(reports[0].result.is_ok());
    assert_eq!(
        reports[1].result.as_ref().expect_err("not done").kind,
        ErrorKind::Interrupted
    );
    bench.runner.submit(request(1, 1, 0, 1), 5);
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("known")
            .result
            .is_ok()
    );
}

#[test]
fn a_fault_in_an_action_is_a_failure_of_that_action() {
    let scratch = Scratch::new("fault");
    let bench = bench(&scratch);
    let action = Action::PathDelete {
        path: "/x".to_owned(),
    };
    bench.runner.submit(
        Request {
            action,
            ..request(1, 1, 0, 1)
        },
        5,
    );
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("reported")
            .result
            .is_err()
    );
}

#[test]
fn what_waits_is_left_to_the_next_agent() {
    let scratch = Scratch::new("waits");
    let bench = bench(&scratch);
    bench.runner.submit(request(1, 1, 0, 1), 5);
    bench.runner.submit(request(1, 2, 0, 1), 5);
    bench.begun.recv_timeout(PATIENCE).expect("begun");
    assert_eq!(
        bench.runner.lock().journal.open_keys(),
        [request(1, 1, 0, 1).key],
        "only what has begun is settled after a kill"
    );
    let runner = Arc::clone(&bench.runner);
    let drain = std::thread::spawn(move || runner.drain(PATIENCE));
    while !bench.runner.lock().draining {
        std::thread::yield_now();
    }
    bench.release.send(Ok(ActionOutput::default())).expect("released");
    assert!(drain.join().expect("drained"), "what ran has ended");
    assert!(
        bench.begun.try_recv().is_err(),
        "nothing begins in an agent that ends"
    );
}

#[test]
fn an_interruption_under_an_earlier_front_end_does_not_count() {
    let scratch = Scratch::new("earlier");
    let mut journal = Journal::open(scratch.path()).expect("journal");
    let key = request(1, 1, 0, 1).key;
    let entry = Entry {
        attempt: 7,
        epoch: 4,
        boot_id: "boot".to_owned(),
        evidence: Evidence::Nothing,
        outcome: None,
    };
    journal.begin(key, entry).expect("begun");
    let interrupted = ActionError::new(ErrorKind::Interrupted, "the agent was killed");
    journal.end(key, 7, Err(interrupted)).expect("ended");
    drop(journal);
    let bench = bench(&scratch);
    bench.runner.submit(request(1, 1, 0, 1), 5);
    bench
        .begun
        .recv_timeout(PATIENCE)
        .expect("done again at the first attempt");
    bench.release.send(Ok(ActionOutput::default())).expect("released");
    assert!(
        bench
            .reports
            .recv_timeout(PATIENCE)
            .expect("reported")
            .result
            .is_ok()
    );
}

#[test]
fn a_start_before_the_host_was_restarted_does_not_count() {
    for (boot_id, evidence, again) in [
        ("boot", runs(), false),
        ("an earlier one", runs(), true),
        ("an earlier one", Evidence::Nothing, false),
    ] {
        let scratch = Scratch::new("restarted");
        let mut journal = Journal::open(scratch.path()).expect("journal");
        let key = request(1, 1, 0, 1).key;
        let entry = Entry {
            attempt: 1,
            epoch: 5,
            boot_id: boot_id.to_owned(),
            evidence,
            outcome: None,
        };
        journal.begin(key, entry).expect("begun");
        journal.end(key, 1, Ok(ActionOutput::default())).expect("ended");
        drop(journal);
        let bench = bench(&scratch);
        bench.runner.submit(request(1, 1, 0, 1), 5);
        if again {
            bench.begun.recv_timeout(PATIENCE).expect("done again");
            bench.release.send(Ok(ActionOutput::default())).expect("released");
        }
        let report = bench.reports.recv_timeout(PATIENCE).expect("reported");
        assert!(report.result.is_ok());
        assert!(bench.begun.try_recv().is_err(), "{boot_id}: done, or done twice");
    }
}

fn runs() -> Evidence {
    Evidence::DomainRuns {
        name: "one-1".to_owned(),
        uuid: "u".to_owned(),
    }
}

#[test]
fn copies_of_running_disks_end_when_nobody_waits_for_them() {
    let scratch = Scratch::new("unwanted");
    let bench = bench(&scratch);
    let mut copies = request(1, 1, 0, 1);
    copies.action = Action::DomainDisksCopy {
        name: "one-1".to_owned(),
        uuid: String::new(),
        disks: Vec::new(),
        freeze: plerion_protocol::Freeze::None,
        passing: true,
        mark: None,
    };
    let other = request(2, 1, 0, 1);
    let keys = [copies.key, other.key];
    for request in [copies, other] {
        bench.runner.submit(request, 5);
        bench.begun.recv_timeout(PATIENCE).expect("begun");
    }
    assert_eq!(bench.runner.unwanted(&keys), [], "both run");
    for _ in keys {
        bench.release.send(Ok(ActionOutput::default())).expect("released");
        let report = bench.reports.recv_timeout(PATIENCE).expect("reported");
        let stopped = report
            .result
            .is_err_and(|error| error.kind == ErrorKind::Interrupted);
        assert_eq!(stopped, report.key == keys[0], "{}", report.key);
    }
    let [(_, left), (_, plain)] = bench.runner.unwanted(&keys).try_into().expect("both have ended");
    assert!(left.leaves_files() && !plain.leaves_files());
}
