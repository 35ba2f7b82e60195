//! Small clouds, built by the commands that users and hosts give.
use std::sync::Arc;

use plerion_lifecycle::{Ask, Event};
use plerion_model::view::HostSampleView;
use plerion_model::{Id, Kind, Seconds};
use plerion_scheduler::{Limits, Placement, Plan, Refusal, plan};
use plerion_template::Template;
use plerion_world::{
    Caller, Command, Config, Context, HostReport, HostStatus, ImageSpec, Measurements, Member, Order, Output,
    Reply, Task, World, apply, bootstrap,
};

/// When everything happens.
pub const NOW: Seconds = 1_000_000;

/// A cloud under test.
#[derive(Clone)]
pub struct Cloud {
    pub world: World,
    pub measurements: Measurements,
    pub limits: Limits,
}

impl Cloud {
    /// A new installation.
    pub fn new() -> Self {
        Self::with_config("")
    }

    /// A new installation with an oned.conf.
    pub fn with_config(config: &str) -> Self {
        let config = Config::new(template(config), "/var/lib/one/datastores");
        let context = context();
        let (world, _) = bootstrap(
            &World::new(config),
            &context,
            ["oneadmin", "serveradmin"],
            ["x", "y"],
        );
        Self {
            world,
            measurements: Measurements::default(),
            limits: Limits::default(),
        }
    }

    /// Gives a command; the id it answers.
    pub fn run(&mut self, command: Command) -> Id {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        let applied =
            apply(&self.world, &order, &context()).unwrap_or_else(|error| panic!("{error:?}: {order:?}"));
        self.world = applied.world;
        match applied.reply {
            Reply::Id(id) => id,
            Reply::Text(_) | Reply::Nothing => -1,
        }
    }

    /// A monitored host with CPUs and GiB.
    pub fn host(&mut self, cpus: i64, gib: i64) -> Id {
        let number = self.world.hosts.len();
        let id = self.host_silent(&format!("node-{number}"));
        self.host_up(id, cpus, gib);
        id
    }

    /// A host that was not reached yet.
    pub fn host_silent(&mut self, name: &str) -> Id {
        self.run(Command::HostAllocate {
            name: name.into(),
            im_mad: "kvm".into(),
            vm_mad: "kvm".into(),
            cluster: -1,
        })
    }

    /// A host answers.
    pub fn host_up(&mut self, id: Id, cpus: i64, gib: i64) {
        let report = HostReport::Up {
            total_cpu: cpus * 100,
            total_memory_kib: gib << 20,
            boot_id: "boot".into(),
            facts: [("HYPERVISOR".to_owned(), "kvm".to_owned())].into(),
        };
        self.run(Command::HostReported { id, report });
    }

    pub fn host_down(&mut self, id: Id, reason: &str) {
        let report = HostReport::Down(reason.into());
        self.run(Command::HostReported { id, report });
    }

    pub fn host_status(&mut self, id: Id, status: HostStatus) {
        self.run(Command::HostSetStatus { id, status });
    }

    pub fn update(&mut self, kind: Kind, id: Id, text: &str) {
        self.run(Command::Update {
            kind,
            id,
            template: template(text),
            append: true,
        });
    }

    pub fn cluster(&mut self, name: &str) -> Id {
        self.run(Command::ClusterAllocate { name: name.into() })
    }

    pub fn member(&mut self, id: Id, member: Member, add: bool) {
        self.run(Command::ClusterMember { id, member, add });
    }

    pub fn datastore(&mut self, text: &str) -> Id {
        self.run(Command::DatastoreAllocate {
            template: template(text),
            cluster: -1,
        })
    }

    pub fn datastore_enable(&mut self, id: Id, enable: bool) {
        self.run(Command::DatastoreEnable { id, enable });
    }

    /// Space of a datastore as the front-end measures it.
    pub fn space(&mut self, id: Id, total: u64, free: u64) {
        self.measurements
            .datastores
            .insert(id, (total, free, total - free));
    }

    /// Space of datastores as a host measures it: id, MiB in all, free.
    pub fn host_space(&mut self, host: Id, datastores: &[(Id, u64, u64)]) {
        let sample = HostSampleView {
            time: NOW,
            datastores: datastores
                .iter()
                .map(|(id, total, free)| (*id, *total, total - free, *free))
                .collect(),
            ..HostSampleView::default()
        };
        self.measurements.hosts.insert(host, Arc::new(sample));
    }

    /// CPU and memory as a host measures them: free hundredths and KiB.
    pub fn host_free(&mut self, host: Id, cpu_free: i64, memory_free_kib: i64) {
        let sample = HostSampleView {
            time: NOW,
            cpu_free,
            memory_free_kib,
            ..HostSampleView::default()
        };
        self.measurements.hosts.insert(host, Arc::new(sample));
    }

    /// An image that is ready, of a size in MiB.
    pub fn image(&mut self, datastore: Id, mib: u64, persistent: bool) -> Id {
        let number = self.world.images.len();
        let id = self.run(Command::ImageAllocate {
            template: template(&format!(
                "NAME=\"image-{number}\"\nPATH=\"/var/tmp/image\"\nTYPE=\"OS\"\nPERSISTENT=\"{}\"",
                if persistent { "YES" } else { "NO" }
            )),
            datastore,
            spec: ImageSpec { size_mib: Some(mib) },
        });
        let key = self
            .world
            .outbox
            .keys()
            .find(|key| key.kind == Kind::Image && key.id == id)
            .copied()
            .expect("an image asks for its file");
        let result = Ok(Output {
            size_mib: Some(mib),
            format: Some("raw".into()),
            source: Some("/var/lib/one/datastores/1/x".into()),
            ..Output::default()
        });
        self.run(Command::IntentEnded { key, result });
        id
    }

    /// A pending VM of one CPU and one GiB, with more attributes.
    pub fn vm(&mut self, text: &str) -> Id {
        self.vm_of("1", 1024, text)
    }

    /// A pending VM.
    pub fn vm_of(&mut self, cpu: &str, mib: i64, text: &str) -> Id {
        self.run(Command::VmAllocate {
            template: template(&format!("CPU=\"{cpu}\"\nMEMORY=\"{mib}\"\n{text}")),
            hold: false,
        })
    }

    pub fn deploy(&mut self, placement: &Placement) {
        self.run(Command::VmDeploy {
            id: placement.vm,
            host: placement.host,
            enforce: true,
            datastore: placement.datastore,
        });
    }

    /// Ends what a VM waits for, well, until it rests.
    pub fn vm_settle(&mut self, vm: Id) {
        self.vm_settle_until(vm, |_| false);
    }

    /// The same, up to an ask.
    pub fn vm_settle_until(&mut self, vm: Id, stop: impl Fn(Ask) -> bool) {
        for _ in 0..100 {
            let found = self
                .world
                .outbox
                .values()
                .find(|intent| intent.key.kind == Kind::Vm && intent.key.id == vm)
                .cloned();
            match found {
                Some(intent) => {
                    if matches!(intent.task, Task::Vm(ask) if stop(ask)) {
                        return;
                    }
                    let result = Ok(Output {
                        deploy_id: Some(format!("one-{vm}")),
                        ..Output::default()
                    });
                    self.run(Command::IntentEnded {
                        key: intent.key,
                        result,
                    });
                }
                None => return,
            }
        }
        panic!("VM {vm} never rests");
    }

    pub fn action(&mut self, vm: Id, event: Event) {
        self.run(Command::VmAction {
            id: vm,
            name: format!("{event:?}"),
            event,
        });
    }

    pub fn plan(&self) -> Plan {
        plan(&self.world, &self.measurements, NOW, &self.limits)
    }

    /// The only VM's place: host and datastore.
    pub fn place(&self) -> (Id, Id) {
        let plan = self.plan();
        assert_eq!(plan.refused, [], "refused");
        match plan.placements[..] {
            [placement] => (placement.host, placement.datastore),
            ref others => panic!("not one placement: {others:?}"),
        }
    }

    /// The only VM's refusal.
    pub fn refusal(&self) -> Refusal {
        let plan = self.plan();
        assert_eq!(plan.placements, [], "placed");
        assert_eq!(plan.refused.len(), 1, "{:?}", plan.refused);
        plan.refused[0].clone()
    }

    pub fn summary(&self) -> String {
        self.refusal().summary
    }

    /// Hosts of the placements, in order.
    pub fn hosts(&self) -> Vec<Id> {
        self.plan()
            .placements
            .iter()
            .map(|placement| placement.host)
            .collect()
    }
}

/// A template; the empty text is the empty one.
pub fn template(text: &str) -> Template {
    if text.trim().is_empty() {
        return Template::new();
    }
    Template::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn context() -> Context {
    Context {
        now: NOW,
        random: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
    }
}
