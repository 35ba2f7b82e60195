//! The coordinator thread: keeps a link to each host, carries out the outbox, takes in what agents say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use plerion_drivers::{
    Environment, HostLink, LinkEvent, LinkMaker, LinkSink, LinkTarget, datastore_is_scripted,
};
use plerion_model::Id;
use plerion_model::datastore::DatastoreType;
use plerion_model::host::{Host, HostState};
use plerion_protocol::{
    Action, ActionError, ActionKey, ActionOutput, ErrorKind, FromNode, NodeHello, ObjectKind, Report,
    Request, ServerHello, ToNode, Watch,
};
use plerion_template::Template;
use plerion_world::{Caller, Command, HostReport, Measurements, Order, OwnReport, PROBES_SYNC, Site, World};

use crate::clock::Clock;
use crate::dispatcher::{Dispatch, Dispatcher};
use crate::host_watch::{Looked, looked, watch_of};
use crate::intake::{Intake, Sampled, dummy_report};
use crate::probe_files::ProbeFiles;
use crate::sample_history::SampleHistory;
use crate::space::SpaceWatch;
use crate::vm_files::VmFiles;
use crate::writer::WriterHandle;

/// Seconds that the script of a datastore has to measure it.
const SPACE_DEADLINE_S: u32 = 300;
/// Measurements are published at most this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);

/// Takes the result of an action of the front-end's agent.
pub(crate) type ActionAnswer = Box<dyn FnOnce(Result<ActionOutput, ActionError>) + Send>;

/// What the coordinator is told.
pub(crate) enum Notice {
    /// The world has changed.
    World,
    /// A link says something.
    Link(Site, LinkEvent),
    /// An action for the front-end's agent, outside of the outbox.
    Call(Box<Action>, u32, ActionAnswer),
    /// The end of an intent could not be written.
    Lost(plerion_world::IntentKey),
    /// The script of a datastore has measured it, or could not.
    Space(Id, Result<ActionOutput, ActionError>),
    /// Stop.
    Stop,
}

/// Tells the coordinator.
#[derive(Clone)]
pub(crate) struct CoordinatorHandle {
    sender: Sender<Notice>,
    world_noticed: Arc<AtomicBool>,
}

impl CoordinatorHandle {
    /// The world has changed. Many changes make one notice.
    pub(crate) fn world_changed(&self) {
        if !self.world_noticed.swap(true, Ordering::AcqRel) {
            self.notice(Notice::World);
        }
    }

    pub(crate) fn notice(&self, notice: Notice) {
        // Without a coordinator the front-end is stopping.
        let _ = self.sender.send(notice);
    }
}

/// What the coordinator needs.
pub(crate) struct Parts {
    pub(crate) published: Arc<ArcSwap<World>>,
    pub(crate) measurements: Arc<ArcSwap<Measurements>>,
    pub(crate) writer: WriterHandle,
    pub(crate) links: Arc<dyn LinkMaker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cloud: String,
    pub(crate) epoch: u64,
    pub(crate) hypervisor_conf: Template,
    pub(crate) monitor_interval_s: u32,
    pub(crate) datastore_interval_s: u32,
    /// Directory of the drivers' scripts, where the administrator's probes lie.
    pub(crate) remotes: std::path::PathBuf,
    pub(crate) vm_files: Option<VmFiles>,
    pub(crate) history: Option<SampleHistory>,
}

struct HostEntry {
    name: String,
    link: Arc<dyn HostLink>,
    watch: Watch,
}

struct Coordinator {
    parts: Parts,
    handle: CoordinatorHandle,
    dispatcher: Dispatcher,
    intake: Intake,
    front_end: Arc<dyn HostLink>,
    front_end_watch: Watch,
    hosts: HashMap<Id, HostEntry>,
    calls: HashMap<u64, ActionAnswer>,
    calls_made: u64,
    /// Dummy hosts that were reported and whose report has not been written yet.
    reported: HashMap<Id, Arc<Host>>,
    /// Whether the front-end's agent listens.
    front_end_up: bool,
    space: SpaceWatch,
    probes: ProbeFiles,
    /// The end of an intent was lost to a full queue; it is given again at the next beat.
    lost: bool,
    /// What the hosts that are up said of themselves.
    hellos: BTreeMap<Id, Box<NodeHello>>,
    /// The world that links and watches were last made to fit.
    fitted: Option<Arc<World>>,
}

/// The two ends of the coordinator's queue.
pub(crate) fn coordinator_queue() -> (CoordinatorHandle, Receiver<Notice>) {
    let (sender, receiver) = channel();
    (
        CoordinatorHandle {
            sender,
            world_noticed: Arc::default(),
        },
        receiver,
    )
}

/// Runs the coordinator until it is told to stop.
pub(crate) fn coordinator_start(
    parts: Parts,
    handle: CoordinatorHandle,
    receiver: Receiver<Notice>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("coordinator".into())
        .spawn(move || {
            Coordinator::new(parts, handle).run(&receiver);
        })
}

impl Coordinator {
    fn new(parts: Parts, handle: CoordinatorHandle) -> Self {
        let watch = Watch {
            interval_s: parts.monitor_interval_s,
            datastores: Vec::new(),
            hypervisor: false,
            caches: Vec::new(),
            unwanted: Vec::new(),
            leases: Vec::new(),
            looks: Vec::new(),
        };
        let front_end = open(&parts, &handle, LinkTarget::front_end(), watch.clone());
        let dispatcher = Dispatcher::new(parts.epoch);
        let probes = ProbeFiles::new(parts.remotes.clone());
        let space = SpaceWatch::new(Duration::from_secs(u64::from(parts.datastore_interval_s)));
        Self {
            parts,
            handle,
            dispatcher,
            intake: Intake::new(),
            front_end,
            front_end_watch: watch,
            hosts: HashMap::new(),
            calls: HashMap::new(),
            calls_made: 0,
            reported: HashMap::new(),
            front_end_up: false,
            space,
            probes,
            lost: false,
            hellos: BTreeMap::new(),
            fitted: None,
        }
    }

    fn run(mut self, receiver: &Receiver<Notice>) {
        self.world_changed();
        let mut published = Instant::now();
        loop {
            match receiver.recv_timeout(PUBLISH_EVERY) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(notice) => self.take(notice),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if published.elapsed() >= PUBLISH_EVERY {
                published = Instant::now();
                if std::mem::take(&mut self.lost) {
                    self.world_changed();
                }
                self.intake.world_changed(&self.parts.published.load());
                self.space_ask();
                if self.probes.changed(Instant::now()) {
                    self.probes_send();
                }
                if let Some(measurements) = self.intake.take_changed() {
                    self.parts.measurements.store(Arc::new(measurements));
                }
            }
        }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::World => self.world_changed(),
            Notice::Link(site, event) => self.link_event(site, event),
            Notice::Call(action, deadline_s, answer) => self.call(*action, deadline_s, answer),
            Notice::Lost(key) => {
                self.dispatcher.order_lost(key);
                self.lost = true;
            }
            Notice::Space(id, answer) => {
                let sample = self.space.answered(id, answer);
                self.intake.datastores(sample.as_slice());
            }
            Notice::Stop => {}
        }
    }

    /// Has the scripts of datastores measure them, where that is due.
    fn space_ask(&mut self) {
        if !self.front_end_up {
            return;
        }
        let world = self.parts.published.load_full();
        for (id, action) in self.space.due(&world, Instant::now()) {
            let handle = self.handle.clone();
            let answer = Box::new(move |answer| handle.notice(Notice::Space(id, answer)));
            self.call(action, SPACE_DEADLINE_S, answer);
        }
    }

    fn world_changed(&mut self) {
        // Cleared before the world is read: a change after that makes a notice of its own.
        self.handle.world_noticed.store(false, Ordering::Release);
        let world = self.parts.published.load_full();
        // Most changes are about VMs; what hosts and datastores are, and which VMs are lost, is looked through only when it changed.
        if self
            .fitted
            .as_ref()
            .is_none_or(|fitted| !fitted.same_places(&world))
        {
            let looked = looked(&world);
            self.hosts_fit(&world, &looked);
            self.watches_fit(&world, &looked);
            self.fitted = Some(world.clone());
        }
        let dispatches = {
            let links = self.parts.links.clone();
            let ssh_target = |host: &str| links.ssh_target(host);
            let environment = Environment {
                hypervisor_conf: &self.parts.hypervisor_conf,
                now: self.parts.clock.now(),
                ssh_target: &ssh_target,
            };
            self.dispatcher.world_changed(&world, &environment)
        };
        self.dispatch(dispatches);
    }

    /// Opens links to hosts that are wanted, closes those to hosts that are not.
    fn hosts_fit(&mut self, world: &World, looked: &Looked) {
        self.hosts.retain(|id, entry| {
            world
                .hosts
                .get(*id)
                .is_some_and(|host| is_linked(host) && host.name == entry.name)
        });
        for host in world.hosts.values() {
            if is_linked(host) && !self.hosts.contains_key(&host.id) {
                let watch = watch_of(world, host, self.parts.monitor_interval_s, looked);
                let link = open(
                    &self.parts,
                    &self.handle,
                    LinkTarget::host(host.id, &host.name),
                    watch.clone(),
                );
                self.hosts.insert(
                    host.id,
                    HostEntry {
                        name: host.name.clone(),
                        link,
                        watch,
                    },
                );
            }
            self.dummy_host(host);
        }
    }

    fn dummy_host(&mut self, host: &Arc<Host>) {
        let told = self
            .reported
            .get(&host.id)
            .is_some_and(|told| Arc::ptr_eq(told, host));
        if told {
            return;
        }
        if let Some(order) = dummy_report(host) {
            self.reported.insert(host.id, host.clone());
            self.order(order);
        }
    }

    fn watches_fit(&mut self, world: &World, looked: &Looked) {
        for (id, entry) in &mut self.hosts {
            let Some(host) = world.hosts.get(*id) else {
                continue;
            };
            let watch = watch_of(world, host, self.parts.monitor_interval_s, looked);
            if watch != entry.watch {
                entry.link.watch(watch.clone());
                entry.watch = watch;
            }
        }
        let datastores = world
            .datastores
            .values()
            .filter(|store| {
                store.tm_mad != "dummy"
                    && !datastore_is_scripted(store)
                    && (store.kind != DatastoreType::System || store.is_shared())
            })
            .map(|store| (store.id, store.base_path.clone()))
            .collect();
        let watch = Watch {
            interval_s: self.parts.monitor_interval_s,
            datastores,
            hypervisor: false,
            caches: Vec::new(),
            unwanted: Vec::new(),
            leases: Vec::new(),
            looks: Vec::new(),
        };
        if watch != self.front_end_watch {
            self.front_end.watch(watch.clone());
            self.front_end_watch = watch;
        }
    }

    fn dispatch(&mut self, dispatches: Vec<Dispatch>) {
        for dispatch in dispatches {
            match dispatch {
                Dispatch::Send(site, message) => {
                    if let Err(down) = self.send(site, *message) {
                        tracing::debug!(?site, %down, "a message waits for its link");
                        self.dispatcher.link_down(site);
                    }
                }
                Dispatch::Order(order) => self.order(*order),
                Dispatch::Keep { vm, notes, files } => {
                    if let Some(kept) = &self.parts.vm_files {
                        kept.planned(self.parts.clock.now(), vm, notes, files);
                    }
                }
            }
        }
    }

    fn send(&self, site: Site, message: ToNode) -> Result<(), plerion_drivers::LinkDown> {
        match site {
            Site::FrontEnd => self.front_end.send(message),
            Site::Host(id) => match self.hosts.get(&id) {
                Some(entry) => entry.link.send(message),
                None => Err(plerion_drivers::LinkDown("the host is not linked".into())),
            },
        }
    }

    /// Gives an order to the writer. The end of an intent that could not be written is found again from the outbox.
    fn order(&self, order: Order) {
        let handle = self.handle.clone();
        let key = match &order.command {
            Command::IntentEnded { key, .. } => Some(*key),
            _ => None,
        };
        let about = format!("{:?}", std::mem::discriminant(&order.command));
        self.parts.writer.submit(
            order,
            Box::new(move |outcome| {
                if let Err(refusal) = outcome {
                    tracing::warn!(%refusal, about, "an order from within was refused");
                    if let Some(key) = key {
                        handle.notice(Notice::Lost(key));
                    }
                }
            }),
        );
    }

    fn link_event(&mut self, site: Site, event: LinkEvent) {
        match event {
            LinkEvent::Up(hello) => {
                tracing::info!(?site, host = %hello.facts.hostname, "link up");
                self.front_end_up |= site == Site::FrontEnd;
                self.greeted(site, hello);
                let dispatches = self.dispatcher.link_up(site);
                self.dispatch(dispatches);
            }
            LinkEvent::Down(reason) => {
                tracing::warn!(?site, %reason, "link down");
                self.dispatcher.link_down(site);
                match site {
                    Site::Host(id) => {
                        self.hellos.remove(&id);
                        self.order(self.intake.host_down(id, &reason));
                    }
                    Site::FrontEnd => {
                        self.front_end_up = false;
                        self.calls_fail(&reason);
                    }
                }
            }
            LinkEvent::Message(message) => self.message(site, message),
        }
    }

    /// Gives all hosts that are up the probes as they are now.
    fn probes_send(&mut self) {
        let world = self.parts.published.load_full();
        let drivers: BTreeSet<&str> = world.hosts.values().map(|host| host.im_mad.as_str()).collect();
        for driver in drivers {
            self.pci_conf_take(&world, driver);
        }
        let hosts: Vec<Id> = self.hellos.keys().copied().collect();
        for host in hosts {
            self.probes_give(host);
        }
    }

    fn pci_conf_take(&mut self, world: &World, driver: &str) {
        for order in self.intake.pci_conf(world, driver, &self.probes.pci_conf(driver)) {
            self.order(order);
        }
    }

    /// Gives a host its probes. One that cannot take them now gets them when it is up again.
    fn probes_give(&mut self, host: Id) {
        let world = self.parts.published.load_full();
        let Some(known) = world.hosts.get(host) else {
            return;
        };
        if !self.intake.has_pci_conf(&known.im_mad) {
            self.pci_conf_take(&world, &known.im_mad);
        }
        let set = self.probes.set_of(&known.im_mad, host, &known.name);
        if let Err(down) = self.send(Site::Host(host), ToNode::Probes(Box::new(set))) {
            tracing::debug!(host, %down, "probes wait for the link");
        }
    }

    /// Whether a host sees the front-end's files can be told when the front-end's own agent has said which they are;
    /// hosts that came before are reported then.
    fn greeted(&mut self, site: Site, hello: Box<NodeHello>) {
        match site {
            Site::Host(id) => {
                self.order(self.intake.host_up(id, &hello));
                self.hellos.insert(id, hello);
                self.probes_give(id);
            }
            Site::FrontEnd => {
                self.intake.front_end_up(&hello);
                for (id, hello) in &self.hellos {
                    self.order(self.intake.host_up(*id, hello));
                }
            }
        }
    }

    fn message(&mut self, site: Site, message: FromNode) {
        match message {
            FromNode::Done(report) => self.report(site, &report),
            FromNode::Settled(keys) => self.settled(site, keys),
            FromNode::Domain { name, uuid, state } => {
                let world = self.parts.published.load_full();
                if let Site::Host(id) = site
                    && let Some(order) = self.intake.domain(&world, id, &name, &uuid, state)
                {
                    self.order(order);
                }
            }
            FromNode::Sample {
                host,
                vms,
                wilds,
                datastores,
            } => match site {
                Site::FrontEnd => self.intake.datastores(&datastores),
                Site::Host(id) => {
                    let world = self.parts.published.load_full();
                    let now = self.parts.clock.now();
                    let sampled = Sampled {
                        host: &host,
                        vms: &vms,
                        wilds: &wilds,
                        datastores: &datastores,
                    };
                    for order in self.intake.sample(&world, id, now, &sampled) {
                        self.order(order);
                    }
                    if let Some(history) = &self.parts.history {
                        history.give(self.intake.samples_at(id, &vms, now));
                    }
                }
            },
            FromNode::Leases(seen) => {
                if let Site::Host(id) = site {
                    self.intake.leases(&self.parts.published.load(), id, &seen);
                }
            }
            FromNode::ProbesTaken(token, taken) => self.probes_taken(site, token, taken),
            FromNode::Probed(round) => {
                let world = self.parts.published.load_full();
                if let Site::Host(id) = site
                    && let Some(order) = self.intake.probed(&world, id, &round)
                {
                    self.order(order);
                }
            }
            FromNode::Hello(_) | FromNode::Refused(_) | FromNode::Pong(_) => {}
        }
    }

    /// The probes are on a host, or could not be put there.
    fn probes_taken(&mut self, site: Site, token: String, taken: Result<(), ActionError>) {
        let Site::Host(id) = site else { return };
        if let Err(error) = &taken {
            tracing::warn!(host = id, %error, "the probes could not be put on the host");
        }
        let world = self.parts.published.load_full();
        let shown = world
            .hosts
            .get(id)
            .and_then(|host| host.template.get(PROBES_SYNC));
        if shown.unwrap_or_default() != token || taken.is_err() {
            let report = match taken {
                Ok(()) => HostReport::Probes(token),
                Err(error) => HostReport::Own(OwnReport {
                    attributes: Template::new(),
                    faults: format!("the probes could not be put on the host: {error}"),
                }),
            };
            self.order(Order {
                caller: Caller::system(),
                command: Command::HostReported { id, report },
            });
        }
    }

    /// An agent has come (back) with results in its journal.
    fn settled(&mut self, site: Site, mut keys: Vec<ActionKey>) {
        // A call is answered when it is reported, which is yet to come.
        keys.retain(|key| key.kind != ObjectKind::Datastore || !self.calls.contains_key(&key.step));
        let world = self.parts.published.load_full();
        let dispatches = self.dispatcher.settled(site, &keys, &world);
        self.dispatch(dispatches.into_iter().collect());
    }

    fn report(&mut self, site: Site, report: &Report) {
        if report.key.kind == ObjectKind::Datastore {
            if let Some(answer) = self.calls.remove(&report.key.step) {
                answer(report.result.clone());
            }
            // Nobody asks again for an action outside of the outbox.
            let _ = self.send(Site::FrontEnd, ToNode::Forget(vec![report.key]));
            return;
        }
        report_log(report);
        let world = self.parts.published.load_full();
        let dispatches = self.dispatcher.reported(site, report, &world);
        self.dispatch(dispatches);
    }

    /// An action of the front-end's agent that somebody waits for.
    fn call(&mut self, action: Action, deadline_s: u32, answer: ActionAnswer) {
        self.calls_made = self.calls_made.saturating_add(1);
        // The epoch is in the number, so that no key of an earlier start is used again.
        let step = self.parts.epoch.wrapping_shl(32) | (self.calls_made & 0xffff_ffff);
        let key = ActionKey {
            kind: ObjectKind::Datastore,
            // Each call is an object of its own: agents stop older steps of an object when a newer one comes.
            id: -1 - i32::try_from(self.calls_made & 0x3fff_ffff).unwrap_or(0),
            step,
            part: 0,
        };
        let request = Request {
            key,
            epoch: self.parts.epoch,
            attempt: 1,
            deadline_s,
            action,
        };
        match self.send(Site::FrontEnd, ToNode::Do(Box::new(request))) {
            Ok(()) => {
                self.calls.insert(step, answer);
            }
            Err(down) => answer(Err(ActionError::new(
                ErrorKind::Failed,
                format!("the front-end's agent: {down}"),
            ))),
        }
    }

    fn calls_fail(&mut self, reason: &str) {
        for (_, answer) in self.calls.drain() {
            answer(Err(ActionError::new(
                ErrorKind::Interrupted,
                format!("the front-end's agent: {reason}"),
            )));
        }
    }
}

/// One line an action, with the time it took and how much of it went into copying and into virsh.
fn report_log(report: &Report) {
    let action = report.key;
    match &report.result {
        Ok(output) => tracing::info!(
            %action,
            total_us = output.total_us,
            copy_us = output.copy_us,
            virsh_us = output.virsh_us,
            "action done"
        ),
        Err(error) => tracing::warn!(%action, kind = ?error.kind, %error, "action failed"),
    }
}

/// Whether a host has an agent that is wanted.
fn is_linked(host: &Host) -> bool {
    host.im_mad != "dummy" && host.state != HostState::Offline
}

fn open(parts: &Parts, handle: &CoordinatorHandle, target: LinkTarget, watch: Watch) -> Arc<dyn HostLink> {
    let world = parts.published.load();
    let location = match target.site {
        Site::Host(id) => world
            .hosts
            .get(id)
            .and_then(|host| host.template.get("DATASTORE_LOCATION").map(str::to_owned)),
        Site::FrontEnd => None,
    };
    let hello = ServerHello {
        protocol: plerion_protocol::PROTOCOL_VERSION,
        cloud: parts.cloud.clone(),
        epoch: parts.epoch,
        roots: vec![location.unwrap_or_else(|| world.config.datastore_location.clone())],
    };
    // Sender is Send but was not always Sync; the lock costs nothing here.
    let sender = Mutex::new(handle.clone());
    let sink: LinkSink = Arc::new(move |site, event| {
        sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .notice(Notice::Link(site, event));
    });
    parts.links.open(target, hello, watch, sink)
}
