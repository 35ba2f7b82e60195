//! [`HostRow`]: a host with what is planned for it so far.

use std::collections::HashMap;

use plerion_lifecycle::Ask;
use plerion_model::cluster::Cluster;
use plerion_model::host::Host;
use plerion_model::numa::NumaDemand;
use plerion_model::view::HostSampleView;
use plerion_model::view::HostUsage;
use plerion_model::vm::Vm;
use plerion_model::{Id, Kind};
use plerion_world::{Measurements, Task, World};

/// A host during planning.
#[derive(Debug)]
pub(crate) struct HostRow<'w> {
    /// The host.
    pub(crate) host: &'w Host,
    /// Its cluster.
    pub(crate) cluster: Option<&'w Cluster>,
    /// Number of its cluster among those that have hosts.
    pub(crate) cluster_row: usize,
    /// Its capacity, what is planned included.
    pub(crate) usage: HostUsage,
    /// Its last measurement.
    pub(crate) sample: Option<&'w HostSampleView>,
    /// VMs planned for it.
    pub(crate) placed_vms: Vec<Id>,
    /// CPU that they ask for, in hundredths.
    placed_cpu: i64,
    /// Memory that they ask for, in KiB.
    placed_memory_kib: i64,
    /// Space in MiB promised of datastores on its own disks since they were measured.
    pub(crate) taken: Vec<(Id, u64)>,
    /// ADDRESS of PCI devices promised to VMs planned for it.
    pub(crate) pci_planned: Vec<String>,
    /// What VMs planned for it get of its NUMA nodes.
    pub(crate) numa_planned: Vec<(Id, NumaDemand)>,
    /// VMs that are starting on it.
    pub(crate) starting: usize,
    /// Grows with each VM planned for it.
    pub(crate) stamp: u32,
}

impl HostRow<'_> {
    /// Free CPU in hundredths.
    pub(crate) fn cpu_free(&self) -> i64 {
        self.usage.max_cpu.saturating_sub(self.usage.cpu)
    }

    /// Free memory in KiB.
    pub(crate) fn memory_free_kib(&self) -> i64 {
        self.usage.max_memory_kib.saturating_sub(self.usage.memory_kib)
    }

    /// Puts a VM on it.
    pub(crate) fn place(&mut self, vm: Id, cpu: i64, memory_kib: i64) {
        self.usage.cpu = self.usage.cpu.saturating_add(cpu);
        self.usage.memory_kib = self.usage.memory_kib.saturating_add(memory_kib);
        self.usage.vms = self.usage.vms.saturating_add(1);
        self.placed_cpu = self.placed_cpu.saturating_add(cpu);
        self.placed_memory_kib = self.placed_memory_kib.saturating_add(memory_kib);
        self.placed_vms.push(vm);
        self.stamp = self.stamp.saturating_add(1);
    }

    /// Promises space of a datastore on its own disks.
    pub(crate) fn take(&mut self, datastore: Id, mib: u64) {
        match self.taken.iter_mut().find(|(id, _)| *id == datastore) {
            Some((_, taken)) => *taken = taken.saturating_add(mib),
            None => self.taken.push((datastore, mib)),
        }
    }

    /// Measured CPU less what planned VMs may use: used and free, in hundredths.
    pub(crate) fn cpu_planned(&self, sample: &HostSampleView) -> (i64, i64) {
        planned(sample.cpu_used, sample.cpu_free, self.placed_cpu)
    }

    /// The same for memory, in KiB.
    pub(crate) fn memory_planned(&self, sample: &HostSampleView) -> (i64, i64) {
        planned(
            sample.memory_used_kib,
            sample.memory_free_kib,
            self.placed_memory_kib,
        )
    }

    /// The measurement with what planned VMs may use.
    pub(crate) fn sample_planned(&self) -> Option<HostSampleView> {
        self.sample.map(|sample| {
            let (cpu_used, cpu_free) = self.cpu_planned(sample);
            let (memory_used_kib, memory_free_kib) = self.memory_planned(sample);
            HostSampleView {
                cpu_used,
                cpu_free,
                memory_used_kib,
                memory_free_kib,
                ..sample.clone()
            }
        })
    }
}

/// Used and free, moved by what is planned; free does not become negative by it.
fn planned(used: i64, free: i64, placed: i64) -> (i64, i64) {
    (
        used.saturating_add(placed),
        free.saturating_sub(placed).max(free.min(0)),
    )
}

/// All hosts, and the ids of their clusters by row.
pub(crate) fn host_rows<'w>(world: &'w World, measurements: &'w Measurements) -> (Vec<HostRow<'w>>, Vec<Id>) {
    let mut clusters: Vec<Id> = Vec::new();
    let mut cluster_rows: HashMap<Id, usize> = HashMap::new();
    let rows = world
        .hosts
        .values()
        .map(|host| {
            let cluster_row = *cluster_rows.entry(host.cluster_id).or_insert_with(|| {
                clusters.push(host.cluster_id);
                clusters.len().saturating_sub(1)
            });
            HostRow {
                host,
                cluster: world.clusters.get(host.cluster_id).map(|cluster| &**cluster),
                cluster_row,
                usage: if host.accepts_vms() {
                    world.host_usage(host.id)
                } else {
                    HostUsage::default()
                },
                sample: measurements.hosts.get(&host.id).map(|sample| &**sample),
                placed_vms: Vec::new(),
                placed_cpu: 0,
                placed_memory_kib: 0,
                taken: Vec::new(),
                pci_planned: Vec::new(),
                numa_planned: Vec::new(),
                starting: 0,
                stamp: 0,
            }
        })
        .collect();
    (rows, clusters)
}

/// A VM that is on its way to a running domain.
pub(crate) struct Starting<'w> {
    /// The VM.
    pub(crate) vm: &'w Vm,
    /// Whether its files are still being put on its host.
    pub(crate) files: bool,
}

/// VMs that are starting: those whose files or domains hosts were asked for and did not answer yet.
pub(crate) fn vms_starting(world: &World) -> Vec<Starting<'_>> {
    let mut starting: Vec<Starting<'_>> = Vec::new();
    for (key, intent) in &world.outbox {
        let files = match intent.task {
            Task::Vm(Ask::Prolog | Ask::ToHost | Ask::Move) => true,
            Task::Vm(Ask::Boot | Ask::Restore) => false,
            Task::Vm(
                Ask::Shutdown
                | Ask::Save
                | Ask::Epilog
                | Ask::ToFrontEnd
                | Ask::Cleanup
                | Ask::Migrate
                | Ask::Leave
                | Ask::Resize
                | Ask::Device
                | Ask::Backup
                | Ask::RestoreDisks
                | Ask::Reboot
                | Ask::Reset
                | Ask::GuestAwait,
            )
            | Task::Image(_) => continue,
        };
        // The parts of one VM follow each other.
        let seen = starting.last().is_some_and(|last| last.vm.id == key.id);
        if key.kind == Kind::Vm
            && !seen
            && let Some(vm) = world.vms.get(key.id)
        {
            starting.push(Starting { vm, files });
        }
    }
    starting
}
