//! Which VMs are to run again, whatever took them off.

use std::collections::BTreeMap;

use plerion_lifecycle::Event;
use plerion_model::autostart::{DomainEnd, Due};
use plerion_model::{Id, Kind};
use plerion_template::Template;
use plerion_world::{AutostartCommand, Caller, Command, HostReport};

use crate::cloud::{Cloud, VM};

fn running(cloud: &mut Cloud, extra: &str) -> Id {
    let vm = cloud.vm(&format!("{VM}\n{extra}")).expect("a VM");
    cloud.deploy(vm).expect("deployed");
    cloud.finish();
    assert_eq!(cloud.phase(vm), "RUNNING");
    vm
}

fn up(cloud: &mut Cloud, boot_id: &str) {
    let report = HostReport::Up {
        total_cpu: 400,
        total_memory_kib: 4 << 20,
        boot_id: boot_id.into(),
        facts: BTreeMap::new(),
    };
    cloud
        .give(&Caller::system(), Command::HostReported { id: 0, report })
        .expect("reported");
}

fn ended(cloud: &mut Cloud, vm: Id, end: DomainEnd) {
    let seen = Command::DomainSeen {
        host: 0,
        vm,
        end: Some(end),
    };
    cloud.give(&Caller::system(), seen).expect("seen");
}

fn due(cloud: &Cloud, vm: Id) -> Due {
    let vm = cloud.world.vms.get(vm).expect("a VM");
    vm.restart.map_or(Due::No, |restart| restart.due)
}

fn start(cloud: &mut Cloud, id: Id) {
    cloud
        .give(
            &Caller::system(),
            Command::Autostart(AutostartCommand::Start { id }),
        )
        .expect("looked at");
}

fn update(cloud: &mut Cloud, kind: Kind, id: Id, text: &str) {
    let template = Template::parse(text).expect("a template");
    cloud
        .give(
            &Caller::system(),
            Command::Update {
                kind,
                id,
                template,
                append: true,
            },
        )
        .expect("updated");
}

#[test]
fn after_a_restart_of_its_host_what_ran_runs_again() {
    let mut cloud = Cloud::new();
    let wanted = running(&mut cloud, "AUTOSTART=yes");
    let unwanted = running(&mut cloud, "AUTOSTART=no");
    up(&mut cloud, "b");
    assert_eq!(cloud.phase(wanted), "RUNNING", "the same boot id is no restart");
    up(&mut cloud, "c");
    assert_eq!((cloud.phase(wanted), due(&cloud, wanted)), ("POWEROFF", Due::Now));
    assert_eq!(
        (cloud.phase(unwanted), due(&cloud, unwanted)),
        ("POWEROFF", Due::No)
    );
    start(&mut cloud, unwanted);
    start(&mut cloud, wanted);
    assert_eq!(cloud.phase(unwanted), "POWEROFF");
    assert_eq!(cloud.phase(wanted), "BOOT_POWEROFF");
    start(&mut cloud, wanted);
    cloud.finish();
    assert_eq!((cloud.phase(wanted), due(&cloud, wanted)), ("RUNNING", Due::No));
}

#[test]
fn also_where_the_host_was_lost_first() {
    let mut cloud = Cloud::new();
    let vm = running(&mut cloud, "AUTOSTART=yes");
    let report = HostReport::Down("silent".into());
    cloud
        .give(&Caller::system(), Command::HostReported { id: 0, report })
        .expect("reported");
    assert_eq!(cloud.phase(vm), "UNKNOWN");
    start(&mut cloud, vm);
    assert_eq!(cloud.phase(vm), "UNKNOWN");
    up(&mut cloud, "c");
    assert_eq!((cloud.phase(vm), due(&cloud, vm)), ("POWEROFF", Due::Now));
}

#[test]
fn how_it_ended_decides() {
    for (end, expect) in [
        (DomainEnd::Guest, Due::No),
        (DomainEnd::Unseen, Due::No),
        (DomainEnd::Crash, Due::Now),
        (DomainEnd::HostStops, Due::AfterBoot),
    ] {
        let mut cloud = Cloud::new();
        let vm = running(&mut cloud, "AUTOSTART=yes");
        ended(&mut cloud, vm, end);
        assert_eq!(
            (cloud.phase(vm), due(&cloud, vm)),
            ("POWEROFF", expect),
            "{end:?}"
        );
        up(&mut cloud, "c");
        let after = if expect == Due::No { Due::No } else { Due::Now };
        assert_eq!(due(&cloud, vm), after, "{end:?}, after the restart of the host");
    }
}

#[test]
fn what_a_user_switched_off_stays_off_unless_always() {
    let mut cloud = Cloud::new();
    let yes = running(&mut cloud, "AUTOSTART=yes");
    let always = running(&mut cloud, "AUTOSTART=always");
    for vm in [yes, always] {
        cloud.act(vm, Event::Poweroff { hard: true }).expect("taken");
        cloud.finish();
        assert_eq!((cloud.phase(vm), due(&cloud, vm)), ("POWEROFF", Due::No));
    }
    up(&mut cloud, "c");
    assert_eq!(due(&cloud, yes), Due::No);
    assert_eq!(due(&cloud, always), Due::Now);
}

#[test]
fn what_a_user_does_with_one_that_waits_ends_the_wish() {
    for (event, phase) in [
        (Event::Undeploy { hard: true }, "UNDEPLOYED"),
        (Event::Stop, "POWEROFF"),
    ] {
        let mut cloud = Cloud::new();
        let vm = running(&mut cloud, "AUTOSTART=yes");
        up(&mut cloud, "c");
        let taken = cloud.act(vm, event).is_ok();
        cloud.finish();
        assert_eq!(cloud.phase(vm), phase);
        assert_eq!(
            due(&cloud, vm),
            if taken { Due::No } else { Due::Now },
            "{event:?}"
        );
    }
}

#[test]
fn the_nearest_policy_counts() {
    let mut cloud = Cloud::new();
    let silent = running(&mut cloud, "");
    let refuses = running(&mut cloud, "AUTOSTART=no");
    up(&mut cloud, "c");
    assert_eq!(
        due(&cloud, silent),
        Due::No,
        "nothing is started unless somebody says so"
    );
    cloud.act(silent, Event::Resume).expect("taken");
    cloud.act(refuses, Event::Resume).expect("taken");
    cloud.finish();
    update(&mut cloud, Kind::Cluster, 0, "AUTOSTART=yes");
    up(&mut cloud, "d");
    assert_eq!((due(&cloud, silent), due(&cloud, refuses)), (Due::Now, Due::No));
    start(&mut cloud, silent);
    cloud.finish();
    update(&mut cloud, Kind::Host, 0, "AUTOSTART=no");
    up(&mut cloud, "e");
    assert_eq!(due(&cloud, silent), Due::No);
}

#[test]
fn a_lock_does_not_hinder_it_and_a_policy_that_is_taken_away_does() {
    let mut cloud = Cloud::new();
    let locked = running(&mut cloud, "AUTOSTART=yes");
    let changed = running(&mut cloud, "AUTOSTART=yes");
    let lock = Command::Lock {
        kind: Kind::Vm,
        id: locked,
        level: 3,
        test: false,
    };
    cloud.give(&Caller::system(), lock).expect("locked");
    up(&mut cloud, "c");
    update(&mut cloud, Kind::Vm, changed, "AUTOSTART=no");
    start(&mut cloud, locked);
    start(&mut cloud, changed);
    assert_eq!(cloud.phase(locked), "BOOT_POWEROFF");
    assert_eq!(cloud.phase(changed), "POWEROFF");
}

#[test]
fn why_it_waits_is_shown_until_it_runs() {
    let mut cloud = Cloud::new();
    let vm = running(&mut cloud, "AUTOSTART=yes");
    up(&mut cloud, "c");
    let says = |cloud: &Cloud| {
        let vm = cloud.world.vms.get(vm).expect("a VM");
        vm.user_template.get("AUTOSTART_MESSAGE").map(str::to_owned)
    };
    let wait = AutostartCommand::Wait {
        id: vm,
        message: "for you".into(),
    };
    cloud
        .give(&Caller::system(), Command::Autostart(wait))
        .expect("noted");
    assert_eq!(says(&cloud).as_deref(), Some("for you"));
    cloud.act(vm, Event::Resume).expect("a user is faster");
    cloud.finish();
    assert_eq!((says(&cloud), due(&cloud, vm)), (None, Due::No));
}
