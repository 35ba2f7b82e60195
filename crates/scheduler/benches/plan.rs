//! Time of a plan: the one that starts 500 VMs on 50 hosts, and large clouds; time of finding the right of a caller.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plerion_model::Kind;
use plerion_model::acl::{self, AclQuestion, AclRule};
use plerion_model::view::HostSampleView;
use plerion_scheduler::{Limits, plan};
use plerion_template::Template;
use plerion_world::{
    Caller, Command, Config, Context, HostReport, Measurements, Object, Order, Target, World, apply,
    bootstrap, may_see,
};

const NOW: i64 = 1000;

fn run(world: &mut World, command: Command) {
    let order = Order {
        caller: Caller::system(),
        command,
    };
    let context = Context { now: NOW, random: 1 };
    *world = apply(world, &order, &context).expect("applied").world;
}

/// What the VMs of a cloud are like.
#[derive(Clone, Copy)]
enum Vms {
    /// All alike.
    Alike,
    /// Each with its own requirements and memory.
    Different,
    /// Each with its own memory, and none fits.
    TooLarge,
    /// With requirements and a rank that change with every placement.
    Volatile,
}

fn cloud(hosts: usize, vms: usize, kind: Vms) -> (World, Measurements) {
    let context = Context::default();
    let (mut world, _) = bootstrap(&World::new(Config::default()), &context, ["a", "b"], ["x", "y"]);
    let mut measurements = Measurements::default();
    let facts = [
        "ARCH",
        "CPUSPEED",
        "HOSTNAME",
        "HYPERVISOR",
        "KVM_CPU_MODELS",
        "MODELNAME",
        "VERSION",
    ];
    for number in 0..hosts {
        let id = i32::try_from(number).expect("small");
        run(
            &mut world,
            Command::HostAllocate {
                name: format!("node-{number}"),
                im_mad: "kvm".into(),
                vm_mad: "kvm".into(),
                cluster: -1,
            },
        );
        let report = HostReport::Up {
            total_cpu: 6400,
            total_memory_kib: 256 << 20,
            boot_id: "b".into(),
            facts: facts
                .iter()
                .map(|name| ((*name).to_owned(), "some value".to_owned()))
                .collect(),
        };
        run(&mut world, Command::HostReported { id, report });
        let sample = HostSampleView {
            time: NOW,
            cpu_free: 6400,
            memory_free_kib: 256 << 20,
            datastores: vec![(0, 1 << 20, 0, 1 << 20)],
            ..HostSampleView::default()
        };
        measurements.hosts.insert(id, Arc::new(sample));
    }
    for number in 0..vms {
        let (mib, attributes) = match kind {
            Vms::Alike => (1024, String::new()),
            Vms::Different => (
                1024 + number,
                format!(
                    "SCHED_REQUIREMENTS=\"!(HOSTNAME = x{number}) & ID > {}\"",
                    number % 7
                ),
            ),
            Vms::TooLarge => ((512 << 10) + number, String::new()),
            Vms::Volatile => (
                1024 + number % 8,
                "SCHED_REQUIREMENTS=\"RUNNING_VMS < 20\"\nSCHED_RANK=\"FREE_CPU - RUNNING_VMS\"".into(),
            ),
        };
        let text = format!("CPU=\"1\"\nMEMORY=\"{mib}\"\nDISK=[TYPE=\"fs\", SIZE=\"1024\"]\n{attributes}");
        let template = Template::parse(&text).expect("template");
        run(
            &mut world,
            Command::VmAllocate {
                template,
                hold: false,
            },
        );
    }
    (world, measurements)
}

fn plans(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    for (name, kind, placed) in [
        ("alike", Vms::Alike, true),
        ("different", Vms::Different, true),
        ("too large", Vms::TooLarge, false),
        ("volatile", Vms::Volatile, true),
    ] {
        for (hosts, vms) in [(50, 500), (10_000, 1), (10_000, 1000)] {
            let (world, measurements) = cloud(hosts, vms, kind);
            let expect = if placed { vms } else { 0 };
            assert_eq!(
                plan(&world, &measurements, NOW, &limits).placements.len(),
                expect,
                "{name}"
            );
            group.bench_function(BenchmarkId::new(name, format!("{hosts}x{vms}")), |bencher| {
                bencher.iter(|| black_box(plan(&world, &measurements, NOW, &limits)));
            });
        }
    }
    group.finish();
}

/// Rules and groups of a large cloud: some rules a group, and a user who is in two of them and may do nothing.
fn rights(criterion: &mut Criterion) {
    const GROUPS: i32 = 200;
    const RULES: i32 = 1000;
    let mut world = World::new(Config::default());
    for id in 0..RULES {
        let of_group = u64::try_from(100 + id % GROUPS).expect("positive");
        world.put(&Object::Acl(Arc::new(AclRule {
            id,
            user: acl::GROUP | of_group,
            resource: Kind::Host.acl_bit() | acl::INDIVIDUAL | u64::try_from(id).expect("positive"),
            rights: 1,
            zone: acl::ALL,
        })));
    }
    let caller = Caller {
        uid: 2000,
        gid: 150,
        groups: vec![150, 250],
        token: None,
    };
    let target = Target::plain(Kind::Host, RULES);
    let question = AclQuestion {
        uid: caller.uid,
        groups: &caller.groups,
        kind: Kind::Host,
        oid: RULES,
        gid: -1,
        clusters: &[],
        right: 1,
    };
    let walk = || world.acls.values().any(|rule| rule.grants(&question, 0));
    assert!(!walk() && !may_see(&world, &caller, &target));
    let mut group = criterion.benchmark_group("rights");
    group.bench_function("each of 1000 rules", |bencher| bencher.iter(|| black_box(walk())));
    group.bench_function("rules of the caller", |bencher| {
        bencher.iter(|| black_box(may_see(&world, &caller, &target)));
    });
    group.finish();
}

criterion_group!(benches, plans, rights);
criterion_main!(benches);
