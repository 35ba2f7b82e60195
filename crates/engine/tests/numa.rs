//! NUMA nodes: what agents tell of them is what hosts show.

use plerion_engine::{Intake, Sampled};
use plerion_model::{Id, Kind};
use plerion_protocol::{HostSample, NumaCore, NumaNode, NumaPages, NumaSample, PciFound};
use plerion_template::{PackedTemplate, PlainXml, Template};
use plerion_world::{
    Caller, Command, Config, Context, Measurements, Order, Snapshot, World, apply, bootstrap,
};

const HOST: Id = 0;
const CONTEXT: Context = Context { now: 1000, random: 1 };

fn run(world: &mut World, command: Command) {
    let order = Order {
        caller: Caller::system(),
        command,
    };
    *world = apply(world, &order, &CONTEXT).expect("accepted").world;
}

fn cloud() -> World {
    let (mut world, _) = bootstrap(
        &World::new(Config::default()),
        &CONTEXT,
        ["oneadmin", "serveradmin"],
        ["x", "y"],
    );
    run(
        &mut world,
        Command::HostAllocate {
            name: "node-a".into(),
            im_mad: "kvm".into(),
            vm_mad: "kvm".into(),
            cluster: -1,
        },
    );
    world
}

fn node(pages: u64) -> NumaNode {
    NumaNode {
        id: 0,
        cores: vec![NumaCore {
            id: 0,
            cpus: vec![0, 1],
        }],
        pages: vec![NumaPages {
            size_kib: 2048,
            pages,
        }],
        memory_kib: 4096,
        near: vec![0],
    }
}

/// Takes a sample in, and does what comes of it; answers how many orders that were.
fn sample(world: &mut World, intake: &mut Intake, nodes: Option<Vec<NumaNode>>) -> usize {
    let host = HostSample {
        numa: vec![NumaSample {
            id: 0,
            memory_free_kib: 1000,
            memory_used_kib: 3096,
            pages_free: vec![(2048, 3)],
        }],
        numa_nodes: nodes,
        ..HostSample::default()
    };
    let sampled = Sampled {
        host: &host,
        vms: &[],
        wilds: &[],
        datastores: &[],
    };
    let orders = intake.sample(world, HOST, 1000, &sampled);
    let count = orders.len();
    for order in orders {
        run(world, order.command);
    }
    count
}

fn shown(world: &World, measurements: &Measurements) -> String {
    let mut out = PlainXml::default();
    let host = world.hosts.get(HOST).expect("the host");
    host.render(&mut out, &Snapshot { world, measurements });
    out.into_string()
}

#[test]
fn what_agents_tell_of_nodes_is_shown_until_they_tell_otherwise() {
    let (mut world, mut intake) = (cloud(), Intake::new());
    let first = sample(&mut world, &mut intake, Some(vec![node(8)]));
    // What is known already is no news, and a sample without nodes takes none away.
    assert_eq!(
        (first > 0, sample(&mut world, &mut intake, Some(vec![node(8)]))),
        (true, 0)
    );
    assert_eq!(sample(&mut world, &mut intake, None), 0);
    let measurements = intake.take_changed().expect("measured");
    let xml = shown(&world, &measurements);
    for part in [
        "<CORE><CPUS><![CDATA[0:-1,1:-1]]></CPUS><DEDICATED><![CDATA[NO]]></DEDICATED><FREE><![CDATA[2]]></FREE>",
        "<PAGES><![CDATA[8]]></PAGES><SIZE><![CDATA[2048]]></SIZE><USAGE><![CDATA[0]]></USAGE>",
        "<DISTANCE><![CDATA[0]]></DISTANCE><TOTAL><![CDATA[4096]]></TOTAL>",
        "<NUMA_NODE><HUGEPAGE><FREE><![CDATA[3]]></FREE><SIZE><![CDATA[2048]]></SIZE></HUGEPAGE><MEMORY><FREE>",
    ] {
        assert!(xml.contains(part), "{part}\nis not in\n{xml}");
    }
    assert_eq!(sample(&mut world, &mut intake, Some(vec![node(16)])), 1);
    assert!(shown(&world, &measurements).contains("<PAGES><![CDATA[16]]></PAGES>"));
}

#[test]
fn pci_devices_that_the_filter_of_the_host_lets_pass_may_be_had() {
    let (mut world, mut intake) = (cloud(), Intake::new());
    let card = PciFound {
        address: "0000:81:00.0".into(),
        vendor: 0x10de,
        device: 0x1db6,
        class: 0x0302,
        numa_node: Some(1),
        vendor_name: "NVIDIA".into(),
        ..PciFound::default()
    };
    let bad = PciFound {
        address: "x".into(),
        ..card.clone()
    };
    let host = HostSample {
        pci: Some(vec![card, bad]),
        ..HostSample::default()
    };
    for news in [1, 0] {
        let sampled = Sampled {
            host: &host,
            vms: &[],
            wilds: &[],
            datastores: &[],
        };
        let orders = intake.sample(&world, HOST, 1000, &sampled);
        let told = |order: &&Order| matches!(order.command, Command::HostReported { .. });
        assert_eq!(orders.iter().filter(told).count(), news);
        for order in orders {
            run(&mut world, order.command);
        }
    }
    let none = Measurements::default();
    assert!(
        shown(&world, &none).contains("<PCI_DEVICES></PCI_DEVICES>"),
        "nothing is had that nobody asked for"
    );
    run(
        &mut world,
        Command::Update {
            kind: Kind::Host,
            id: HOST,
            template: Template::parse("PCI_FILTER=\"10de:*\"").expect("good"),
            append: true,
        },
    );
    let xml = shown(&world, &none);
    for part in [
        "<ADDRESS><![CDATA[0000:81:00:0]]></ADDRESS>",
        "<NUMA_NODE><![CDATA[1]]></NUMA_NODE>",
        "<VENDOR_NAME><![CDATA[NVIDIA]]></VENDOR_NAME><VMID><![CDATA[-1]]></VMID>",
    ] {
        assert!(xml.contains(part), "{part}\nis not in\n{xml}");
    }
}

#[test]
fn what_pci_conf_lets_pass_may_be_had_where_the_host_says_nothing() {
    let (mut world, mut intake) = (cloud(), Intake::new());
    let card = |address: &str, vendor: u16| PciFound {
        address: address.into(),
        vendor,
        device: 1,
        class: 0x0302,
        ..PciFound::default()
    };
    let host = HostSample {
        pci: Some(vec![card("0000:01:00.0", 0x10de), card("0000:02:00.0", 0x8086)]),
        ..HostSample::default()
    };
    let sampled = Sampled {
        host: &host,
        vms: &[],
        wilds: &[],
        datastores: &[],
    };
    let none = Measurements::default();
    let had = |world: &World| {
        let xml = shown(world, &none);
        ["01", "02"].map(|bus| xml.contains(&format!("<ADDRESS><![CDATA[0000:{bus}:00:0]]></ADDRESS>")))
    };
    let conf = |text: &str| PackedTemplate::new(&Template::parse(text).expect("good"));
    assert!(!intake.has_pci_conf("kvm"));
    for order in intake.pci_conf(&world, "kvm", &conf("PCI_FILTER=\"10de:*\"")) {
        run(&mut world, order.command);
    }
    for order in intake.sample(&world, HOST, 1000, &sampled) {
        run(&mut world, order.command);
    }
    assert_eq!(had(&world), [true, false]);
    assert!(intake.sample(&world, HOST, 1001, &sampled).is_empty(), "no news");
    // Another one counts at once, that of another driver does not.
    assert!(
        intake
            .pci_conf(&world, "qemu", &conf("PCI_FILTER=\"*:*\""))
            .is_empty()
    );
    for order in intake.pci_conf(&world, "kvm", &conf("PCI_FILTER=\"8086:*\"")) {
        run(&mut world, order.command);
    }
    assert_eq!(had(&world), [false, true]);
    // What the host says itself goes before.
    run(
        &mut world,
        Command::Update {
            kind: Kind::Host,
            id: HOST,
            template: Template::parse("PCI_FILTER=\"10de:*\"").expect("good"),
            append: true,
        },
    );
    assert_eq!(had(&world), [true, false]);
}

#[test]
fn settings_of_the_host_say_how_its_cpus_are_shared() {
    let (mut world, mut intake) = (cloud(), Intake::new());
    sample(&mut world, &mut intake, Some(vec![node(0)]));
    run(
        &mut world,
        Command::Update {
            kind: Kind::Host,
            id: HOST,
            template: Template::parse("VMS_THREAD=3\nISOLCPUS=\"1\"").expect("good"),
            append: true,
        },
    );
    let xml = shown(&world, &Measurements::default());
    assert!(xml.contains("<VMS_THREAD>3</VMS_THREAD>"), "{xml}");
    assert!(xml.contains("<CPUS><![CDATA[0:-1,1:-2]]></CPUS>"), "{xml}");
    assert!(xml.contains("<FREE><![CDATA[3]]></FREE>"), "{xml}");
}
