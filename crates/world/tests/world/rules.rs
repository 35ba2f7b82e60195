//! Access control rules are found by whom they are for; the answer is that of a look at each of them.

use std::sync::Arc;

use plerion_model::acl::{ALL, AclQuestion, AclRule, CLUSTER, GROUP, INDIVIDUAL};
use plerion_model::{Id, Kind, zone};
use plerion_world::{Caller, Config, Object, Target, VmSight, World, may_see};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cloud::{Cloud, VM};

/// Few ids, so that rules and callers meet.
const IDS: u64 = 4;

fn rule() -> impl Strategy<Value = AclRule> {
    let who = (prop::sample::select(vec![INDIVIDUAL, GROUP, ALL]), 2..IDS);
    let which = (
        prop::sample::select(vec![INDIVIDUAL, GROUP, CLUSTER, ALL]),
        0..IDS,
    );
    let kinds = prop::sample::select(vec![Kind::Host, Kind::Vnet, Kind::Vm]);
    let zone = prop::sample::select(vec![ALL, INDIVIDUAL, INDIVIDUAL | 1]);
    let named = |(bit, id): (u64, u64)| if bit == ALL { ALL } else { bit | id };
    (who, which, kinds, 1..4_u64, zone).prop_map(move |(who, which, kind, rights, zone)| AclRule {
        id: -1,
        user: named(who),
        resource: kind.acl_bit() | named(which),
        rights,
        zone,
    })
}

fn caller() -> impl Strategy<Value = Caller> {
    let ids = 2..Id::try_from(IDS).expect("small");
    (ids.clone(), vec(ids, 1..3)).prop_map(|(uid, groups)| Caller {
        uid,
        gid: groups[0],
        groups,
        token: None,
    })
}

/// What a look at each rule says.
fn walked(world: &World, caller: &Caller, oid: Id, clusters: &[Id]) -> bool {
    let question = AclQuestion {
        uid: caller.uid,
        groups: &caller.groups,
        kind: Kind::Host,
        oid,
        gid: -1,
        clusters,
        right: 1,
    };
    let mut rules = world.acls.values();
    rules.any(|rule| rule.grants(&question, zone::LOCAL))
}

proptest! {
    #[test]
    fn the_index_says_what_the_rules_say(
        rules in vec((rule(), any::<bool>()), 0..30),
        callers in vec(caller(), 1..8),
    ) {
        let mut world = World::new(Config::default());
        let given = (0..).zip(&rules).map(|(id, (rule, gone))| (AclRule { id, ..rule.clone() }, *gone));
        let given: Vec<(AclRule, bool)> = given.collect();
        for (rule, _) in &given {
            world.put(&Object::Acl(Arc::new(rule.clone())));
        }
        for (rule, _) in given.iter().filter(|(_, gone)| *gone) {
            world.remove(Kind::Acl, rule.id);
        }
        prop_assert_eq!(world.check(), Ok(()));
        for caller in &callers {
            for (oid, cluster) in [(0, 0), (1, 2), (3, 1)] {
                let target = Target::plain(Kind::Host, oid).in_clusters(&[cluster]);
                prop_assert_eq!(
                    may_see(&world, caller, &target),
                    walked(&world, caller, oid, &[cluster]),
                    "{:?} host {}", caller, oid
                );
            }
        }
    }
}

/// A cloud with a VM that was never on a host and one that was, of other owners, groups and permissions each.
fn vms_of(owners: &[(Id, Id, bool)]) -> World {
    let mut cloud = Cloud::new();
    let placed = cloud.placed("NAME=placed\nCPU=0.1\nMEMORY=1").expect("a place");
    let pending = cloud.vm(VM).expect("a vm");
    let mut world = cloud.world;
    for ((id, of), (uid, gid, open)) in (10..).zip([placed, pending].into_iter().cycle()).zip(owners) {
        let mut vm = world.vm(of).expect("there").as_ref().clone();
        (vm.id, vm.name, vm.owned.uid, vm.owned.gid) = (id, format!("vm-{id}"), *uid, *gid);
        vm.owned.permissions = vm
            .owned
            .permissions
            .changed(&[1, 1, 0, i32::from(*open), 0, 0, 0, 0, 0]);
        world.put(&Object::Vm(Arc::new(vm)));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_list_of_vms_shows_what_may_be_seen_of_each(
        rules in vec(rule(), 0..12),
        owners in vec((2..4_i32, 0..4_i32, any::<bool>()), 1..8),
        callers in vec(caller(), 1..8),
    ) {
        let mut world = vms_of(&owners);
        for (id, rule) in (1000..).zip(&rules) {
            world.put(&Object::Acl(Arc::new(AclRule { id, ..rule.clone() })));
        }
        let admin = Caller::system();
        for caller in callers.iter().chain([&admin]) {
            let sight = VmSight::of(&world, caller);
            for vm in world.vms.values() {
                let target = Target::of_object(&Object::Vm(vm.clone()));
                prop_assert_eq!(sight.sees(vm), may_see(&world, caller, &target), "{:?} VM {}", caller, vm.id);
            }
        }
    }
}
