//! What callers ask for.

use std::sync::Arc;

use plerion_lifecycle::{Event as Action, Recover, Relocation, failure_of};
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, VmState};
use plerion_model::{Id, Kind};
use plerion_template::{Template, Vector};
use plerion_world::{
    Caller, Command, HookCommand, HostStatus, ImageSpec, Migration, Order, VmGroupCommand, World,
};

use crate::front_end::Asker;
use crate::ledger::MARK;
use crate::queue::{Event, FrontEndId};
use crate::simulation::Simulation;

/// Users beside the administrator.
const USERS: Id = 3;
/// VMs above which callers end some rather than make more.
const VMS_MANY: usize = 12;
/// Image on storage that all hosts see, of which snapshots can be taken while a VM runs.
const IMAGE_SHARED: Id = 4;
/// Datastore of the images that all hosts see.
const IMAGES_SHARED: Id = 102;
/// Datastore of images in a new installation.
const IMAGES: Id = 1;

/// A kind of call, and how often it is made.
type Choice = (fn(&mut Simulation, &Arc<World>) -> Option<Command>, u64);

const CHOICES: &[Choice] = &[
    (Simulation::vm_allocate, 14),
    (Simulation::vm_instantiate, 6),
    (Simulation::vm_action, 50),
    (Simulation::vm_deploy, 5),
    (Simulation::vm_migrate, 6),
    (Simulation::vm_resize, 4),
    (Simulation::vm_device, 18),
    (Simulation::vm_disk, 20),
    (Simulation::vm_backup, 12),
    (Simulation::vm_guest, 10),
    (Simulation::vm_plan, 5),
    (Simulation::host_call, 5),
    (Simulation::image_call, 6),
    (Simulation::vnet_call, 4),
    (Simulation::template_call, 3),
    (Simulation::object_call, 10),
];

fn template(text: &[(&str, &str)]) -> Template {
    let mut template = Template::new();
    for (name, value) in text {
        template.set(name, *value);
    }
    template
}

fn vector(pairs: &[(&str, &str)]) -> Vector {
    pairs.iter().copied().collect()
}

impl Simulation {
    /// Makes hosts, users, networks, images and templates before anything breaks.
    pub(crate) fn installation_fill(&mut self) {
        let mut commands = Vec::new();
        for number in 1..self.nodes.len() {
            commands.push(Command::HostAllocate {
                name: format!("node-{}", number - 1),
                im_mad: "kvm".into(),
                vm_mad: "kvm".into(),
                cluster: -1,
            });
        }
        for user in 0..USERS {
            commands.push(Command::UserAllocate {
                name: format!("user-{user}"),
                password: "secret".into(),
                driver: "core".into(),
                groups: Vec::new(),
            });
        }
        commands.push(Command::DatastoreAllocate {
            template: template(&[("NAME", "second"), ("TYPE", "SYSTEM_DS"), ("TM_MAD", "ssh")]),
            cluster: -1,
        });
        commands.push(Command::DatastoreAllocate {
            template: template(&[("NAME", "shared"), ("TYPE", "SYSTEM_DS"), ("TM_MAD", "shared")]),
            cluster: -1,
        });
        commands.push(Command::DatastoreAllocate {
            template: template(&[
                ("NAME", "shared images"),
                ("TYPE", "IMAGE_DS"),
                ("DS_MAD", "fs"),
                ("TM_MAD", "shared"),
            ]),
            cluster: -1,
        });
        commands.push(Command::DatastoreAllocate {
            template: template(&[
                ("NAME", "backups"),
                ("TYPE", "BACKUP_DS"),
                ("DS_MAD", "fs"),
                ("TM_MAD", "-"),
            ]),
            cluster: -1,
        });
        commands.push(Command::SecgroupAllocate {
            template: template(&[("NAME", "some")]),
        });
        commands.push(group_new());
        for id in 0..Id::try_from(self.nodes.len()).unwrap_or(1) - 1 {
            let policy = if id == 0 { "PINNED" } else { "NONE" };
            commands.push(Command::Update {
                kind: Kind::Host,
                id,
                template: template(&[("PIN_POLICY", policy), ("PCI_FILTER", "10de:*")]),
                append: true,
            });
        }
        commands.push(Command::Hook(HookCommand::Allocate {
            template: template(&[
                ("NAME", "off"),
                ("TYPE", "state"),
                ("RESOURCE", "HOST"),
                ("STATE", "FENCE"),
                ("COMMAND", "/sbin/off"),
            ]),
        }));
        commands.push(vnet_new("net", 1));
        for (number, persistent) in ["NO", "NO", "YES", "YES"].into_iter().enumerate() {
            commands.push(image_new(&format!("image-{number}"), persistent));
        }
        commands.push(image_shared("image-shared"));
        commands.push(Command::TemplateAllocate {
            template: vm_template("template", &["0"], true, 100, 512),
        });
        for (kind, id) in [
            (Kind::Vnet, 0),
            (Kind::Image, 0),
            (Kind::Image, 1),
            (Kind::Image, 2),
            (Kind::Image, 3),
            (Kind::Image, IMAGE_SHARED),
            (Kind::Template, 0),
        ] {
            let bits = [1, 1, -1, 1, -1, -1, 1, -1, -1];
            commands.push(Command::Chmod { kind, id, bits });
        }
        self.calm = true;
        for command in commands {
            let caller = Caller::system();
            self.order_from(0, Order { caller, command }, Asker::Coordinator);
        }
        while self
            .front_ends
            .first()
            .is_some_and(|front_end| !front_end.queue.is_empty())
        {
            self.write(0);
        }
        self.calm = false;
    }

    /// Somebody asks for something, and the next call is due.
    pub(crate) fn call(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.random.between(1, self.profile.call_every * 2);
        self.queue.put(self.now + pause, Event::Call);
        let alive = self.front_ends_alive();
        let Some(id) = self.random.pick(&alive) else {
            return;
        };
        let Some(front_end) = self.front_ends.get(id) else {
            return;
        };
        let world = front_end.published.clone();
        let Some(command) = self.command_draw(&world) else {
            return;
        };
        self.call_make(id, command);
    }

    fn call_make(&mut self, id: FrontEndId, command: Command) {
        let caller = self.caller_draw();
        let number = self.number();
        self.say(&format!(
            "call {number} of user {} to f{id}: {}",
            caller.uid,
            command_text(&command)
        ));
        self.ledger.called(number, id, &command);
        self.order_from(id, Order { caller, command }, Asker::Call(number));
    }

    fn caller_draw(&mut self) -> Caller {
        if self.random.chance(800) {
            return Caller::system();
        }
        let users: Vec<Id> = (2..2 + USERS).collect();
        let uid = self.random.pick(&users).unwrap_or(2);
        Caller {
            uid,
            gid: 1,
            groups: vec![1],
            token: None,
        }
    }

    fn command_draw(&mut self, world: &Arc<World>) -> Option<Command> {
        let recovers = self.profile.recover;
        let total: u64 = CHOICES.iter().map(|(_, weight)| weight).sum::<u64>() + recovers;
        let mut left = self.random.below(total);
        for (make, weight) in CHOICES {
            if left < *weight {
                return make(self, world);
            }
            left -= weight;
        }
        self.vm_recover(world)
    }

    pub(crate) fn vm_pick(&mut self, world: &Arc<World>) -> Option<Id> {
        let ids: Vec<Id> = world.vms.iter().map(|(id, _)| id).collect();
        self.random.pick(&ids)
    }

    /// A VM of which something holds, or any where there is none.
    pub(crate) fn vm_such(&mut self, world: &Arc<World>, holds: impl Fn(&Vm) -> bool) -> Option<Id> {
        let vms = world.vms.values().filter(|vm| holds(vm));
        let ids: Vec<Id> = vms.map(|vm| vm.id).collect();
        self.random.pick(&ids).or_else(|| self.vm_pick(world))
    }

    /// An image that is not on storage that all hosts see: there a persistent one is written to by its link, which files here
    /// do not have.
    pub(crate) fn image_pick(&mut self, world: &Arc<World>) -> Option<Id> {
        let images = world.images.values().filter(|image| image.datastore_id == IMAGES);
        let ids: Vec<Id> = images.map(|image| image.id).collect();
        self.random.pick(&ids)
    }

    fn vm_allocate(&mut self, world: &Arc<World>) -> Option<Command> {
        if world.vms.len() > VMS_MANY {
            return self.vm_action(world);
        }
        let mut images = Vec::new();
        for _ in 0..self.random.below(3) {
            images.extend(self.image_pick(world).map(|id| id.to_string()));
        }
        images.dedup();
        if self.random.chance(300) {
            images = vec![IMAGE_SHARED.to_string()];
        }
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        let nic = self.random.chance(600);
        let cpu = self.random.between(1, 4) * 50;
        let memory = self.random.between(1, 6) * 512;
        let mut template = vm_template("", &images, nic, cpu, memory);
        if self.random.chance(120) {
            template.set("VCPU", "2");
            template.add_vector("TOPOLOGY", vector(&[("PIN_POLICY", "THREAD"), ("SOCKETS", "1")]));
        }
        if images == [IMAGE_SHARED.to_string().as_str()] {
            template.set("SCHED_DS_REQUIREMENTS", "ID = 101");
            template.set("ON_HOST_FAILURE", "elsewhere");
        } else if images.is_empty() {
            // Only such a one can be on the storage that all hosts see: images are on that of the front-end.
            let disk = [("TYPE", "fs"), ("SIZE", "10"), ("FORMAT", "raw")];
            template.add_vector("DISK", vector(&disk));
            template.set("SCHED_DS_REQUIREMENTS", "ID = 101");
            template.set("ON_HOST_FAILURE", "elsewhere");
        }
        Some(Command::VmAllocate {
            template,
            hold: self.random.chance(100),
        })
    }

    fn vm_instantiate(&mut self, world: &Arc<World>) -> Option<Command> {
        if world.vms.len() > VMS_MANY {
            return self.vm_action(world);
        }
        let ids: Vec<Id> = world.templates.iter().map(|(id, _)| id).collect();
        let persistent = self.random.chance(300);
        Some(Command::TemplateInstantiate {
            id: self.random.pick(&ids)?,
            name: if persistent {
                format!("copy {}", self.number())
            } else {
                String::new()
            },
            hold: self.random.chance(100),
            extra: Template::new(),
            persistent,
        })
    }

    fn vm_action(&mut self, world: &Arc<World>) -> Option<Command> {
        let hard = self.random.chance(400);
        let event = self.random.pick(&[
            Action::Terminate { hard },
            Action::Terminate { hard },
            Action::Poweroff { hard },
            Action::Undeploy { hard },
            Action::Reboot { hard },
            Action::Stop,
            Action::Suspend,
            Action::Resume,
            Action::Resume,
            Action::Resume,
            Action::Hold,
            Action::Release,
            Action::Resched,
            Action::Unresched,
        ])?;
        let ending = |vm: &Vm| {
            matches!(
                vm.phase.lcm,
                LcmState::Shutdown | LcmState::ShutdownPoweroff | LcmState::ShutdownUndeploy
            )
        };
        let aside = |vm: &Vm| {
            matches!(
                vm.phase.state,
                VmState::Suspended | VmState::Poweroff | VmState::Undeployed
            ) || vm.phase.lcm == LcmState::Unknown
        };
        let id = match self.random.below(10) {
            0..=1 if hard => self.vm_such(world, ending)?,
            2..=3 => self.vm_such(world, aside)?,
            _ => self.vm_pick(world)?,
        };
        let name = "action".to_owned();
        Some(Command::VmAction { id, name, event })
    }

    fn vm_recover(&mut self, world: &Arc<World>) -> Option<Command> {
        let recover = self.random.pick(&[
            Recover::Retry,
            Recover::Retry,
            Recover::Retry,
            Recover::Delete,
            Recover::DeleteRecreate,
            Recover::DeleteRecreate,
            Recover::Failure,
            Recover::Failure,
            Recover::Success,
            Recover::DeleteDb,
        ])?;
        let stuck: Vec<Id> = world
            .vms
            .values()
            .filter(|vm| failure_of(vm.phase.lcm).is_some())
            .map(|vm| vm.id)
            .collect();
        let id = match self.random.pick(&stuck) {
            Some(id) if self.random.chance(500) => id,
            _ => self.vm_pick(world)?,
        };
        Some(Command::VmRecover { id, recover })
    }

    fn vm_deploy(&mut self, world: &Arc<World>) -> Option<Command> {
        let hosts: Vec<Id> = world.hosts.iter().map(|(id, _)| id).collect();
        Some(Command::VmDeploy {
            id: self.vm_pick(world)?,
            host: self.random.pick(&hosts)?,
            enforce: self.random.chance(700),
            datastore: self.random.pick(&[-1, -1, 0, 100])?,
        })
    }

    fn vm_migrate(&mut self, world: &Arc<World>) -> Option<Command> {
        let hosts: Vec<Id> = world.hosts.iter().map(|(id, _)| id).collect();
        let there = |vm: &Vm| {
            matches!(vm.phase.state, VmState::Suspended | VmState::Poweroff)
                || matches!(vm.phase.lcm, LcmState::Unknown | LcmState::Running)
        };
        Some(Command::VmMigrate {
            id: self.vm_such(world, there)?,
            migration: Migration {
                host: self.random.pick(&hosts)?,
                relocation: self.random.pick(&Relocation::ALL)?,
                enforce: self.random.chance(800),
                datastore: self.random.pick(&[-1, -1, -1, 0, 100])?,
            },
        })
    }

    fn vm_resize(&mut self, world: &Arc<World>) -> Option<Command> {
        let cpu = self.random.pick(&["0", "0.5", "1", "2"])?;
        let memory = self.random.pick(&["0", "256", "512", "1024"])?;
        Some(Command::VmResize {
            id: self.vm_pick(world)?,
            template: template(&[("CPU", cpu), ("MEMORY", memory)]),
            enforce: true,
        })
    }

    fn host_call(&mut self, world: &Arc<World>) -> Option<Command> {
        let hosts: Vec<Id> = world.hosts.iter().map(|(id, _)| id).collect();
        if hosts.len() + 1 < self.nodes.len() || self.random.chance(100) {
            let number = self.random.below(self.nodes.len() as u64 - 1);
            return Some(Command::HostAllocate {
                name: format!("node-{number}"),
                im_mad: "kvm".into(),
                vm_mad: "kvm".into(),
                cluster: -1,
            });
        }
        let id = self.random.pick(&hosts)?;
        if self.random.chance(100) {
            return Some(Command::Delete { kind: Kind::Host, id });
        }
        let status = self.random.pick(&[
            HostStatus::Enabled,
            HostStatus::Enabled,
            HostStatus::Enabled,
            HostStatus::Disabled,
            HostStatus::Offline,
        ])?;
        Some(Command::HostSetStatus { id, status })
    }

    fn image_call(&mut self, world: &Arc<World>) -> Option<Command> {
        let name = format!("image {}", self.number());
        match self.random.below(6) {
            0 | 1 => Some(image_new(
                &name,
                if self.random.chance(500) { "YES" } else { "NO" },
            )),
            2 => Some(Command::ImageClone {
                id: self.image_pick(world)?,
                name,
                datastore: -1,
            }),
            3 => Some(Command::Delete {
                kind: Kind::Image,
                id: self.image_pick(world)?,
            }),
            4 => Some(Command::ImageEnable {
                id: self.image_pick(world)?,
                enable: self.random.chance(800),
            }),
            _ => Some(Command::ImagePersistent {
                id: self.image_pick(world)?,
                persistent: self.random.chance(500),
            }),
        }
    }

    fn vnet_call(&mut self, world: &Arc<World>) -> Option<Command> {
        let ids: Vec<Id> = world.vnets.iter().map(|(id, _)| id).collect();
        let number = self.number();
        let block = number % 200 + 2;
        let id = self.random.pick(&ids);
        match self.random.below(6) {
            0 => Some(vnet_new(&format!("net {number}"), block)),
            1 => {
                let mut range = Template::new();
                range.add_vector("AR", range_vector(block));
                Some(Command::VnetAddRange {
                    id: id?,
                    template: range,
                })
            }
            2 => Some(Command::VnetRemoveRange {
                id: id?,
                range: i32::try_from(self.random.below(3)).unwrap_or(0),
                force: self.random.chance(200),
            }),
            3 => Some(Command::Delete {
                kind: Kind::Vnet,
                id: id?,
            }),
            _ => {
                let mut leases = Template::new();
                let ip = format!("10.0.1.{}", self.random.below(8));
                leases.set_vector("LEASES", vector(&[("IP", &ip)]));
                Some(Command::VnetHold {
                    id: id?,
                    template: leases,
                    hold: self.random.chance(500),
                })
            }
        }
    }

    fn template_call(&mut self, world: &Arc<World>) -> Option<Command> {
        let ids: Vec<Id> = world.templates.iter().map(|(id, _)| id).collect();
        let name = format!("template {}", self.number());
        let image = self.image_pick(world).unwrap_or(0).to_string();
        match self.random.below(3) {
            0 => Some(Command::TemplateAllocate {
                template: vm_template(&name, &[&image], true, 100, 1024),
            }),
            1 => Some(Command::TemplateClone {
                id: self.random.pick(&ids)?,
                name,
            }),
            _ => Some(Command::Delete {
                kind: Kind::Template,
                id: self.random.pick(&ids)?,
            }),
        }
    }

    /// What can be done with objects of many kinds.
    fn object_call(&mut self, world: &Arc<World>) -> Option<Command> {
        let (kind, ids): (Kind, Vec<Id>) = match self.random.below(4) {
            0 => (Kind::Image, world.images.iter().map(|(id, _)| id).collect()),
            1 => (Kind::Template, world.templates.iter().map(|(id, _)| id).collect()),
            _ => (Kind::Vm, world.vms.iter().map(|(id, _)| id).collect()),
        };
        let id = self.random.pick(&ids)?;
        let number = self.number();
        Some(match self.random.below(5) {
            0 => {
                let bits = [1, 1, -1, 1, 0, 0, 1, 0, 0];
                Command::Chmod { kind, id, bits }
            }
            1 => Command::Chown {
                kind,
                id,
                uid: i32::try_from(self.random.below(4)).unwrap_or(0),
                gid: -1,
            },
            2 => Command::Lock {
                kind,
                id,
                level: self.random.pick(&[0, 0, 0, 1, 2, 3])?,
                test: false,
            },
            3 => Command::Rename {
                kind,
                id,
                name: format!("name {number}"),
            },
            _ => Command::Update {
                kind,
                id,
                template: template(&[(MARK, &number.to_string())]),
                append: true,
            },
        })
    }
}

fn image_new(name: &str, persistent: &str) -> Command {
    Command::ImageAllocate {
        template: template(&[
            ("NAME", name),
            ("PATH", "/var/tmp/source"),
            ("PERSISTENT", persistent),
            ("FORMAT", "raw"),
        ]),
        datastore: IMAGES,
        spec: ImageSpec { size_mib: Some(1024) },
    }
}

/// An image on storage that all hosts see.
fn image_shared(name: &str) -> Command {
    Command::ImageAllocate {
        template: template(&[("NAME", name), ("PATH", "/var/tmp/source"), ("FORMAT", "qcow2")]),
        datastore: IMAGES_SHARED,
        spec: ImageSpec { size_mib: Some(1024) },
    }
}

/// A group of VMs, in one role of which they keep apart, and in the other together.
fn group_new() -> Command {
    let mut template = template(&[("NAME", "group")]);
    for (name, policy) in [("apart", "ANTI_AFFINED"), ("together", "AFFINED")] {
        template.add_vector("ROLE", vector(&[("NAME", name), ("POLICY", policy)]));
    }
    Command::VmGroup(VmGroupCommand::Allocate { template })
}

fn range_vector(block: u64) -> Vector {
    vector(&[("TYPE", "IP4"), ("IP", &format!("10.0.{block}.0")), ("SIZE", "8")])
}

fn vnet_new(name: &str, block: u64) -> Command {
    let mut template = template(&[("NAME", name), ("VN_MAD", "bridge"), ("BRIDGE", "br0")]);
    template.add_vector("AR", range_vector(block));
    Command::VnetAllocate {
        template,
        cluster: -1,
    }
}

fn vm_template(name: &str, images: &[&str], nic: bool, cpu: u64, memory: u64) -> Template {
    let mut template = template(&[("MEMORY", &memory.to_string())]);
    template.set("CPU", format!("{}.{:02}", cpu / 100, cpu % 100));
    if !name.is_empty() {
        template.set("NAME", name);
    }
    for image in images {
        template.add_vector("DISK", vector(&[("IMAGE_ID", image)]));
    }
    if images.len() % 2 == 1 {
        template.add_vector(
            "DISK",
            vector(&[("TYPE", "fs"), ("SIZE", "10"), ("FORMAT", "raw")]),
        );
    }
    if nic {
        template.add_vector("NIC", vector(&[("NETWORK_ID", "0")]));
    }
    template.set("MEMORY_MAX", "2048");
    if memory.is_multiple_of(1024) {
        template.set("AUTOSTART", "YES");
        template.set("AUTOSTART_ORDER", (cpu / 100).to_string());
    }
    template.add_vector("CONTEXT", vector(&[("NETWORK", "YES")]));
    template
}

fn command_text(command: &Command) -> String {
    match command {
        Command::VmAction { id, event, .. } => format!("{event:?} vm {id}"),
        Command::VmRecover { id, recover } => format!("recover {recover:?} vm {id}"),
        Command::VmDeploy {
            id,
            host,
            enforce,
            datastore,
        } => {
            format!("deploy vm {id} host {host} enforce {enforce} datastore {datastore}")
        }
        Command::Delete { kind, id } => format!("delete {kind:?} {id}"),
        Command::HostSetStatus { id, status } => format!("host {id} {status:?}"),
        other => {
            let text = format!("{other:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        }
    }
}
