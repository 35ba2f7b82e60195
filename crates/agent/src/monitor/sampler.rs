//! Samples at an interval, and at once when the front-end says what to watch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plerion_protocol::{
    DatastoreSample, DomainState, FromNode, HostSample, NumaNode, PciFound, VmSample, Watch, WildSample,
};

use super::guests::Guests;
use super::host::{CpuTicks, host_sample};
use super::numa::{NODES, numa_nodes};
use super::pci::{DEVICES, pci_devices, pci_names};
use super::pruner::Pruner;
use crate::hypervisor::{DomainStat, Hypervisor};
use crate::roots::Roots;
use crate::storage::datastore_space;

/// Bounds of the interval, in seconds.
const INTERVAL_S_MIN: u32 = 1;
const INTERVAL_S_MAX: u32 = 24 * 3600;
/// Time for a file system to say how full it is: one whose server is gone never answers.
const SPACE_TIME_MAX: Duration = Duration::from_secs(5);
/// Datastores that are watched.
const DATASTORES_MAX: usize = 1000;
/// Domains of nobody that are told of.
const WILDS_MAX: usize = 256;
/// Messages about what to watch that wait.
const WATCH_QUEUE_MAX: usize = 16;

/// Where samples go.
type Emit = dyn Fn(FromNode) + Send + Sync;

/// The thread that measures.
pub(crate) struct Sampler {
    watches: SyncSender<(Watch, Roots)>,
}

struct State {
    hypervisor: Hypervisor,
    emit: Box<Emit>,
    cpu: CpuTicks,
    /// NUMA nodes as last told.
    numa: Vec<NumaNode>,
    /// PCI devices as last told, without names.
    pci: Vec<PciFound>,
    /// What the guests say of themselves.
    guests: Guests,
    /// CPU time of each domain at the sample before, by UUID.
    domains: HashMap<String, (u64, Instant)>,
    /// What the domains are that no cloud manages, by name.
    wilds: HashMap<String, WildSample>,
    /// Directories that have not answered yet.
    hanging: Arc<Mutex<BTreeSet<PathBuf>>>,
    pruner: Pruner,
}

impl Sampler {
    pub(crate) fn start(hypervisor: Hypervisor, emit: Box<Emit>) -> Self {
        let (watches, receiver) = sync_channel::<(Watch, Roots)>(WATCH_QUEUE_MAX);
        std::thread::spawn(move || {
            let mut state = State {
                guests: Guests::new(hypervisor.clone()),
                hypervisor,
                emit,
                cpu: CpuTicks::default(),
                numa: Vec::new(),
                pci: Vec::new(),
                domains: HashMap::new(),
                wilds: HashMap::new(),
                hanging: Arc::default(),
                pruner: Pruner::default(),
            };
            // Nothing is measured before the front-end says what.
            let Ok(mut current) = receiver.recv() else { return };
            let mut news = true;
            loop {
                let began = Instant::now();
                state.sample(&current.0, &current.1, news);
                let seconds = current.0.interval_s.clamp(INTERVAL_S_MIN, INTERVAL_S_MAX);
                let pause = Duration::from_secs(u64::from(seconds)).saturating_sub(began.elapsed());
                match receiver.recv_timeout(pause) {
                    Ok(watch) => (current, news) = (watch, true),
                    Err(RecvTimeoutError::Timeout) => news = false,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self { watches }
    }

    /// Sets what is watched, and samples at once.
    pub(crate) fn watch(&self, watch: Watch, roots: Roots) {
        if self.watches.try_send((watch, roots)).is_err() {
            tracing::warn!("the sampler is busy: what to watch is left as it was");
        }
    }
}

impl State {
    fn sample(&mut self, watch: &Watch, roots: &Roots, news: bool) {
        let (mut host, mut vms, mut wilds) = (HostSample::default(), Vec::new(), Vec::new());
        if watch.hypervisor {
            if news {
                self.hypervisor.follow();
            }
            host = host_sample(&mut self.cpu);
            self.numa_measure(&mut host, news);
            self.pci_look(&mut host, news);
            match self.hypervisor.measure() {
                Ok(measured) => {
                    vms = self.vm_samples(measured.ours);
                    wilds = self.wild_samples(measured.wilds);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot measure the domains");
                    // Without libvirt nothing is known of the domains: no sample is better than one that says that
                    // there are none.
                    return;
                }
            }
        }
        self.pruner.look(&watch.caches, roots);
        let datastores = self.datastore_samples(watch, roots);
        (self.emit)(FromNode::Sample {
            host: Box::new(host),
            vms,
            wilds,
            datastores,
        });
    }

    /// The NUMA nodes: their use, and what they are where that is new.
    fn numa_measure(&mut self, host: &mut HostSample, news: bool) {
        let (nodes, used) = numa_nodes(Path::new(NODES));
        host.numa = used;
        if news || nodes != self.numa {
            self.numa.clone_from(&nodes);
            host.numa_nodes = Some(nodes);
        }
    }

    /// The PCI devices, where they are new.
    fn pci_look(&mut self, host: &mut HostSample, news: bool) {
        let mut devices = pci_devices(Path::new(DEVICES));
        if !news && devices == self.pci {
            return;
        }
        self.pci.clone_from(&devices);
        pci_names(&mut devices);
        host.pci = Some(devices);
    }

    /// What a wild domain is does not change often enough to be asked for each time.
    fn wild_samples(&mut self, mut names: Vec<String>) -> Vec<WildSample> {
        names.sort_unstable();
        names.truncate(WILDS_MAX);
        self.wilds.retain(|name, _| names.contains(name));
        for name in &names {
            if self.wilds.contains_key(name) {
                continue;
            }
            match self.hypervisor.wild(name) {
                Ok(Some(wild)) => drop(self.wilds.insert(name.clone(), wild)),
                Ok(None) => {}
                Err(error) => tracing::warn!(name, %error, "cannot look at a domain that no cloud manages"),
            }
        }
        let known = names.iter().filter_map(|name| self.wilds.get(name));
        known.cloned().collect()
    }

    fn vm_samples(&mut self, stats: Vec<(DomainStat, String)>) -> Vec<VmSample> {
        let now = Instant::now();
        let mut seen = HashMap::new();
        let mut samples = Vec::new();
        for (stat, uuid) in stats {
            let Some(state) = stat.state() else { continue };
            let cpu = self
                .domains
                .get(&uuid)
                .map_or(0.0, |before| cpu_hundredths(*before, (stat.cpu_ns, now)));
            seen.insert(uuid.clone(), (stat.cpu_ns, now));
            samples.push(vm_sample(stat, uuid, state, cpu));
        }
        self.guests.complete(&mut samples);
        self.domains = seen;
        samples
    }

    /// A datastore that does not answer, or lies outside of the roots, is left out.
    fn datastore_samples(&self, watch: &Watch, roots: &Roots) -> Vec<DatastoreSample> {
        let mut samples = Vec::new();
        for (id, path) in watch.datastores.iter().take(DATASTORES_MAX) {
            match roots.target(path) {
                Ok(path) => samples.extend(self.space_ask(*id, path)),
                Err(error) => tracing::warn!(id, %error, "a datastore is not measured"),
            }
        }
        samples
    }

    fn space_ask(&self, id: i32, path: PathBuf) -> Option<DatastoreSample> {
        if !self
            .hanging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.clone())
        {
            tracing::warn!(id, path = %path.display(), "the file system of a datastore still does not answer");
            return None;
        }
        let (sender, receiver) = sync_channel(1);
        let hanging = Arc::clone(&self.hanging);
        let asked = path.clone();
        std::thread::spawn(move || {
            let space = datastore_space(id, &asked);
            hanging
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&asked);
            // Too late is too late.
            drop(sender.send(space));
        });
        match receiver.recv_timeout(SPACE_TIME_MAX) {
            Ok(Ok(sample)) => Some(sample),
            Ok(Err(error)) => {
                tracing::debug!(id, %error, "a datastore is not measured");
                None
            }
            Err(_) => {
                tracing::warn!(id, path = %path.display(), "the file system of a datastore does not answer");
                None
            }
        }
    }
}

fn vm_sample(stat: DomainStat, uuid: String, state: DomainState, cpu: f32) -> VmSample {
    VmSample {
        name: stat.name,
        uuid,
        state,
        cpu,
        memory_kib: stat.memory_kib,
        net_rx_bytes: stat.net_rx_bytes,
        net_tx_bytes: stat.net_tx_bytes,
        disk_read_bytes: stat.disk_read_bytes,
        disk_write_bytes: stat.disk_write_bytes,
        disk_read_ops: stat.disk_read_ops,
        disk_write_ops: stat.disk_write_ops,
        guest: None,
    }
}

/// Hundredths of a CPU used between two readings.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // A figure for people; 24 bits are plenty.
fn cpu_hundredths(before: (u64, Instant), now: (u64, Instant)) -> f32 {
    let wall = now.1.duration_since(before.1).as_nanos();
    if wall == 0 {
        return 0.0;
    }
    (now.0.saturating_sub(before.0) as f64 * 100.0 / wall as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_a_share_of_the_time() {
        let then = Instant::now();
        let later = then + Duration::from_secs(2);
        assert!((cpu_hundredths((0, then), (1_000_000_000, later)) - 50.0).abs() < 0.01);
        assert!(cpu_hundredths((5, then), (0, later)).abs() < 0.01);
        assert!(cpu_hundredths((0, then), (5, then)).abs() < 0.01);
    }
}
