//! [`SpaceWatch`]: the space of datastores whose drivers are scripts, as these measure it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use plerion_drivers::{datastore_is_scripted, datastore_monitor};
use plerion_model::Id;
use plerion_protocol::{Action, ActionError, ActionOutput, DatastoreSample};
use plerion_world::World;

/// Which datastores are asked, and when next.
pub(crate) struct SpaceWatch {
    every: Duration,
    next: HashMap<Id, Instant>,
    asked: HashSet<Id>,
    /// Why a datastore could not be measured: said once, until that changes.
    failed: HashMap<Id, String>,
}

impl SpaceWatch {
    /// Nobody was asked yet.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: HashMap::new(),
            asked: HashSet::new(),
            failed: HashMap::new(),
        }
    }

    /// Whom to ask now: each at the interval, and not again before it has answered.
    pub(crate) fn due(&mut self, world: &World, now: Instant) -> Vec<(Id, Action)> {
        self.next.retain(|id, _| world.datastores.get(*id).is_some());
        self.failed.retain(|id, _| world.datastores.get(*id).is_some());
        let mut due = Vec::new();
        for store in world
            .datastores
            .values()
            .filter(|store| datastore_is_scripted(store))
        {
            let waits = self.next.get(&store.id).is_some_and(|next| *next > now);
            if waits || self.asked.contains(&store.id) {
                continue;
            }
            if let Some(action) = datastore_monitor(world, store) {
                self.next.insert(store.id, now + self.every);
                self.asked.insert(store.id);
                due.push((store.id, action));
            }
        }
        due
    }

    /// What a script has said; nothing where it could not tell, or leaves it to others.
    pub(crate) fn answered(
        &mut self,
        id: Id,
        answer: Result<ActionOutput, ActionError>,
    ) -> Option<DatastoreSample> {
        self.asked.remove(&id);
        match answer {
            Ok(output) => {
                if self.failed.remove(&id).is_some() {
                    tracing::info!(datastore = id, "the space of the datastore is measured again");
                }
                output.space.map(|space| DatastoreSample { id, ..space })
            }
            Err(error) => {
                if self.failed.get(&id) != Some(&error.text) {
                    tracing::warn!(datastore = id, %error, "the space of the datastore is not measured");
                    self.failed.insert(id, error.text);
                }
                None
            }
        }
    }
}
