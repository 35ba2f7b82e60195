//! Which hooks a change calls for: each once, in the order of the states, with the change itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::autostart::DomainEnd;
use plerion_model::hook::{ExecutionResult, ExecutionState};
use plerion_model::{Id, Kind};
use plerion_template::Template;
use plerion_world::{
    ApiCall, Caller, Command, Context, HookCommand, HostStatus, SchedCommand, apply_refused,
};

use crate::cloud::{Cloud, VM};

fn hook(cloud: &mut Cloud, text: &str) -> Id {
    let name = cloud.world.hooks.len();
    cloud.made(
        &format!("NAME=h{name}\nCOMMAND=\"/bin/true\"\n{text}"),
        |template| Command::Hook(HookCommand::Allocate { template }),
    )
}

/// Executions as hook and number, in their order.
fn executions(cloud: &Cloud) -> Vec<(Id, u32)> {
    let all = cloud.world.hook_executions.values();
    all.map(|execution| (execution.hook, execution.number)).collect()
}

fn running(cloud: &mut Cloud) -> Id {
    let vm = cloud.vm(VM).expect("a VM");
    cloud.deploy(vm).expect("deployed");
    cloud.finish();
    vm
}

fn run_all(cloud: &mut Cloud) {
    let waiting: Vec<Id> = cloud
        .world
        .hook_executions
        .values()
        .filter(|execution| execution.state == ExecutionState::Waiting)
        .map(|execution| execution.id)
        .collect();
    for id in waiting {
        let begun = Command::Hook(HookCommand::Begun { id });
        cloud.give(&Caller::system(), begun.clone()).expect("begun");
        cloud.give(&Caller::system(), begun).expect_err("begun once");
        let result = ExecutionResult::default();
        let ended = Command::Hook(HookCommand::Ended { id, result });
        cloud.give(&Caller::system(), ended).expect("ended");
    }
}

#[test]
fn a_hook_that_fences_is_run_on_the_front_end_and_ends_in_time() {
    let mut cloud = Cloud::new();
    let id = hook(&mut cloud, "TYPE=state\nRESOURCE=host\nSTATE=fence");
    let template = &cloud.world.hooks.get(id).expect("a hook").template;
    assert_eq!(template.get("TIMEOUT"), Some("120"));
    let text = "NAME=r\nCOMMAND=\"/bin/true\"\nTYPE=state\nRESOURCE=HOST\nSTATE=FENCE\nREMOTE=YES";
    let template = plerion_template::Template::parse(text).expect("a template");
    let allocate = Command::Hook(HookCommand::Allocate { template });
    let refusal = cloud.give(&Caller::system(), allocate).expect_err("refused");
    assert!(refusal.text.contains("REMOTE"), "{refusal:?}");
    // It is no state that hosts come into, and no other one calls for it.
    cloud.host("node-b");
    assert_eq!(executions(&cloud), []);
}

#[test]
fn states_that_are_passed_at_once_call_their_hooks_in_order() {
    let mut cloud = Cloud::new();
    let off = hook(&mut cloud, "TYPE=state\nRESOURCE=VM\nSTATE=POWEROFF");
    let shuts = hook(
        &mut cloud,
        "TYPE=state\nRESOURCE=VM\nSTATE=ACTIVE\nLCM_STATE=SHUTDOWN_POWEROFF",
    );
    let runs = hook(&mut cloud, "TYPE=state\nRESOURCE=VM\nON=RUNNING");
    let vm = running(&mut cloud);
    assert_eq!(executions(&cloud), [(runs, 0)]);
    let seen = Command::DomainSeen {
        host: 0,
        vm,
        end: Some(DomainEnd::Guest),
    };
    cloud.give(&Caller::system(), seen).expect("seen");
    assert_eq!(executions(&cloud), [(runs, 0), (shuts, 0), (off, 0)]);
}

#[test]
fn any_state_and_other_objects() {
    let mut cloud = Cloud::new();
    let any = hook(&mut cloud, "TYPE=state\nRESOURCE=HOST");
    let disabled = hook(&mut cloud, "TYPE=state\nRESOURCE=HOST\nSTATE=DISABLED");
    let status = |status| Command::HostSetStatus { id: 0, status };
    cloud
        .give(&Caller::system(), status(HostStatus::Disabled))
        .expect("taken");
    assert_eq!(executions(&cloud), [(any, 0), (disabled, 0)]);
    cloud
        .give(&Caller::system(), status(HostStatus::Disabled))
        .expect("taken");
    assert_eq!(
        executions(&cloud).len(),
        2,
        "the same state is none that it came into"
    );
}

#[test]
fn a_scheduled_action_calls_its_hooks_once() {
    let mut cloud = Cloud::new();
    let off = hook(&mut cloud, "TYPE=state\nRESOURCE=VM\nSTATE=POWEROFF");
    let vm = running(&mut cloud);
    let action = cloud
        .give(
            &Caller::system(),
            Command::Sched(SchedCommand::Add {
                kind: Kind::Vm,
                id: vm,
                template: Template::parse("SCHED_ACTION=[ACTION=poweroff-hard, TIME=5000]")
                    .expect("a template"),
            }),
        )
        .expect("scheduled");
    cloud.pass(10_000);
    cloud
        .give(
            &Caller::system(),
            Command::SchedDue {
                id: action,
                time: 5000,
            },
        )
        .expect("due");
    cloud.finish();
    assert_eq!(cloud.phase(vm), "POWEROFF");
    assert_eq!(executions(&cloud), [(off, 0)]);
}

#[test]
fn calls_are_told_whether_they_work_or_not() {
    let mut cloud = Cloud::new();
    let renames = hook(&mut cloud, "TYPE=api\nCALL=one.vm.rename\nARGUMENTS=\"$API x\"");
    hook(&mut cloud, "TYPE=api\nCALL=one.vm.chmod");
    let vm = running(&mut cloud);
    let call = Arc::new(ApiCall {
        method: "one.vm.rename".into(),
        parameters: vec![vm.to_string(), "other".into()],
    });
    let rename = |id| Command::Called {
        call: call.clone(),
        command: Box::new(Command::Rename {
            kind: Kind::Vm,
            id,
            name: "other".into(),
        }),
    };
    cloud.give(&Caller::system(), rename(vm)).expect("renamed");
    assert_eq!(executions(&cloud), [(renames, 0)]);
    let refused = cloud
        .give(&Caller::system(), rename(4711))
        .expect_err("no such VM");
    let context = Context { now: 9, random: 9 };
    let applied = apply_refused(&cloud.world, &call, &refused, &context);
    assert_eq!(applied.world.hook_executions.len(), 2);
}

#[test]
fn what_is_kept_of_the_log_is_bounded_and_goes_with_its_hook() {
    let mut cloud = Cloud::new();
    let id = hook(&mut cloud, "TYPE=state\nRESOURCE=HOST");
    for round in 0..30 {
        let status = if round % 2 == 0 {
            HostStatus::Disabled
        } else {
            HostStatus::Offline
        };
        cloud
            .give(&Caller::system(), Command::HostSetStatus { id: 0, status })
            .expect("taken");
        run_all(&mut cloud);
    }
    let numbers: BTreeSet<u32> = executions(&cloud).into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, (10..30).collect());
    let retry = Command::Hook(HookCommand::Retry { id, number: 29 });
    cloud.give(&Caller::system(), retry).expect("again");
    cloud
        .give(&Caller::system(), Command::Delete { kind: Kind::Hook, id })
        .expect("deleted");
    assert!(cloud.world.hook_executions.is_empty());
}

#[test]
fn what_waits_is_kept_however_long_the_log_is() {
    let mut cloud = Cloud::new();
    hook(&mut cloud, "TYPE=state\nRESOURCE=VM\nSTATE=POWEROFF");
    let vm = running(&mut cloud);
    for _ in 0..25 {
        cloud.act(vm, Event::Poweroff { hard: true }).expect("taken");
        cloud.finish();
        cloud.act(vm, Event::Resume).expect("taken");
        cloud.finish();
    }
    assert_eq!(executions(&cloud).len(), 25);
}
