//! [`Intake`]: what links and agents say, as measurements and orders.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use plerion_model::autostart::DomainEnd;
use plerion_model::host::{Host, HostState};
use plerion_model::numa::{HostCore, HostNode, HostPages};
use plerion_model::pci::{PciDevice, PciFilter};
use plerion_model::view::{GuestView, HostSampleView, NodeSample, VmSampleView};
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Seconds};
use plerion_protocol::{
    DatastoreSample, DomainState, HostFacts, HostSample, LeaseSeen, LeaseSight, NodeHello, NumaNode,
    NumaSample, PciFound, ProbeRound, VmSample, WildSample,
};
use plerion_store::Sample;
use plerion_template::{PackedTemplate, Vector};
use plerion_world::{
    Caller, Command, HostReport, LeaseWord, Measurements, OWN_RESERVED, Order, OwnReport, World,
};

use crate::probe_intake::ProbeIntake;
use crate::stranger::{StrangerWatch, is_domain_of, vm_of};

/// Samples in a row in which a domain must be missing before its VM counts as off: a sample may have been taken before
/// a domain was started that was reported before the sample came.
const ABSENCES_MIN: u32 = 2;

/// Measurements, and what is remembered to judge them.
#[derive(Default)]
pub struct Intake {
    measurements: Measurements,
    absent: HashMap<Id, u32>,
    watch: StrangerWatch,
    probes: ProbeIntake,
    /// What `pci.conf` lets pass, by driver.
    pci_filters: BTreeMap<String, PciFilter>,
    front_end_places: Vec<String>,
    changed: bool,
}

fn order(command: Command) -> Order {
    Order {
        caller: Caller::system(),
        command,
    }
}

/// What an agent has measured.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// The host.
    pub host: &'a HostSample,
    /// Domains with names of a cloud's form.
    pub vms: &'a [VmSample],
    /// Other domains.
    pub wilds: &'a [WildSample],
    /// Datastores.
    pub datastores: &'a [DatastoreSample],
}

impl Intake {
    /// Nothing measured yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The measurements, if they changed since the last call.
    pub fn take_changed(&mut self) -> Option<Measurements> {
        std::mem::take(&mut self.changed).then(|| self.measurements.clone())
    }

    /// A host's link is up.
    #[must_use]
    pub fn host_up(&self, host: Id, hello: &NodeHello) -> Order {
        let facts = &hello.facts;
        let mut shown = facts_shown(facts);
        let shares = hello
            .places
            .iter()
            .any(|place| !place.is_empty() && self.front_end_places.contains(place));
        shown.insert(
            "FRONT_END_STORAGE".into(),
            if shares { "YES" } else { "NO" }.into(),
        );
        order(Command::HostReported {
            id: host,
            report: HostReport::Up {
                total_cpu: i64::from(facts.cpus).saturating_mul(100),
                total_memory_kib: i64::try_from(facts.memory_kib).unwrap_or(i64::MAX),
                boot_id: hello.boot_id.clone(),
                facts: shown,
            },
        })
    }

    /// The front-end's own agent is up: which directories it sees.
    pub fn front_end_up(&mut self, hello: &NodeHello) {
        self.front_end_places.clone_from(&hello.places);
    }

    /// A host's link is down.
    #[must_use]
    pub fn host_down(&self, host: Id, reason: &str) -> Order {
        order(Command::HostReported {
            id: host,
            report: HostReport::Down(reason.to_owned()),
        })
    }

    /// An agent saw a domain change.
    #[must_use]
    pub fn domain(
        &mut self,
        world: &World,
        host: Id,
        name: &str,
        uuid: &str,
        state: DomainState,
    ) -> Option<Order> {
        let vm = vm_of(name)?;
        if !is_domain_of(world, vm, uuid) {
            return None;
        }
        self.absent.remove(&vm);
        let end = sight(state)?;
        Some(order(Command::DomainSeen { host, vm, end }))
    }

    /// Datastores as the front-end sees them.
    pub fn datastores(&mut self, samples: &[DatastoreSample]) {
        for sample in samples.iter().filter(|sample| sample.total_mib > 0) {
            let space = (sample.total_mib, sample.free_mib, sample.used_mib);
            self.measurements.datastores.insert(sample.id, space);
            self.changed = true;
        }
    }

    /// What a host sees of the leases of others. Only the host that was asked to look is believed.
    pub fn leases(&mut self, world: &World, host: Id, seen: &[LeaseSeen]) {
        for seen in seen {
            let asked = world.vms.get(seen.vm).and_then(|vm| world.lease_observer(vm));
            if asked != Some(host) {
                continue;
            }
            let proof = match &seen.sight {
                LeaseSight::Holds(why) => Err(why.clone()),
                LeaseSight::Ended => Ok(()),
            };
            let word = LeaseWord {
                loss: seen.loss,
                proof,
            };
            self.measurements.leases.insert(seen.vm, word);
            self.changed = true;
        }
    }

    /// A sample of a host. Domains that run although their VM is thought to be off, and the other way round, are put
    /// right.
    pub fn sample(&mut self, world: &World, host: Id, now: Seconds, sampled: &Sampled<'_>) -> Vec<Order> {
        let (sample, vms, datastores) = (sampled.host, sampled.vms, sampled.datastores);
        let Some(known) = world.hosts.get(host) else {
            return Vec::new();
        };
        self.changed = true;
        let mut view = host_view(known, now, sample, datastores);
        view.own = self.probes.of_host(host);
        self.measurements.hosts.insert(host, Arc::new(view));
        let mut orders = Vec::new();
        let mut seen = HashSet::new();
        for vm in vms {
            let Some(id) = vm_of(&vm.name).filter(|id| is_domain_of(world, *id, &vm.uuid)) else {
                continue;
            };
            seen.insert(id);
            self.absent.remove(&id);
            let mut view = vm_view(now, vm);
            view.own = self.probes.of_vm(host, id);
            self.measurements.vms.insert(id, Arc::new(view));
            let rests = world.vms.get(id).is_some_and(|known| {
                matches!(known.phase.state, VmState::Poweroff | VmState::Suspended)
                    || known.phase == Phase::active(LcmState::Unknown)
            });
            if rests && sight(vm.state) == Some(None) {
                orders.push(order(Command::DomainSeen {
                    host,
                    vm: id,
                    end: None,
                }));
            }
        }
        orders.extend(self.absences(world, host, &seen));
        orders.extend(copies_gone(world, known, vms));
        let strangers = self.watch.sample(world, known, vms, sampled.wilds);
        let nodes = sampled.host.numa_nodes.as_deref().map(nodes_of);
        let nodes = nodes.filter(|nodes| *nodes != known.numa);
        orders.extend(nodes.map(|nodes| {
            order(Command::HostReported {
                id: host,
                report: HostReport::Numa(nodes),
            })
        }));
        let devices = sampled.host.pci.as_deref().map(devices_of);
        let devices = devices.map(|devices| self.pci_list(known, devices));
        let devices = devices.filter(|devices| *devices != known.pci);
        orders.extend(devices.map(|devices| {
            order(Command::HostReported {
                id: host,
                report: HostReport::Pci(devices),
            })
        }));
        orders.extend(strangers.map(|strangers| {
            order(Command::HostReported {
                id: host,
                report: HostReport::Strangers(strangers),
            })
        }));
        orders
    }

    /// The measurements of a host and its VMs that were taken at a time.
    pub(crate) fn samples_at(&self, host: Id, vms: &[VmSample], time: Seconds) -> Vec<Sample> {
        let host = self.measurements.hosts.get(&host).map(|view| (host, view));
        let host = host.filter(|(_, view)| view.time == time);
        let vms = vms.iter().filter_map(|vm| {
            let id = vm_of(&vm.name)?;
            self.measurements.vms.get(&id).map(|view| (id, view))
        });
        let vms = vms.filter(|(_, view)| view.time == time);
        host.map(|(id, view)| Sample::Host(id, view.clone()))
            .into_iter()
            .chain(vms.map(|(id, view)| Sample::Vm(id, view.clone())))
            .collect()
    }

    /// What the administrator's probes on a host have printed. What they measure is shown with what is measured next, of
    /// those that there is a measurement of.
    pub fn probed(&mut self, world: &World, host: Id, round: &ProbeRound) -> Option<Order> {
        let known = world.hosts.get(host)?;
        let word = self.probes.round(host, round, OWN_RESERVED);
        self.own_show(world, host);
        let report = OwnReport {
            attributes: word.attributes,
            faults: word.faults,
        };
        report.is_news(known).then(|| {
            order(Command::HostReported {
                id: host,
                report: HostReport::Own(report),
            })
        })
    }

    /// Sets what the `pci.conf` of a driver lets pass; hosts are put right whose devices are known already.
    pub fn pci_conf(&mut self, world: &World, driver: &str, conf: &PackedTemplate) -> Vec<Order> {
        self.pci_filters.insert(driver.to_owned(), PciFilter::read(conf));
        let hosts = world.hosts.values().filter(|host| host.im_mad == driver);
        hosts
            .filter_map(|host| {
                let devices = self.pci_list(host, host.pci.clone());
                (devices != host.pci).then(|| {
                    order(Command::HostReported {
                        id: host.id,
                        report: HostReport::Pci(devices),
                    })
                })
            })
            .collect()
    }

    /// Whether the `pci.conf` of a driver has been set.
    #[must_use]
    pub fn has_pci_conf(&self, driver: &str) -> bool {
        self.pci_filters.contains_key(driver)
    }

    fn pci_list(&self, host: &Host, devices: Vec<PciDevice>) -> Vec<PciDevice> {
        let Some(filter) = self.pci_filters.get(&host.im_mad) else {
            return devices;
        };
        let listed = devices.into_iter().map(|device| {
            let passes = filter.passes(&device);
            device.listed(passes)
        });
        listed.collect()
    }

    fn own_show(&mut self, world: &World, host: Id) {
        if let Some(view) = self.measurements.hosts.get_mut(&host) {
            Arc::make_mut(view).own = self.probes.of_host(host);
            self.changed = true;
        }
        for vm in world.host_vms(host) {
            if let Some(view) = self.measurements.vms.get_mut(&vm.id) {
                Arc::make_mut(view).own = self.probes.of_vm(host, vm.id);
            }
        }
    }

    fn absences(&mut self, world: &World, host: Id, seen: &HashSet<Id>) -> Vec<Order> {
        let mut orders = Vec::new();
        for vm in world.host_vms(host) {
            let up = matches!(vm.phase.lcm, LcmState::Running | LcmState::Unknown);
            if vm.phase.state != VmState::Active || !up || seen.contains(&vm.id) {
                continue;
            }
            let count = self.absent.entry(vm.id).or_insert(0);
            *count = count.saturating_add(1);
            if *count >= ABSENCES_MIN {
                self.absent.remove(&vm.id);
                orders.push(order(Command::DomainSeen {
                    host,
                    vm: vm.id,
                    end: Some(DomainEnd::Unseen),
                }));
            }
        }
        orders
    }

    /// Forgets what is gone.
    pub fn world_changed(&mut self, world: &World) {
        let hosts: Vec<Id> = self
            .measurements
            .hosts
            .keys()
            .filter(|id| world.hosts.get(**id).is_none())
            .copied()
            .collect();
        let vms: Vec<Id> = self
            .measurements
            .vms
            .keys()
            .filter(|id| world.vms.get(**id).is_none())
            .copied()
            .collect();
        self.changed |= !hosts.is_empty() || !vms.is_empty();
        let measured = &mut self.measurements;
        measured.leases.retain(|id, _| world.vms.get(*id).is_some());
        for id in hosts {
            self.measurements.hosts.remove(&id);
            self.watch.host_gone(id);
            self.probes.host_gone(id);
        }
        for id in vms {
            self.measurements.vms.remove(&id);
            self.absent.remove(&id);
        }
    }
}

/// VMs that were given up on a host of which a sample shows no copy.
fn copies_gone(world: &World, host: &Host, vms: &[VmSample]) -> Option<Order> {
    let is_back = |id: Id| world.vms.get(id).and_then(|vm| vm.held_host()) == Some(host.id);
    let runs = |uuid: &str| vms.iter().any(|vm| vm.uuid.eq_ignore_ascii_case(uuid));
    let gone = host
        .given_up
        .iter()
        .filter(|(id, uuid)| is_back(**id) || !runs(uuid));
    let gone: Vec<Id> = gone.map(|(id, _)| *id).collect();
    (!gone.is_empty()).then(|| {
        order(Command::HostReported {
            id: host.id,
            report: HostReport::Gone(gone),
        })
    })
}

/// What a host of the dummy driver says of itself (recorded), as long as it is wanted.
#[must_use]
pub fn dummy_report(host: &Host) -> Option<Order> {
    if !matches!(host.state, HostState::Init | HostState::Error) || host.im_mad != "dummy" {
        return None;
    }
    let facts = [
        ("ARCH", "x86_64"),
        ("CPUSPEED", "2600"),
        ("HOSTNAME", host.name.as_str()),
        ("HYPERVISOR", "dummy"),
        ("MODELNAME", "Simulated CPU"),
        ("VERSION", env!("CARGO_PKG_VERSION")),
    ];
    Some(order(Command::HostReported {
        id: host.id,
        report: HostReport::Up {
            total_cpu: 6400,
            total_memory_kib: 268_435_456,
            boot_id: "dummy".into(),
            facts: facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        },
    }))
}

/// NUMA nodes as an agent tells of them.
fn nodes_of(nodes: &[NumaNode]) -> Vec<HostNode> {
    let cores = |node: &NumaNode| {
        let cores = node.cores.iter().map(|core| HostCore {
            id: core.id,
            cpus: core.cpus.clone(),
        });
        cores.collect()
    };
    let pages = |node: &NumaNode| {
        let pages = node.pages.iter().map(|pages| HostPages {
            size_kib: pages.size_kib,
            pages: pages.pages,
        });
        pages.collect()
    };
    let nodes = nodes.iter().map(|node| HostNode {
        id: node.id,
        cores: cores(node),
        pages: pages(node),
        memory_kib: node.memory_kib,
        near: node.near.clone(),
    });
    nodes.collect()
}

/// PCI devices as an agent tells of them; what has no address is left out.
fn devices_of(devices: &[PciFound]) -> Vec<PciDevice> {
    let device = |found: &PciFound| {
        let mut vector = Vector::new();
        vector.set("SHORT_ADDRESS", found.address.clone());
        for (name, number) in [
            ("VENDOR", found.vendor),
            ("DEVICE", found.device),
            ("CLASS", found.class),
        ] {
            vector.set(name, format!("{number:04x}"));
        }
        for (name, text) in [
            ("VENDOR_NAME", &found.vendor_name),
            ("DEVICE_NAME", &found.device_name),
            ("CLASS_NAME", &found.class_name),
            ("IFNAME", &found.interface),
        ] {
            vector.set(name, text.clone());
        }
        if let Some(node) = found.numa_node {
            vector.set("NUMA_NODE", node.to_string());
        }
        PciDevice::read(|name| vector.get(name)).ok()
    };
    devices.iter().filter_map(device).collect()
}

fn facts_shown(facts: &HostFacts) -> BTreeMap<String, String> {
    [
        ("ARCH", facts.arch.clone()),
        ("CGROUPS_VERSION", facts.cgroups_version.to_string()),
        ("CPUSPEED", facts.cpu_mhz.to_string()),
        ("HOSTNAME", facts.hostname.clone()),
        ("HYPERVISOR", facts.hypervisor.clone()),
        (
            "KVM_USABLE",
            if facts.kvm_usable { "YES" } else { "NO" }.to_owned(),
        ),
        ("MODELNAME", facts.cpu_model.clone()),
        ("VERSION", facts.version.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Whether a state means that the VM runs (`Some(None)`), or how it came to be off; nothing for what is neither.
#[allow(clippy::option_option)]
fn sight(state: DomainState) -> Option<Option<DomainEnd>> {
    match state {
        DomainState::Running => Some(None),
        DomainState::Off => Some(Some(DomainEnd::Guest)),
        DomainState::Crashed => Some(Some(DomainEnd::Crash)),
        DomainState::HostStops => Some(Some(DomainEnd::HostStops)),
        DomainState::Gone => Some(Some(DomainEnd::Unseen)),
        DomainState::Paused | DomainState::Saved | DomainState::Migrated => None,
    }
}

fn host_view(
    host: &Host,
    now: Seconds,
    sample: &HostSample,
    datastores: &[DatastoreSample],
) -> HostSampleView {
    let used_memory = i64::try_from(sample.memory_used_kib).unwrap_or(i64::MAX);
    HostSampleView {
        time: now,
        cpu_used: i64::from(sample.cpu_used),
        cpu_free: host.total_cpu.saturating_sub(i64::from(sample.cpu_used)).max(0),
        memory_used_kib: used_memory,
        memory_free_kib: host.total_memory_kib.saturating_sub(used_memory).max(0),
        net_rx_bytes: sample.net_rx_bytes,
        net_tx_bytes: sample.net_tx_bytes,
        datastores: datastores
            .iter()
            .map(|ds| (ds.id, ds.total_mib, ds.used_mib, ds.free_mib))
            .collect(),
        numa: sample.numa.iter().map(node_view).collect(),
        own: None,
    }
}

fn node_view(sample: &NumaSample) -> NodeSample {
    NodeSample {
        id: sample.id,
        memory_free_kib: sample.memory_free_kib,
        memory_used_kib: sample.memory_used_kib,
        pages_free: sample.pages_free.clone(),
    }
}

fn vm_view(now: Seconds, sample: &VmSample) -> VmSampleView {
    VmSampleView {
        time: now,
        cpu: sample.cpu,
        memory_kib: sample.memory_kib,
        net_rx_bytes: sample.net_rx_bytes,
        net_tx_bytes: sample.net_tx_bytes,
        disk_read_bytes: sample.disk_read_bytes,
        disk_write_bytes: sample.disk_write_bytes,
        disk_read_ops: sample.disk_read_ops,
        disk_write_ops: sample.disk_write_ops,
        guest: sample.guest.as_ref().map(|guest| {
            Box::new(GuestView {
                addresses: guest.addresses.clone(),
                hostname: guest.hostname.clone(),
                system: guest.system.clone(),
            })
        }),
        own: None,
    }
}
