//! What the tests share: directories of their own, and clouds that live through made-up commands.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use plerion_lifecycle::{Event, Recover};
use plerion_model::autostart::DomainEnd;
use plerion_model::showback::Showback;
use plerion_model::{Id, Kind};
use plerion_store::{Stay, StoreReader};
use plerion_template::{PackedTemplate, Template, Value, Vector};
use plerion_world::{
    Applied, Caller, Change, Command, Config, Context, HostReport, HostStatus, ImageSpec, Member, Order,
    Output, World, apply, bootstrap,
};

/// A directory that goes with the value.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("store-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("plerion.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// A cloud that commands are given to.
pub struct Cloud {
    pub world: World,
    now: i64,
    drawn: u128,
}

pub fn template(pairs: &[(&str, &str)]) -> Template {
    let mut template = Template::new();
    for (name, value) in pairs {
        template.add(name, Value::Single((*value).to_owned()));
    }
    template
}

fn vector(pairs: &[(&str, &str)]) -> Vector {
    pairs.iter().copied().collect()
}

/// A VM with a volatile disk, a console, and what else is asked for.
pub fn vm_template(image: Option<Id>, vnet: Option<Id>) -> Template {
    let mut all = template(&[
        ("CPU", "0.5"),
        ("MEMORY", "64"),
        ("DESCRIPTION", "caf\u{e9} <&> \"x\"\n\u{1f980}"),
    ]);
    all.add_vector("DISK", vector(&[("TYPE", "fs"), ("SIZE", "10")]));
    all.add_vector("GRAPHICS", vector(&[("TYPE", "VNC"), ("LISTEN", "0.0.0.0")]));
    if let Some(image) = image {
        all.add_vector("DISK", vector(&[("IMAGE_ID", &image.to_string())]));
    }
    if let Some(vnet) = vnet {
        all.add_vector("NIC", vector(&[("NETWORK_ID", &vnet.to_string())]));
    }
    all
}

impl Cloud {
    /// A new installation, and the change that makes it.
    pub fn new() -> (Self, Change) {
        let mut cloud = Self {
            world: World::new(Config::default()),
            now: 1_700_000_000,
            drawn: 0,
        };
        let context = cloud.context();
        let (world, change) = bootstrap(
            &cloud.world,
            &context,
            ["oneadmin", "serveradmin"],
            ["hash one", "hash two"],
        );
        cloud.world = world;
        (cloud, change)
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    fn context(&mut self) -> Context {
        self.now += 1;
        self.drawn += 1;
        Context {
            now: self.now,
            random: self.drawn,
        }
    }

    /// Gives a command; the change if it was accepted.
    pub fn give(&mut self, command: Command) -> Option<Change> {
        let order = Order {
            caller: Caller::system(),
            command,
        };
        let context = self.context();
        let Applied { world, change, .. } = apply(&self.world, &order, &context).ok()?;
        self.world = world;
        Some(change)
    }

    /// Gives a command that must be accepted.
    pub fn must(&mut self, command: Command) -> Change {
        let what = format!("{command:?}");
        self.give(command).unwrap_or_else(|| panic!("refused: {what}"))
    }

    /// Hosts, a network, an image in the making: what most commands need.
    pub fn furnish(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for name in ["host-a", "host-b"] {
            changes.push(self.must(Command::HostAllocate {
                name: name.into(),
                im_mad: "kvm".into(),
                vm_mad: "kvm".into(),
                cluster: -1,
            }));
        }
        for id in [0, 1] {
            changes.push(self.must(host_up(id)));
        }
        let mut network = template(&[("NAME", "net"), ("VN_MAD", "bridge"), ("BRIDGE", "br0")]);
        network.add_vector(
            "AR",
            vector(&[("TYPE", "IP4"), ("IP", "10.0.0.1"), ("SIZE", "40")]),
        );
        changes.push(self.must(Command::VnetAllocate {
            template: network,
            cluster: -1,
        }));
        changes.push(self.must(image_new("disk")));
        changes.push(self.must(Command::TemplateAllocate {
            template: {
                let mut all = vm_template(None, Some(0));
                all.set("NAME", "tiny");
                all
            },
        }));
        changes
    }
}

fn host_up(id: Id) -> Command {
    Command::HostReported {
        id,
        report: HostReport::Up {
            total_cpu: 800,
            total_memory_kib: 16 << 20,
            boot_id: "boot".into(),
            facts: BTreeMap::from([("ARCH".to_owned(), "x86_64".to_owned())]),
        },
    }
}

fn image_new(name: &str) -> Command {
    Command::ImageAllocate {
        template: template(&[
            ("NAME", name),
            ("TYPE", "DATABLOCK"),
            ("SIZE", "16"),
            ("FORMAT", "raw"),
        ]),
        datastore: 1,
        spec: ImageSpec::default(),
    }
}

/// A made-up command: which, and two draws for its arguments.
pub type Step = (u8, u8, u8);

fn pick_of(world: &World, kind: Kind, draw: u8) -> Id {
    let ids = world.ids(kind);
    let index = usize::from(draw).checked_rem(ids.len()).unwrap_or(0);
    ids.get(index).copied().unwrap_or(0)
}

fn event(draw: u8) -> (&'static str, Event) {
    let events = [
        ("terminate", Event::Terminate { hard: false }),
        ("terminate-hard", Event::Terminate { hard: true }),
        ("poweroff", Event::Poweroff { hard: false }),
        ("resume", Event::Resume),
        ("suspend", Event::Suspend),
        ("stop", Event::Stop),
        ("undeploy", Event::Undeploy { hard: false }),
        ("hold", Event::Hold),
        ("release", Event::Release),
        ("reboot", Event::Reboot { hard: false }),
        ("resched", Event::Resched),
    ];
    events[usize::from(draw) % events.len()]
}

/// The end of an outstanding intent, most often a good one.
fn intent_end(world: &World, a: u8, b: u8) -> Option<Command> {
    let index = usize::from(a).checked_rem(world.outbox.len())?;
    let (key, _) = world.outbox.iter().nth(index)?;
    let result = if b.is_multiple_of(5) {
        Err(format!("made-up failure {b}"))
    } else {
        Ok(Output {
            snapshot: None,
            deploy_id: Some(format!("one-{}", key.id)),
            size_mib: Some(16),
            format: Some("raw".into()),
            source: Some(format!("/made/up/{b}")),
            ..Output::default()
        })
    };
    Some(Command::IntentEnded { key: *key, result })
}

/// Number of different commands that [`command`] makes.
pub const COMMANDS: u8 = 32;

/// The command of a step. Many are refused, which is fine; none is looked for that must succeed.
pub fn command(world: &World, (what, a, b): Step) -> Option<Command> {
    let kind = Kind::ALL[usize::from(a) % Kind::ALL.len()];
    let name = format!("n{}", b % 24);
    let bit = b.is_multiple_of(2);
    Some(match what % COMMANDS {
        0..=2 => Command::VmAllocate {
            template: vm_template(
                bit.then(|| pick_of(world, Kind::Image, a)),
                a.is_multiple_of(3).then(|| pick_of(world, Kind::Vnet, b)),
            ),
            hold: a.is_multiple_of(7),
        },
        3..=5 => Command::VmDeploy {
            id: pick_of(world, Kind::Vm, a),
            host: pick_of(world, Kind::Host, b),
            enforce: true,
            datastore: -1,
        },
        6..=12 => intent_end(world, a, b)?,
        13..=15 => {
            let (name, event) = event(b);
            Command::VmAction {
                id: pick_of(world, Kind::Vm, a),
                name: name.into(),
                event,
            }
        }
        16 => Command::VmRecover {
            id: pick_of(world, Kind::Vm, a),
            recover: Recover::from_number(i32::from(b % 6))?,
        },
        17 => Command::Update {
            kind,
            id: pick_of(world, kind, b),
            template: template(&[("NOTE", &name), ("NOTE", "twice"), ("LABELS", "a,b")]),
            append: bit,
        },
        18 => Command::Rename {
            kind,
            id: pick_of(world, kind, b),
            name,
        },
        19 => Command::Delete {
            kind,
            id: pick_of(world, kind, b),
        },
        20 => Command::Chown {
            kind,
            id: pick_of(world, kind, b),
            uid: pick_of(world, Kind::User, a),
            gid: pick_of(world, Kind::Group, b),
        },
        21 => Command::Lock {
            kind,
            id: pick_of(world, kind, b),
            level: i32::from(b % 4),
            test: false,
        },
        22 => Command::UserAllocate {
            name,
            password: "hash".into(),
            driver: "core".into(),
            groups: vec![pick_of(world, Kind::Group, a)],
        },
        23 => Command::GroupAllocate { name },
        24 => Command::ClusterAllocate { name },
        25 => Command::ClusterMember {
            id: pick_of(world, Kind::Cluster, a),
            member: Member::Vnet(pick_of(world, Kind::Vnet, b)),
            add: bit,
        },
        26 => match a % 4 {
            0 => Command::HostSetStatus {
                id: pick_of(world, Kind::Host, b),
                status: if bit {
                    HostStatus::Enabled
                } else {
                    HostStatus::Disabled
                },
            },
            1 => Command::HostReported {
                id: pick_of(world, Kind::Host, b),
                report: HostReport::Down("made-up".into()),
            },
            _ => host_up(pick_of(world, Kind::Host, b)),
        },
        27 => image_new(&name),
        28 => Command::ImageClone {
            id: pick_of(world, Kind::Image, a),
            name,
            datastore: -1,
        },
        29 => Command::VnetHold {
            id: pick_of(world, Kind::Vnet, a),
            template: {
                let ip = format!("10.0.0.{}", 1 + b % 40);
                let mut all = Template::new();
                all.add_vector("LEASES", vector(&[("IP", &ip)]));
                all
            },
            hold: bit,
        },
        30 => Command::TemplateInstantiate {
            id: pick_of(world, Kind::Template, a),
            name: String::new(),
            hold: false,
            extra: Template::new(),
            persistent: bit,
        },
        _ => Command::DomainSeen {
            host: pick_of(world, Kind::Host, a),
            vm: pick_of(world, Kind::Vm, b),
            end: (!bit).then_some(DomainEnd::ALL[usize::from(a % 4)]),
        },
    })
}

/// That a reader gives the stays that ended in some changes, each VM's in order.
pub fn stays_compare(reader: &dyn StoreReader, changes: &[Change]) {
    let mut stays: BTreeMap<Id, BTreeMap<i32, Stay>> = BTreeMap::new();
    for stay in changes.iter().flat_map(|change| &change.stays) {
        let mut vm = (*stay.vm).clone();
        let seq = vm.last_history().expect("its record").seq;
        if stay.last {
            (vm.template, vm.user_template) = (PackedTemplate::default(), PackedTemplate::default());
            vm.demand = Default::default();
        }
        let (last, sample) = (stay.last, None);
        stays.entry(vm.id).or_default().insert(
            seq,
            Stay {
                seq,
                vm,
                last,
                sample,
            },
        );
    }
    for (id, stays) in stays {
        let read = reader.stays(id).expect("reads");
        assert_eq!(read, stays.into_values().collect::<Vec<_>>());
    }
}

/// Costs of VMs in two months.
pub fn costs_of(vms: &[Id], hours: f64) -> Command {
    let rows = vms.iter().flat_map(|vm| {
        [(2025, 12), (2026, 1)].map(|(year, month)| Showback {
            vm: *vm,
            name: "caf\u{e9}".into(),
            year,
            month,
            hours,
            ..Showback::default()
        })
    });
    Command::ShowbackPut { rows: rows.collect() }
}

/// That a reader gives the costs of [`costs_of`] by month and VM, page by page, those that were written last.
pub fn costs_compare(reader: &dyn StoreReader, vms: &[Id], hours: f64) {
    let mut after = i64::MIN;
    let mut read = Vec::new();
    loop {
        let page = reader.showback(after, i64::MAX, 2).expect("reads");
        let Some(last) = page.last() else { break };
        after = last.slot;
        read.extend(page);
    }
    let keys: Vec<(i8, Id)> = read.iter().map(|row| (row.showback.month, row.vm.id)).collect();
    let expected = [12, 1]
        .into_iter()
        .flat_map(|month| vms.iter().map(move |vm| (month, *vm)));
    assert_eq!(keys, expected.collect::<Vec<_>>());
    assert!(
        read.iter()
            .all(|row| row.showback.hours.to_bits() == hours.to_bits())
    );
    let december = plerion_store::showback_slot(2025, 12, Id::MAX);
    let first = reader.showback(i64::MIN, december, u64::MAX).expect("reads");
    assert_eq!(first.len(), vms.len());
}
