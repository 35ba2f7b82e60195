//! Virtual machines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use plerion_template::{Markup, PackedTemplate, PackedVector};
use serde::{Deserialize, Serialize};

use crate::autostart::{Due, Restart};
use crate::numa::NumaDemand;
use crate::numbers::{hundredths, id_list};
use crate::pci::PciDemand;
use crate::sched_action;
use crate::snapshot::SnapshotTree;
use crate::view::VmSampleView;
use crate::vm_backup::{BackupChain, BackupRun, RestoreRun, VmBackup, backups_render};
use crate::vm_device::DeviceChange;
use crate::vm_history::History;
use crate::vm_holds::Holds;
use crate::vm_state::{LcmState, Phase, VmState};
use crate::vnet_address::Mac;
use crate::{Id, Kind, Owned, Seconds, View};

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// State.
    pub phase: Phase,
    /// State before.
    pub prev_phase: Phase,
    /// Whether the scheduler shall move it.
    pub resched: bool,
    /// When it was made.
    pub stime: Seconds,
    /// When it ended; 0 while it lives.
    pub etime: Seconds,
    /// Name that the hypervisor knows it by; empty before the first boot.
    pub deploy_id: String,
    /// Number of the step it is in: grows with every change of phase that asks hosts for something.
    pub step: u64,
    /// Parts of the step that have not ended yet.
    #[serde(default)]
    pub parts: Vec<u32>,
    /// Whether its files are on the front-end (after stop and undeploy) and not on a host.
    #[serde(default)]
    pub files_at_front_end: bool,
    /// System datastore whose directory on the front-end holds its files while they are there.
    #[serde(default)]
    pub home_datastore: Option<Id>,
    /// Where its domain or its files were when it was last told to move, until it has arrived somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_from: Option<Place>,
    /// What it has of the NUMA nodes of the host that it is leaving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_left: Option<Arc<NumaDemand>>,
    /// Its capacity before it was resized while it runs, until that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_before: Option<Box<Capacity>>,
    /// The change of a device that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_change: Option<DeviceChange>,
    /// What is known of its backups beyond the images; `None` where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<VmBackup>>,
    /// What is known of its starting again by itself; `None` where nothing is to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Snapshots of its disks, by DISK_ID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disk_snapshots: BTreeMap<Id, SnapshotTree>,
    /// Stays on hosts, the last one last.
    pub history: Arc<Vec<History>>,
    /// Attributes that the system uses.
    #[serde(skip)]
    pub template: PackedTemplate,
    /// Attributes of the user.
    #[serde(skip)]
    pub user_template: PackedTemplate,
    /// What the template asks for, read once.
    #[serde(skip)]
    pub demand: Arc<Demand>,
}

crate::entity::entity!(Vm, owned, user_template);

/// What a VM's template says of its capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPU.
    pub cpu: Option<String>,
    /// VCPU.
    pub vcpu: Option<String>,
    /// MEMORY, in MiB.
    pub memory: Option<String>,
}

/// A host and a system datastore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Host.
    pub host: Id,
    /// System datastore.
    pub datastore: Id,
}

/// A lease in a NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NicLease {
    /// NIC.
    pub nic: Id,
    /// Virtual network.
    pub vnet: Id,
    /// Address range.
    pub range: Id,
    /// MAC address.
    pub mac: Mac,
    /// IPv4 address.
    pub ip: Option<Ipv4Addr>,
}

/// A disk, as far as placing and counting need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskDemand {
    /// Disk.
    pub disk: Id,
    /// Image; -1 for a volatile disk.
    pub image: Id,
    /// Image datastore; -1 for a volatile disk.
    pub datastore: Id,
    /// Size in MiB.
    pub size_mib: u64,
    /// Whether it is a copy of its image.
    pub clone: bool,
    /// MiB that its snapshots take.
    pub snapshots_mib: u64,
    /// MiB by which it is larger than its image.
    pub growth_mib: u64,
}

/// What a VM asks for, read from its template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// CPU in hundredths of a CPU.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Its disks.
    pub disks: Vec<DiskDemand>,
    /// Its leases.
    pub leases: Vec<NicLease>,
    /// Its security groups.
    pub security_groups: Vec<Id>,
    /// Its console port; 0 none.
    pub port: u16,
    /// VM group and role.
    pub group: Option<(Id, Arc<str>)>,
    /// Virtual router that it is part of.
    pub vrouter: Option<Id>,
    /// Whether the network of a NIC is chosen when the VM is placed.
    pub auto_nics: bool,
    /// MiB that snapshots of the running machine take.
    pub snapshots_mib: u64,
    /// PCI devices it asks for that are no NICs.
    pub pci_devices: i64,
    /// PCI devices it asks for that are NICs.
    pub pci_nics: i64,
    /// Those devices, as far as it is said which.
    pub pci: Vec<PciDemand>,
    /// What it asks for, and has, of the NUMA nodes of its host.
    pub numa: Option<Arc<NumaDemand>>,
}

impl Demand {
    /// Reads a VM's template.
    #[must_use]
    pub fn read(template: &PackedTemplate) -> Self {
        let mut demand = Self::default();
        for (name, value) in template.iter() {
            match (name, value) {
                ("CPU", plerion_template::PackedValue::Single(text)) => demand.cpu = hundredths(text),
                ("MEMORY", plerion_template::PackedValue::Single(text)) => {
                    demand.memory_mib = text.parse().unwrap_or(0);
                }
                ("VROUTER_ID", plerion_template::PackedValue::Single(text)) => {
                    demand.vrouter = text.parse().ok();
                }
                ("DISK", plerion_template::PackedValue::Vector(disk)) => demand.disks.push(disk_demand(disk)),
                ("NIC" | "NIC_ALIAS", plerion_template::PackedValue::Vector(nic)) => {
                    demand.leases.extend(nic_lease(nic));
                    demand.auto_nics |= nic_waits(nic);
                    demand
                        .security_groups
                        .extend(id_list(nic.get("SECURITY_GROUPS").unwrap_or_default()));
                }
                ("VMGROUP", plerion_template::PackedValue::Vector(group)) => {
                    demand.group = number(group, "VMGROUP_ID").zip(group.get("ROLE").map(Arc::from));
                }
                ("PCI", plerion_template::PackedValue::Vector(pci)) => demand.pci_add(pci),
                ("SNAPSHOT", plerion_template::PackedValue::Vector(snapshot)) => {
                    let size = number(snapshot, "SYSTEM_DISK_SIZE").unwrap_or(0);
                    demand.snapshots_mib = demand.snapshots_mib.saturating_add(size);
                }
                ("GRAPHICS", plerion_template::PackedValue::Vector(graphics)) => {
                    demand.port = number(graphics, "PORT").unwrap_or(0);
                }
                _ => {}
            }
        }
        demand.numa = NumaDemand::read(template).map(Arc::new);
        demand.security_groups.sort_unstable();
        demand.security_groups.dedup();
        demand
    }

    fn pci_add(&mut self, pci: PackedVector<'_>) {
        let nic = pci
            .get("TYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("NIC"));
        let count = if nic {
            &mut self.pci_nics
        } else {
            &mut self.pci_devices
        };
        *count = count.saturating_add(1);
        self.pci.extend(PciDemand::read(|name| pci.get(name)));
    }

    /// MiB that the VM takes in a system datastore: disks that are copies or volatile, and snapshots.
    #[must_use]
    pub fn system_mib(&self) -> u64 {
        self.disks
            .iter()
            .filter(|disk| disk.clone || disk.image < 0)
            .map(|disk| disk.size_mib.saturating_add(disk.snapshots_mib))
            .fold(self.snapshots_mib, u64::saturating_add)
    }
}

fn number<T: std::str::FromStr>(vector: PackedVector<'_>, key: &str) -> Option<T> {
    vector.get(key).and_then(|text| text.parse().ok())
}

fn disk_demand(disk: PackedVector<'_>) -> DiskDemand {
    let size_mib = number(disk, "SIZE").unwrap_or(0);
    DiskDemand {
        disk: number(disk, "DISK_ID").unwrap_or(-1),
        image: number(disk, "IMAGE_ID").unwrap_or(-1),
        datastore: number(disk, "DATASTORE_ID").unwrap_or(-1),
        size_mib,
        clone: disk
            .get("CLONE")
            .is_none_or(|text| text.eq_ignore_ascii_case("yes")),
        snapshots_mib: number(disk, "DISK_SNAPSHOT_TOTAL_SIZE").unwrap_or(0),
        growth_mib: number(disk, "ORIGINAL_SIZE")
            .map_or(0, |original: u64| size_mib.saturating_sub(original)),
    }
}

fn nic_lease(nic: PackedVector<'_>) -> Option<NicLease> {
    Some(NicLease {
        nic: number(nic, "NIC_ID").unwrap_or(-1),
        vnet: number(nic, "NETWORK_ID")?,
        range: number(nic, "AR_ID")?,
        mac: Mac::parse(nic.get("MAC")?)?,
        ip: number(nic, "IP"),
    })
}

/// Whether a NIC waits for a network: NETWORK_MODE is auto, and none is chosen yet.
fn nic_waits(nic: PackedVector<'_>) -> bool {
    let mode = nic.get("NETWORK_MODE").unwrap_or_default();
    mode.eq_ignore_ascii_case("auto") && nic.get("NETWORK_ID").is_none_or(str::is_empty)
}

impl Vm {
    /// The backup that is being made.
    #[must_use]
    pub fn backup_run(&self) -> Option<&BackupRun> {
        self.backup.as_ref().and_then(|backup| backup.run.as_ref())
    }

    /// The restore that is being made.
    #[must_use]
    pub fn restore_run(&self) -> Option<RestoreRun> {
        self.backup.as_ref().and_then(|backup| backup.restore)
    }

    /// The chain that the next increment follows.
    #[must_use]
    pub fn backup_chain(&self) -> Option<BackupChain> {
        self.backup.as_ref().and_then(|backup| backup.chain)
    }

    /// Changes what is known of its backups; what is nothing takes no room.
    pub fn backup_set(&mut self, change: impl FnOnce(&mut VmBackup)) {
        let mut backup = self.backup.take().map(|backup| *backup).unwrap_or_default();
        change(&mut backup);
        if backup != VmBackup::default() {
            self.backup = Some(Box::new(backup));
        }
    }

    /// What it holds now.
    #[must_use]
    pub fn holds(&self) -> Holds {
        Holds::of(self.phase)
    }

    /// The stay on a host that lasts or was the last.
    #[must_use]
    pub fn last_history(&self) -> Option<&History> {
        self.history.last()
    }

    /// The host whose capacity it holds.
    #[must_use]
    pub fn held_host(&self) -> Option<Id> {
        self.holds()
            .host
            .then(|| self.last_history().map(|record| record.host))
            .flatten()
    }

    /// Whether it is to be started again by itself, or is being started.
    #[must_use]
    pub fn awaits_restart(&self) -> bool {
        let off = self.phase == Phase::rest(VmState::Poweroff)
            || self.phase == Phase::active(LcmState::BootPoweroff);
        off && self.restart.is_some_and(|restart| restart.due == Due::Now)
    }

    /// Whether the scheduler is to move it, and can do so now.
    #[must_use]
    pub fn waits_to_leave(&self) -> bool {
        let movable = match self.phase.state {
            VmState::Active => matches!(self.phase.lcm, LcmState::Running | LcmState::Unknown),
            VmState::Poweroff => true,
            VmState::Init
            | VmState::Pending
            | VmState::Hold
            | VmState::Stopped
            | VmState::Suspended
            | VmState::Done
            | VmState::Undeployed
            | VmState::Cloning
            | VmState::CloningFailure => false,
        };
        self.resched && movable
    }

    /// CPU (hundredths) and memory (MiB) that it holds of its hosts: while it is resized the larger of both sizes, since
    /// that may fail.
    #[must_use]
    pub fn held_capacity(&self) -> (i64, i64) {
        let (cpu, memory) = (self.demand.cpu, self.demand.memory_mib);
        let Some(before) = &self.capacity_before else {
            return (cpu, memory);
        };
        let memory_before = before.memory.as_deref().and_then(|text| text.parse().ok());
        (
            cpu.max(before.cpu.as_deref().map_or(0, hundredths)),
            memory.max(memory_before.unwrap_or(0)),
        )
    }

    /// The host that it is leaving, whose capacity it holds, too.
    #[must_use]
    pub fn left_host(&self) -> Option<Id> {
        self.moving_from
            .filter(|_| self.holds().host_left)
            .map(|place| place.host)
    }

    /// What it holds of the NUMA nodes of a host.
    #[must_use]
    pub fn held_numa(&self, host: Id) -> Option<&NumaDemand> {
        if self.held_host() == Some(host) {
            self.demand.numa.as_deref()
        } else if self.left_host() == Some(host) {
            self.numa_left.as_deref()
        } else {
            None
        }
    }

    /// Every host whose capacity it holds, each once.
    pub fn held_hosts(&self) -> impl Iterator<Item = Id> + use<> {
        let host = self.held_host();
        let left = self.left_host().filter(|left| Some(*left) != host);
        host.into_iter().chain(left)
    }

    /// Every host and system datastore that its domain or files may be on while it is placed: the newest stay; while it
    /// is moved, also where it came from and, on its way back, where it could not go.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let of = |record: &History| Place {
            host: record.host,
            datastore: record.datastore,
        };
        let mut stays = self.history.iter().rev().map(of);
        let last = stays.next();
        let (from, before) = match self.moving_from {
            Some(from) => (Some(from), stays.next()),
            None => (None, None),
        };
        let from = from.filter(|place| Some(*place) != last);
        let before = before.filter(|place| Some(*place) != last && Some(*place) != from);
        last.into_iter().chain(from).chain(before)
    }

    /// Name of its domain.
    #[must_use]
    pub fn domain_name(&self) -> String {
        format!("one-{}", self.id)
    }

    /// UUID of its domain.
    #[must_use]
    pub fn uuid(&self) -> &str {
        self.template.pair("OS", "UUID").unwrap_or_default()
    }

    /// `<VM>` with everything.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        let sample = view.vm_sample(self.id);
        self.render_with(out, view, &self.history, sample.as_deref());
    }

    /// The same in a list: of its history it has the last record (recorded).
    pub fn render_listed(&self, out: &mut impl Markup, view: &impl View) {
        let (last, sample) = (self.last_history(), view.vm_sample(self.id));
        self.render_with(
            out,
            view,
            last.map_or(&[], std::slice::from_ref),
            sample.as_deref(),
        );
    }

    /// The same within a record of accounting: without history, and with the measurement of that time.
    pub fn render_accounted(&self, out: &mut impl Markup, view: &impl View, sample: Option<&VmSampleView>) {
        self.render_with(out, view, &[], sample);
    }

    fn render_with(
        &self,
        out: &mut impl Markup,
        view: &impl View,
        history: &[History],
        sample: Option<&VmSampleView>,
    ) {
        out.open("VM");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.permissions.render(out);
        out.number("LAST_POLL", sample.map_or(0, |sample| sample.time));
        out.number("STATE", i64::from(self.phase.state.number()));
        out.number("LCM_STATE", i64::from(self.phase.lcm.number()));
        out.number("PREV_STATE", i64::from(self.prev_phase.state.number()));
        out.number("PREV_LCM_STATE", i64::from(self.prev_phase.lcm.number()));
        out.number("RESCHED", i64::from(self.resched));
        out.number("STIME", self.stime);
        out.number("ETIME", self.etime);
        out.element("DEPLOY_ID", &self.deploy_id);
        self.owned.render_lock(out);
        self.render_monitoring(out, sample);
        let actions = view.sched_actions(Kind::Vm, self.id);
        sched_action::render_ids(out, actions.iter().map(|action| &**action));
        out.open("TEMPLATE");
        self.render_template(out);
        for action in &actions {
            action.render(out);
        }
        out.close("TEMPLATE");
        out.open("USER_TEMPLATE");
        out.packed(&self.user_template);
        out.close("USER_TEMPLATE");
        out.open("HISTORY_RECORDS");
        for record in history {
            record.render(out, self.id);
        }
        out.close("HISTORY_RECORDS");
        for (disk, tree) in &self.disk_snapshots {
            tree.render(out, Some(*disk));
        }
        backups_render(out, view, self.id, &self.template, self.backup.as_deref());
        out.close("VM");
    }

    /// The template without what has a place of its own in the body.
    fn render_template(&self, out: &mut impl Markup) {
        if self.template.vectors("BACKUP_CONFIG").next().is_none() {
            out.packed(&self.template);
            return;
        }
        let mut shown = self.template.unpack();
        shown.remove("BACKUP_CONFIG");
        out.packed(&PackedTemplate::new(&shown));
    }

    fn render_monitoring(&self, out: &mut impl Markup, sample: Option<&VmSampleView>) {
        match sample {
            Some(sample) => sample.render(out, self.id),
            None => {
                out.open("MONITORING");
                out.close("MONITORING");
            }
        }
    }
}
