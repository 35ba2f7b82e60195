//! Each limit of a plan.

use crate::support::Cloud;
use plerion_lifecycle::Ask;
use plerion_model::Id;
use plerion_scheduler::{Limits, Reason};

fn cloud(hosts: usize, vms: usize) -> Cloud {
    let mut cloud = Cloud::new();
    for _ in 0..hosts {
        cloud.host(8, 16);
    }
    for _ in 0..vms {
        cloud.vm("");
    }
    cloud
}

#[test]
fn vms_looked_at() {
    let mut cloud = cloud(2, 4);
    let urgent = cloud.vm("USER_PRIORITY=\"1\"");
    cloud.limits.vms = 2;
    let plan = cloud.plan();
    let placed: Vec<Id> = plan.placements.iter().map(|placement| placement.vm).collect();
    assert_eq!(placed, [urgent, 0]);
    assert_eq!(plan.deferred, [1, 2, 3]);
    cloud.limits.vms = 0;
    assert_eq!(cloud.plan().deferred.len(), 5);
}

#[test]
fn placements() {
    let mut cloud = cloud(2, 4);
    cloud.limits.placements = 3;
    let plan = cloud.plan();
    assert_eq!((plan.placements.len(), plan.deferred), (3, vec![3]));
}

/// The limit does not turn packing into spreading: what belongs on a busy host waits for it.
#[test]
fn vms_starting_on_a_host() {
    let mut cloud = Cloud::new();
    cloud.host(3, 16);
    cloud.host(3, 16);
    for _ in 0..4 {
        cloud.vm("SCHED_RANK=\"RUNNING_VMS\"");
    }
    cloud.limits.host_starts = Some(2);
    let plan = cloud.plan();
    assert_eq!(cloud.hosts(), [0, 0, 1], "host 0 is full with the one that waits");
    assert_eq!(plan.deferred, [2]);
    for placement in &plan.placements {
        cloud.deploy(placement);
    }
    assert_eq!(cloud.plan().deferred, [2], "two are starting still");
    cloud.vm_settle_until(0, |ask| ask == Ask::Boot);
    assert_eq!(cloud.plan().deferred, [2], "a VM that boots is starting");
    cloud.vm_settle(0);
    assert_eq!(cloud.place(), (0, 0));
}

/// Those on a host that is lost do not count: they may hang for long.
#[test]
fn vms_starting_in_all() {
    let mut cloud = Cloud::with_config("MAX_ACTIONS_PER_HOST=5\nMAX_ACTIONS_PER_CLUSTER=3");
    cloud.limits = Limits::of(&cloud.world.config);
    assert_eq!(
        (cloud.limits.host_starts, cloud.limits.starts),
        (Some(5), Some(3))
    );
    for _ in 0..2 {
        cloud.host(8, 16);
    }
    for _ in 0..5 {
        cloud.vm("");
    }
    let plan = cloud.plan();
    assert_eq!(cloud.hosts(), [0, 1, 0]);
    assert_eq!(plan.deferred, [3, 4]);
    for placement in &plan.placements {
        cloud.deploy(placement);
    }
    assert_eq!(cloud.plan().deferred, [3, 4], "three are starting still");
    cloud.vm_settle(0);
    assert_eq!(cloud.plan().deferred, [4], "one has started");
    cloud.host_down(1, "gone");
    assert!(cloud.plan().deferred.is_empty(), "one of those hangs");
}

#[test]
fn no_bound_on_starts_where_none_is_set() {
    for text in ["", "MAX_ACTIONS_PER_HOST=0\nMAX_ACTIONS_PER_CLUSTER=many"] {
        let cloud = Cloud::with_config(text);
        assert_eq!(Limits::of(&cloud.world.config), Limits::default());
    }
}

#[test]
fn hosts_named() {
    let mut cloud = Cloud::new();
    for number in 0..6 {
        cloud.host(if number % 2 == 0 { 1 } else { 8 }, 1);
    }
    cloud.vm_of("2", 2048, "");
    cloud.limits.hosts_named = 2;
    let refusal = cloud.refusal();
    assert_eq!(refusal.hosts.len(), 2);
    assert_eq!(refusal.others, [(Reason::Cpu, 2), (Reason::Memory, 2)]);
    assert_eq!(
        refusal.summary,
        "Cannot dispatch VM: No host has enough capacity left: host 0 (node-0): not enough CPU: needs 2, 1 free; \
         host 1 (node-1): not enough memory: needs 2048 MB, 1024 free; 4 more hosts: 2 not enough CPU, 2 not enough \
         memory"
    );
    cloud.limits.summary_bytes = 60;
    let summary = cloud.summary();
    assert!(summary.len() <= 60 && summary.ends_with('…'), "{summary}");
}

#[test]
fn datastores_named() {
    let mut cloud = cloud(1, 1);
    for number in 0..5 {
        let id = cloud.datastore(&format!("NAME=\"s{number}\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"ssh\""));
        cloud.datastore_enable(id, false);
    }
    cloud.datastore_enable(0, false);
    assert!(
        cloud
            .summary()
            .ends_with("(s2): is disabled, and 2 more datastores will not do"),
        "{}",
        cloud.summary()
    );
}
