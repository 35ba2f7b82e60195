//! Scheduled actions: none is lost, none is done twice for one due time, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};

use plerion_lifecycle::Event;
use plerion_model::{ApiError, ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{Caller, Command, SchedCommand};
use proptest::prelude::*;

use crate::cloud::{Cloud, VM};

const PLAIN: &str = "NAME=v\nCPU=1\nMEMORY=64";

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn add(cloud: &mut Cloud, vm: Id, text: &str) -> Result<Id, ApiError> {
    let command = SchedCommand::Add {
        kind: Kind::Vm,
        id: vm,
        template: template(&format!("SCHED_ACTION=[{text}]")),
    };
    cloud.give(&Caller::system(), Command::Sched(command))
}

fn due(cloud: &mut Cloud, id: Id, time: i64) {
    cloud
        .give(&Caller::system(), Command::SchedDue { id, time })
        .expect("taken");
}

/// Has everything done that is due. Returns what it was.
fn tick(cloud: &mut Cloud) -> Vec<(Id, i64)> {
    let mut done = Vec::new();
    loop {
        let all: Vec<(i64, Id)> = cloud.world.sched_due(cloud.now()).collect();
        if all.is_empty() {
            return done;
        }
        for (time, id) in all {
            due(cloud, id, time);
            done.push((id, time));
        }
    }
}

#[test]
fn an_action_is_done_in_the_name_of_the_owner_with_its_result_and_next_time() {
    let mut cloud = Cloud::new();
    let vm = cloud.vm(PLAIN).expect("a vm");
    let hold = add(&mut cloud, vm, "ACTION=hold, TIME=5000").expect("taken");
    let suspend = add(&mut cloud, vm, "ACTION=suspend, TIME=5000, REPEAT=3, DAYS=1").expect("taken");
    assert_eq!(cloud.world.sched_next(), Some((5000, hold)));
    cloud.pass(10_000);
    assert_eq!(tick(&mut cloud), [(hold, 5000), (suspend, 5000)]);
    assert_eq!(cloud.phase(vm), "HOLD");
    let first = cloud.world.sched_action(hold).expect("kept").clone();
    assert!(first.done.is_some_and(|done| done > 10_000) && first.message.is_empty());
    let second = cloud.world.sched_action(suspend).expect("kept").clone();
    assert!(
        second.message.contains("not available for state"),
        "{}",
        second.message
    );
    assert_eq!(
        second.time,
        5000 + 2 * 3600,
        "one run makes up for those that were missed"
    );
    cloud.world.check().expect("derived state holds");
}

#[test]
fn snapshots_are_taken_gone_back_to_and_deleted() {
    let mut cloud = Cloud::new();
    let vm = cloud.vm(VM).expect("a vm");
    cloud.deploy(vm).expect("placed");
    cloud.finish();
    let mut time = cloud.now();
    let mut run = |cloud: &mut Cloud, text: &str| {
        time += 100;
        let id = add(cloud, vm, &format!("{text}, TIME={time}")).expect("taken");
        cloud.pass(100);
        assert_eq!(tick(cloud), [(id, time)]);
        cloud.finish();
        cloud.world.sched_action(id).expect("kept").message.clone()
    };
    let names = |cloud: &Cloud| -> Vec<String> {
        let vm = cloud.world.vm(vm).expect("there");
        let found = vm.template.vectors("SNAPSHOT");
        found
            .map(|one| one.get("NAME").unwrap_or("-").to_owned())
            .collect()
    };
    // A name is a name, commas and all.
    assert_eq!(
        run(&mut cloud, "ACTION=snapshot-create, ARGS=\"one, by night\""),
        ""
    );
    assert_eq!(run(&mut cloud, "ACTION=snapshot-create"), "");
    assert_eq!(names(&cloud), ["one, by night", "snapshot-1"]);
    assert_eq!(run(&mut cloud, "ACTION=snapshot-revert, ARGS=\"0\""), "");
    assert_eq!(run(&mut cloud, "ACTION=snapshot-delete, ARGS=\"0\""), "");
    assert_eq!(names(&cloud), ["snapshot-1"]);
    let message = run(&mut cloud, "ACTION=snapshot-revert, ARGS=\"yesterday's\"");
    assert!(message.contains("SNAPSHOT_ID"), "{message}");
    let message = run(&mut cloud, "ACTION=snapshot-delete, ARGS=\"7\"");
    assert!(message.contains("does not exist"), "{message}");

    for text in [
        "ACTION=disk-snapshot-create, ARGS=\"0, kept\"",
        "ACTION=disk-snapshot-create, ARGS=\"0\"",
    ] {
        assert_eq!(run(&mut cloud, text), "");
    }
    let active = |cloud: &Cloud| {
        let tree = &cloud.world.vm(vm).expect("there").disk_snapshots[&0];
        let names: Vec<String> = tree.snapshots.iter().map(|one| one.name.clone()).collect();
        (names, tree.active)
    };
    assert_eq!(
        active(&cloud),
        (vec!["kept".to_owned(), "snapshot-1".to_owned()], 1)
    );
    assert_eq!(run(&mut cloud, "ACTION=poweroff-hard"), "");
    assert_eq!(run(&mut cloud, "ACTION=disk-snapshot-revert, ARGS=\"0,0\""), "");
    assert_eq!(active(&cloud).1, 0);
    assert_eq!(run(&mut cloud, "ACTION=disk-snapshot-delete, ARGS=\"0,1\""), "");
    assert_eq!(active(&cloud).0, ["kept"]);
    let message = run(&mut cloud, "ACTION=disk-snapshot-delete, ARGS=\"0\"");
    assert!(message.contains("DISK_ID,SNAPSHOT_ID"), "{message}");
    cloud.world.check().expect("derived state holds");
}

#[test]
fn an_owner_who_may_not_do_it_any_more_is_refused() {
    let mut cloud = Cloud::new();
    let system = Caller::system();
    let vm = cloud.vm(PLAIN).expect("a vm");
    let user = Command::UserAllocate {
        name: "u".into(),
        password: "x".into(),
        driver: String::new(),
        groups: vec![],
    };
    let uid = cloud.give(&system, user).expect("a user");
    let id = add(&mut cloud, vm, "ACTION=hold, TIME=5000").expect("taken");
    let (kind, bits) = (Kind::Vm, [-1, 0, -1, -1, -1, -1, -1, -1, -1]);
    cloud
        .give(
            &system,
            Command::Chown {
                kind,
                id: vm,
                uid,
                gid: 1,
            },
        )
        .expect("given away");
    cloud
        .give(&system, Command::Chmod { kind, id: vm, bits })
        .expect("set");
    cloud.pass(10_000);
    tick(&mut cloud);
    assert_eq!(cloud.phase(vm), "PENDING");
    let message = &cloud.world.sched_action(id).expect("kept").message;
    assert!(
        message.contains("Not authorized to perform MANAGE VM"),
        "{message}"
    );
}

#[test]
fn actions_of_a_template_are_made_with_the_vm_and_go_with_it() {
    let mut cloud = Cloud::new();
    let before = cloud.world.clone();
    let vm = cloud
        .vm(&format!(
            "{PLAIN}\nSCHED_ACTION=[ACTION=terminate, TIME=\"+3600\"]"
        ))
        .expect("a vm");
    let stime = cloud.world.vm(vm).expect("there").stime;
    assert_eq!(cloud.world.sched_next().map(|(time, _)| time), Some(stime + 3600));
    assert!(cloud.world.vm(vm).expect("there").user_template.is_empty());
    cloud.pass(10_000);
    tick(&mut cloud);
    assert!(cloud.world.vm(vm).is_err(), "terminated");
    assert_eq!(cloud.world.sched_actions, before.sched_actions);
    assert_eq!(cloud.world.sched_next(), None);
    let wrong = cloud.vm(&format!("{PLAIN}\nSCHED_ACTION=[ACTION=fly, TIME=1]"));
    assert_eq!(wrong.expect_err("refused").code, ErrorCode::Allocate);
}

#[test]
fn what_is_wrong_is_refused() {
    let mut cloud = Cloud::new();
    let vm = cloud.vm(PLAIN).expect("a vm");
    for text in [
        "ACTION=hold",
        "ACTION=hold, TIME=soon",
        "ACTION=hold, TIME=\"+\"",
        "ACTION=hold, TIME=-1",
        "ACTION=hold, TIME=99999999999999999999",
        "ACTION=recover, TIME=1",
        "TIME=1",
        "ACTION=hold, TIME=1, REPEAT=0",
        "ACTION=hold, TIME=1, REPEAT=0, DAYS=7",
        "ACTION=hold, TIME=1, REPEAT=3, DAYS=168",
        "ACTION=hold, TIME=1, REPEAT=3, DAYS=1, END_TYPE=9",
        "ACTION=hold, TIME=1, WARNING=x",
    ] {
        assert_eq!(
            add(&mut cloud, vm, text).expect_err(text).code,
            ErrorCode::Action,
            "{text}"
        );
    }
    assert_eq!(cloud.world.sched_next(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        vm: usize,
        after: i64,
        how: usize,
    },
    Update {
        pick: usize,
        after: i64,
        how: usize,
    },
    Delete {
        pick: usize,
    },
    Pass {
        seconds: i64,
    },
    Tick,
    /// The same order again, as a front-end gives it that ended before it saw the answer.
    Stale {
        pick: usize,
    },
    End {
        vm: usize,
    },
}

const HOWS: &[&str] = &[
    "ACTION=hold, REPEAT=\"-1\"",
    "ACTION=release, REPEAT=3, DAYS=1",
    "ACTION=hold, REPEAT=3, DAYS=5, END_TYPE=1, END_VALUE=3",
    "ACTION=suspend, REPEAT=0, DAYS=\"0,3\", END_TYPE=2, END_VALUE=2000000",
    "ACTION=release, REPEAT=1, DAYS=\"1,31\"",
];

fn step() -> impl Strategy<Value = Step> {
    let (vm, after, how) = (0..4_usize, 0..200_000_i64, 0..HOWS.len());
    prop_oneof![
        3 => (vm.clone(), after.clone(), how.clone()).prop_map(|(vm, after, how)| Step::Add { vm, after, how }),
        1 => (any::<usize>(), after, how).prop_map(|(pick, after, how)| Step::Update { pick, after, how }),
        1 => any::<usize>().prop_map(|pick| Step::Delete { pick }),
        3 => (0..400_000_i64).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Tick),
        2 => any::<usize>().prop_map(|pick| Step::Stale { pick }),
        1 => vm.prop_map(|vm| Step::End { vm }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn none_is_lost_and_none_is_done_twice(steps in proptest::collection::vec(step(), 1..60)) {
        let mut cloud = Cloud::new();
        let mut vms: Vec<Id> = (0..4).map(|_| cloud.vm(PLAIN).expect("a vm")).collect();
        // When each action is due next, as far as somebody has said so since it was done last.
        let mut promised: BTreeMap<Id, i64> = BTreeMap::new();
        let mut done: BTreeSet<(Id, i64)> = BTreeSet::new();
        for step in steps {
            let ids: Vec<Id> = promised.keys().copied().collect();
            let picked = |pick: usize| ids.get(pick % ids.len().max(1)).copied();
            match step {
                Step::Add { vm, after, how } => {
                    let time = cloud.now() + after;
                    let vm = vms[vm];
                    if let Ok(id) = add(&mut cloud, vm, &format!("TIME={time}, {}", HOWS[how])) {
                        promised.insert(id, time);
                    }
                }
                Step::Update { pick, after, how } => {
                    let Some(id) = picked(pick) else { continue };
                    let parent = cloud.world.sched_action(id).expect("promised").parent;
                    let time = cloud.now() + after;
                    let command = SchedCommand::Update {
                        kind: Kind::Vm,
                        id: parent,
                        action: id,
                        template: template(&format!("SCHED_ACTION=[TIME={time}, {}]", HOWS[how])),
                    };
                    cloud.give(&Caller::system(), Command::Sched(command)).expect("taken");
                    promised.insert(id, time);
                }
                Step::Delete { pick } => {
                    let Some(action) = picked(pick) else { continue };
                    let id = cloud.world.sched_action(action).expect("promised").parent;
                    let command = SchedCommand::Delete { kind: Kind::Vm, id, action };
                    cloud.give(&Caller::system(), Command::Sched(command)).expect("taken");
                    promised.remove(&action);
                }
                Step::Pass { seconds } => cloud.pass(seconds),
                Step::Tick => {
                    let now = cloud.now();
                    let ran = tick(&mut cloud);
                    for (id, time) in &ran {
                        prop_assert!(done.insert((*id, *time)), "{id} was done twice for {time}");
                        prop_assert!(*time <= cloud.now());
                    }
                    for (id, time) in &promised {
                        let was_done = done.contains(&(*id, *time));
                        prop_assert!(*time > now || was_done, "{id} was not done at {time}, it is {now}");
                    }
                    for (id, _) in ran {
                        let action = cloud.world.sched_action(id).expect("kept");
                        promised.insert(id, action.time);
                    }
                }
                Step::Stale { pick } => {
                    let all: Vec<(Id, i64)> = done.iter().copied().collect();
                    let Some((id, time)) = all.get(pick % all.len().max(1)).copied() else { continue };
                    let before = cloud.world.clone();
                    due(&mut cloud, id, time);
                    prop_assert!(cloud.world == before, "{id} was done again for {time}");
                }
                Step::End { vm } => {
                    let id = vms[vm];
                    cloud.act(id, Event::Terminate { hard: true }).expect("possible");
                    promised.retain(|action, _| cloud.world.sched_action(*action).is_ok());
                    vms[vm] = cloud.vm(PLAIN).expect("a vm");
                }
            }
            cloud.world.check().map_err(TestCaseError::fail)?;
        }
    }
}
