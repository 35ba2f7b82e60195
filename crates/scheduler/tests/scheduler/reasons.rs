//! Each reason for which a VM waits, and what its owner reads.

use crate::support::Cloud;
use plerion_lifecycle::Event;
use plerion_model::Kind;
use plerion_scheduler::Reason;
use plerion_world::{HostStatus, Member};

fn check(cloud: &Cloud, code: Reason, summary: &str) {
    let refusal = cloud.refusal();
    assert_eq!(refusal.summary, format!("Cannot dispatch VM: {summary}"));
    assert_eq!(refusal.code, code);
    assert_eq!(cloud.refusal(), refusal, "the text is not stable");
}

#[test]
fn without_hosts() {
    let mut cloud = Cloud::new();
    cloud.vm("");
    check(
        &cloud,
        Reason::NoHost,
        "There is no host: add one with onehost create",
    );
}

#[test]
fn hosts_that_take_no_vms() {
    let mut cloud = Cloud::new();
    cloud.vm("");
    for _ in 0..4 {
        cloud.host(8, 16);
    }
    cloud.host_status(0, HostStatus::Disabled);
    cloud.host_down(1, "ssh: connection\nrefused");
    cloud.host_status(2, HostStatus::Offline);
    cloud.host_status(3, HostStatus::Disabled);
    cloud.host_silent("new");
    check(
        &cloud,
        Reason::HostState,
        "No host is enabled and monitored: hosts 0 (node-0), 3 (node-3): is disabled; host 1 (node-1): is in error: \
         ssh: connection refused; host 2 (node-2): is offline; host 4 (new): has not been reached yet",
    );
    cloud.host_status(3, HostStatus::Enabled);
    assert_eq!(cloud.place(), (3, 0));
}

#[test]
fn requirements_of_the_user() {
    let mut cloud = Cloud::new();
    cloud.vm("SCHED_REQUIREMENTS=\"HYPERVISOR = qemu\"");
    cloud.host(8, 16);
    check(
        &cloud,
        Reason::Requirements,
        "No host meets SCHED_REQUIREMENTS: host 0 (node-0): HYPERVISOR = qemu but the host has HYPERVISOR \"kvm\"",
    );
    cloud.update(Kind::Host, 0, "HYPERVISOR=\"qemu\"");
    assert_eq!(cloud.place(), (0, 0));
}

#[test]
fn requirements_that_follow_from_the_datastore() {
    let mut cloud = Cloud::new();
    let image = cloud.image(1, 100, false);
    cloud.vm(&format!("DISK=[IMAGE_ID=\"{image}\"]"));
    cloud.host(8, 16);
    let west = cloud.cluster("west");
    cloud.member(west, Member::Host(0), true);
    check(
        &cloud,
        Reason::AutomaticRequirements,
        "No host meets AUTOMATIC_REQUIREMENTS: host 0 (node-0): CLUSTER_ID = 0 but the host has CLUSTER_ID \"100\"",
    );
}

#[test]
fn capacity() {
    let mut cloud = Cloud::new();
    cloud.vm_of("2", 4096, "");
    cloud.host(1, 16);
    cloud.host(8, 1);
    check(
        &cloud,
        Reason::Memory,
        "No host has enough capacity left: host 0 (node-0): not enough CPU: needs 2, 1 free; host 1 (node-1): not \
         enough memory: needs 4096 MB, 1024 free",
    );
}

#[test]
fn capacity_that_this_plan_gave_away() {
    let mut cloud = Cloud::new();
    cloud.host(4, 16);
    let first = cloud.vm_of("3.5", 1024, "");
    let second = cloud.vm_of("1", 1024, "");
    let third = cloud.vm_of("0.5", 1024, "");
    let plan = cloud.plan();
    let placed: Vec<_> = plan.placements.iter().map(|placement| placement.vm).collect();
    assert_eq!(placed, [first, third], "one that does not fit holds up nobody");
    assert_eq!(plan.refused[0].vm, second);
    assert!(
        plan.refused[0]
            .summary
            .ends_with("not enough CPU: needs 1, 0.5 free"),
        "{}",
        plan.refused[0].summary
    );
}

#[test]
fn no_system_datastore_in_the_cluster() {
    let mut cloud = Cloud::new();
    cloud.vm("");
    cloud.host(8, 16);
    let west = cloud.cluster("west");
    cloud.member(west, Member::Host(0), true);
    check(
        &cloud,
        Reason::Datastore,
        "No host has a system datastore that will do: host 0 (node-0): its cluster 100 (west) has no system datastore",
    );
    cloud.member(west, Member::Datastore(0), true);
    assert_eq!(cloud.place(), (0, 0));
}

#[test]
fn datastores_that_will_not_do() {
    let mut cloud = Cloud::new();
    let image = cloud.image(1, 100, false);
    cloud.vm(&format!(
        "DISK=[IMAGE_ID=\"{image}\"]\nSCHED_DS_REQUIREMENTS=\"NAME = system\""
    ));
    cloud.host(8, 16);
    cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    cloud.datastore("NAME=\"other\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"ssh\"");
    cloud.datastore_enable(0, false);
    check(
        &cloud,
        Reason::Datastore,
        "No host has a system datastore that will do: host 0 (node-0): datastore 0 (system): is disabled, datastore \
         100 (s): image datastore 1 (ssh) needs a system datastore with TM_MAD ssh, and datastore 100 has shared, \
         datastore 101 (other): NAME = system but the datastore has NAME \"other\"",
    );
    cloud.datastore_enable(0, true);
    assert_eq!(cloud.place(), (0, 0));
}

#[test]
fn space_on_the_hosts_own_disks() {
    let mut cloud = Cloud::new();
    cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"2000\"]");
    cloud.host(8, 16);
    assert_eq!(cloud.place(), (0, 0), "what was never measured refuses nobody");
    cloud.space(0, 9000, 1);
    assert_eq!(cloud.place(), (0, 0), "the front-end's disk is not the host's");
    cloud.host_space(0, &[(0, 5000, 1999)]);
    check(
        &cloud,
        Reason::Datastore,
        "No host has a system datastore that will do: host 0 (node-0): datastore 0 (system): not enough space: needs \
         2000 MB, 1999 free",
    );
    cloud.host_space(0, &[(0, 0, 0)]);
    assert_eq!(cloud.place(), (0, 0), "all zero is not measured");
    cloud.host_space(0, &[(0, 5000, 2000)]);
    assert_eq!(cloud.place(), (0, 0));
    cloud.update(Kind::Datastore, 0, "LIMIT_MB=\"4999\"");
    assert!(cloud.summary().ends_with("needs 2000 MB, 1999 free"));
}

#[test]
fn old_measurements_tell_no_space() {
    let mut cloud = Cloud::new();
    cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"2000\"]");
    cloud.host(8, 16);
    cloud.host_space(0, &[(0, 5000, 1999)]);
    let age = cloud.limits.sample_age;
    let at = |now| plerion_scheduler::plan(&cloud.world, &cloud.measurements, now, &cloud.limits);
    assert_eq!(at(crate::support::NOW + age).refused.len(), 1);
    assert_eq!(at(crate::support::NOW + age + 1).placements.len(), 1);
}

#[test]
fn shared_space_and_what_the_plan_gave_away() {
    let mut cloud = Cloud::new();
    cloud.datastore_enable(0, false);
    let shared = cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    cloud.space(shared, 5000, 3000);
    cloud.host(8, 16);
    cloud.host(8, 16);
    for _ in 0..2 {
        cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"2000\"]");
    }
    let plan = cloud.plan();
    assert_eq!(plan.placements.len(), 1);
    let summary = &plan.refused[0].summary;
    assert!(summary.contains("needs 2000 MB, 1000 free"), "{summary}");
}

#[test]
fn space_promised_to_vms_whose_disks_are_still_made() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    cloud.host_space(0, &[(0, 5000, 3000)]);
    cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"2000\"]");
    let first = cloud.plan().placements[0];
    cloud.deploy(&first);
    cloud.vm("DISK=[TYPE=\"fs\", SIZE=\"2000\"]");
    assert!(
        cloud.summary().contains("needs 2000 MB, 1000 free"),
        "{}",
        cloud.summary()
    );
    // Once the disk is there, what is free is what is measured.
    cloud.vm_settle(first.vm);
    assert_eq!(cloud.place(), (0, 0));
}

#[test]
fn space_of_the_image_datastore_where_it_keeps_the_copies() {
    let mut cloud = Cloud::new();
    let images = cloud.datastore("NAME=\"i\"\nDS_MAD=\"fs\"\nTM_MAD=\"shared\"\nCLONE_TARGET=\"SELF\"");
    let system = cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    cloud.host(8, 16);
    let image = cloud.image(images, 600, false);
    for _ in 0..2 {
        cloud.vm(&format!("DISK=[IMAGE_ID=\"{image}\"]"));
    }
    cloud.datastore_enable(0, false);
    cloud.space(system, 10, 0);
    cloud.space(images, 2000, 1000);
    let plan = cloud.plan();
    assert_eq!(
        plan.placements.len(),
        1,
        "the system datastore needs no room: {plan:?}"
    );
    let summary = &plan.refused[0].summary;
    assert!(
        summary.contains("image datastore 100 has not enough space: needs 600 MB, 400 free"),
        "{summary}"
    );
    cloud.update(Kind::Datastore, images, "DATASTORE_CAPACITY_CHECK=\"NO\"");
    assert_eq!(cloud.plan().placements.len(), 2);
}

#[test]
fn copies_take_the_place_that_the_pair_of_drivers_says() {
    // shared images on an ssh system datastore are copied to the host; on a shared one a persistent one is linked.
    let mut cloud = Cloud::new();
    let images = cloud.datastore("NAME=\"i\"\nDS_MAD=\"fs\"\nTM_MAD=\"shared\"");
    let shared = cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    cloud.host(8, 16);
    let image = cloud.image(images, 600, true);
    cloud.vm(&format!("DISK=[IMAGE_ID=\"{image}\"]"));
    cloud.host_space(0, &[(0, 1000, 500)]);
    cloud.space(shared, 1000, 500);
    assert_eq!(cloud.place(), (0, shared));
    cloud.datastore_enable(shared, false);
    assert!(
        cloud.summary().contains("needs 600 MB, 500 free"),
        "{}",
        cloud.summary()
    );
}

#[test]
fn expressions_that_are_none() {
    for (name, text) in [
        ("SCHED_REQUIREMENTS", "ID >= 3"),
        ("SCHED_DS_REQUIREMENTS", "ID ="),
        ("SCHED_RANK", "FREE_CPU +"),
        ("RANK", "FREE_CPU +"),
        ("SCHED_DS_RANK", "* 3"),
    ] {
        let mut cloud = Cloud::new();
        cloud.host(8, 16);
        let bad = cloud.vm(&format!("{name}=\"{text}\""));
        let good = cloud.vm("");
        let plan = cloud.plan();
        assert_eq!(plan.placements[0].vm, good, "{name}");
        let refusal = &plan.refused[0];
        assert_eq!((refusal.vm, refusal.code), (bad, Reason::Expression));
        let head = format!("Cannot dispatch VM: {name} is no expression: ");
        assert!(refusal.summary.starts_with(&head), "{}", refusal.summary);
        assert!(
            refusal.summary.contains("at line 1, columns "),
            "{}",
            refusal.summary
        );
    }
}

#[test]
fn expressions_have_a_greatest_length() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    cloud.limits.expression_bytes = 6;
    cloud.vm("SCHED_REQUIREMENTS=\"ID = 0\"");
    assert_eq!(cloud.place(), (0, 0));
    cloud.limits.expression_bytes = 5;
    assert!(
        cloud
            .summary()
            .contains("SCHED_REQUIREMENTS has 6 bytes, and at most 5"),
        "{}",
        cloud.summary()
    );
}

#[test]
fn a_stopped_vm_goes_where_its_files_can_be_used() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    cloud.host(8, 16);
    let image = cloud.image(1, 100, false);
    let vm = cloud.vm(&format!("DISK=[IMAGE_ID=\"{image}\"]"));
    let second = cloud.datastore("NAME=\"second\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"ssh\"");
    for host in [0, 1] {
        cloud.host_space(host, &[(0, 5000, 1000), (second, 5000, 4000)]);
    }
    let placement = cloud.plan().placements[0];
    assert_eq!(placement.datastore, second, "more room");
    cloud.deploy(&placement);
    cloud.vm_settle(vm);
    cloud.action(vm, Event::Undeploy { hard: false });
    cloud.vm_settle(vm);
    cloud.action(vm, Event::Resume);
    for host in [0, 1] {
        cloud.host_space(host, &[(0, 5000, 4000), (second, 5000, 1000)]);
    }
    assert_eq!(cloud.place().1, second, "used last");
    cloud.datastore_enable(second, false);
    assert_eq!(cloud.place().1, 0, "the same driver");
    cloud.datastore_enable(0, false);
    cloud.datastore("NAME=\"s\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    let summary = cloud.summary();
    assert!(
        summary.contains("datastore 101 (s): has TM_MAD shared, and the VM's files are kept for ssh"),
        "{summary}"
    );
}
