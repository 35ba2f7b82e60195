//! [`Txn`]: a world while a command changes it, with a record of the changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::showback::Showback;
use plerion_model::{Id, Kind};

use crate::change::{Change, Intent, IntentKey, LogEntry};
use crate::context::Context;
use crate::encrypted::object_sealed;
use crate::hook_fire::{ExecutionPut, Firing, executions_new, states_fired};
use crate::object::Object;
use crate::vm_stay::stays_ended;
use crate::world::World;

/// A backup that a job had asked for has ended.
#[derive(Clone, Debug)]
pub(crate) struct BackupOver {
    /// The job.
    pub(crate) job: Id,
    /// The VM.
    pub(crate) vm: Id,
    /// Why there is none.
    pub(crate) error: Option<String>,
}

/// A world being changed.
pub(crate) struct Txn<'a> {
    pub(crate) world: World,
    /// The world before the command.
    before: &'a World,
    /// Given out by [`Txn::finish`] only, which sees to it that the log misses nothing.
    change: Change,
    pub(crate) context: &'a Context,
    drawn: u128,
    /// How much of the log was taken over from a command that has called its own hooks.
    fired: usize,
    /// The world then.
    seen: Option<World>,
    /// Backups of jobs that ended, for the jobs to go on with.
    pub(crate) backups_over: Vec<BackupOver>,
    /// What is answered, where that is more than an id.
    pub(crate) answer: Option<String>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(world: &'a World, context: &'a Context) -> Self {
        Self {
            world: world.clone(),
            before: world,
            change: Change::default(),
            context,
            drawn: 0,
            fired: 0,
            seen: None,
            backups_over: Vec::new(),
            answer: None,
        }
    }

    /// The world and its change. Whoever follows the change log reads the objects that it names and no others: so every
    /// object that was put or deleted is named in it, those too about which nothing more was said than that.
    pub(crate) fn finish(mut self) -> (World, Change) {
        self.states_fire();
        let said: BTreeSet<(Kind, Id)> = self
            .change
            .log
            .iter()
            .map(|entry| (entry.kind, entry.id))
            .collect();
        let put = self.change.puts.iter().map(|object| (object.kind(), object.id()));
        let put: BTreeSet<(Kind, Id)> = put.filter(|key| !said.contains(key)).collect();
        for (kind, id) in put {
            self.log(kind, id, "update", "", "", "");
        }
        self.change.stays = stays_ended(self.before, &self.change.puts);
        (self.world, self.change)
    }

    /// Writes what VMs cost in some months.
    pub(crate) fn showback_put(&mut self, rows: &[Showback]) {
        self.change.showback.extend_from_slice(rows);
    }

    /// The objects put so far.
    pub(crate) fn puts(&self) -> &[Object] {
        &self.change.puts
    }

    /// The next id of a kind.
    pub(crate) fn id_next(&mut self, kind: Kind) -> Id {
        let first = kind.facts().first_id;
        let last = self.world.last_ids.get(&kind).copied().unwrap_or(-1);
        let id = first.max(last.saturating_add(1));
        self.id_used(kind, id);
        id
    }

    /// Notes that an id is taken.
    pub(crate) fn id_used(&mut self, kind: Kind, id: Id) {
        if self.world.last_ids.get(&kind).is_none_or(|last| *last < id) {
            self.world.last_ids.insert(kind, id);
            self.change.last_ids.retain(|(other, _)| *other != kind);
            self.change.last_ids.push((kind, id));
        }
    }

    /// A number unlike any other's: 128 bits mixed from what was drawn for the command.
    pub(crate) fn random(&mut self) -> u128 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut value =
            self.context.random ^ self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        value ^= value >> 65;
        value = value.wrapping_mul(0xda94_2042_e4dd_58b5_2545_f491_4f6c_dd1d);
        value ^= value >> 61;
        value
    }

    /// Has the hooks run that the states call for into which objects came, but for what was taken over.
    fn states_fire(&mut self) {
        if self.world.hooks.is_empty() {
            return;
        }
        let log = self.change.log.iter().skip(self.fired);
        let before = self.seen.as_ref().unwrap_or(self.before);
        let firings = states_fired((before, &self.world), &self.change.puts, log);
        self.executions_add(firings);
    }

    /// Adds executions of hooks.
    pub(crate) fn executions_add(&mut self, firings: Vec<Firing>) {
        for put in executions_new(&self.world, firings, self.context.now) {
            match put {
                ExecutionPut::Put(object) => {
                    if object.kind() == Kind::HookExecution {
                        self.id_used(Kind::HookExecution, object.id());
                    }
                    self.put(object);
                }
                ExecutionPut::Delete(id) => self.delete(Kind::HookExecution, id),
            }
        }
    }

    /// Takes over what another command did to this world, which has called its own hooks. Nothing was put before. (Which stays ended follows from what was put.)
    pub(crate) fn absorb(&mut self, world: World, change: Change) {
        self.world = world;
        self.change.puts.extend(change.puts);
        self.change.deletes.extend(change.deletes);
        self.change.intents.extend(change.intents);
        self.change.intents_over.extend(change.intents_over);
        for (kind, id) in change.last_ids {
            self.change.last_ids.retain(|(other, _)| *other != kind);
            self.change.last_ids.push((kind, id));
        }
        self.change.log.extend(change.log);
        self.fired = self.change.log.len();
        self.seen = Some(self.world.clone());
        self.change.showback.extend(change.showback);
    }

    /// Puts an object, its secrets encrypted, about which the log has something else to say, or no more than that it changed.
    pub(crate) fn put(&mut self, object: impl Into<Object>) {
        let object = object_sealed(&self.world, object.into());
        self.world.put(&object);
        self.change.puts.push(object);
    }

    /// Puts a new object and says so in the log.
    pub(crate) fn create(&mut self, object: impl Into<Object>) {
        let object = object.into();
        self.log(object.kind(), object.id(), "create", "", "", "");
        self.put(object);
    }

    /// Puts a changed object and says so in the log.
    pub(crate) fn update(&mut self, object: impl Into<Object>) {
        let object = object.into();
        self.log(object.kind(), object.id(), "update", "", "", "");
        self.put(object);
    }

    /// Deletes an object and says so in the log.
    pub(crate) fn delete(&mut self, kind: Kind, id: Id) {
        self.world.remove(kind, id);
        self.change.deletes.push((kind, id));
        self.log(kind, id, "delete", "", "", "");
    }

    /// Adds an intent.
    pub(crate) fn intent(&mut self, intent: Intent) {
        self.world.outbox.insert(intent.key, Arc::new(intent.clone()));
        self.change.intents.push(intent);
    }

    /// Ends an intent.
    pub(crate) fn intent_over(&mut self, key: IntentKey) {
        if self.world.outbox.remove(&key).is_some() {
            self.change.intents.retain(|intent| intent.key != key);
            self.change.intents_over.push(key);
        }
    }

    /// Ends all intents of an object.
    pub(crate) fn intents_over(&mut self, kind: Kind, id: Id) {
        for key in self.intents_of(kind, id) {
            self.intent_over(key);
        }
    }

    /// What hosts are asked for an object.
    pub(crate) fn intents_of(&self, kind: Kind, id: Id) -> Vec<IntentKey> {
        let from = IntentKey {
            kind,
            id,
            step: 0,
            part: 0,
        };
        let to = IntentKey {
            kind,
            id,
            step: u64::MAX,
            part: u32::MAX,
        };
        self.world.outbox.range(from..=to).map(|(key, _)| *key).collect()
    }

    /// Adds an entry to the change log.
    pub(crate) fn log(&mut self, kind: Kind, id: Id, operation: &str, old: &str, new: &str, message: &str) {
        self.change.log.push(LogEntry {
            kind,
            id,
            operation: operation.to_owned(),
            old_state: old.to_owned(),
            new_state: new.to_owned(),
            message: message.to_owned(),
        });
    }
}
