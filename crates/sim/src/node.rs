//! [`Node`]: a machine with an agent, as the protocol describes it: epochs, keys, a journal that survives the agent, and
//! domains and files that survive it, too.

use std::collections::BTreeMap;

use plerion_model::Id;
use plerion_protocol::{
    Action, ActionError, ActionKey, ActionOutput, ErrorKind, FromNode, HostFacts, HostSample, NodeHello,
    NumaCore, NumaNode, PROTOCOL_VERSION, PciFound, Request, VmSample, Watch,
};
use plerion_protocol::{DatastoreSample, DomainState};

use crate::files::Files;
use crate::queue::{ConnectionId, Millis};

/// Hundredths of a CPU of each host.
pub(crate) const HOST_CPUS: u32 = 8;
/// Memory of each host in KiB.
pub(crate) const HOST_MEMORY_KIB: u64 = 8 * 1024 * 1024;
/// Size of every datastore in MiB.
const STORE_MIB: u64 = 1_000_000;

/// How an action ended.
pub(crate) type Outcome = Result<ActionOutput, ActionError>;

/// A domain that runs.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) uuid: String,
    /// Its disks: paths on this machine.
    pub(crate) disks: Vec<String>,
    /// Number of its start, among all starts of the run.
    pub(crate) start: u64,
    /// Since when it runs here.
    pub(crate) since: Millis,
}

/// An entry of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) attempt: u32,
    pub(crate) epoch: u64,
    /// How often the boot id had changed when it was begun.
    pub(crate) boots: u64,
    pub(crate) evidence: Evidence,
    pub(crate) outcome: Option<Outcome>,
}

/// What to look at to find out whether an action was done that was not seen to end.
#[derive(Clone, Debug)]
pub(crate) enum Evidence {
    Nothing,
    /// Nothing would tell, and it must not be done twice.
    Once,
    /// Another file than before is at the path.
    File(String, Option<u64>),
    /// Nothing is at the path.
    Gone(String),
    /// The file that was elsewhere is at the path.
    Moved(Option<u64>, String),
    /// The domain runs.
    Runs(String, String),
    /// The domain is gone; with a checkpoint: and that file is new.
    Off(String, Option<(String, Option<u64>)>),
}

/// Which actions may run beside which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Waits for a guest; runs beside everything.
    Wait,
    /// Moves data; stopped when a newer step of its object comes.
    Copy,
    /// Anything else.
    Other,
}

impl Class {
    pub(crate) fn of(action: &Action) -> Self {
        match action {
            Action::DomainShutdown { .. } | Action::GuestAwait { .. } => Self::Wait,
            Action::DiskCopy { .. }
            | Action::DiskFlatten { .. }
            | Action::LayersMerge { .. }
            | Action::DomainDisksCopy { .. }
            | Action::FileReplace { .. }
            | Action::Transfer { .. }
            | Action::ImageRegister { .. }
            | Action::ImageStat { .. }
            | Action::DomainMigrate { .. } => Self::Copy,
            _ => Self::Other,
        }
    }
}

/// An action that was begun or waits for its turn.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) class: Class,
    pub(crate) running: bool,
    /// Its number, which tells it from an earlier job of the same key.
    pub(crate) number: u64,
    pub(crate) verdict: Verdict,
}

/// How a job will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does what it is to do.
    Does,
    /// It fails without having done anything.
    Fails,
    /// It does it, and says that it failed.
    DoesAndFails,
    /// It does not end in time.
    Late,
    /// It fails when it has done a part.
    Half,
    /// It was stopped for a newer step.
    Stopped,
    /// The connection to the host at its other end was lost.
    Cut,
}

/// A machine.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Name; empty for the front-end's.
    pub(crate) name: String,
    /// Whether the network to it works.
    pub(crate) reachable: bool,
    /// Whether it is up.
    pub(crate) booted: bool,
    /// Whether its agent runs.
    pub(crate) running: bool,
    /// Whether there is no room on its disk.
    pub(crate) disk_full: bool,
    /// Whether its libvirt does not answer.
    pub(crate) libvirt_down: bool,
    /// How often its kernel's boot id has changed.
    pub(crate) boots: u64,
    /// How often its agent has started.
    pub(crate) life: u64,
    /// Highest epoch that it has obeyed.
    pub(crate) epoch: u64,
    /// The connection that it obeys.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) watch: Option<Watch>,
    /// Number of the watch, which tells its samples from those of earlier ones.
    pub(crate) watches: u64,
    pub(crate) journal: BTreeMap<ActionKey, Entry>,
    pub(crate) jobs: BTreeMap<ActionKey, Job>,
    /// Keys of jobs that wait, in order.
    pub(crate) waiting: Vec<ActionKey>,
    pub(crate) domains: BTreeMap<String, Domain>,
    pub(crate) files: Files,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is answered at once.
    Answer(Outcome),
    /// It runs already.
    Joined,
    /// It is to be queued.
    New,
}

impl Node {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            reachable: true,
            booted: true,
            running: true,
            ..Self::default()
        }
    }

    /// Whether this is the machine of the front-end.
    pub(crate) fn is_front_end(&self) -> bool {
        self.name.is_empty()
    }

    pub(crate) fn hello(&self) -> NodeHello {
        NodeHello {
            protocol: PROTOCOL_VERSION,
            epoch: self.epoch,
            boot_id: format!("{}-{}", self.name, self.boots),
            places: vec![format!("place-of-{}", self.name)],
            facts: HostFacts {
                hostname: self.name.clone(),
                arch: "x86_64".into(),
                cpu_model: "simulated".into(),
                cpu_mhz: 1000,
                cpus: HOST_CPUS,
                memory_kib: HOST_MEMORY_KIB,
                kvm_usable: true,
                cgroups_version: 2,
                hypervisor: "kvm".into(),
                version: "0".into(),
            },
        }
    }

    /// Looks a request up.
    pub(crate) fn take(&mut self, request: &Request) -> Taken {
        if let Some(job) = self.jobs.get_mut(&request.key) {
            job.request.attempt = job.request.attempt.max(request.attempt);
            return Taken::Joined;
        }
        match self
            .journal
            .get(&request.key)
            .map(|entry| (entry, &entry.outcome))
        {
            // A domain that was started before the machine was restarted is gone.
            Some((entry, Some(Ok(_))))
                if entry.boots != self.boots && matches!(entry.evidence, Evidence::Runs(..)) =>
            {
                Taken::New
            }
            Some((_, Some(Ok(output)))) => Taken::Answer(Ok(output.clone())),
            Some((entry, Some(Err(error))))
                if error.kind == ErrorKind::Interrupted && request.epoch > entry.epoch =>
            {
                Taken::New
            }
            Some((entry, Some(Err(error)))) if request.attempt <= entry.attempt => {
                Taken::Answer(Err(error.clone()))
            }
            _ => Taken::New,
        }
    }

    /// Queues a request.
    pub(crate) fn begin(&mut self, request: Request, number: u64, verdict: Verdict) {
        let key = request.key;
        for (other, job) in &mut self.jobs {
            let older = other.kind == key.kind && other.id == key.id && other.step < key.step;
            if older && job.class == Class::Copy {
                job.verdict = Verdict::Stopped;
            }
        }
        let job = Job {
            class: Class::of(&request.action),
            request,
            running: false,
            number,
            verdict,
        };
        self.jobs.insert(key, job);
        self.waiting.push(key);
    }

    /// The next job that may run, noted in the journal: never two steps of one object at once.
    pub(crate) fn next_job(&mut self) -> Option<ActionKey> {
        let jobs = &self.jobs;
        let free = |key: &ActionKey| {
            jobs.get(key).is_some_and(|job| job.class == Class::Wait)
                || !jobs.iter().any(|(other, job)| {
                    job.running
                        && job.class != Class::Wait
                        && (other.kind, other.id) == (key.kind, key.id)
                        && other.step != key.step
                })
        };
        let position = self.waiting.iter().position(free)?;
        let key = self.waiting.remove(position);
        let job = self.jobs.get_mut(&key)?;
        job.running = true;
        let request = job.request.clone();
        let entry = Entry {
            attempt: request.attempt,
            epoch: request.epoch,
            boots: self.boots,
            evidence: self.evidence(&request.action),
            outcome: None,
        };
        self.journal.insert(key, entry);
        Some(key)
    }

    /// Drops results that the front-end has taken in.
    pub(crate) fn forget(&mut self, keys: &[ActionKey]) {
        for key in keys {
            if self.journal.get(key).is_some_and(|entry| entry.outcome.is_some()) {
                self.journal.remove(key);
            }
        }
    }

    /// The keys whose results are kept.
    pub(crate) fn settled_keys(&self) -> Vec<ActionKey> {
        self.journal
            .iter()
            .filter(|(_, entry)| entry.outcome.is_some())
            .map(|(key, _)| *key)
            .collect()
    }

    fn evidence(&self, action: &Action) -> Evidence {
        use plerion_protocol::Location;
        let file = |path: &String| Evidence::File(path.clone(), self.files.identity(path));
        match action {
            Action::DiskCopy { destination, .. }
            | Action::DiskFlatten { destination, .. }
            | Action::LayersMerge { destination, .. }
            | Action::DiskOverlay { destination, .. }
            | Action::DiskLink { destination, .. }
            | Action::DiskMake { destination, .. }
            | Action::ContextMake { destination, .. }
            | Action::ImageRegister { destination, .. }
            | Action::Transfer {
                destination: Location::Here(destination),
                ..
            } => file(destination),
            Action::PathDelete { path } => Evidence::Gone(path.clone()),
            Action::FileReplace { source, destination } => {
                Evidence::Moved(self.files.identity(source), destination.clone())
            }
            Action::DomainStart { name, uuid, .. } | Action::DomainRestore { name, uuid, .. } => {
                Evidence::Runs(name.clone(), uuid.clone())
            }
            Action::DomainShutdown { name, .. } | Action::DomainDestroy { name, .. } => {
                Evidence::Off(name.clone(), None)
            }
            Action::DomainSave { name, checkpoint, .. } => Evidence::Off(
                name.clone(),
                Some((checkpoint.clone(), self.files.identity(checkpoint))),
            ),
            Action::GuestExec { .. } => Evidence::Once,
            Action::Transfer { .. }
            | Action::ImageStat { .. }
            | Action::DatastoreStat { .. }
            | Action::DomainAbsent { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. }
            | Action::GuestAwait { .. }
            | Action::GuestKill { .. }
            | Action::DomainResize { .. }
            | Action::DomainMedia { .. }
            | Action::DomainReceive { .. }
            | Action::DomainMigrate { .. }
            | Action::DomainChange { .. }
            | Action::DiskSnapshot { .. }
            | Action::DomainDiskSnapshot { .. }
            | Action::DomainDisksCopy { .. }
            | Action::ScriptRun(_) => Evidence::Nothing,
        }
    }

    /// Looks at what is there; `None` when the action was not done or that cannot be told.
    fn examine(&self, evidence: &Evidence) -> Option<ActionOutput> {
        let is_new = |path: &str, before: Option<u64>| {
            let now = self.files.identity(path);
            now.is_some() && now != before
        };
        let done = match evidence {
            Evidence::Nothing | Evidence::Once => false,
            Evidence::File(path, before) => is_new(path, *before),
            Evidence::Gone(path) => !self.files.exists(path),
            Evidence::Moved(file, path) => file.is_some() && self.files.identity(path) == *file,
            Evidence::Runs(name, uuid) => self.domains.get(name).is_some_and(|domain| domain.uuid == *uuid),
            Evidence::Off(name, checkpoint) => {
                let saved = checkpoint
                    .as_ref()
                    .is_none_or(|(path, before)| is_new(path, *before));
                saved && !self.domains.contains_key(name)
            }
        };
        let uuid = match evidence {
            Evidence::Runs(_, uuid) => Some(uuid.clone()),
            _ => None,
        };
        done.then(|| ActionOutput {
            uuid,
            ..ActionOutput::default()
        })
    }

    /// What an agent does that has just started: finds out how what was begun has ended.
    pub(crate) fn settle(&mut self, repeats: bool) {
        let open: Vec<ActionKey> = self
            .journal
            .iter()
            .filter(|(_, entry)| entry.outcome.is_none())
            .map(|(key, _)| *key)
            .collect();
        for key in open {
            let Some(evidence) = self.journal.get(&key).map(|entry| entry.evidence.clone()) else {
                continue;
            };
            let once = matches!(evidence, Evidence::Once) && !repeats;
            let kind = if once {
                ErrorKind::Failed
            } else {
                ErrorKind::Interrupted
            };
            let outcome = self
                .examine(&evidence)
                .ok_or_else(|| ActionError::new(kind, "the agent was restarted"));
            if let Some(entry) = self.journal.get_mut(&key) {
                entry.outcome = Some(outcome);
            }
        }
    }

    /// What is measured now.
    pub(crate) fn sample(&self, watch: &Watch) -> FromNode {
        let vms = self
            .domains
            .iter()
            .map(|(name, domain)| vm_sample(name, domain))
            .collect();
        let space = |(id, _): &(Id, String)| DatastoreSample {
            id: *id,
            total_mib: STORE_MIB,
            used_mib: STORE_MIB / 10,
            free_mib: STORE_MIB - STORE_MIB / 10,
        };
        let host = HostSample {
            numa_nodes: watch.hypervisor.then(|| nodes_of(HOST_CPUS)),
            pci: watch.hypervisor.then(|| vec![device(1), device(2)]),
            ..HostSample::default()
        };
        FromNode::Sample {
            host: Box::new(host),
            vms: if watch.hypervisor { vms } else { Vec::new() },
            wilds: Vec::new(),
            datastores: watch.datastores.iter().map(space).collect(),
        }
    }
}

/// Two NUMA nodes, each with half of the CPUs.
fn nodes_of(cpus: u32) -> Vec<NumaNode> {
    let half = cpus / 2;
    let node = |id: u32| NumaNode {
        id,
        cores: (0..half)
            .map(|core| NumaCore {
                id: core,
                cpus: vec![id * half + core],
            })
            .collect(),
        pages: Vec::new(),
        memory_kib: HOST_MEMORY_KIB / 2,
        near: vec![id, 1 - id],
    };
    vec![node(0), node(1)]
}

/// A device that VMs may get.
fn device(number: u16) -> PciFound {
    PciFound {
        address: format!("0000:{number:02x}:00.0"),
        vendor: 0x10de,
        device: number,
        class: 0x0300,
        numa_node: None,
        interface: String::new(),
        vendor_name: String::new(),
        device_name: String::new(),
        class_name: String::new(),
    }
}

fn vm_sample(name: &str, domain: &Domain) -> VmSample {
    VmSample {
        cpu: 1.0,
        memory_kib: 1,
        ..VmSample::unused(name.to_owned(), domain.uuid.clone(), DomainState::Running)
    }
}

/// The VM of a domain's name.
pub(crate) fn vm_of(name: &str) -> Option<Id> {
    name.strip_prefix("one-")?.parse().ok()
}
