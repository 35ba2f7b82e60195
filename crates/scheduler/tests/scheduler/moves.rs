//! VMs that are marked to be moved.

use crate::support::Cloud;
use plerion_lifecycle::{Event, Relocation};
use plerion_model::Id;
use plerion_scheduler::{Placement, Reason};
use plerion_world::{Command, HostStatus};

fn running(cloud: &mut Cloud, count: usize) -> Vec<Id> {
    let vms: Vec<Id> = (0..count).map(|_| cloud.vm("")).collect();
    for placement in cloud.plan().placements {
        cloud.deploy(&placement);
        cloud.vm_settle(placement.vm);
    }
    vms
}

fn moves(cloud: &Cloud) -> Vec<(Id, Id, Id)> {
    let plan = cloud.plan();
    let of = |place: &Placement| {
        assert!(place.moves);
        (place.vm, place.host, place.datastore)
    };
    plan.placements.iter().map(of).collect()
}

fn stores(cloud: &mut Cloud) -> (Id, Id) {
    let first = cloud
        .world
        .datastores
        .iter()
        .find(|(id, _)| *id >= 100)
        .map(|(id, _)| id);
    let other = cloud.datastore("NAME=other\nTYPE=SYSTEM_DS\nTM_MAD=shared");
    (first.unwrap_or(0), other)
}

#[test]
fn a_marked_vm_goes_to_another_host_and_keeps_its_datastore() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    let (_, other) = stores(&mut cloud);
    let vm = cloud.vm("");
    let place = Placement {
        vm,
        host: 0,
        datastore: other,
        moves: false,
    };
    cloud.deploy(&place);
    cloud.vm_settle(vm);
    assert_eq!(moves(&cloud), []);
    cloud.action(vm, Event::Resched);
    assert_eq!(moves(&cloud), [(vm, 1, other)]);
    cloud.host_status(1, HostStatus::Disabled);
    assert_eq!(moves(&cloud), [(vm, 2, other)]);
    cloud.action(vm, Event::Unresched);
    assert_eq!(moves(&cloud), []);
    // One that was switched off is moved, too; one that has just been told something is not.
    cloud.action(vm, Event::Resched);
    cloud.action(vm, Event::Poweroff { hard: true });
    assert_eq!(moves(&cloud), []);
    cloud.vm_settle(vm);
    cloud.action(vm, Event::Resched);
    assert_eq!(moves(&cloud), [(vm, 2, other)]);
}

#[test]
fn a_host_is_emptied_onto_the_others() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.host(8, 16);
    }
    let vms = running(&mut cloud, 6);
    cloud.host_status(0, HostStatus::Disabled);
    for vm in &vms {
        let there = cloud.world.vms.get(*vm).and_then(|vm| vm.held_host()) == Some(0);
        if there {
            cloud.action(*vm, Event::Resched);
        }
    }
    let hosts: Vec<Id> = moves(&cloud).iter().map(|(_, host, _)| *host).collect();
    assert_eq!(hosts, [1, 2]);
}

#[test]
fn a_vm_that_cannot_be_moved_says_why() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    let vm = running(&mut cloud, 1)[0];
    cloud.action(vm, Event::Resched);
    assert_eq!(cloud.refusal().code, Reason::Leaving);
    for command in cloud.plan().commands(&cloud.world) {
        cloud.run(command);
    }
    let message = cloud
        .world
        .vms
        .get(vm)
        .and_then(|vm| vm.user_template.get("SCHED_MESSAGE").map(str::to_owned));
    let message = message.expect("a reason");
    assert!(message.contains("no other host"), "{message}");
}

#[test]
fn the_way_is_that_of_the_configuration() {
    for (config, expect) in [
        ("", Relocation::Save),
        ("LIVE_RESCHEDS=1", Relocation::Live),
        ("COLD_MIGRATE_MODE=2", Relocation::PoweroffHard),
        ("COLD_MIGRATE_MODE=9", Relocation::Save),
    ] {
        let mut cloud = Cloud::with_config(config);
        cloud.host(8, 16);
        cloud.host(8, 16);
        let vm = running(&mut cloud, 1)[0];
        cloud.action(vm, Event::Resched);
        let commands = cloud.plan().commands(&cloud.world);
        let [Command::VmMigrate { id, migration }] = &commands[..] else {
            panic!("{commands:?}");
        };
        assert_eq!((*id, migration.relocation, migration.enforce), (vm, expect, true));
    }
}
