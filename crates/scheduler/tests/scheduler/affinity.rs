//! VM groups: which hosts they leave to a VM, and that no plan breaks their rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Cloud, template};
use plerion_model::Id;
use plerion_model::vmgroup::Policy;
use plerion_scheduler::Reason;
use plerion_world::{Command, VmGroupCommand, World};
use proptest::prelude::*;

fn group(cloud: &mut Cloud, text: &str) -> Id {
    cloud.run(Command::VmGroup(VmGroupCommand::Allocate {
        template: template(&format!("NAME=g\n{text}")),
    }))
}

fn member(cloud: &mut Cloud, role: &str) -> Id {
    cloud.vm(&format!("VMGROUP=[VMGROUP_ID=0,ROLE={role}]"))
}

/// A cloud of hosts and a group.
fn cloud(hosts: usize, text: &str) -> Cloud {
    let mut cloud = Cloud::new();
    for _ in 0..hosts {
        cloud.host(8, 16);
    }
    group(&mut cloud, text);
    cloud
}

#[test]
fn vms_of_a_role_that_keep_apart() {
    let mut cloud = cloud(2, "ROLE=[NAME=a,POLICY=ANTI_AFFINED]");
    for _ in 0..3 {
        member(&mut cloud, "a");
    }
    let plan = cloud.plan();
    let hosts: BTreeSet<Id> = plan.placements.iter().map(|placement| placement.host).collect();
    assert_eq!(hosts, [0, 1].into());
    assert_eq!(plan.refused.len(), 1);
    assert_eq!(plan.refused[0].code, Reason::Affinity);
    assert_eq!(
        plan.refused[0].summary,
        "Cannot dispatch VM: No host suits the rules of its VM group: hosts 0 (node-0), 1 (node-1): a VM of role a of \
         VM group 0 is there, and no two share a host"
    );
}

#[test]
fn vms_of_a_role_that_share_a_host() {
    let mut cloud = cloud(3, "ROLE=[NAME=a,POLICY=AFFINED]");
    for _ in 0..4 {
        member(&mut cloud, "a");
    }
    let hosts: BTreeSet<Id> = cloud.hosts().into_iter().collect();
    assert_eq!(hosts.len(), 1);
    assert_eq!(cloud.hosts().len(), 4);
}

#[test]
fn what_runs_counts() {
    let mut cloud = cloud(
        3,
        "ROLE=[NAME=a,POLICY=AFFINED]\nROLE=[NAME=b]\nANTI_AFFINED=\"a,b\"",
    );
    member(&mut cloud, "a");
    let first = cloud.plan().placements[0];
    cloud.deploy(&first);
    cloud.vm_settle(first.vm);
    member(&mut cloud, "a");
    assert_eq!(cloud.hosts(), [first.host]);
    let second = cloud.plan().placements[0];
    cloud.deploy(&second);
    for _ in 0..4 {
        member(&mut cloud, "b");
    }
    let hosts = cloud.hosts();
    assert_eq!(hosts.len(), 4);
    assert!(!hosts.contains(&first.host), "{hosts:?}");
}

#[test]
fn hosts_that_a_role_names() {
    let mut cloud = cloud(
        3,
        "ROLE=[NAME=a,HOST_AFFINED=\"1\"]\nROLE=[NAME=b,HOST_ANTI_AFFINED=\"0,1\"]",
    );
    member(&mut cloud, "a");
    member(&mut cloud, "b");
    assert_eq!(cloud.hosts(), [1, 2]);
}

/// Hosts of the VMs of each role, by VM.
fn hosts_by_role(world: &World, placed: &BTreeMap<Id, Id>) -> BTreeMap<String, Vec<Id>> {
    let mut hosts: BTreeMap<String, Vec<Id>> = BTreeMap::new();
    for role in ["a", "b", "c"] {
        let of_role = world
            .vmgroup_vms(0, role)
            .filter_map(|vm| placed.get(&vm.id).copied());
        hosts.insert(role.to_owned(), of_role.collect());
    }
    hosts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_plan_breaks_the_rules(
        policies in prop::collection::vec(0usize..3, 3),
        apart in any::<bool>(),
        together in any::<bool>(),
        members in prop::collection::vec(0usize..3, 1..12),
        hosts in 1usize..5,
    ) {
        let mut text = String::new();
        for (name, policy) in ["a", "b", "c"].iter().zip(&policies) {
            text += &format!("ROLE=[NAME={name},POLICY={}]\n", Policy::ALL[*policy].as_str());
        }
        if apart {
            text += "ANTI_AFFINED=\"a,b\"\n";
        }
        if together {
            text += "AFFINED=\"b,c\"\n";
        }
        let mut cloud = cloud(hosts, &text);
        for number in &members {
            member(&mut cloud, ["a", "b", "c"][*number]);
        }
        let plan = cloud.plan();
        prop_assert_eq!(plan.placements.len() + plan.refused.len(), members.len());
        let placed: BTreeMap<Id, Id> = plan.placements.iter().map(|placement| (placement.vm, placement.host)).collect();
        let by_role = hosts_by_role(&cloud.world, &placed);
        for (role, policy) in ["a", "b", "c"].iter().zip(&policies) {
            let used = &by_role[*role];
            let distinct: BTreeSet<Id> = used.iter().copied().collect();
            match Policy::ALL[*policy] {
                Policy::None => {}
                Policy::Affined => prop_assert!(distinct.len() <= 1),
                Policy::AntiAffined => prop_assert_eq!(distinct.len(), used.len()),
            }
        }
        let set = |role: &str| by_role[role].iter().copied().collect::<BTreeSet<Id>>();
        if apart {
            prop_assert!(set("a").is_disjoint(&set("b")));
        }
        if together {
            prop_assert!(set("b").union(&set("c")).count() <= 1);
        }
        // What is planned is taken.
        for placement in &plan.placements {
            cloud.deploy(placement);
        }
        prop_assert_eq!(cloud.world.check(), Ok(()));
    }
}
