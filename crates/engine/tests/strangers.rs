//! Domains on a host that are no VMs of this cloud there: they are shown, told apart, and never taken for a VM.

use std::collections::BTreeMap;

use plerion_engine::{Intake, Sampled};
use plerion_lifecycle::{Event, Recover};
use plerion_model::{Id, Kind};
use plerion_protocol::{DomainState, HostSample, VmSample, WildSample};
use plerion_template::Template;
use plerion_world::{
    Caller, Command, Config, Context, HostReport, Order, Output, Strangers, World, apply, bootstrap,
};

const HOST: Id = 0;
const OTHER_UUID: &str = "11111111-1111-4111-8111-111111111111";

struct Cloud {
    world: World,
    intake: Intake,
}

impl Cloud {
    /// A cloud with a host and VM 0, which runs there.
    fn new() -> Self {
        let context = Context { now: 1000, random: 1 };
        let (world, _) = bootstrap(
            &World::new(Config::default()),
            &context,
            ["oneadmin", "serveradmin"],
            ["x", "y"],
        );
        let mut cloud = Self {
            world,
            intake: Intake::new(),
        };
        cloud.run(Command::HostAllocate {
            name: "node-a".into(),
            im_mad: "dummy".into(),
            vm_mad: "dummy".into(),
            cluster: -1,
        });
        cloud.run(Command::HostReported {
            id: HOST,
            report: HostReport::Up {
                total_cpu: 800,
                total_memory_kib: 8 << 20,
                boot_id: "b".into(),
                facts: BTreeMap::new(),
            },
        });
        cloud.run(Command::DatastoreAllocate {
            template: template("NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy"),
            cluster: -1,
        });
        cloud.vm_made();
        cloud.run(Command::VmDeploy {
            id: 0,
            host: HOST,
            enforce: true,
            datastore: -1,
        });
        cloud.finish();
        assert_eq!(cloud.phase(0), "RUNNING");
        cloud
    }

    fn run(&mut self, command: Command) {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        let context = Context { now: 1000, random: 7 };
        let applied = apply(&self.world, &order, &context).expect("accepted");
        applied.world.check().expect("consistent");
        self.world = applied.world;
    }

    /// Lets every intent succeed until none is left.
    fn finish(&mut self) {
        while let Some(key) = self.world.outbox.keys().next().copied() {
            let result = Ok(Output::default());
            self.run(Command::IntentEnded { key, result });
        }
    }

    fn vm_made(&mut self) -> Id {
        self.run(Command::VmAllocate {
            template: template("NAME=vm\nCPU=1\nMEMORY=128"),
            hold: true,
        });
        self.world.last_ids[&Kind::Vm]
    }

    fn uuid(&self) -> String {
        self.world.vms.get(0).expect("the VM").uuid().to_owned()
    }

    fn phase(&self, id: Id) -> &'static str {
        self.world.vms.get(id).map_or("DONE", |vm| vm.phase.as_str())
    }

    fn shown(&self, name: &str) -> Option<&str> {
        self.world.hosts.get(HOST).expect("the host").template.get(name)
    }

    fn sampled(&mut self, vms: &[VmSample], wilds: &[WildSample]) -> Vec<Order> {
        let host = HostSample::default();
        let sampled = Sampled {
            host: &host,
            vms,
            wilds,
            datastores: &[],
        };
        self.intake.sample(&self.world, HOST, 1000, &sampled)
    }

    /// Takes a sample in, and does what comes of it.
    fn sample(&mut self, vms: &[VmSample], wilds: &[WildSample]) {
        for order in self.sampled(vms, wilds) {
            self.run(order.command);
        }
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn domain(id: Id, uuid: &str) -> VmSample {
    VmSample {
        cpu: 1.0,
        memory_kib: 1,
        ..VmSample::unused(format!("one-{id}"), uuid.into(), DomainState::Running)
    }
}

#[test]
fn a_vm_of_the_host_is_no_stranger() {
    let mut cloud = Cloud::new();
    let uuid = cloud.uuid();
    for _ in 0..3 {
        cloud.sample(&[domain(0, &uuid)], &[]);
    }
    assert_eq!(cloud.shown("TOTAL_ZOMBIES"), None);
    assert_eq!(cloud.shown("ZOMBIES"), None);
}

#[test]
fn a_domain_of_a_vm_that_was_never_made_is_a_zombie_and_its_id_is_not_given_out() {
    let mut cloud = Cloud::new();
    let uuid = cloud.uuid();
    cloud.sample(&[domain(0, &uuid), domain(5, OTHER_UUID)], &[]);
    assert_eq!(
        cloud.shown("ZOMBIES"),
        Some("one-5"),
        "at once: no late sample can show a VM that never was"
    );
    assert_eq!(cloud.shown("TOTAL_ZOMBIES"), Some("1"));
    assert!(cloud.world.outbox.is_empty(), "nothing is done to it");
    assert_eq!(cloud.vm_made(), 6);
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(cloud.shown("ZOMBIES"), None, "it is gone");
}

#[test]
fn an_id_far_away_is_no_reason_to_skip_all_before_it() {
    let mut cloud = Cloud::new();
    cloud.sample(&[domain(2_000_000_000, OTHER_UUID)], &[]);
    assert_eq!(cloud.shown("ZOMBIES"), Some("one-2000000000"));
    assert_eq!(cloud.vm_made(), 1);
}

#[test]
fn a_domain_of_a_vm_that_is_done_is_a_zombie_once_it_is_seen_again() {
    let mut cloud = Cloud::new();
    let uuid = cloud.uuid();
    cloud.run(Command::VmRecover {
        id: 0,
        recover: Recover::DeleteDb,
    });
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(
        cloud.shown("ZOMBIES"),
        None,
        "the sample may be older than its end"
    );
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(cloud.shown("ZOMBIES"), Some("one-0"));
    // Another process takes over and has seen nothing yet.
    cloud.intake = Intake::new();
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(cloud.shown("ZOMBIES"), Some("one-0"), "it stays shown");
}

#[test]
fn a_domain_with_another_uuid_is_not_taken_for_the_vm() {
    let mut cloud = Cloud::new();
    cloud.run(Command::VmAction {
        id: 0,
        name: "poweroff-hard".into(),
        event: Event::Poweroff { hard: true },
    });
    cloud.finish();
    assert_eq!(cloud.phase(0), "POWEROFF");
    cloud.sample(&[domain(0, OTHER_UUID)], &[]);
    cloud.sample(&[domain(0, OTHER_UUID)], &[]);
    assert_eq!(cloud.phase(0), "POWEROFF");
    assert_eq!(cloud.shown("ZOMBIES"), Some("one-0"));
    let uuid = cloud.uuid().to_uppercase();
    for (uuid, is_the_vm) in [(OTHER_UUID, false), (uuid.as_str(), true)] {
        let order = cloud
            .intake
            .domain(&cloud.world, HOST, "one-0", uuid, DomainState::Running);
        assert_eq!(order.is_some(), is_the_vm, "{uuid}");
    }
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(cloud.phase(0), "RUNNING");
}

#[test]
fn a_vm_whose_domain_gave_way_to_a_stranger_is_off() {
    let mut cloud = Cloud::new();
    for _ in 0..3 {
        cloud.sample(&[domain(0, OTHER_UUID)], &[]);
    }
    cloud.finish();
    assert_eq!(cloud.phase(0), "POWEROFF");
}

#[test]
fn domains_of_nobody_are_wild() {
    let mut cloud = Cloud::new();
    let uuid = cloud.uuid();
    let wild = WildSample {
        name: "database".into(),
        uuid: OTHER_UUID.into(),
        cpus: 2,
        memory_kib: 1 << 20,
    };
    cloud.sample(&[domain(0, &uuid)], &[wild]);
    assert_eq!(cloud.shown("TOTAL_WILDS"), Some("1"));
    assert_eq!(cloud.shown("WILDS"), Some("database"));
    let host = cloud.world.hosts.get(HOST).expect("the host").template.unpack();
    let shown = host.vector("VM").expect("a vector");
    assert_eq!(
        ["VM_NAME", "DEPLOY_ID", "CPU", "MEMORY"].map(|name| shown.get(name)),
        [Some("database"), Some(OTHER_UUID), Some("2"), Some("1024")]
    );
    cloud.run(Command::Update {
        kind: Kind::Host,
        id: HOST,
        template: template("RACK=1"),
        append: false,
    });
    assert_eq!(
        cloud.shown("WILDS"),
        Some("database"),
        "what the host tells stays"
    );
    cloud.sample(&[domain(0, &uuid)], &[]);
    assert_eq!(cloud.shown("TOTAL_WILDS"), None);
}

#[test]
fn what_is_shown_already_is_not_written_again() {
    let mut cloud = Cloud::new();
    let vms = [domain(5, OTHER_UUID)];
    let reports = |orders: &[Order]| {
        let report = |order: &&Order| {
            let Command::HostReported { report, .. } = &order.command else {
                return false;
            };
            matches!(report, HostReport::Strangers(Strangers { zombies, .. }) if zombies == &[5])
        };
        orders.iter().filter(report).count()
    };
    let orders = cloud.sampled(&vms, &[]);
    assert_eq!(reports(&orders), 1);
    cloud.sample(&vms, &[]);
    let orders = cloud.sampled(&vms, &[]);
    assert_eq!(reports(&orders), 0);
}
