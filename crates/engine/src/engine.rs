//! [`Engine`]: the front-end with its threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use plerion_drivers::LinkMaker;
use plerion_model::{ApiError, Id, Seconds};
use plerion_protocol::{Action, ActionError, ActionOutput};
use plerion_scheduler::{AutostartPlan, Limits, autostart_plan, failure_plan, hosts_heard, plan};
use plerion_store::{SampleReader, SampleStore, Store, StoreReader};
use plerion_template::Template;
use plerion_world::{Caller, Command, Config, ExternalCommand, Measurements, Order, Reply, World};

use crate::auth::Authenticator;
use crate::auth_external::{AuthPlaces, Registry};
use crate::clock::Clock;
use crate::coordinator::{CoordinatorHandle, Notice, Parts, coordinator_queue, coordinator_start};
use crate::core::{Core, CoreError};
use crate::hook_run::HookSettings;
use crate::hooks::hooks_start;
use crate::host_silence::HostSilence;
use crate::sample_history::{SamplesKept, sample_history_start};
use crate::timer::timer_start;
use crate::vm_files::{VmFilesSettings, vm_files_start};
use crate::wake::Wake;
use crate::woken::woken;
use crate::writer::{Answer, WriterHandle, writer_start};

/// Why the front-end cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The state cannot be loaded.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Passwords cannot be hashed.
    #[error("{0}")]
    Auth(String),
}

/// What a front-end is started with.
pub struct EngineSettings<S> {
    /// The store.
    pub store: S,
    /// Reads beside the writer.
    pub reader: Arc<dyn StoreReader>,
    /// Settings of the core.
    pub config: Config,
    /// `vmm_exec_kvm.conf`.
    pub hypervisor_conf: Template,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Opens links to hosts.
    pub links: Arc<dyn LinkMaker>,
    /// Name of this front-end in the leader row.
    pub holder: String,
    /// Name and stored password of users 0 and 1, when they have to be made.
    pub first: First,
    /// Seconds between samples of hosts.
    pub monitor_interval_s: u32,
    /// Seconds between the measurements of a datastore by its driver's script.
    pub datastore_interval_s: u32,
    /// Where samples are kept; without only the last ones are known.
    pub samples: Option<(SampleStore, SampleReader)>,
    /// For how long.
    pub samples_kept: SamplesKept,
    /// Directory of the drivers' scripts: the administrator's probes are in its directory `im`.
    pub remotes: std::path::PathBuf,
    /// Where files of VMs are kept for people; none are without.
    pub vm_files: Option<VmFilesSettings>,
    /// Where authentication drivers find what they need.
    pub auth: AuthPlaces,
    /// How hooks are run; none are without.
    pub hooks: Option<HookSettings>,
    /// Called once when the database failed: the process must end.
    pub failed: Box<dyn FnOnce(CoreError) + Send>,
}

/// Name and stored password of users 0 and 1 of a new installation.
pub type First = Box<dyn FnOnce() -> Result<[(String, String); 2], String>>;

/// A consistent look at everything.
#[derive(Clone)]
pub struct Snapshot {
    /// The world.
    pub world: Arc<World>,
    /// The measurements.
    pub measurements: Arc<Measurements>,
}

/// The running front-end.
pub struct Engine {
    published: Arc<ArcSwap<World>>,
    measurements: Arc<ArcSwap<Measurements>>,
    writer: Mutex<Option<WriterHandle>>,
    submit: WriterHandleCell,
    coordinator: CoordinatorHandle,
    scheduler: Arc<Wake>,
    timer: Arc<Wake>,
    hooks: Arc<Wake>,
    authenticator: Authenticator,
    reader: Arc<dyn StoreReader>,
    samples: Option<SampleReader>,
    clock: Arc<dyn Clock>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The handle for calls; emptied when the front-end stops, so that the writer sees its last order.
type WriterHandleCell = ArcSwap<Option<WriterHandle>>;

/// The scheduler looks by itself this often: space of datastores changes without an event.
const SCHEDULE_EVERY: Duration = Duration::from_secs(15);
/// So long after a start it is waited for a word of every host before VMs are started by themselves, so that they start in
/// their order although some hosts are quicker.
const HEARD_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked meanwhile: samples wake nobody.
const HEARD_LOOK: Duration = Duration::from_millis(250);

impl Engine {
    /// Starts the front-end.
    ///
    /// # Errors
    /// When the database fails or a thread cannot be started.
    pub fn start<S: Store + 'static>(settings: EngineSettings<S>) -> Result<Arc<Self>, EngineError> {
        let authenticator =
            Authenticator::new(settings.clock.clone(), settings.auth).map_err(EngineError::Auth)?;
        let mut core = Core::start(
            settings.store,
            settings.config,
            settings.clock.clone(),
            &settings.holder,
            settings.first,
        )?;
        let (cloud, epoch) = (core.cloud().to_owned(), core.epoch());
        tracing::info!(
            cloud,
            epoch,
            vms = core.world().vms.len(),
            hosts = core.world().hosts.len(),
            "state loaded"
        );
        let (vm_files, vm_files_thread) = settings.vm_files.map(vm_files_start).transpose()?.unzip();
        let (sample_store, samples) = settings.samples.unzip();
        let kept = settings.samples_kept;
        let (history, history_thread) = sample_store
            .map(|store| sample_history_start(store, kept, settings.clock.clone()))
            .transpose()?
            .unzip();
        if let Some(files) = vm_files.clone() {
            core.observe(Box::new(move |now, changes| files.committed(now, changes)));
        }
        let published = Arc::new(ArcSwap::from(core.world().clone()));
        let measurements: Arc<ArcSwap<Measurements>> = Arc::default();
        let measured = measurements.clone();
        core.measured_by(Box::new(move |vm| measured.load().vms.get(&vm).cloned()));
        let (coordinator, queue) = coordinator_queue();
        let (scheduler, timer) = (Arc::new(Wake::default()), Arc::new(Wake::default()));
        let hooks = Arc::new(Wake::default());
        let committed = {
            let (coordinator, scheduler, timer) = (coordinator.clone(), scheduler.clone(), timer.clone());
            let hooks = hooks.clone();
            move |before: &World, after: &World| {
                let woken = woken(before, after);
                if woken.coordinator {
                    coordinator.world_changed();
                }
                if woken.scheduler {
                    scheduler.wake();
                }
                if woken.hooks {
                    hooks.wake();
                }
                if woken.timer {
                    timer.wake();
                }
            }
        };
        let (writer, writer_thread) = writer_start(core, published.clone(), committed, settings.failed)?;
        let parts = Parts {
            published: published.clone(),
            measurements: measurements.clone(),
            writer: writer.clone(),
            links: settings.links,
            clock: settings.clock.clone(),
            cloud,
            epoch,
            hypervisor_conf: settings.hypervisor_conf,
            monitor_interval_s: settings.monitor_interval_s,
            datastore_interval_s: settings.datastore_interval_s,
            remotes: settings.remotes,
            vm_files,
            history,
        };
        let coordinator_thread = coordinator_start(parts, coordinator.clone(), queue)?;
        let engine = Arc::new(Self {
            published: published.clone(),
            measurements: measurements.clone(),
            writer: Mutex::new(Some(writer.clone())),
            submit: ArcSwap::from_pointee(Some(writer.clone())),
            coordinator,
            scheduler: scheduler.clone(),
            timer: timer.clone(),
            hooks: hooks.clone(),
            authenticator,
            reader: settings.reader,
            samples,
            clock: settings.clock.clone(),
            // In the order in which they end: each when those before it let go.
            threads: Mutex::new(
                [coordinator_thread, writer_thread]
                    .into_iter()
                    .chain(vm_files_thread)
                    .chain(history_thread)
                    .collect(),
            ),
        });
        let timer_thread = timer_start(timer, published.clone(), writer.clone(), settings.clock.clone())?;
        let hooks_thread = settings
            .hooks
            .map(|own| hooks_start(own, hooks, published.clone(), writer.clone()))
            .transpose()?;
        let scheduler_thread = scheduler_start(scheduler, published, measurements, writer, settings.clock)?;
        engine
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .splice(
                0..0,
                [scheduler_thread, timer_thread].into_iter().chain(hooks_thread),
            );
        engine.scheduler.wake();
        engine.hooks.wake();
        Ok(engine)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Seconds {
        self.clock.now()
    }

    /// The last committed state and the last measurements.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            world: self.published.load_full(),
            measurements: self.measurements.load_full(),
        }
    }

    /// Gives an order; `answer` is called after its commit.
    pub fn submit(&self, order: Order, answer: Answer) {
        match &**self.submit.load() {
            Some(writer) => writer.submit(order, answer),
            None => answer(Err(plerion_model::ApiError::new(
                plerion_model::ErrorCode::Replication,
                "The server is stopping and takes no changes",
            ))),
        }
    }

    /// Who calls.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// What memory does not hold.
    #[must_use]
    pub fn reader(&self) -> &Arc<dyn StoreReader> {
        &self.reader
    }

    /// Samples that were kept.
    #[must_use]
    pub fn samples(&self) -> Option<&SampleReader> {
        self.samples.as_ref()
    }

    /// Time and chance.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Lets the front-end's own agent do something outside of the outbox; `answer` takes the result.
    pub fn front_end_call(
        &self,
        action: Action,
        deadline_s: u32,
        answer: Box<dyn FnOnce(Result<ActionOutput, ActionError>) + Send>,
    ) {
        self.coordinator
            .notice(Notice::Call(Box::new(action), deadline_s, answer));
    }

    /// Stops: no new orders, those that wait are written, links are closed. Waits for the threads.
    pub fn stop(&self) {
        self.submit.store(Arc::new(None));
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.scheduler.stop();
        self.timer.stop();
        self.hooks.stop();
        self.coordinator.notice(Notice::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread had panicked");
            }
        }
    }
}

impl Registry for Engine {
    fn world(&self) -> Arc<World> {
        self.published.load_full()
    }

    fn register(&self, command: ExternalCommand) -> Result<Id, ApiError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let order = Order {
            caller: Caller::system(),
            command: Command::External(command),
        };
        self.submit(
            order,
            // Whoever waits does so until the answer.
            Box::new(move |outcome| drop(sender.send(outcome))),
        );
        let stopping =
            |_| ApiError::internal("The server is stopping: whether the change was made is not known");
        match receiver.recv().map_err(stopping)?? {
            Reply::Id(id) => Ok(id),
            Reply::Text(_) | Reply::Nothing => Err(ApiError::internal("No id was answered")),
        }
    }
}

fn scheduler_start(
    wake: Arc<Wake>,
    published: Arc<ArcSwap<World>>,
    measurements: Arc<ArcSwap<Measurements>>,
    writer: WriterHandle,
    clock: Arc<dyn Clock>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("scheduler".into())
        .spawn(move || {
            let begun = Instant::now();
            let mut sleep = SCHEDULE_EVERY;
            let mut silence = HostSilence::default();
            while wake.wait(sleep) {
                let (world, measurements) = (published.load_full(), measurements.load());
                let waits = begun.elapsed() < HEARD_WAIT && !hosts_heard(&world, &measurements);
                let silent = silence.look(&world, Instant::now());
                let failure = failure_plan(&world, &silent, &measurements.leases, clock.now());
                let look_again = failure.next_s.map_or(SCHEDULE_EVERY, Duration::from_secs);
                let failure = failure.commands(&world);
                sleep =
                    schedule(&world, &measurements, &writer, clock.as_ref(), !waits, failure).min(look_again);
                if waits && world.awaits_restarts() {
                    sleep = HEARD_LOOK;
                }
            }
        })
}

/// Plans once and waits until the plan's orders are through, so that the next plan sees their effect. Returns how long to
/// sleep.
fn schedule(
    world: &World,
    measurements: &Measurements,
    writer: &WriterHandle,
    clock: &dyn Clock,
    autostarts: bool,
    failure: Vec<Command>,
) -> Duration {
    let now = clock.now();
    let autostart = if autostarts {
        autostart_plan(world, now)
    } else {
        AutostartPlan::default()
    };
    let sleep = autostart.next.map_or(SCHEDULE_EVERY, |time| {
        let seconds = u64::try_from(time.saturating_sub(now)).unwrap_or(0);
        Duration::from_secs(seconds).min(SCHEDULE_EVERY)
    });
    let mut commands = failure;
    let mut limits = Limits::of(&world.config);
    limits.starts = limits
        .starts
        .map(|most| most.saturating_sub(autostart.starts.len()));
    commands.extend(autostart.commands(world));
    if world.awaits_placement() {
        commands.extend(plan(world, measurements, now, &limits).commands(world));
    }
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    for command in commands {
        let sender = sender.clone();
        let answer: Answer = Box::new(move |outcome| {
            if let Err(refusal) = outcome {
                // The world went on since the plan was made; the next plan sees it.
                tracing::debug!(%refusal, "a placement was refused");
            }
            drop(sender);
        });
        writer.submit(
            Order {
                caller: Caller::system(),
                command,
            },
            answer,
        );
    }
    drop(sender);
    // Ends when every answer has let go of its end.
    while receiver.recv().is_ok() {}
    sleep
}
