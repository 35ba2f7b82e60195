//! Many changes as one transaction: of several puts of one object only the last is written, and what was added and
//! taken back within the batch is not written at all.

use std::collections::BTreeMap;

use plerion_model::showback::Showback;
use plerion_model::{Id, Kind, Seconds};
use plerion_world::{Change, Intent, IntentKey, LogEntry, Object, StayEnd};

use crate::row::{self, Op};
use crate::schema::{CHANGE_LOG, HISTORY, OUTBOX, POOL_CONTROL, VM_ATTRIBUTES, VM_SHOWBACK, table_of};
use crate::stay_row::{showback_row, stay_row};
use crate::vm_row::{Written, attributes_row};
use crate::{StoreError, showback_slot};

/// The sum of some changes. Ordered, so that the same changes give the same statements.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// Objects; none for one that is deleted.
    objects: BTreeMap<(Kind, Id), Option<&'a Object>>,
    /// Intents; none for one that is over.
    intents: BTreeMap<IntentKey, Option<&'a Intent>>,
    last_ids: BTreeMap<Kind, Id>,
    log: Vec<&'a LogEntry>,
    stays: BTreeMap<(Id, i32), &'a StayEnd>,
    showback: BTreeMap<i64, &'a Showback>,
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
            let stays = change.stays.iter();
            batch.stays.extend(stays.filter_map(|stay| {
                let record = stay.vm.last_history()?;
                Some(((stay.vm.id, record.seq), stay))
            }));
            let costs = change.showback.iter();
            batch
                .showback
                .extend(costs.map(|row| (showback_slot(row.year, row.month, row.vm), row)));
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
        for stay in self.stays.values() {
            ops.push(Op::Upsert(&HISTORY, stay_row(stay)?));
        }
        for row in self.showback.values() {
            ops.push(Op::Upsert(&VM_SHOWBACK, showback_row(row)?));
        }
        Ok(ops)
    }

    /// The rows of the change log; `seq` is the number of the last one.
    pub(crate) fn log_ops(&self, seq: u64, now: Seconds) -> Result<Vec<Op>, StoreError> {
        let Some(before) = seq.checked_sub(self.log_len()) else {
            return Err(row::row_error(
                &CHANGE_LOG,
                seq,
                "the leader row counts less than was logged",
            ));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plerion_model::zone::Zone;
    use plerion_template::PackedTemplate;
    use plerion_world::{ImageAsk, Site, Task};

    use super::*;
    use crate::schema::ZONES;

    fn zone(name: &str) -> Change {
        let zone = Zone {
            id: 3,
            name: name.into(),
            state: 0,
            template: PackedTemplate::default(),
        };
        Change {
            puts: vec![Object::Zone(Arc::new(zone))],
            ..Change::default()
        }
    }

    fn intent(step: u64) -> Intent {
        Intent {
            key: IntentKey {
                kind: Kind::Image,
                id: 1,
                step,
                part: 0,
            },
            site: Site::FrontEnd,
            task: Task::Image(ImageAsk::Make),
            time: 0,
        }
    }

    fn ops(changes: &[&Change]) -> Vec<Op> {
        Batch::new(changes).ops(&Written::default()).expect("encodes")
    }

    #[test]
    fn the_last_put_of_an_object_is_written_alone() {
        let ops = ops(&[&zone("one"), &zone("two")]);
        let [Op::Upsert(table, cells)] = ops.as_slice() else {
            panic!("{ops:?}");
        };
        assert_eq!(table.name, ZONES.name);
        assert_eq!(cells[1], "two".into());
    }

    #[test]
    fn what_is_deleted_last_is_deleted_and_what_is_put_last_is_put() {
        let delete = Change {
            deletes: vec![(Kind::Zone, 3)],
            ..Change::default()
        };
        let gone = ops(&[&zone("one"), &delete]);
        assert!(matches!(gone.as_slice(), [Op::Delete(..)]), "{gone:?}");
        let back = ops(&[&delete, &zone("one")]);
        assert!(matches!(back.as_slice(), [Op::Upsert(..)]), "{back:?}");
    }

    #[test]
    fn an_intent_that_came_and_went_is_not_written() {
        let added = Change {
            intents: vec![intent(1), intent(2)],
            ..Change::default()
        };
        let over = Change {
            intents_over: vec![intent(1).key],
            ..Change::default()
        };
        let ops = ops(&[&added, &over]);
        // The row may be there from before: it is deleted for sure.
        let [Op::Delete(_, gone), Op::Upsert(_, stays)] = ops.as_slice() else {
            panic!("{ops:?}");
        };
        assert_eq!((&gone[2], &stays[2]), (&1.into(), &2.into()));
    }
}
