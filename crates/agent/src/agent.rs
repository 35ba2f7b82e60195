//! The agent of one cloud: its parts, and the one channel to the front-end that is valid now.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use plerion_protocol::{
    ActionError, ActionKey, ErrorKind, FromNode, HostFacts, NodeHello, PROTOCOL_VERSION, ProbeSet, Report,
    Request, ServerHello, Watch,
};

use crate::act::Means;
use crate::epoch::EpochStore;
use crate::fault::{Act, refused};
use crate::hypervisor::Hypervisor;
use crate::journal::Journal;
use crate::lease::Leases;
use crate::limits::Limits;
use crate::monitor::{Prober, Sampler, facts};
use crate::place;
use crate::roots::Roots;
use crate::runner::Runner;
use crate::script::Scripts;
use crate::state::{self, Role};
use crate::storage::TransferContext;

/// Time to end a domain that must not run.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(10);

/// Ends a channel from another thread.
pub(crate) type Closer = Box<dyn Fn() + Send>;

/// The agent of one cloud.
pub(crate) struct Agent {
    cloud: String,
    role: Role,
    boot_id: String,
    epoch: Mutex<EpochStore>,
    link: Arc<Mutex<Option<Link>>>,
    means: Arc<Means>,
    pub(crate) runner: Arc<Runner>,
    sampler: Sampler,
    prober: Prober,
    leases: Leases,
    facts: Mutex<Option<HostFacts>>,
    state_directory: std::path::PathBuf,
}

/// The channel to the front-end that leads.
struct Link {
    id: u64,
    sender: SyncSender<FromNode>,
    closer: Closer,
}

impl Agent {
    /// Opens the state in `directory` (which the caller has locked) and settles what was left open. `scripts` are the
    /// drivers' scripts that it may run.
    pub(crate) fn open(
        cloud: &str,
        role: Role,
        directory: &Path,
        scripts: Option<Scripts>,
    ) -> Act<Arc<Self>> {
        let epoch = EpochStore::open(directory)?;
        let journal = Journal::open(directory)?;
        let boot_id = state::boot_id();
        let link: Arc<Mutex<Option<Link>>> = Arc::default();
        let hypervisor = Hypervisor::new(outlet(&link));
        let means = Arc::new(Means {
            roots: RwLock::default(),
            hypervisor: hypervisor.clone(),
            transfer: TransferContext::new(cloud, epoch.highest()),
            scripts,
        });
        let doer = {
            let means = Arc::clone(&means);
            Box::new(move |action: &_, limits: &_| means.act(action, limits))
        };
        let sink = {
            let outlet = outlet(&link);
            Box::new(move |report: Report| outlet(FromNode::Done(Box::new(report))))
        };
        let runner = Runner::new(journal, boot_id.clone(), doer, sink);
        runner.settle(hypervisor.clone());
        let leases = Leases::new(cloud, hypervisor.clone(), outlet(&link));
        let sampler = Sampler::start(hypervisor, sample_outlet(&link));
        let prober = Prober::start(directory, outlet(&link));
        Ok(Arc::new(Self {
            cloud: cloud.to_owned(),
            role,
            boot_id,
            epoch: Mutex::new(epoch),
            link,
            means,
            runner,
            sampler,
            prober,
            leases,
            facts: Mutex::default(),
            state_directory: directory.to_owned(),
        }))
    }

    /// Judges a hello; on success the agent obeys it from now on, and `sender` is the channel of everything it says.
    pub(crate) fn hello(
        &self,
        hello: &ServerHello,
        id: u64,
        sender: SyncSender<FromNode>,
        closer: Closer,
    ) -> Act<NodeHello> {
        if hello.protocol != PROTOCOL_VERSION {
            return Err(ActionError::new(
                ErrorKind::Version,
                format!(
                    "the front-end speaks version {} of the protocol, this agent version {PROTOCOL_VERSION}: let the \
                     front-end push its own program to the host",
                    hello.protocol
                ),
            ));
        }
        if hello.cloud != self.cloud {
            return Err(refused(format!(
                "this agent works for cloud {}, not for {}",
                self.cloud, hello.cloud
            )));
        }
        let roots = Roots::new(&hello.roots)?;
        let facts = self.facts();
        let places = roots
            .texts()
            .iter()
            .map(|root| place::place_of(Path::new(root)))
            .collect();
        {
            // Under one lock: of two hellos at once the higher epoch must end up with the channel.
            let mut epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
            epoch.accept(hello.epoch)?;
            self.means.transfer.epoch_set(hello.epoch);
            *self.means.roots.write().unwrap_or_else(PoisonError::into_inner) = roots;
            let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(old) = link.replace(Link { id, sender, closer }) {
                tracing::info!("a newer channel replaces the old one");
                (old.closer)();
            }
        }
        Ok(NodeHello {
            protocol: PROTOCOL_VERSION,
            epoch: hello.epoch,
            boot_id: self.boot_id.clone(),
            facts,
            places,
        })
    }

    fn facts(&self) -> HostFacts {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts
            .get_or_insert_with(|| facts::host_facts(&self.state_directory, self.role == Role::Host))
            .clone()
    }

    /// Takes a request of the channel `id`.
    pub(crate) fn request(&self, request: Request) {
        let highest = {
            let mut epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = epoch.accept(request.epoch)
                && error.kind != ErrorKind::Epoch
            {
                tracing::error!(%error, "cannot keep the epoch");
                let report = Report {
                    key: request.key,
                    attempt: request.attempt,
                    result: Err(error),
                };
                drop(epoch);
                return outlet(&self.link)(FromNode::Done(Box::new(report)));
            }
            epoch.highest()
        };
        self.runner.submit(request, highest);
    }

    /// Forgets what the front-end waits for no longer, with what it has left.
    pub(crate) fn forget(self: &Arc<Self>, keys: &[ActionKey]) {
        let (left, plain): (Vec<_>, Vec<_>) = self
            .runner
            .unwanted(keys)
            .into_iter()
            .partition(|(_, evidence)| evidence.leaves_files());
        let plain: Vec<ActionKey> = plain.into_iter().map(|(key, _)| key).collect();
        self.runner.forget(&plain);
        if left.is_empty() {
            return;
        }
        // Large files take their time to go, and the channel is not to wait for it.
        let agent = Arc::clone(self);
        std::thread::spawn(move || {
            for (key, evidence) in left {
                match agent.means.tidy(&evidence) {
                    Ok(()) => agent.runner.forget(&[key]),
                    // It stays in the journal: the front-end says it again after the next hello.
                    Err(error) => tracing::error!(%key, %error, "cannot delete what an action has left"),
                }
            }
        });
    }

    /// Ends what must not run, then sets what is watched. The front-end says this first of all, and nothing that it says
    /// afterwards is read before: a VM that was given up here may run elsewhere by now.
    pub(crate) fn watch(&self, watch: Watch) {
        for (name, uuid) in &watch.unwanted {
            let limits = Limits::new(UNWANTED_TIME_MAX);
            match self.means.hypervisor.domain_destroy(name, uuid, &limits) {
                Ok(_) => tracing::warn!(
                    name,
                    uuid,
                    "given up on this host: no domain of it runs here any more"
                ),
                Err(error) => {
                    tracing::error!(name, uuid, %error, "given up on this host, and its domain could not be ended");
                }
            }
        }
        let roots = self
            .means
            .roots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.leases.watch(&watch, &roots);
        self.sampler.watch(watch, roots);
    }

    /// Sets the administrator's probes.
    pub(crate) fn probes(&self, set: ProbeSet) {
        self.prober.set(set);
    }

    /// Whether `id` is the channel that is obeyed.
    pub(crate) fn is_current(&self, id: u64) -> bool {
        self.link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|link| link.id == id)
    }

    /// Forgets the channel `id` when it has ended.
    pub(crate) fn goodbye(&self, id: u64) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.as_ref().is_some_and(|link| link.id == id) {
            *link = None;
        }
    }

    /// Whether nobody is connected, nothing runs, and no lease is needed.
    pub(crate) fn is_idle(&self) -> bool {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            && self.runner.busy() == 0
            && !self.leases.is_needed()
    }
}

/// Sends to the channel that is valid at that moment; without one the message is dropped: the front-end asks again by
/// key, and reads all states anew, when it connects.
fn outlet(link: &Arc<Mutex<Option<Link>>>) -> Box<dyn Fn(FromNode) + Send + Sync> {
    let link: Weak<Mutex<Option<Link>>> = Arc::downgrade(link);
    Box::new(move |message| {
        let sender = sender_now(&link);
        // An error means that the channel has just ended.
        drop(sender.map(|sender| sender.send(message)));
    })
}

/// As [`outlet`], but a channel that is behind misses the message: samples that queue up are of no use.
fn sample_outlet(link: &Arc<Mutex<Option<Link>>>) -> Box<dyn Fn(FromNode) + Send + Sync> {
    let link: Weak<Mutex<Option<Link>>> = Arc::downgrade(link);
    Box::new(move |message| {
        if let Some(Err(TrySendError::Full(_))) = sender_now(&link).map(|sender| sender.try_send(message)) {
            tracing::warn!("the front-end does not keep up: a sample is dropped");
        }
    })
}

fn sender_now(link: &Weak<Mutex<Option<Link>>>) -> Option<SyncSender<FromNode>> {
    let link = link.upgrade()?;
    let link = link.lock().unwrap_or_else(PoisonError::into_inner);
    link.as_ref().map(|link| link.sender.clone())
}
