//! What holds for every plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Cloud;
use plerion_model::{Id, Kind};
use plerion_world::{HostStatus, Member};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct HostSpec {
    cpus: i64,
    gib: i64,
    state: u8,
    reserved: &'static str,
    west: bool,
    free: [u64; 2],
}

#[derive(Clone, Debug)]
struct VmSpec {
    cpu: &'static str,
    mib: i64,
    disk: u8,
    attributes: &'static str,
    times: usize,
}

fn host() -> impl Strategy<Value = HostSpec> {
    let reserved = prop::sample::select(&[
        "",
        "RESERVED_CPU=\"-100%\"",
        "RESERVED_CPU=\"150\"",
        "RESERVED_MEM=\"20%\"",
    ]);
    (
        0..6i64,
        0..6i64,
        0..8u8,
        reserved,
        any::<bool>(),
        [0..3000u64, 0..3000u64],
    )
        .prop_map(|(cpus, gib, state, reserved, west, free)| HostSpec {
            cpus,
            gib,
            state,
            reserved,
            west,
            free,
        })
}

fn vm() -> impl Strategy<Value = VmSpec> {
    let cpu = prop::sample::select(&["0.1", "0.5", "1", "2.25", "7"]);
    let attributes = prop::sample::select(&[
        "",
        "SCHED_RANK=\"RUNNING_VMS\"",
        "SCHED_RANK=\"FREE_MEMORY\"",
        "SCHED_REQUIREMENTS=\"RUNNING_VMS < 2\"",
        "SCHED_REQUIREMENTS=\"ID > 1\"",
        "SCHED_REQUIREMENTS=\"\\\"VMS/ID\\\" @> 1\"",
        "SCHED_REQUIREMENTS=\"(\"",
        "SCHED_DS_REQUIREMENTS=\"FREE_MB > 500\"",
        "SCHED_DS_RANK=\"- ID\"",
        "USER_PRIORITY=\"3\"",
    ]);
    (cpu, 64..3000i64, 0..5u8, attributes, 1..4usize).prop_map(|(cpu, mib, disk, attributes, times)| VmSpec {
        cpu,
        mib,
        disk,
        attributes,
        times,
    })
}

fn build(hosts: &[HostSpec], vms: &[VmSpec]) -> Cloud {
    let mut cloud = Cloud::new();
    let west = cloud.cluster("west");
    let shared = cloud.datastore("NAME=\"shared\"\nTYPE=\"SYSTEM_DS\"\nTM_MAD=\"shared\"");
    let self_copies =
        cloud.datastore("NAME=\"images\"\nDS_MAD=\"fs\"\nTM_MAD=\"shared\"\nCLONE_TARGET=\"SELF\"");
    for datastore in [1, shared, self_copies] {
        cloud.member(west, Member::Datastore(datastore), true);
    }
    cloud.space(shared, 9000, 2000);
    cloud.space(self_copies, 9000, 1500);
    for spec in hosts {
        let id = cloud.host(spec.cpus, spec.gib);
        if spec.west {
            cloud.member(west, Member::Host(id), true);
        }
        cloud.update(Kind::Host, id, spec.reserved);
        cloud.host_space(id, &[(0, 3000, spec.free[0]), (shared, 3000, spec.free[1])]);
        match spec.state {
            0 => cloud.host_status(id, HostStatus::Disabled),
            1 => cloud.host_down(id, "gone"),
            2 => cloud.host_status(id, HostStatus::Offline),
            _ => {}
        }
    }
    let images = [cloud.image(1, 700, false), cloud.image(self_copies, 400, false)];
    for spec in vms {
        let disk = match spec.disk {
            0 => String::new(),
            1 => "DISK=[TYPE=\"fs\", SIZE=\"900\"]".into(),
            2 => "DISK=[TYPE=\"swap\", SIZE=\"10\"]".into(),
            disk => format!("DISK=[IMAGE_ID=\"{}\"]", images[usize::from(disk) - 3]),
        };
        for _ in 0..spec.times {
            cloud.vm_of(spec.cpu, spec.mib, &format!("{}\n{disk}", spec.attributes));
        }
    }
    cloud
}

/// MiB that a placed VM takes of its system datastore; volatile disks and copies of the ssh images.
fn system_mib(cloud: &Cloud, vm: Id) -> u64 {
    let vm = cloud.world.vm(vm).expect("VM");
    vm.demand
        .disks
        .iter()
        .filter(|disk| disk.image < 0 || disk.datastore == 1)
        .map(|disk| disk.size_mib)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn plans_hold_when_they_are_applied(
        hosts in prop::collection::vec(host(), 0..7),
        vms in prop::collection::vec(vm(), 0..9),
        starts in prop::option::of(1..4usize),
        most in 0..30usize,
    ) {
        let mut cloud = build(&hosts, &vms);
        cloud.limits.host_starts = starts;
        cloud.limits.placements = most;
        let plan = cloud.plan();
        prop_assert_eq!(&plan, &cloud.plan(), "not a function");

        // Each pending VM is answered for once.
        let mut answered: Vec<Id> = plan.placements.iter().map(|placement| placement.vm).collect();
        answered.extend(plan.refused.iter().map(|refusal| refusal.vm));
        answered.extend(&plan.deferred);
        answered.sort_unstable();
        let pending: Vec<Id> = cloud.world.pending_vms().map(|vm| vm.id).collect();
        prop_assert_eq!(&answered, &pending);
        prop_assert!(plan.placements.len() <= most);

        // Space is not promised twice.
        let mut taken: BTreeMap<(Id, Id), u64> = BTreeMap::new();
        let mut per_host: BTreeMap<Id, usize> = BTreeMap::new();
        for placement in &plan.placements {
            let store = cloud.world.datastore(placement.datastore).expect("datastore");
            let place = if store.is_shared() { -1 } else { placement.host };
            *taken.entry((store.id, place)).or_default() += system_mib(&cloud, placement.vm);
            *per_host.entry(placement.host).or_default() += 1;
        }
        for ((store, place), mib) in taken {
            let free = match usize::try_from(place) {
                Ok(host) => hosts[host].free[0],
                Err(_) => 2000,
            };
            prop_assert!(mib <= free, "datastore {} of {}: {} of {}", store, place, mib, free);
        }
        if let Some(starts) = starts {
            prop_assert!(per_host.values().all(|count| *count <= starts));
        }

        // Each is taken when it comes, in order, and capacity is kept.
        for placement in &plan.placements {
            cloud.deploy(placement);
            let usage = cloud.world.host_usage(placement.host);
            prop_assert!(usage.cpu <= usage.max_cpu && usage.memory_kib <= usage.max_memory_kib);
        }
        prop_assert_eq!(cloud.world.check(), Ok(()));

        // Every refusal tells of hosts, each once.
        for refusal in &plan.refused {
            let named: BTreeSet<Id> = refusal.hosts.iter().map(|verdict| verdict.host).collect();
            prop_assert_eq!(named.len(), refusal.hosts.len());
            prop_assert!(refusal.hosts.iter().all(|verdict| !verdict.reason.is_empty()), "{:?}", refusal);
            prop_assert!(refusal.summary.starts_with("Cannot dispatch VM: "));
        }
    }

    /// Hosts that take no VMs may be there or not.
    #[test]
    fn hosts_without_a_say_change_nothing(
        hosts in prop::collection::vec(host(), 1..6),
        vms in prop::collection::vec(vm(), 1..6),
        idle in 1..4usize,
    ) {
        let mut cloud = build(&hosts, &vms);
        let before = cloud.plan();
        for _ in 0..idle {
            let id = cloud.host(64, 64);
            cloud.host_status(id, HostStatus::Disabled);
        }
        prop_assert_eq!(before.placements, cloud.plan().placements);
    }

    /// A VM that is refused alone in a cloud finds no host that would take it there.
    #[test]
    fn nobody_is_refused_for_nothing(
        hosts in prop::collection::vec(host(), 1..5),
        mut vm in vm(),
    ) {
        vm.times = 1;
        vm.disk = 0;
        vm.attributes = "";
        let cloud = build(&hosts, &[vm]);
        let plan = cloud.plan();
        let pending = cloud.world.pending_vms().next().expect("one").clone();
        let takes = cloud.world.hosts.values().any(|host| {
            host.accepts_vms() && plerion_world::host_refusal(&cloud.world, &pending.demand, host).is_none()
        });
        prop_assert_eq!(takes, plan.placements.len() == 1, "{:?}", plan);
    }
}
