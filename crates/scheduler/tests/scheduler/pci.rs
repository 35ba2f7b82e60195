//! VMs that ask for PCI devices go where such devices are free.

use plerion_lifecycle::Event;
use plerion_model::Kind;
use plerion_scheduler::Reason;

use crate::support::Cloud;

const CARD: &str = "PCI=[SHORT_ADDRESS=\"01:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302]";
const TWO: &str = "PCI=[SHORT_ADDRESS=\"01:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302]\nPCI=[SHORT_ADDRESS=\"02:00.0\",VENDOR=10de,DEVICE=1db6,CLASS=0302]";

#[test]
fn a_vm_goes_where_its_devices_are() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    let second = cloud.host(8, 16);
    cloud.update(Kind::Host, second, CARD);
    cloud.vm("PCI=[VENDOR=10de]");
    assert_eq!(cloud.place().0, second);
}

#[test]
fn each_host_says_what_it_lacks() {
    let mut cloud = Cloud::new();
    cloud.host(8, 16);
    let second = cloud.host(8, 16);
    cloud.update(Kind::Host, second, CARD);
    let first = cloud.vm("PCI=[VENDOR=10de]");
    let placement = cloud.plan().placements[0];
    assert_eq!(placement.vm, first);
    cloud.deploy(&placement);
    cloud.vm("PCI=[VENDOR=10de,CLASS=0302]");
    let refusal = cloud.refusal();
    assert_eq!(refusal.code, Reason::Pci);
    assert_eq!(
        refusal.summary,
        "Cannot dispatch VM: No host has the PCI devices left that the VM asks for: host 0 (node-0): it has no PCI device \
         with VENDOR 10de, CLASS 0302; host 1 (node-1): no PCI device with VENDOR 10de, CLASS 0302 is free"
    );
}

#[test]
fn a_plan_promises_no_device_twice() {
    let mut cloud = Cloud::new();
    let first = cloud.host(8, 16);
    let second = cloud.host(8, 16);
    cloud.update(Kind::Host, first, TWO);
    cloud.update(Kind::Host, second, CARD);
    for _ in 0..5 {
        cloud.vm("PCI=[VENDOR=10de]");
    }
    let plan = cloud.plan();
    assert_eq!((plan.placements.len(), plan.refused.len()), (3, 2));
    for placement in &plan.placements {
        cloud.deploy(placement);
    }
    let vms = cloud.world.vms.values().filter(|vm| vm.held_host().is_some());
    let mut given: Vec<String> = vms
        .map(|vm| format!("{:?} {:?}", vm.held_host(), vm.demand.pci[0].address))
        .collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 3, "{given:?}");
    assert_eq!(cloud.plan().placements, []);
}

#[test]
fn a_vm_of_two_devices_needs_a_host_with_both() {
    let mut cloud = Cloud::new();
    let first = cloud.host(8, 16);
    let second = cloud.host(8, 16);
    cloud.update(Kind::Host, first, CARD);
    cloud.update(Kind::Host, second, TWO);
    cloud.vm("PCI=[VENDOR=10de]\nPCI=[SHORT_ADDRESS=\"01:00.0\"]");
    assert_eq!(cloud.place().0, second);
}

#[test]
fn a_marked_vm_that_cannot_go_with_its_memory_says_so() {
    for (config, moved) in [
        ("", false),
        ("LIVE_RESCHEDS=1", false),
        ("COLD_MIGRATE_MODE=1", true),
        ("COLD_MIGRATE_MODE=2", true),
    ] {
        let mut cloud = Cloud::with_config(config);
        for _ in 0..2 {
            let host = cloud.host(8, 16);
            cloud.update(Kind::Host, host, CARD);
        }
        let vm = cloud.vm("PCI=[VENDOR=10de]");
        let placement = cloud.plan().placements[0];
        cloud.deploy(&placement);
        cloud.vm_settle(vm);
        cloud.action(vm, Event::Resched);
        assert_eq!(cloud.plan().placements.len() == 1, moved, "{config}");
        if moved {
            continue;
        }
        let refusal = cloud.refusal();
        assert_eq!(refusal.code, Reason::Bound);
        assert!(
            refusal.summary.contains(
                "a VM with PCI devices is not moved with its memory: move it by onevm migrate --poff"
            ),
            "{}",
            refusal.summary
        );
        // Off, it has no memory.
        cloud.action(vm, Event::Poweroff { hard: true });
        cloud.vm_settle(vm);
        cloud.action(vm, Event::Resched);
        assert_eq!(cloud.plan().placements.len(), 1, "{config}");
    }
}
