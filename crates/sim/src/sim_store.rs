//! [`SimStore`]: the store in memory, and the mistakes that a store can make.

use std::sync::{Arc, Mutex, PoisonError};

use plerion_model::{Kind, Seconds};
use plerion_store::{Epoch, FailPoint, LogTrim, MemoryStore, Store, StoreError};
use plerion_world::{Change, Config, LogEntry, Object, World};

use crate::plant::{Bug, Plant};

/// Every this many commits a mistake in the store shows.
const MISTAKE_EVERY: u64 = 5;

/// A connection to the database of a run.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) inner: MemoryStore,
    /// Where the next commit on any connection fails.
    fail: Arc<Mutex<Option<FailPoint>>>,
    /// Entries for the change log that were committed and have not been looked at.
    log: Arc<Mutex<Vec<LogEntry>>>,
    plant: Plant,
    commits: u64,
}

impl SimStore {
    /// A connection to an empty database.
    pub(crate) fn new(plant: Plant) -> Self {
        Self {
            inner: MemoryStore::new("sim"),
            fail: Arc::default(),
            log: Arc::default(),
            plant,
            commits: 0,
        }
    }

    /// Says where the next commit fails, if anywhere.
    pub(crate) fn fail_set(&self, point: Option<FailPoint>) {
        *self.fail.lock().unwrap_or_else(PoisonError::into_inner) = point;
    }

    /// The entries of the change log since the last call.
    pub(crate) fn log_take(&self) -> Vec<LogEntry> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A change as a store writes it that makes mistakes.
    fn spoiled(&self, change: &Change) -> Change {
        let mut change = change.clone();
        if self.plant.has(Bug::ObjectLost) && self.commits.is_multiple_of(MISTAKE_EVERY) {
            change.puts.pop();
        }
        if self.plant.has(Bug::DeleteLost) {
            change.deletes.clear();
        }
        if self.plant.has(Bug::IdsLost) {
            change.last_ids.clear();
        }
        if self.plant.has(Bug::OutboxKept) {
            change.intents_over.clear();
        }
        change
    }
}

impl Store for SimStore {
    fn cloud(&mut self) -> Result<String, StoreError> {
        self.inner.cloud()
    }

    fn lead(&mut self, holder: &str, now: Seconds) -> Result<Epoch, StoreError> {
        let epoch = self.inner.lead(holder, now)?;
        if self.plant.has(Bug::EpochNotRaised) {
            return Ok(Epoch(1));
        }
        Ok(epoch)
    }

    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError> {
        let world = self.inner.load(config)?;
        Ok(world.map(|world| world_spoiled(self.plant, world)))
    }

    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        self.inner.log_trim(epoch, trim)
    }

    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError> {
        self.commits += 1;
        let fail = self.fail.lock().unwrap_or_else(PoisonError::into_inner).take();
        if fail == Some(FailPoint::BeforeCommit) {
            return Err(StoreError::Database("made to fail before the commit".into()));
        }
        let fenceless = self.plant.has(Bug::EpochNotRaised) || self.plant.has(Bug::FenceIgnored);
        if self.plant.has(Bug::CommitSkipped) && self.commits.is_multiple_of(MISTAKE_EVERY) {
            return Ok(0);
        }
        let spoiled: Vec<Change> = changes.iter().map(|change| self.spoiled(change)).collect();
        let changes: Vec<&Change> = spoiled.iter().collect();
        let result = match self.inner.commit(epoch, &changes, now) {
            Err(StoreError::Fenced { found, .. }) if fenceless => {
                self.inner.commit(Epoch(found), &changes, now)
            }
            result => result,
        };
        if result.is_ok() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.extend(changes.iter().flat_map(|change| change.log.iter().cloned()));
        }
        match (fail, result) {
            (Some(FailPoint::AfterCommit), Ok(_)) => {
                Err(StoreError::Database("made to fail after the commit".into()))
            }
            (_, result) => result,
        }
    }
}

/// A world as it is loaded by mistake: what is derived from it is not whole.
fn world_spoiled(plant: Plant, world: World) -> World {
    let mut world = world;
    if plant.has(Bug::RestartsForgotten) {
        let vms: Vec<_> = world.vms.values().cloned().collect();
        for mut vm in vms {
            std::sync::Arc::make_mut(&mut vm).restart = None;
            world.put(&Object::Vm(vm));
        }
    }
    if plant.has(Bug::LeasesFreed) {
        // VMs that are in the pool with their leases, and without them in what is derived from it.
        let vms = world.vms.clone();
        let mut bare: Vec<_> = vms.values().cloned().collect();
        for vm in &mut bare {
            let vm = Arc::make_mut(vm);
            Arc::make_mut(&mut vm.demand).leases.clear();
            let vm = Arc::new(vm.clone());
            world.put(&Object::Vm(vm));
        }
        world.vms = vms;
    }
    if plant.has(Bug::UsageLost) {
        // VMs that are in the pool, but not in what is derived from it.
        let vms = world.vms.clone();
        for id in vms.iter().map(|(id, _)| id).step_by(2) {
            world.remove(Kind::Vm, id);
        }
        world.vms = vms;
    }
    world
}
