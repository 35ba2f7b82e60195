//! [`Core`]: applies orders and commits them.

use std::sync::Arc;
use std::time::Duration;

use plerion_model::view::VmSampleView;
use plerion_model::{ApiError, Id, Seconds};
use plerion_store::{Epoch, LogTrim, Store, StoreError};
use plerion_world::{
    Change, Command, Config, Context, Order, Reply, World, apply, apply_refused, bootstrap, secrets_begin,
    values_foreign, vdcs_begin,
};

use crate::clock::Clock;

/// Why a core cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The database failed. What was written is not known, so nothing may go on from here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first objects of a new installation cannot be made.
    #[error("{0}")]
    First(String),
}

/// The state, its store, and the right to write it. One thread owns it.
pub struct Core<S> {
    world: Arc<World>,
    store: S,
    epoch: Epoch,
    cloud: String,
    clock: Arc<dyn Clock>,
    observer: Option<Observer>,
    samples: Option<Samples>,
}

/// Gives the last measurement of a VM.
pub(crate) type Samples = Box<dyn Fn(Id) -> Option<Arc<VmSampleView>> + Send>;

/// Is shown what was committed, and when.
pub(crate) type Observer = Box<dyn FnMut(Seconds, &[&Change]) + Send>;

/// How long entries of the change log are kept, in seconds.
const LOG_KEPT_S: i64 = 7 * 24 * 3600;
/// Entries of the change log that are kept at most.
const LOG_ROWS_MAX: u64 = 1_000_000;
/// Entries of the change log that are deleted at once.
const LOG_TRIM_BATCH: u64 = 2_000;

/// What an order came to.
pub type Outcome = Result<Reply, ApiError>;

impl<S: Store> Core<S> {
    /// Takes over: becomes the writer, loads the state, makes the first objects where there are none. `first` gives name
    /// and stored password of users 0 and 1 when they have to be made.
    ///
    /// # Errors
    /// When the database fails, or `first` does.
    pub fn start(
        mut store: S,
        config: Config,
        clock: Arc<dyn Clock>,
        holder: &str,
        first: impl FnOnce() -> Result<[(String, String); 2], String>,
    ) -> Result<Self, CoreError> {
        let now = clock.now();
        let cloud = store.cloud()?;
        let epoch = store.lead(holder, now)?;
        let world = match store.load(config.clone())? {
            Some(world) => {
                let context = Context {
                    now,
                    random: clock.random(),
                };
                let mut world = world;
                for begin in [vdcs_begin, secrets_begin] {
                    if let Some((new, change)) = begin(&world, &context) {
                        store.commit(epoch, &[&change], now)?;
                        world = new;
                    }
                }
                foreign_say(&world);
                world
            }
            None => {
                let [(name, password), (server, server_password)] = first().map_err(CoreError::First)?;
                let context = Context {
                    now,
                    random: clock.random(),
                };
                let (world, change) = bootstrap(
                    &World::new(config),
                    &context,
                    [&name, &server],
                    [&password, &server_password],
                );
                store.commit(epoch, &[&change], now)?;
                world
            }
        };
        Ok(Self {
            world: Arc::new(world),
            store,
            epoch,
            cloud,
            clock,
            observer: None,
            samples: None,
        })
    }

    /// Shows every commit from now on to somebody, who must not take long.
    pub(crate) fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Where to look up what VMs used, for the stays that end from now on.
    pub(crate) fn measured_by(&mut self, samples: Samples) {
        self.samples = Some(samples);
    }

    /// The last committed state.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The epoch under which it writes.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.0
    }

    /// Identity of the cloud.
    #[must_use]
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// The store, for tests and the simulator.
    pub fn into_store(self) -> S {
        self.store
    }

    /// Deletes some old entries of the change log. Returns whether there may be more of them.
    ///
    /// # Errors
    /// When the database failed: the caller must stop.
    pub fn log_trim(&mut self) -> Result<bool, CoreError> {
        let trim = LogTrim {
            before: self.clock.now().saturating_sub(LOG_KEPT_S),
            rows_max: LOG_ROWS_MAX,
            // Nobody reads on from a number in this process; who does elsewhere sees the gap and loads anew.
            taken: u64::MAX,
            batch: LOG_TRIM_BATCH,
        };
        let gone = self.store.log_trim(self.epoch, trim)?;
        Ok(gone >= LOG_TRIM_BATCH)
    }

    /// Keeps the lead, where it runs out by itself. Returns after which time to call again.
    ///
    /// # Errors
    /// When the database failed, or somebody else leads: the caller must stop.
    pub fn lease_keep(&mut self) -> Result<Option<Duration>, CoreError> {
        Ok(self.store.lease_keep(self.epoch)?)
    }

    /// Applies orders one after another and commits what was accepted in one transaction. An order that is refused
    /// costs its neighbours nothing.
    ///
    /// # Errors
    /// When the commit failed: nothing was published, and the caller must stop.
    pub fn process(&mut self, orders: &[Order]) -> Result<Vec<Outcome>, CoreError> {
        let now = self.clock.now();
        let mut world: Option<World> = None;
        let mut changes: Vec<Change> = Vec::with_capacity(orders.len());
        let mut outcomes = Vec::with_capacity(orders.len());
        for order in orders {
            let context = Context {
                now,
                random: self.clock.random(),
            };
            let current = world.as_ref().unwrap_or(&self.world);
            match apply(current, order, &context) {
                Ok(mut applied) => {
                    if let Some(samples) = &self.samples {
                        for stay in &mut applied.change.stays {
                            stay.sample = samples(stay.vm.id);
                        }
                    }
                    if !applied.change.is_empty() {
                        changes.push(applied.change);
                        world = Some(applied.world);
                    }
                    outcomes.push(Ok(applied.reply));
                }
                Err(refusal) => {
                    if let Command::Called { call, .. } = &order.command {
                        let applied = apply_refused(current, call, &refusal, &context);
                        changes.push(applied.change);
                        world = Some(applied.world);
                    }
                    outcomes.push(Err(refusal));
                }
            }
        }
        if let Some(world) = world {
            let changes: Vec<&Change> = changes.iter().collect();
            self.store.commit(self.epoch, &changes, now)?;
            self.world = Arc::new(world);
            if let Some(observer) = &mut self.observer {
                observer(now, &changes);
            }
        }
        Ok(outcomes)
    }
}

/// Attributes that are named in the log at most.
const FOREIGN_SHOWN: usize = 5;

/// Says in the log which values cannot be read, since another key encrypted them.
fn foreign_say(world: &World) {
    let values = values_foreign(world);
    if values.is_empty() {
        return;
    }
    let shown = values.iter().take(FOREIGN_SHOWN);
    let shown: Vec<String> = shown
        .map(|(kind, id, name)| format!("{} {id} {name}", kind.error_name()))
        .collect();
    tracing::error!(
        "{} encrypted values cannot be read, as {}: they were encrypted with another key. Put the old .one/one_key \
         back and start again, or set these attributes anew; until then what needs them fails",
        values.len(),
        shown.join(", ")
    );
}
