//! Many changes as one transaction: of several puts of one object only the last is written, and what was added and
//! taken back within the batch is not written at all.

use std::collections::BTreeMap;

use plerion_model::{Id, Kind, Seconds};
use plerion_world::{Change, Intent, IntentKey, LogEntry, Object};

use crate::StoreError;
use crate::row::{self, Op};
use crate::schema::{CHANGE_LOG, OUTBOX, POOL_CONTROL, VM_ATTRIBUTES, table_of};
use crate::vm_row::{Written, attributes_row};

/// The sum of some changes. Ordered, so that the same changes give the same statements.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// Objects; none for one that is deleted.
    objects: BTreeMap<(Kind, Id), Option<&'a Object>>,
    /// Intents; none for one that is over.
    intents: BTreeMap<IntentKey, Option<&'a Intent>>,
    last_ids: BTreeMap<Kind, Id>,
    log: Vec<&'a LogEntry>,
}

impl<'a> Batch<'a> {
    /// Sums up changes, in the order in which a world takes them in.
    pub(crate) fn new(changes: &[&'a Change]) -> Self {
        let mut batch = Self::default();
        for change in changes {
            for object in &change.puts {
                batch.objects.insert((object.kind(), object.id()), Some(object));
            }
            for key in &change.deletes {
                batch.objects.insert(*key, None);
            }
            for key in &change.intents_over {
                batch.intents.insert(*key, None);
            }
            for intent in &change.intents {
                batch.intents.insert(intent.key, Some(intent));
            }
            batch.last_ids.extend(change.last_ids.iter().copied());
            batch.log.extend(&change.log);
        }
        batch
    }

    /// Number of entries for the change log.
    pub(crate) fn log_len(&self) -> u64 {
        self.log.len() as u64
    }

    /// The rows to change, but for the change log. What `written` has is left out.
    pub(crate) fn ops(&self, written: &Written) -> Result<Vec<Op>, StoreError> {
        let mut ops = Vec::new();
        for ((kind, id), object) in &self.objects {
            match object {
                Some(object) => {
                    ops.push(Op::Upsert(table_of(*kind), row::object_row(object)?));
                    if let Object::Vm(vm) = object
                        && !written.has(vm)
                    {
                        ops.push(Op::Upsert(&VM_ATTRIBUTES, attributes_row(vm)));
                    }
                }
                None => {
                    ops.push(Op::Delete(table_of(*kind), vec![(*id).into()]));
                    if *kind == Kind::Vm {
                        ops.push(Op::Delete(&VM_ATTRIBUTES, vec![(*id).into()]));
                    }
                }
            }
        }
        for (key, intent) in &self.intents {
            ops.push(match intent {
                Some(intent) => Op::Upsert(&OUTBOX, row::intent_row(intent)?),
                None => Op::Delete(&OUTBOX, row::intent_key_row(key)?),
            });
        }
        for (kind, id) in &self.last_ids {
            ops.push(Op::Upsert(&POOL_CONTROL, row::last_id_row(*kind, *id)));
        }
        Ok(ops)
    }

    /// The rows of the change log; `seq` is the number of the last one.
    pub(crate) fn log_ops(&self, seq: u64, now: Seconds) -> Result<Vec<Op>, StoreError> {
        let Some(before) = seq.checked_sub(self.log_len()) else {
            return Err(row::row_error(&CHANGE_LOG, seq, "the leader row counts less than was logged"));
        };
        self.log
            .iter()
            .zip(before + 1..)
            .map(|(entry, seq)| Ok(Op::Insert(&CHANGE_LOG, row::log_row(seq, now, entry)?)))
            .collect()
    }

    /// Notes in `written` what was written.
    pub(crate) fn note(&self, written: &mut Written) {
        for ((kind, id), object) in &self.objects {
            match object {
                Some(Object::Vm(vm)) => written.put(vm),
                None if *kind == Kind::Vm => written.remove(*id),
                _ => {}
            }
        }
    }
}
