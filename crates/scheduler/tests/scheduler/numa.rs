//! VMs that are to be pinned, or bound to a NUMA node, go where there is a place for them.

use plerion_lifecycle::{Event, Relocation};
use plerion_model::Kind;
use plerion_scheduler::Reason;
use plerion_world::Command;

use crate::support::Cloud;

/// A node of two cores of two threads.
const NODE: &str = "CORE=[NODE_ID=0,ID=0,CPUS=\"0,2\"]\nCORE=[NODE_ID=0,ID=1,CPUS=\"1,3\"]
HUGEPAGE=[NODE_ID=0,SIZE=2048,PAGES=100]\nMEMORY_NODE=[NODE_ID=0,TOTAL=8388608,DISTANCE=\"0\"]";

fn pinned(cloud: &mut Cloud) -> plerion_model::Id {
    let host = cloud.host(8, 16);
    cloud.update(Kind::Host, host, &format!("PIN_POLICY=PINNED\n{NODE}"));
    host
}

#[test]
fn pinned_vms_and_others_have_hosts_of_their_own() {
    let mut cloud = Cloud::new();
    let shared = cloud.host(8, 16);
    let own = pinned(&mut cloud);
    let vm = cloud.vm("VCPU=2\nTOPOLOGY=[PIN_POLICY=THREAD]");
    let other = cloud.vm("");
    let plan = cloud.plan();
    let host_of = |vm| {
        plan.placements
            .iter()
            .find(|placement| placement.vm == vm)
            .map(|one| one.host)
    };
    assert_eq!((host_of(vm), host_of(other)), (Some(own), Some(shared)));
}

#[test]
fn a_plan_promises_no_cpu_twice_and_says_what_each_host_lacks() {
    let mut cloud = Cloud::new();
    let first = pinned(&mut cloud);
    let second = pinned(&mut cloud);
    cloud.update(Kind::Host, second, "ISOLCPUS=\"1,3\"");
    for _ in 0..5 {
        cloud.vm("VCPU=2\nTOPOLOGY=[PIN_POLICY=THREAD]");
    }
    let plan = cloud.plan();
    assert_eq!((plan.placements.len(), plan.refused.len()), (3, 2));
    assert_eq!(plan.placements.iter().filter(|one| one.host == first).count(), 2);
    for placement in &plan.placements {
        cloud.deploy(placement);
    }
    let refusal = cloud.plan().refused.first().cloned().expect("refused");
    assert_eq!(refusal.code, Reason::Numa);
    assert_eq!(
        refusal.summary,
        "Cannot dispatch VM: No host has a place left for the NUMA topology of the VM: hosts 0 (node-0), 1 (node-1): Cannot \
         allocate NUMA topology: not enough free threads to pin to: needs 2, 0 free"
    );
}

#[test]
fn huge_pages_are_counted() {
    let mut cloud = Cloud::new();
    let host = cloud.host(8, 16);
    cloud.update(Kind::Host, host, NODE);
    for _ in 0..2 {
        cloud.vm_of("1", 128, "TOPOLOGY=[HUGEPAGE_SIZE=2]");
    }
    let plan = cloud.plan();
    assert_eq!((plan.placements.len(), plan.refused.len()), (1, 1));
    assert!(
        plan.refused[0].summary.contains("needs 64, 36 free"),
        "{}",
        plan.refused[0].summary
    );
}

#[test]
fn a_pinned_vm_that_is_marked_is_not_moved_while_it_runs() {
    let mut cloud = Cloud::with_config("LIVE_RESCHEDS=1");
    pinned(&mut cloud);
    let vm = cloud.vm("VCPU=2\nTOPOLOGY=[PIN_POLICY=THREAD]");
    let placement = cloud.plan().placements[0];
    cloud.deploy(&placement);
    cloud.vm_settle(vm);
    let second = pinned(&mut cloud);
    cloud.action(vm, Event::Resched);
    let commands = cloud.plan().commands(&cloud.world);
    let [Command::VmMigrate { id, migration }] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(
        (*id, migration.host, migration.relocation),
        (vm, second, Relocation::Save)
    );
    cloud.run(commands[0].clone());
}
