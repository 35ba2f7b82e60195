//! VMs that start again by themselves: in which order, and why one waits.

use crate::support::{Cloud, NOW};
use plerion_lifecycle::Event;
use plerion_model::autostart::DomainEnd;
use plerion_model::{Id, Kind, Seconds};
use plerion_scheduler::{AutostartPlan, Placement, autostart_plan, hosts_heard};
use plerion_world::{Command, HostReport};

/// A cloud with hosts of 100 CPUs and 100 GiB.
fn cloud(config: &str, hosts: usize) -> Cloud {
    let mut cloud = Cloud::with_config(config);
    for _ in 0..hosts {
        cloud.host(100, 100);
    }
    cloud
}

/// A VM that runs on a host, with `AUTOSTART` and more attributes.
fn running(cloud: &mut Cloud, host: Id, text: &str) -> Id {
    let vm = cloud.vm(&format!("AUTOSTART=YES\n{text}"));
    cloud.deploy(&Placement {
        vm,
        host,
        datastore: 0,
        moves: false,
    });
    cloud.vm_settle(vm);
    vm
}

/// A host is up again, with another boot id.
fn reboot(cloud: &mut Cloud, host: Id) {
    let before = cloud.world.hosts.get(host).expect("a host").boot_id.clone();
    let report = HostReport::Up {
        total_cpu: 10_000,
        total_memory_kib: 100 << 20,
        boot_id: format!("{before}+"),
        facts: [].into(),
    };
    cloud.run(Command::HostReported { id: host, report });
}

fn plan_at(cloud: &Cloud, now: Seconds) -> AutostartPlan {
    autostart_plan(&cloud.world, now)
}

fn starts(cloud: &Cloud) -> Vec<Id> {
    plan_at(cloud, NOW).starts
}

/// Gives the plan's commands; the VMs whose starts that asks for are up afterwards if `up`.
fn carry_out(cloud: &mut Cloud, up: bool) -> Vec<Id> {
    let plan = plan_at(cloud, NOW);
    let started = plan.starts.clone();
    for command in plan.commands(&cloud.world) {
        cloud.run(command);
    }
    if up {
        for vm in &started {
            cloud.vm_settle(*vm);
        }
    }
    started
}

fn message(cloud: &Cloud, vm: Id) -> String {
    let vm = cloud.world.vms.get(vm).expect("a VM");
    vm.user_template
        .get("AUTOSTART_MESSAGE")
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn what_ran_starts_by_order_and_says_what_it_waits_for() {
    let mut cloud = cloud("", 1);
    let last = running(&mut cloud, 0, "");
    let second = running(&mut cloud, 0, "AUTOSTART_ORDER=2");
    let first = running(&mut cloud, 0, "AUTOSTART_ORDER=1");
    assert!(starts(&cloud).is_empty());
    reboot(&mut cloud, 0);
    assert_eq!(carry_out(&mut cloud, false), [first]);
    assert_eq!(
        message(&cloud, second),
        format!("Waits for VM {first}, whose AUTOSTART_ORDER is lower.")
    );
    assert_eq!(message(&cloud, last), message(&cloud, second));
    assert!(
        plan_at(&cloud, NOW).commands(&cloud.world).is_empty(),
        "said once"
    );
    cloud.vm_settle(first);
    assert_eq!(carry_out(&mut cloud, true), [second]);
    assert_eq!(carry_out(&mut cloud, true), [last]);
    assert!(starts(&cloud).is_empty());
    for vm in [first, second, last] {
        assert_eq!(message(&cloud, vm), "");
    }
}

#[test]
fn a_delay_holds_up_those_behind_and_says_when_to_look_again() {
    let mut cloud = cloud("", 1);
    let first = running(&mut cloud, 0, "AUTOSTART_ORDER=1\nAUTOSTART_DELAY=40");
    let second = running(&mut cloud, 0, "AUTOSTART_ORDER=2");
    reboot(&mut cloud, 0);
    assert_eq!(carry_out(&mut cloud, true), [first]);
    let plan = plan_at(&cloud, NOW + 39);
    assert_eq!((plan.starts, plan.next), (vec![], Some(NOW + 40)));
    assert_eq!(plan_at(&cloud, NOW + 40).starts, [second]);
}

#[test]
fn after_names_vms_by_id_or_name_and_circles_are_not_kept_to() {
    let mut cloud = cloud("", 2);
    let database = running(&mut cloud, 0, "NAME=database\nAUTOSTART_DELAY=5");
    let application = running(&mut cloud, 1, "NAME=application\nAUTOSTART_AFTER=\"database\"");
    let front = running(
        &mut cloud,
        0,
        &format!("AUTOSTART_AFTER=\"{application}, database, 4711\""),
    );
    let circle = running(&mut cloud, 1, "NAME=ring\nAUTOSTART_AFTER=\"ring, other ring\"");
    let other = running(&mut cloud, 1, "NAME=\"other ring\"\nAUTOSTART_AFTER=ring");
    reboot(&mut cloud, 0);
    reboot(&mut cloud, 1);
    assert_eq!(carry_out(&mut cloud, true), [database, circle, other]);
    assert_eq!(
        message(&cloud, application),
        format!("Waits for VM {database}, which AUTOSTART_AFTER names.")
    );
    assert!(plan_at(&cloud, NOW + 4).starts.is_empty());
    let plan = plan_at(&cloud, NOW + 5);
    assert_eq!(plan.starts, [application]);
    assert_eq!(
        plan.waits[0],
        (
            front,
            format!("Waits for VM {application}, which AUTOSTART_AFTER names.")
        )
    );
}

#[test]
fn one_that_is_switched_off_holds_up_nobody() {
    let mut cloud = cloud("", 1);
    let first = running(&mut cloud, 0, "NAME=first\nAUTOSTART_ORDER=1");
    let second = running(&mut cloud, 0, "AUTOSTART_ORDER=2\nAUTOSTART_AFTER=first");
    cloud.action(first, Event::Poweroff { hard: true });
    cloud.vm_settle(first);
    reboot(&mut cloud, 0);
    assert_eq!(starts(&cloud), [second]);
}

#[test]
fn one_whose_host_is_down_holds_up_only_those_that_name_it() {
    let mut cloud = cloud("", 2);
    let first = running(&mut cloud, 0, "NAME=first\nAUTOSTART_ORDER=1");
    let second = running(&mut cloud, 1, "AUTOSTART_ORDER=2");
    let names = running(&mut cloud, 1, "AUTOSTART_AFTER=first");
    reboot(&mut cloud, 0);
    reboot(&mut cloud, 1);
    cloud.host_down(0, "no route");
    let plan = plan_at(&cloud, NOW);
    assert_eq!(plan.starts, [second]);
    assert_eq!(
        plan.waits,
        [
            (first, "Waits for host 0, which is ERROR.".to_owned()),
            (
                names,
                format!("Waits for VM {second}, whose AUTOSTART_ORDER is lower.")
            ),
        ]
    );
    carry_out(&mut cloud, true);
    let plan = plan_at(&cloud, NOW);
    assert_eq!(
        plan.waits[1],
        (
            names,
            format!("Waits for VM {first}, which AUTOSTART_AFTER names.")
        )
    );
}

#[test]
fn no_more_at_once_than_a_host_may_start() {
    let mut cloud = cloud("AUTOSTART_PARALLEL=4", 3);
    cloud.update(Kind::Host, 1, "AUTOSTART_PARALLEL=1");
    for host in [0, 1, 2] {
        for _ in 0..6 {
            running(&mut cloud, host, "");
        }
        reboot(&mut cloud, host);
    }
    let on = |cloud: &Cloud, vms: &[Id]| {
        let host = |vm: &Id| cloud.world.vms.get(*vm).and_then(|vm| vm.held_host());
        [0, 1, 2].map(|id| vms.iter().filter(|vm| host(vm) == Some(id)).count())
    };
    let first = carry_out(&mut cloud, false);
    assert_eq!(on(&cloud, &first), [4, 1, 4]);
    assert!(starts(&cloud).is_empty());
    assert_eq!(
        message(&cloud, 11),
        "Waits: host 1 starts as many VMs as it may at once (AUTOSTART_PARALLEL = 1)."
    );
    cloud.vm_settle(first[0]);
    assert_eq!(on(&cloud, &starts(&cloud)), [1, 0, 0]);
    for vm in first {
        cloud.vm_settle(vm);
    }
    let second = carry_out(&mut cloud, false);
    assert_eq!(on(&cloud, &second), [2, 1, 2]);
}

#[test]
fn no_more_at_once_than_may_start_in_all() {
    let mut cloud = cloud("MAX_ACTIONS_PER_CLUSTER=4", 3);
    for host in [0, 1, 2] {
        for _ in 0..3 {
            running(&mut cloud, host, "");
        }
        reboot(&mut cloud, host);
    }
    let first = carry_out(&mut cloud, false);
    assert_eq!(first.len(), 4);
    assert!(starts(&cloud).is_empty());
    assert_eq!(
        message(&cloud, 8),
        "Waits: as many VMs start as may at once (MAX_ACTIONS_PER_CLUSTER = 4)."
    );
    cloud.vm_settle(first[0]);
    assert_eq!(starts(&cloud).len(), 1);
}

#[test]
fn what_fails_is_tried_again_later_and_then_left_with_a_message() {
    let mut cloud = cloud("", 1);
    let vm = running(&mut cloud, 0, "");
    reboot(&mut cloud, 0);
    for tries in 1..=4 {
        assert_eq!(carry_out(&mut cloud, false), [vm], "try {tries}");
        let key = *cloud.world.outbox.keys().next().expect("a start");
        cloud.run(Command::IntentEnded {
            key,
            result: Err("no memory".into()),
        });
        let plan = plan_at(&cloud, NOW);
        assert!(plan.starts.is_empty(), "try {tries}");
        if let Some(next) = plan.next {
            assert_eq!(next, NOW + [10, 60, 300][tries - 1]);
            // The clock of this cloud stands still: the pause is over when the last try was long ago.
            let mut known = (**cloud.world.vms.get(vm).expect("a VM")).clone();
            let restart = known.restart.as_mut().expect("noted");
            restart.tried = NOW - 1000;
            restart.since = NOW - 1000;
            cloud.world.put(&plerion_world::Object::Vm(known.into()));
        }
    }
    carry_out(&mut cloud, false);
    assert_eq!(
        message(&cloud, vm),
        "Not started again by itself any more: 4 tries have failed. Look at ERROR and the log of the VM, then resume it."
    );
    assert!(plan_at(&cloud, NOW + 1_000_000).starts.is_empty());
    cloud.action(vm, Event::Resume);
    cloud.vm_settle(vm);
    assert_eq!(message(&cloud, vm), "");
    reboot(&mut cloud, 0);
    assert_eq!(
        starts(&cloud),
        [vm],
        "a restart of the host gives it its tries back"
    );
}

#[test]
fn hosts_are_heard_of_by_their_samples() {
    let mut cloud = cloud("", 2);
    assert!(!hosts_heard(&cloud.world, &cloud.measurements));
    cloud.host_free(0, 100, 1 << 20);
    assert!(!hosts_heard(&cloud.world, &cloud.measurements));
    cloud.host_down(1, "no route");
    assert!(
        hosts_heard(&cloud.world, &cloud.measurements),
        "one is heard, one is known to be away"
    );
    cloud.host_up(1, 100, 100);
    cloud.host_free(1, 100, 1 << 20);
    assert!(hosts_heard(&cloud.world, &cloud.measurements));
}

#[test]
fn a_qemu_that_died_is_started_at_once() {
    let mut cloud = cloud("", 1);
    let vm = running(&mut cloud, 0, "");
    cloud.run(Command::DomainSeen {
        host: 0,
        vm,
        end: Some(DomainEnd::Crash),
    });
    assert_eq!(starts(&cloud), [vm]);
}
