//! Which of the fit hosts and datastores is taken, and in which order VMs are.

use crate::support::{Cloud, template};
use plerion_model::{Id, Kind};
use plerion_world::{Command, HostStatus, Member};

#[test]
fn by_default_vms_are_spread() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    for _ in 0..7 {
        cloud.vm("");
    }
    assert_eq!(cloud.hosts(), [0, 1, 2, 0, 1, 2, 0]);
    // VMs that are there count.
    let first = cloud.plan().placements[0];
    cloud.deploy(&first);
    assert_eq!(cloud.hosts(), [1, 2, 0, 1, 2, 0]);
}

#[test]
fn vms_of_different_kinds_are_spread_together() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    for number in 0..9 {
        cloud.vm_of("0.5", 512 + number % 3, "");
    }
    assert_eq!(cloud.hosts(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_rank_of_a_vm_decides() {
    for (attributes, expect) in [
        ("SCHED_RANK=\"RUNNING_VMS\"", [0, 0, 0, 1]),
        ("RANK=\"RUNNING_VMS\"", [0, 0, 0, 1]),
        ("RANK=\"RUNNING_VMS\"\nSCHED_RANK=\"ID\"", [2, 2, 2, 1]),
        ("SCHED_RANK=\"\"", [0, 1, 2, 0]),
        ("SCHED_RANK=\"PRIORITY\"", [1, 1, 1, 2]),
        ("SCHED_RANK=\"- ID\"", [0, 0, 0, 1]),
        // 100, 250 and 300 are free; each VM planned takes 100.
        ("SCHED_RANK=\"FREE_CPU\"", [2, 1, 2, 1]),
        ("SCHED_RANK=\"NOSUCH\"", [0, 0, 0, 1]),
    ] {
        let mut cloud = Cloud::new();
        for _ in 0..3 {
            cloud.host(3, 16);
        }
        for (host, free) in [(0, 100), (1, 250), (2, 300)] {
            cloud.host_free(host, free, 1 << 20);
        }
        cloud.update(Kind::Host, 1, "PRIORITY=\"9\"");
        cloud.update(Kind::Host, 2, "PRIORITY=\"5\"");
        for _ in 0..4 {
            cloud.vm(attributes);
        }
        assert_eq!(cloud.hosts(), expect, "{attributes}");
    }
}

#[test]
fn the_default_rank_is_a_setting() {
    let mut cloud = Cloud::new();
    for _ in 0..2 {
        cloud.host(8, 16);
    }
    for _ in 0..3 {
        cloud.vm("");
    }
    cloud.limits.host_rank = "RUNNING_VMS".into();
    assert_eq!(cloud.hosts(), [0, 0, 0]);
    cloud.limits.host_rank = "RUNNING_VMS +".into();
    let plan = cloud.plan();
    assert_eq!(plan.refused.len(), 3);
    assert!(
        plan.refused[0]
            .summary
            .contains("the default host rank is no expression"),
        "{plan:?}"
    );
}

#[test]
fn requirements_see_what_is_planned() {
    let mut cloud = Cloud::new();
    for _ in 0..2 {
        cloud.host(8, 16);
    }
    // At most two on a host, by rank all on host 1.
    for _ in 0..6 {
        cloud.vm("SCHED_REQUIREMENTS=\"RUNNING_VMS < 2\"\nSCHED_RANK=\"ID\"");
    }
    assert_eq!(cloud.hosts(), [1, 1, 0, 0]);
    assert_eq!(cloud.plan().refused.len(), 2);
}

#[test]
fn requirements_may_be_met_by_what_is_planned() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    let master = cloud.vm("SCHED_RANK=\"ID\"");
    let near = format!("SCHED_REQUIREMENTS=\"\\\"VMS/ID\\\" @> {master}\"");
    cloud.vm(&near);
    cloud.vm(&near);
    assert_eq!(cloud.hosts(), [2, 2, 2]);
    // And when it comes first, it is placed as soon as the other one is.
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    cloud.vm("SCHED_REQUIREMENTS=\"\\\"VMS/ID\\\" @> 1\"");
    cloud.vm("SCHED_RANK=\"ID\"");
    cloud.vm("SCHED_REQUIREMENTS=\"\\\"VMS/ID\\\" @> 1\"");
    let plan = cloud.plan();
    assert_eq!(plan.refused.len(), 1);
    assert_eq!(plan.refused[0].vm, 0);
    assert_eq!(cloud.hosts(), [2, 2]);
}

#[test]
fn reserved_capacity_counts_and_may_be_negative() {
    for (kind, reserved, expect) in [
        (Kind::Host, "", 2),
        (Kind::Host, "RESERVED_CPU=\"100\"", 1),
        (Kind::Host, "RESERVED_CPU=\"50%\"", 1),
        (Kind::Host, "RESERVED_CPU=\"-200\"", 4),
        (Kind::Host, "RESERVED_CPU=\"-100%\"", 4),
        (Kind::Cluster, "RESERVED_CPU=\"-100%\"", 4),
        (Kind::Host, "RESERVED_CPU=\"300\"", 0),
        (Kind::Host, "RESERVED_MEM=\"16777216\"", 0),
        (Kind::Host, "RESERVED_MEM=\"16252928\"", 0),
        (Kind::Host, "RESERVED_MEM=\"15728640\"", 1),
    ] {
        let mut cloud = Cloud::new();
        cloud.host(2, 16);
        cloud.update(kind, 0, reserved);
        for _ in 0..5 {
            cloud.vm("");
        }
        let plan = cloud.plan();
        assert_eq!(plan.placements.len(), expect, "{reserved}");
        for placement in &plan.placements {
            cloud.deploy(placement);
        }
    }
}

#[test]
fn vms_are_taken_by_priority_then_by_id() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    for priority in ["", "5", "-1", "7.5", "5", "x"] {
        cloud.vm(&format!("USER_PRIORITY=\"{priority}\""));
    }
    let vms: Vec<Id> = cloud
        .plan()
        .placements
        .iter()
        .map(|placement| placement.vm)
        .collect();
    assert_eq!(vms, [3, 1, 4, 0, 5, 2]);
}

fn two_datastores() -> (Cloud, Id) {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    cloud.update(Kind::Datastore, 0, "SPEED=\"1\"");
    let second = cloud.datastore("NAME=\"second\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"ssh\"\nSPEED=\"9\"");
    (cloud, second)
}

#[test]
fn the_rank_of_datastores_decides() {
    for (attributes, first, expect) in [
        ("", 600, 0),
        ("", 500, 0),
        ("", 400, 100),
        ("SCHED_DS_RANK=\"FREE_MB\"", 400, 100),
        ("SCHED_DS_RANK=\"- FREE_MB\"", 400, 0),
        ("SCHED_DS_RANK=\"SPEED\"", 600, 100),
        (
            "SCHED_DS_RANK=\"SPEED\"\nDISK=[TYPE=\"fs\", SIZE=\"501\"]",
            600,
            0,
        ),
        (
            "SCHED_DS_REQUIREMENTS=\"FREE_MB > 550\"\nSCHED_DS_RANK=\"SPEED\"",
            600,
            0,
        ),
        ("SCHED_DS_REQUIREMENTS=\"ID = 100\"", 600, 100),
        (
            "SCHED_DS_REQUIREMENTS=\"\\\"CLUSTERS/ID\\\" @> 0 & TM_MAD = ssh & !(NAME = system)\"",
            600,
            100,
        ),
    ] {
        let (mut cloud, second) = two_datastores();
        cloud.host_space(0, &[(0, 1000, first), (second, 1000, 500)]);
        cloud.vm(attributes);
        assert_eq!(cloud.place().1, expect, "{attributes} {first}");
    }
    let (mut cloud, second) = two_datastores();
    cloud.host_space(0, &[(0, 1000, 600), (second, 1000, 500)]);
    cloud.vm("");
    cloud.limits.datastore_rank = "SPEED".into();
    assert_eq!(cloud.place().1, second);
}

#[test]
fn datastores_are_filled_in_turn() {
    let (mut cloud, second) = two_datastores();
    cloud.host_space(0, &[(0, 1000, 600), (second, 1000, 450)]);
    for _ in 0..5 {
        cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"200\"]");
    }
    let plan = cloud.plan();
    let stores: Vec<Id> = plan
        .placements
        .iter()
        .map(|placement| placement.datastore)
        .collect();
    assert_eq!(stores, [0, second, 0, second, 0]);
}

#[test]
fn datastore_requirements_see_the_space_of_each_host() {
    let mut cloud = Cloud::new();
    for (host, free) in [(0, 100), (1, 900), (2, 500)] {
        cloud.host(8, 16);
        cloud.host_space(host, &[(0, 1000, free)]);
    }
    cloud.vm("SCHED_DS_REQUIREMENTS=\"FREE_MB > 400\"");
    cloud.vm("SCHED_DS_REQUIREMENTS=\"FREE_MB > 400\"");
    cloud.vm("SCHED_DS_REQUIREMENTS=\"FREE_MB > 950\"");
    assert_eq!(cloud.hosts(), [1, 2]);
    let plan = cloud.plan();
    let summary = &plan.refused[0].summary;
    assert!(
        summary.contains(
            "host 1 (node-1): datastore 0 (system): FREE_MB > 950 but the datastore has FREE_MB \"900\""
        ),
        "{summary}"
    );
}

#[test]
fn pairs_of_datastores_decide_which_hosts_will_do() {
    let mut cloud = Cloud::new();
    for _ in 0..2 {
        cloud.host(8, 16);
    }
    let west = cloud.cluster("west");
    cloud.member(west, Member::Host(1), true);
    cloud.member(west, Member::Datastore(1), true);
    // Cluster 0 has ssh; west has only shared, which the images of datastore 1 (ssh) cannot be used on.
    let shared = cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    cloud.member(west, Member::Datastore(shared), true);
    cloud.member(0, Member::Datastore(shared), false);
    let image = cloud.image(1, 100, false);
    let plain = cloud.vm("SCHED_REQUIREMENTS=\"ID = 1\"");
    let vms: Vec<Id> = (0..2)
        .map(|_| cloud.vm(&format!("DISK=[IMAGE_ID=\"{image}\"]")))
        .collect();
    let plan = cloud.plan();
    let places: Vec<(Id, Id, Id)> = plan
        .placements
        .iter()
        .map(|placement| (placement.vm, placement.host, placement.datastore))
        .collect();
    assert_eq!(places, [(plain, 1, shared), (vms[0], 0, 0), (vms[1], 0, 0)]);
}

#[test]
fn hosts_that_do_not_matter_change_nothing() {
    let mut cloud = Cloud::new();
    for _ in 0..4 {
        cloud.host(4, 8);
    }
    for number in 0..10 {
        cloud.vm_of("0.5", 256 + number, "SCHED_REQUIREMENTS=\"HYPERVISOR = kvm\"");
    }
    let before = cloud.plan();
    let silent = cloud.host_silent("silent");
    let small = cloud.host(0, 0);
    let disabled = cloud.host(64, 512);
    cloud.host_status(disabled, HostStatus::Disabled);
    let other = cloud.host(64, 512);
    cloud.update(Kind::Host, other, "HYPERVISOR=\"qemu\"");
    let after = cloud.plan();
    assert_eq!(after.placements, before.placements);
    assert_eq!(after.refused, [], "{silent} {small}");
}

#[test]
fn vms_on_hold_and_others_are_left_alone() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    cloud.run(Command::VmAllocate {
        template: template("CPU=1\nMEMORY=128"),
        hold: true,
    });
    assert_eq!(cloud.plan(), plerion_scheduler::Plan::default());
}
