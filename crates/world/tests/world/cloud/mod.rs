//! A small cloud for tests: commands go in, and whatever they are, the change makes the world that it came with.

pub mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::image::Image;
use plerion_model::vm::{Demand, Vm};
use plerion_model::vnet::Vnet;
use plerion_model::{ApiError, Id};
use plerion_template::{PackedTemplate, Template};
use plerion_world::{
    Caller, Change, Command, Config, Context, HostReport, ImageSpec, IntentKey, Object, Order, Output, Reply,
    World, apply, bootstrap,
};

/// A cloud and its clock.
pub struct Cloud {
    pub world: World,
    now: i64,
}

impl Cloud {
    /// A new installation with a dummy system datastore (100), a dummy image datastore (101), one host (0), one image
    /// (0) and one network (0) with four addresses.
    pub fn new() -> Self {
        let context = Context { now: 1000, random: 1 };
        let (world, _) = bootstrap(
            &World::new(Config::default()),
            &context,
            ["oneadmin", "serveradmin"],
            ["x", "y"],
        );
        let mut cloud = Self { world, now: 1000 };
        cloud.made("NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", |template| {
            Command::DatastoreAllocate {
                template,
                cluster: -1,
            }
        });
        cloud.made("NAME=img\nDS_MAD=dummy\nTM_MAD=dummy", |template| {
            Command::DatastoreAllocate {
                template,
                cluster: -1,
            }
        });
        cloud.host("node-a");
        cloud.made("NAME=disk\nPATH=/x", |template| Command::ImageAllocate {
            template,
            datastore: 101,
            spec: ImageSpec { size_mib: Some(10) },
        });
        cloud.made(
            "NAME=net\nVN_MAD=dummy\nBRIDGE=br0\nGATEWAY=10.0.0.1\nAR=[TYPE=IP4,IP=10.0.0.10,SIZE=4]",
            |template| Command::VnetAllocate {
                template,
                cluster: -1,
            },
        );
        cloud.finish();
        cloud
    }

    /// Lets time pass.
    pub fn pass(&mut self, seconds: i64) {
        self.now += seconds;
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn give(&mut self, caller: &Caller, command: Command) -> Result<Id, ApiError> {
        self.now += 1;
        let context = Context {
            now: self.now,
            random: u128::try_from(self.now).expect("positive") << 64 | 7,
        };
        let applied = apply(
            &self.world,
            &Order {
                caller: caller.clone(),
                command,
            },
            &context,
        )?;
        let touched = applied
            .change
            .puts
            .iter()
            .map(|object| (object.kind(), object.id()));
        for (kind, id) in touched.chain(applied.change.deletes.iter().copied()) {
            assert!(
                applied
                    .change
                    .log
                    .iter()
                    .any(|entry| (entry.kind, entry.id) == (kind, id)),
                "{kind:?} {id} is changed, and the change log does not say so: who follows it would miss that"
            );
        }
        let mut written = self.world.clone();
        written.commit(&applied.change);
        written.config = applied.world.config.clone();
        assert!(
            written == applied.world,
            "the change does not make the world that it came with"
        );
        self.world = applied.world;
        Ok(match applied.reply {
            Reply::Id(id) => id,
            Reply::Text(_) | Reply::Nothing => -1,
        })
    }

    pub fn made(&mut self, text: &str, command: impl FnOnce(Template) -> Command) -> Id {
        let template = Template::parse(text).expect("a template");
        self.give(&Caller::system(), command(template)).expect("made")
    }

    pub fn host(&mut self, name: &str) -> Id {
        let allocate = Command::HostAllocate {
            name: name.into(),
            im_mad: "dummy".into(),
            vm_mad: "dummy".into(),
            cluster: -1,
        };
        let id = self.give(&Caller::system(), allocate).expect("a host");
        let report = HostReport::Up {
            total_cpu: 400,
            total_memory_kib: 4 << 20,
            boot_id: "b".into(),
            facts: BTreeMap::new(),
        };
        self.give(&Caller::system(), Command::HostReported { id, report })
            .expect("reported");
        id
    }

    pub fn vm(&mut self, text: &str) -> Result<Id, ApiError> {
        let template = Template::parse(text).expect("a template");
        self.give(
            &Caller::system(),
            Command::VmAllocate {
                template,
                hold: false,
            },
        )
    }

    pub fn deploy(&mut self, id: Id) -> Result<Id, ApiError> {
        self.give(
            &Caller::system(),
            Command::VmDeploy {
                id,
                host: 0,
                enforce: true,
                datastore: -1,
            },
        )
    }

    /// A VM that was placed on the first host and runs.
    pub fn placed(&mut self, text: &str) -> Result<Id, ApiError> {
        let id = self.vm(text)?;
        self.deploy(id)?;
        self.finish();
        assert_eq!(self.phase(id), "RUNNING");
        Ok(id)
    }

    pub fn act(&mut self, id: Id, event: Event) -> Result<Id, ApiError> {
        self.give(
            &Caller::system(),
            Command::VmAction {
                id,
                name: "x".into(),
                event,
            },
        )
    }

    /// Lets every intent succeed until none is left.
    pub fn finish(&mut self) {
        while let Some(key) = self.world.outbox.keys().next().copied() {
            self.end(key, Ok(Output::default()));
        }
    }

    pub fn end(&mut self, key: IntentKey, result: Result<Output, String>) {
        self.give(&Caller::system(), Command::IntentEnded { key, result })
            .expect("an end is taken");
    }

    /// What a command would change.
    pub fn change_of(&self, command: Command) -> Change {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        let context = Context {
            now: self.now,
            random: 7,
        };
        apply(&self.world, &order, &context).expect("taken").change
    }

    /// Puts an object as no command makes it here: as a database may hold it that was taken over, or a real host leaves it.
    pub fn put(&mut self, object: impl Into<Object>) {
        let change = Change {
            puts: vec![object.into()],
            ..Change::default()
        };
        self.world.commit(&change);
    }

    pub fn image_set(&mut self, id: Id, change: impl FnOnce(&mut Image)) {
        let mut image = Image::clone(self.world.image(id).expect("an image"));
        change(&mut image);
        self.put(image);
    }

    pub fn vnet_set(&mut self, id: Id, change: impl FnOnce(&mut Vnet)) {
        let mut vnet = Vnet::clone(self.world.vnet(id).expect("a network"));
        change(&mut vnet);
        self.put(vnet);
    }

    pub fn vm_set(&mut self, id: Id, change: impl FnOnce(&mut Vm)) {
        let mut vm = Vm::clone(self.world.vm(id).expect("a VM"));
        change(&mut vm);
        self.put(vm);
    }

    /// Changes the template of a VM, and what it asks for with it.
    pub fn vm_template_set(&mut self, id: Id, change: impl FnOnce(&mut Template)) {
        self.vm_set(id, |vm| {
            let mut template = vm.template.unpack();
            change(&mut template);
            vm.template = PackedTemplate::new(&template);
            vm.demand = Arc::new(Demand::read(&vm.template));
        });
    }

    pub fn phase(&self, id: Id) -> &'static str {
        self.world.vms.get(id).map_or("DONE", |vm| vm.phase.as_str())
    }
}

/// A VM with two disks, a lease and a console.
pub const VM: &str = "NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[TYPE=fs,SIZE=5]\nNIC=[NETWORK_ID=0]\nGRAPHICS=[TYPE=VNC]\nCONTEXT=[NETWORK=YES,HOST=\"$NAME\",KEY=\"$USER[KEY]\"]";
