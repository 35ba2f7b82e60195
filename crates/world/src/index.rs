//! What is derived from the objects: members, usages, leases, names. Never stored; kept with each change and, in tests,
//! compared with a recount from nothing.

use std::sync::Arc;

use plerion_model::acl::AclRule;
use plerion_model::backupjob::BackupJob;
use plerion_model::image::Image;
use plerion_model::quota_section::PlaceUse;
use plerion_model::quota_section::Section;
use plerion_model::quota_usage::VmUse;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::vnet::Vnet;
use plerion_model::vnet_range::{Holder, LeaseUse};
use plerion_model::vrouter::Vrouter;
use plerion_model::{Id, Kind, Seconds};

use crate::account::Account;
use crate::range_leases::RangeLeases;

/// Capacity that VMs hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU in hundredths of a CPU.
    pub cpu: i64,
    /// Memory in KiB.
    pub memory_kib: i64,
    /// Number of VMs.
    pub vms: i64,
}

/// A set of ids.
pub(crate) type Ids = imbl::OrdSet<Id>;

/// What VMs hold of a host, and which. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct HostLoad {
    usage: Usage,
    vms: Ids,
}

impl HostLoad {
    /// Whether both say the same for sure. It may say no for equal ones, never yes for others.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.usage == other.usage && self.vms.ptr_eq(&other.vms)
    }
}

/// Everything derived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Objects by kind, owner (-1 where names are unique in the pool) and name.
    pub(crate) names: imbl::HashMap<(Kind, Id, Arc<str>), Id>,
    /// VMs that hold capacity of a host.
    pub(crate) host_vms: imbl::OrdMap<Id, Ids>,
    /// Capacity held of a host.
    pub(crate) host_usage: imbl::OrdMap<Id, Usage>,
    /// VMs that hold a PCI device of a host, by its ADDRESS.
    pub(crate) host_pci: imbl::OrdMap<(Id, Arc<str>), Id>,
    /// VMs that hold something of the NUMA nodes of a host.
    pub(crate) host_numa: imbl::OrdMap<Id, Ids>,
    /// VMs that hold an image.
    pub(crate) image_vms: imbl::OrdMap<Id, Ids>,
    /// Backup images of a VM.
    pub(crate) vm_backups: imbl::OrdMap<Id, Ids>,
    /// Backup jobs that a VM is part of.
    pub(crate) vm_jobs: imbl::OrdMap<Id, Ids>,
    /// Appliances of a marketplace.
    pub(crate) market_apps: imbl::OrdMap<Id, Ids>,
    /// Scheduled actions by the object that they are for.
    pub(crate) scheduled: imbl::OrdSet<(Kind, Id, Id)>,
    /// Scheduled actions that are to be done, by time.
    pub(crate) sched_due: imbl::OrdSet<(Seconds, Id)>,
    /// Access control rules by whom they are for, as a rule names it.
    pub(crate) rules: imbl::OrdSet<(u64, Id)>,
    /// Images of a datastore.
    pub(crate) datastore_images: imbl::OrdMap<Id, Ids>,
    /// Leases by network and range.
    pub(crate) leases: imbl::OrdMap<(Id, Id), RangeLeases>,
    /// VMs with a NIC in a network.
    pub(crate) vnet_vms: imbl::OrdMap<Id, Ids>,
    /// VMs with a NIC in a security group.
    pub(crate) secgroup_vms: imbl::OrdMap<Id, Ids>,
    /// Virtual routers with a NIC in a network.
    pub(crate) vnet_vrouters: imbl::OrdMap<Id, Ids>,
    /// VMs of a virtual router.
    pub(crate) vrouter_vms: imbl::OrdMap<Id, Ids>,
    /// VMs in a VM group.
    pub(crate) vmgroup_vms: imbl::OrdMap<Id, Ids>,
    /// VMs that wait for a host.
    pub(crate) pending: Ids,
    /// VMs that the scheduler is to move.
    pub(crate) leaving: Ids,
    /// VMs that are to be started again by themselves.
    pub(crate) restarting: Ids,
    /// VMs that wait for images which are being made, or could not be.
    pub(crate) cloning: Ids,
    /// VMs of which nobody knows whether they run.
    pub(crate) lost: Ids,
    /// Number of VMs that hold a console port, by port.
    pub(crate) ports: imbl::OrdMap<u16, u32>,
    /// What users and groups use by their VMs, by cluster; -1 wherever they are.
    pub(crate) quota_vms: imbl::OrdMap<(Account, Id), VmUse>,
    /// What users and groups use of datastores, networks and images.
    pub(crate) quota_places: imbl::OrdMap<(Account, Section, Id), PlaceUse>,
}

pub(crate) fn member_add(map: &mut imbl::OrdMap<Id, Ids>, key: Id, member: Id) {
    map.entry(key).or_default().insert(member);
}

pub(crate) fn member_remove(map: &mut imbl::OrdMap<Id, Ids>, key: Id, member: Id) {
    if let Some(members) = map.get_mut(&key) {
        members.remove(&member);
        if members.is_empty() {
            map.remove(&key);
        }
    }
}

/// The lowest id of a map of members. The others are not looked at: there may be tens of thousands.
pub(crate) fn member_first(map: &imbl::OrdMap<Id, Ids>, key: Id) -> Option<Id> {
    map.get(&key).and_then(|ids| ids.get_min()).copied()
}

/// Ids of a map of members.
pub(crate) fn members(map: &imbl::OrdMap<Id, Ids>, key: Id) -> Vec<Id> {
    map.get(&key)
        .map(|ids| ids.iter().copied().collect())
        .unwrap_or_default()
}

impl Index {
    /// Puts a rule in, or takes it out.
    pub(crate) fn rule_set(&mut self, rule: &AclRule, add: bool) {
        let key = (rule.user, rule.id);
        if add {
            self.rules.insert(key);
        } else {
            self.rules.remove(&key);
        }
    }

    /// Rules for somebody, as rules name him, by ascending id.
    pub(crate) fn rules_for(&self, who: u64) -> impl Iterator<Item = Id> {
        self.rules
            .range((who, Id::MIN)..=(who, Id::MAX))
            .map(|(_, id)| *id)
    }

    /// Puts in what a VM holds.
    pub(crate) fn vm_add(&mut self, vm: &Vm) {
        let holds = vm.holds();
        for host in vm.held_hosts() {
            member_add(&mut self.host_vms, host, vm.id);
            let usage = self.host_usage.entry(host).or_default();
            let (cpu, memory_mib) = vm.held_capacity();
            usage.cpu = usage.cpu.saturating_add(cpu);
            usage.memory_kib = usage.memory_kib.saturating_add(memory_mib.saturating_mul(1024));
            usage.vms = usage.vms.saturating_add(1);
            // The addresses are those of its newest host, not of one that it is leaving.
            let has = has_devices(vm);
            let devices = vm
                .demand
                .pci
                .iter()
                .filter(|_| has && vm.held_host() == Some(host));
            for address in devices.filter_map(|pci| pci.address.clone()) {
                self.host_pci.insert((host, address), vm.id);
            }
            if vm.held_numa(host).is_some() && (has || vm.held_host() != Some(host)) {
                member_add(&mut self.host_numa, host, vm.id);
            }
        }
        if holds.images {
            for disk in vm.demand.disks.iter().filter(|disk| disk.image >= 0) {
                member_add(&mut self.image_vms, disk.image, vm.id);
            }
        }
        if holds.leases {
            for lease in &vm.demand.leases {
                member_add(&mut self.vnet_vms, lease.vnet, vm.id);
            }
            for group in &vm.demand.security_groups {
                member_add(&mut self.secgroup_vms, *group, vm.id);
            }
        }
        if holds.port && vm.demand.port > 0 {
            let count = self.ports.entry(vm.demand.port).or_insert(0);
            *count = count.saturating_add(1);
        }
        if let Some(vrouter) = vm.demand.vrouter {
            member_add(&mut self.vrouter_vms, vrouter, vm.id);
        }
        if let Some((group, _)) = &vm.demand.group {
            member_add(&mut self.vmgroup_vms, *group, vm.id);
        }
        if vm.phase == Phase::rest(VmState::Pending) {
            self.pending.insert(vm.id);
        }
        if vm.waits_to_leave() {
            self.leaving.insert(vm.id);
        }
        if vm.awaits_restart() {
            self.restarting.insert(vm.id);
        }
        if matches!(vm.phase.state, VmState::Cloning | VmState::CloningFailure) {
            self.cloning.insert(vm.id);
        }
        if vm.phase == Phase::active(LcmState::Unknown) {
            self.lost.insert(vm.id);
        }
    }

    /// Takes out what a VM held. Leases are given back by [`Self::leases_remove`].
    pub(crate) fn vm_remove(&mut self, vm: &Vm) {
        let holds = vm.holds();
        for host in vm.held_hosts() {
            member_remove(&mut self.host_vms, host, vm.id);
            let usage = self.host_usage.entry(host).or_default();
            let (cpu, memory_mib) = vm.held_capacity();
            usage.cpu = usage.cpu.saturating_sub(cpu);
            usage.memory_kib = usage.memory_kib.saturating_sub(memory_mib.saturating_mul(1024));
            usage.vms = usage.vms.saturating_sub(1);
            if *usage == Usage::default() {
                self.host_usage.remove(&host);
            }
            for address in vm.demand.pci.iter().filter_map(|pci| pci.address.clone()) {
                let key = (host, address);
                if self.host_pci.get(&key) == Some(&vm.id) {
                    self.host_pci.remove(&key);
                }
            }
            member_remove(&mut self.host_numa, host, vm.id);
        }
        if holds.images {
            for disk in vm.demand.disks.iter().filter(|disk| disk.image >= 0) {
                member_remove(&mut self.image_vms, disk.image, vm.id);
            }
        }
        if holds.leases {
            for lease in &vm.demand.leases {
                member_remove(&mut self.vnet_vms, lease.vnet, vm.id);
            }
            for group in &vm.demand.security_groups {
                member_remove(&mut self.secgroup_vms, *group, vm.id);
            }
        }
        if holds.port && vm.demand.port > 0 {
            self.port_remove(vm.demand.port);
        }
        if let Some(vrouter) = vm.demand.vrouter {
            member_remove(&mut self.vrouter_vms, vrouter, vm.id);
        }
        if let Some((group, _)) = &vm.demand.group {
            member_remove(&mut self.vmgroup_vms, *group, vm.id);
        }
        self.pending.remove(&vm.id);
        self.leaving.remove(&vm.id);
        self.restarting.remove(&vm.id);
        self.cloning.remove(&vm.id);
        self.lost.remove(&vm.id);
    }

    fn port_remove(&mut self, port: u16) {
        let left = self.ports.get(&port).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            self.ports.remove(&port);
        } else {
            self.ports.insert(port, left);
        }
    }

    /// Takes the leases of a VM, which must lie in ranges of `vnet_of`.
    pub(crate) fn leases_add<'a>(&mut self, vm: &Vm, vnet_of: impl Fn(Id) -> Option<&'a Arc<Vnet>>) {
        if !vm.holds().leases {
            return;
        }
        for lease in &vm.demand.leases {
            let offset = vnet_of(lease.vnet)
                .and_then(|vnet| vnet.range(lease.range))
                .and_then(|range| range.offset_of_mac(lease.mac));
            if let (Some(offset), Some(leases)) = (offset, self.leases.get_mut(&(lease.vnet, lease.range))) {
                leases.take(offset, Holder::Vm(vm.id));
            }
        }
    }

    /// Gives the leases of a VM back.
    pub(crate) fn leases_remove<'a>(&mut self, vm: &Vm, vnet_of: impl Fn(Id) -> Option<&'a Arc<Vnet>>) {
        if !vm.holds().leases {
            return;
        }
        for lease in &vm.demand.leases {
            let offset = vnet_of(lease.vnet)
                .and_then(|vnet| vnet.range(lease.range))
                .and_then(|range| range.offset_of_mac(lease.mac));
            if let (Some(offset), Some(leases)) = (offset, self.leases.get_mut(&(lease.vnet, lease.range)))
                && leases.used.get(&offset) == Some(&Holder::Vm(vm.id))
            {
                leases.give(offset);
            }
        }
    }

    /// Puts in (or takes out) the networks of a virtual router.
    pub(crate) fn vrouter_set(&mut self, vrouter: &Vrouter, add: bool) {
        for vnet in vrouter.networks() {
            if add {
                member_add(&mut self.vnet_vrouters, vnet, vrouter.id);
            } else {
                member_remove(&mut self.vnet_vrouters, vnet, vrouter.id);
            }
        }
    }

    /// Takes (or gives back) the floating addresses of a virtual router, which must lie in ranges of `vnet_of`.
    pub(crate) fn floats_set<'a>(
        &mut self,
        vrouter: &Vrouter,
        vnet_of: impl Fn(Id) -> Option<&'a Arc<Vnet>>,
        take: bool,
    ) {
        let holder = Holder::Vrouter(vrouter.id);
        for float in vrouter.floats() {
            let range = vnet_of(float.vnet).and_then(|vnet| vnet.range(float.range));
            let offset = range.and_then(|range| range.offset_of_mac(float.mac));
            let leases = self.leases.get_mut(&(float.vnet, float.range));
            let (Some(offset), Some(leases)) = (offset, leases) else {
                continue;
            };
            if take {
                leases.take(offset, holder);
            } else if leases.used.get(&offset) == Some(&holder) {
                leases.give(offset);
            }
        }
    }

    /// What VMs hold of a host.
    pub(crate) fn host_load(&self, host: Id) -> HostLoad {
        HostLoad {
            usage: self.host_usage.get(&host).copied().unwrap_or_default(),
            vms: self.host_vms.get(&host).cloned().unwrap_or_default(),
        }
    }

    /// Makes the lease maps of a network fit its ranges: new ranges are free but for their holds, gone ones go. Returns
    /// whether there are new ones.
    pub(crate) fn vnet_set(&mut self, vnet: &Vnet) -> bool {
        let mut new = false;
        let gone: Vec<(Id, Id)> = self
            .leases
            .range((vnet.id, Id::MIN)..=(vnet.id, Id::MAX))
            .map(|(key, _)| *key)
            .filter(|(_, range)| vnet.range(*range).is_none())
            .collect();
        for key in gone {
            self.leases.remove(&key);
        }
        for range in &vnet.ranges {
            let leases = self.leases.entry((vnet.id, range.id)).or_insert_with(|| {
                new = true;
                RangeLeases::new(range.size)
            });
            leases.resize(range.size);
            let held: Vec<u32> = leases
                .used
                .iter()
                .filter(|(_, holder)| **holder == Holder::Hold)
                .map(|(offset, _)| *offset)
                .collect();
            for offset in held {
                if range.held.binary_search(&offset).is_err() {
                    leases.give(offset);
                }
            }
            for offset in &range.held {
                leases.take(*offset, Holder::Hold);
            }
        }
        new
    }

    /// Takes (or gives back) what a network has reserved of its parent's ranges.
    pub(crate) fn reservation_set(&mut self, vnet: &Vnet, parent: &Vnet, take: bool) {
        for range in &vnet.ranges {
            let from = range.parent.and_then(|id| parent.range(id));
            let Some((from, first)) =
                from.and_then(|from| from.offset_of_mac(range.mac).map(|first| (from, first)))
            else {
                continue;
            };
            let Some(leases) = self.leases.get_mut(&(parent.id, from.id)) else {
                continue;
            };
            for offset in first..first.saturating_add(range.size) {
                if take {
                    leases.take(offset, Holder::Vnet(vnet.id));
                } else if leases.used.get(&offset) == Some(&Holder::Vnet(vnet.id)) {
                    leases.give(offset);
                }
            }
        }
    }

    /// Forgets a network.
    pub(crate) fn vnet_remove(&mut self, vnet: &Vnet) {
        for range in &vnet.ranges {
            self.leases.remove(&(vnet.id, range.id));
        }
    }

    /// Leases of a network in use.
    pub(crate) fn vnet_leases(&self, vnet: Id) -> Vec<LeaseUse> {
        self.leases
            .range((vnet, Id::MIN)..=(vnet, Id::MAX))
            .flat_map(|((_, range), leases)| {
                leases.used.iter().map(|(offset, holder)| LeaseUse {
                    range: *range,
                    offset: *offset,
                    holder: *holder,
                })
            })
            .collect()
    }

    /// Puts an image under its datastore, and under the VM that it is a backup of.
    pub(crate) fn image_add(&mut self, image: &Image) {
        member_add(&mut self.datastore_images, image.datastore_id, image.id);
        if let Some(backup) = &image.backup {
            member_add(&mut self.vm_backups, backup.vm, image.id);
        }
    }

    /// Takes an image from its datastore, and from its VM.
    pub(crate) fn image_remove(&mut self, image: &Image) {
        member_remove(&mut self.datastore_images, image.datastore_id, image.id);
        if let Some(backup) = &image.backup {
            member_remove(&mut self.vm_backups, backup.vm, image.id);
        }
    }

    /// Puts a backup job under its VMs, or takes it from them.
    pub(crate) fn job_set(&mut self, job: &BackupJob, add: bool) {
        for vm in job.vms() {
            if add {
                member_add(&mut self.vm_jobs, vm, job.id);
            } else {
                member_remove(&mut self.vm_jobs, vm, job.id);
            }
        }
    }
}

/// Whether a VM has the PCI devices and NUMA nodes that it was given on its newest host. One that was stopped or undeployed has
/// given them back, and others may have them: while it is ended, too, until it is brought to a host again.
fn has_devices(vm: &Vm) -> bool {
    let comes = matches!(
        vm.phase.lcm,
        LcmState::PrologResume
            | LcmState::PrologUndeploy
            | LcmState::PrologResumeFailure
            | LcmState::PrologUndeployFailure
    );
    !vm.files_at_front_end || comes
}
