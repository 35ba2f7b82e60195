//! VMs whose host fails: what is fenced, what is placed elsewhere, and why the others wait.

use std::collections::BTreeMap;

use crate::support::{Cloud, NOW};
use plerion_lifecycle::Event;
use plerion_model::hook::ExecutionResult;
use plerion_model::{Id, Kind};
use plerion_scheduler::{FailurePlan, Placement, failure_plan};
use plerion_template::Template;
use plerion_world::{Command, FailureCommand, HookCommand, HostReport, HostStatus, LeaseWord, LeaseWords};

const NONE: [Id; 0] = [];
const ELSEWHERE: &str = "ON_HOST_FAILURE=elsewhere";

/// Two hosts and a shared system datastore; whether there is a hook that fences.
fn cloud(config: &str, fences: bool) -> (Cloud, Id) {
    let mut cloud = Cloud::with_config(config);
    cloud.host(4, 4);
    cloud.host(4, 4);
    let store = cloud.datastore("NAME=shared\nTYPE=SYSTEM_DS\nTM_MAD=shared");
    if fences {
        hook(&mut cloud);
    }
    (cloud, store)
}

fn hook(cloud: &mut Cloud) -> Id {
    let text =
        "NAME=off\nTYPE=state\nRESOURCE=HOST\nSTATE=FENCE\nCOMMAND=\"/sbin/fence\"\nARGUMENTS=\"-o off\"";
    let template = Template::parse(text).expect("a template");
    cloud.run(Command::Hook(HookCommand::Allocate { template }))
}

fn running(cloud: &mut Cloud, datastore: Id, text: &str) -> Id {
    let vm = cloud.vm(text);
    cloud.deploy(&Placement {
        vm,
        host: 0,
        datastore,
        moves: false,
    });
    cloud.vm_settle(vm);
    assert_eq!(phase(cloud, vm), "RUNNING");
    vm
}

fn phase(cloud: &Cloud, vm: Id) -> &'static str {
    cloud.world.vms.get(vm).expect("a VM").phase.as_str()
}

fn said(cloud: &Cloud, vm: Id) -> String {
    let vm = cloud.world.vms.get(vm).expect("a VM");
    vm.user_template
        .get("ON_HOST_FAILURE_MESSAGE")
        .unwrap_or_default()
        .to_owned()
}

/// Plans with host 0 silent for so long, and carries that out.
fn pass(cloud: &mut Cloud, seconds: u64) -> FailurePlan {
    pass_with(cloud, seconds, &LeaseWords::new())
}

/// As [`pass`], with what is said of leases.
fn pass_with(cloud: &mut Cloud, seconds: u64, leases: &LeaseWords) -> FailurePlan {
    let plan = failure_plan(&cloud.world, &BTreeMap::from([(0, seconds)]), leases, NOW);
    for command in plan.clone().commands(&cloud.world) {
        cloud.run(command);
    }
    plan
}

fn fence_ends(cloud: &mut Cloud, code: i32) -> String {
    let execution = cloud
        .world
        .hook_executions
        .values()
        .last()
        .expect("an execution")
        .clone();
    cloud.run(Command::Hook(HookCommand::Begun { id: execution.id }));
    let result = ExecutionResult {
        stderr: "the power switch does not answer".into(),
        code,
        ..ExecutionResult::default()
    };
    cloud.run(Command::Hook(HookCommand::Ended {
        id: execution.id,
        result,
    }));
    execution.arguments.clone()
}

fn reboot(cloud: &mut Cloud) {
    let report = HostReport::Up {
        total_cpu: 400,
        total_memory_kib: 4 << 20,
        boot_id: "another".into(),
        facts: [].into(),
    };
    cloud.run(Command::HostReported { id: 0, report });
}

#[test]
fn a_fenced_host_loses_its_vms_and_only_then() {
    let (mut cloud, store) = cloud("", true);
    let vm = running(&mut cloud, store, ELSEWHERE);
    let other = running(&mut cloud, store, "");
    cloud.host_down(0, "silent");
    assert_eq!(phase(&cloud, vm), "UNKNOWN");
    let plan = pass(&mut cloud, 59);
    assert_eq!(
        (plan.fences.len(), plan.give_ups.len(), plan.next_s),
        (0, 0, Some(1))
    );
    assert!(
        said(&cloud, vm).contains("counts as failed after 60 s"),
        "{}",
        said(&cloud, vm)
    );
    assert_eq!(pass(&mut cloud, 60).fences, [0]);
    assert_eq!(pass(&mut cloud, 61).fences, NONE, "it is asked for once");
    assert!(said(&cloud, vm).contains("Waits until host 0 is fenced"));
    assert!(
        cloud.plan().placements.is_empty(),
        "nothing moves before it is fenced"
    );
    // Somebody's mark for the scheduler is no proof either, but then the host is asked first.
    let arguments = fence_ends(&mut cloud, 0);
    assert_eq!(arguments, "-o off 0 node-0");
    assert_eq!(pass(&mut cloud, 62).give_ups, [(vm, None)]);
    assert_eq!(
        pass(&mut cloud, 63),
        FailurePlan::default(),
        "it is the scheduler's now"
    );
    for command in cloud.plan().commands(&cloud.world) {
        cloud.run(command);
    }
    assert_eq!(phase(&cloud, vm), "PROLOG_MIGRATE_UNKNOWN");
    cloud.vm_settle(vm);
    assert_eq!((phase(&cloud, vm), phase(&cloud, other)), ("RUNNING", "UNKNOWN"));
    assert_eq!(cloud.world.vms.get(vm).and_then(|vm| vm.held_host()), Some(1));
    assert_eq!(
        (said(&cloud, vm), said(&cloud, other)),
        (String::new(), String::new())
    );
    // The copy that may be there is wanted gone until it is known to be.
    let left = |cloud: &Cloud| {
        cloud
            .world
            .hosts
            .get(0)
            .expect("a host")
            .given_up
            .keys()
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&cloud), [vm]);
    cloud.host_up(0, 4, 4);
    assert_eq!(left(&cloud), [vm], "the same kernel may run it still");
    let seen = Command::DomainSeen {
        host: 0,
        vm,
        end: None,
    };
    cloud.run(seen);
    assert_eq!(cloud.world.vms.get(vm).and_then(|vm| vm.held_host()), Some(1));
    cloud.run(Command::HostReported {
        id: 0,
        report: HostReport::Gone(vec![vm]),
    });
    assert_eq!(left(&cloud), NONE);
}

#[test]
fn after_a_restart_of_the_host_no_copy_is_left_there() {
    let (mut cloud, store) = cloud("ON_HOST_FAILURE=elsewhere", true);
    let vm = running(&mut cloud, store, "");
    cloud.host_down(0, "silent");
    pass(&mut cloud, 60);
    fence_ends(&mut cloud, 0);
    pass(&mut cloud, 60);
    reboot(&mut cloud);
    assert!(cloud.world.hosts.get(0).expect("a host").given_up.is_empty());
    let known = cloud.world.vms.get(vm).expect("a VM");
    assert_eq!(
        (known.phase.as_str(), known.resched),
        ("POWEROFF", false),
        "it has not left yet: it stays"
    );
    assert!(known.awaits_restart(), "and runs there again");
}

#[test]
fn a_host_that_answers_in_time_keeps_its_vms() {
    let (mut cloud, store) = cloud("", true);
    let vm = running(&mut cloud, store, ELSEWHERE);
    cloud.host_down(0, "silent");
    pass(&mut cloud, 60);
    let old = cloud
        .world
        .hook_executions
        .values()
        .last()
        .expect("an execution")
        .id;
    cloud.host_up(0, 4, 4);
    assert_eq!(pass(&mut cloud, 0), FailurePlan::default());
    // A result that comes late is one of another time.
    cloud.host_down(0, "silent again");
    fence_ends(&mut cloud, 0);
    assert!(cloud.world.hook_executions.get(old).is_some());
    assert_eq!(pass(&mut cloud, 0).give_ups, []);
    assert_eq!(pass(&mut cloud, 60).fences, [0]);
    fence_ends(&mut cloud, 0);
    pass(&mut cloud, 60);
    assert!(cloud.world.vms.get(vm).expect("a VM").resched);
    cloud.host_up(0, 4, 4);
    let known = cloud.world.vms.get(vm).expect("a VM");
    assert!(!known.resched && cloud.world.hosts.get(0).expect("a host").given_up.is_empty());
}

#[test]
fn what_is_not_proved_is_refused_with_its_reason() {
    let (mut cloud, store) = cloud("", false);
    let vm = running(&mut cloud, store, ELSEWHERE);
    let local = running(&mut cloud, 0, ELSEWHERE);
    let same = running(&mut cloud, store, "ON_HOST_FAILURE=same");
    cloud.host_down(0, "silent");
    pass(&mut cloud, u64::MAX);
    assert!(
        said(&cloud, vm).contains("nothing proves"),
        "{}",
        said(&cloud, vm)
    );
    assert!(
        said(&cloud, local).contains("on the host itself"),
        "{}",
        said(&cloud, local)
    );
    assert!(
        said(&cloud, same).contains("Waits for host 0"),
        "{}",
        said(&cloud, same)
    );
    // Now somebody says so who has looked. What he said before the host went away would not count.
    cloud.update(Kind::Host, 0, "FENCED_BY_HAND=YES");
    assert_eq!(
        pass(&mut cloud, 60).give_ups,
        [(vm, None)],
        "what is on the host stays there"
    );
    reboot(&mut cloud);
    for waits in [local, same] {
        assert!(
            cloud.world.vms.get(waits).expect("a VM").awaits_restart(),
            "{waits}"
        );
    }
    cloud.update(Kind::Host, 0, "FENCED_BY_HAND=YES");
    cloud.action(same, Event::Resume);
    cloud.vm_settle(same);
    cloud.update(Kind::Vm, same, ELSEWHERE);
    cloud.host_down(0, "silent");
    assert_eq!(pass(&mut cloud, 60).give_ups, []);
}

#[test]
fn a_host_that_could_not_be_fenced_is_tried_again_later() {
    let (mut cloud, store) = cloud("HOST_FAILURE_SECONDS=10", true);
    let vm = running(&mut cloud, store, ELSEWHERE);
    cloud.host_down(0, "silent");
    assert_eq!(pass(&mut cloud, 10).fences, [0]);
    fence_ends(&mut cloud, 1);
    let plan = pass(&mut cloud, 11);
    assert_eq!(
        (plan.fences.len(), plan.give_ups.len(), plan.next_s),
        (0, 0, Some(60))
    );
    assert!(
        said(&cloud, vm).contains("the power switch does not answer"),
        "{}",
        said(&cloud, vm)
    );
    let silent = BTreeMap::from([(0, 71)]);
    assert_eq!(
        failure_plan(&cloud.world, &silent, &LeaseWords::new(), NOW + 60).fences,
        [0]
    );
    // Somebody runs it again by hand, and that works.
    let failed = cloud
        .world
        .hook_executions
        .values()
        .last()
        .expect("an execution")
        .number;
    let number = i32::try_from(failed).expect("small");
    cloud.run(Command::Hook(HookCommand::Retry { id: 0, number }));
    fence_ends(&mut cloud, 0);
    assert_eq!(pass(&mut cloud, 12).give_ups, [(vm, None)]);
}

#[test]
fn neither_an_offline_host_nor_the_last_one_is_fenced() {
    let (mut cloud, store) = cloud("", true);
    let vm = running(&mut cloud, store, ELSEWHERE);
    cloud.host_down(0, "silent");
    cloud.host_down(1, "silent");
    assert_eq!(pass(&mut cloud, 600).fences, NONE);
    assert!(said(&cloud, vm).contains("cut off"), "{}", said(&cloud, vm));
    cloud.host_up(1, 4, 4);
    cloud.host_status(0, HostStatus::Offline);
    assert_eq!(pass(&mut cloud, 600).fences, NONE);
    assert!(said(&cloud, vm).contains("OFFLINE"), "{}", said(&cloud, vm));
    cloud.run(Command::Failure(FailureCommand::Fence { host: 0 }));
    cloud.run(Command::Failure(FailureCommand::GiveUp { id: vm, lease: None }));
    assert!(cloud.world.hook_executions.is_empty() && !cloud.world.vms.get(vm).expect("a VM").resched);
}

/// A lease counts where the datastore asks for one, for the loss it was looked at, and until the host answers.
#[test]
fn a_lease_that_has_ended_is_a_proof_for_one_loss() {
    let mut cloud = Cloud::with_config("");
    cloud.host(4, 4);
    cloud.host(4, 4);
    let plain = cloud.datastore("NAME=plain\nTYPE=SYSTEM_DS\nTM_MAD=shared");
    let store = cloud.datastore("NAME=leased\nTYPE=SYSTEM_DS\nTM_MAD=shared\nLEASE_SECONDS=30");
    let vm = running(&mut cloud, store, ELSEWHERE);
    let other = running(&mut cloud, plain, ELSEWHERE);
    let words = |loss, proof: Result<(), &str>| -> LeaseWords {
        let word = LeaseWord {
            loss,
            proof: proof.map_err(str::to_owned),
        };
        [(vm, word.clone()), (other, word)].into_iter().collect()
    };
    let observer = |cloud: &Cloud, vm| cloud.world.lease_observer(cloud.world.vms.get(vm).expect("a VM"));
    assert_eq!((observer(&cloud, vm), observer(&cloud, other)), (Some(1), None));
    cloud.host_down(0, "silent");
    let plan = pass_with(&mut cloud, 60, &words(1, Err("disk.0 is still locked.")));
    assert_eq!((plan.give_ups, plan.next_s), (vec![], Some(2)));
    assert!(
        said(&cloud, vm).contains("disk.0 is still locked"),
        "{}",
        said(&cloud, vm)
    );
    assert!(
        said(&cloud, other).contains("nothing proves"),
        "{}",
        said(&cloud, other)
    );
    assert_eq!(
        pass_with(&mut cloud, 60, &words(0, Ok(()))).give_ups,
        [],
        "of another loss"
    );
    assert!(
        said(&cloud, vm).contains("has looked at the lease"),
        "{}",
        said(&cloud, vm)
    );
    assert_eq!(
        pass_with(&mut cloud, 59, &words(1, Ok(()))).give_ups,
        [],
        "too early"
    );
    // Decided for a loss that is over when it is applied.
    let old = failure_plan(&cloud.world, &BTreeMap::from([(0, 60)]), &words(1, Ok(())), NOW);
    assert_eq!(old.give_ups, [(vm, Some(1))]);
    cloud.host_up(0, 4, 4);
    cloud.host_down(0, "silent");
    for command in old.commands(&cloud.world) {
        cloud.run(command);
    }
    assert!(cloud.plan().placements.is_empty(), "{}", said(&cloud, vm));
    assert_eq!(
        pass_with(&mut cloud, 60, &words(2, Ok(()))).give_ups,
        [(vm, Some(2))]
    );
    assert!(
        said(&cloud, vm).contains("whose lease has ended"),
        "{}",
        said(&cloud, vm)
    );
    let placed = cloud.plan().placements;
    assert_eq!(
        placed
            .iter()
            .map(|placed| (placed.vm, placed.host))
            .collect::<Vec<_>>(),
        [(vm, 1)]
    );
}
