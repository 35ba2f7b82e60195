//! [`MemoryStore`]: the same rows without a file, for the simulator. Fails when told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::{Id, Kind, Seconds};
use plerion_world::{Change, Config, Object, World};

use crate::batch::Batch;
use crate::row::{self, Cell, DONE_COLUMNS, ObjectRow, Op, done_parse, row_error};
use crate::schema::{
    CHANGE_LOG, HISTORY, LOAD_ORDER, OUTBOX, POOL_CONTROL, Table, VM_ATTRIBUTES, VM_SHOWBACK, VMS, table_of,
};
use crate::stay_row::{showback_parse, stay_parse};
use crate::vm_row::{VmRow, Written, vm_parse};
use crate::{
    DoneRange, DoneVm, Epoch, LogRow, LogTrim, ShowbackRow, SqlAnswer, Stay, Store, StoreError, StoreReader,
};

/// Where a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// Nothing has been written.
    BeforeCommit,
    /// Everything has been written, but the writer is not told.
    AfterCommit,
}

/// A state in memory, kept as the rows that an SQL database would hold.
///
/// Clones are further connections to the same rows: what one wrote another can load, and of two that lead the first
/// one is fenced.
#[derive(Debug)]
pub struct MemoryStore {
    database: Arc<Mutex<Database>>,
    written: Written,
    broken: Option<String>,
}

#[derive(Debug, Default)]
struct Database {
    cloud: String,
    /// Rows by table and key.
    tables: BTreeMap<&'static str, BTreeMap<Vec<Cell>, Vec<Cell>>>,
    epoch: u64,
    seq: u64,
    fail_next: Option<FailPoint>,
}

impl MemoryStore {
    /// An empty database of a cloud.
    #[must_use]
    pub fn new(cloud: &str) -> Self {
        Self {
            database: Arc::new(Mutex::new(Database {
                cloud: cloud.to_owned(),
                ..Database::default()
            })),
            written: Written::default(),
            broken: None,
        }
    }

    /// Lets the next commit on any connection fail. Its connection is of no use from then on.
    pub fn fail_next(&self, point: FailPoint) {
        self.database().fail_next = Some(point);
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        // Changes are put in when nothing can fail any more, so the rows are whole.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> Result<(), StoreError> {
        match &self.broken {
            Some(reason) => Err(StoreError::Unusable(reason.clone())),
            None => Ok(()),
        }
    }

    /// After a write that failed nothing more is written.
    fn judge<T>(&mut self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => {}
            Err(StoreError::Fenced { .. }) => self.written.clear(),
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    fn batch_commit(&mut self, epoch: Epoch, batch: &Batch<'_>, now: Seconds) -> Result<u64, StoreError> {
        let ops = batch.ops(&self.written)?;
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if database.epoch != epoch.0 {
            return Err(StoreError::Fenced {
                found: database.epoch,
                own: epoch.0,
            });
        }
        let seq = database.seq.saturating_add(batch.log_len());
        let log = batch.log_ops(seq, now)?;
        let fail = database.fail_next.take();
        if fail == Some(FailPoint::BeforeCommit) {
            return Err(StoreError::Database("made to fail before the commit".into()));
        }
        database.seq = seq;
        ops.into_iter().chain(log).for_each(|op| database.run(op));
        if fail == Some(FailPoint::AfterCommit) {
            return Err(StoreError::Database("made to fail after the commit".into()));
        }
        drop(database);
        batch.note(&mut self.written);
        Ok(seq)
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self {
            database: self.database.clone(),
            written: Written::default(),
            broken: None,
        }
    }
}

impl Store for MemoryStore {
    fn cloud(&mut self) -> Result<String, StoreError> {
        self.usable()?;
        Ok(self.database().cloud.clone())
    }

    fn lead(&mut self, _holder: &str, _now: Seconds) -> Result<Epoch, StoreError> {
        self.usable()?;
        self.written.clear();
        let mut database = self.database();
        database.epoch = database.epoch.saturating_add(1);
        Ok(Epoch(database.epoch))
    }

    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError> {
        self.usable()?;
        self.written.clear();
        let world = self.database().load(config)?;
        if let Some(world) = &world {
            world.vms.values().for_each(|vm| self.written.put(vm));
        }
        Ok(world)
    }

    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError> {
        self.usable()?;
        let result = self.batch_commit(epoch, &Batch::new(changes), now);
        self.judge(&result);
        result
    }

    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        self.usable()?;
        let result = self.rows_trim(epoch, trim);
        self.judge(&result);
        result
    }
}

impl MemoryStore {
    fn rows_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        let mut database = self.database();
        if database.epoch != epoch.0 {
            return Err(StoreError::Fenced {
                found: database.epoch,
                own: epoch.0,
            });
        }
        let number = |row: &Vec<Cell>| int(&CHANGE_LOG, row, "seq");
        let mut first = None;
        let mut young = None;
        for row in database
            .rows(&CHANGE_LOG)
            .take(usize::try_from(trim.batch).unwrap_or(usize::MAX))
        {
            let seq = row::counter(&CHANGE_LOG, 0, number(row)?)?;
            first.get_or_insert(seq);
            if int(&CHANGE_LOG, row, "time")? >= trim.before {
                young = Some(seq);
                break;
            }
        }
        let Some(first) = first else { return Ok(0) };
        let kept = row::counter_cell(&CHANGE_LOG, 0, trim.first_kept(first, database.seq, young))?;
        let Some(rows) = database.tables.get_mut(CHANGE_LOG.name) else {
            return Ok(0);
        };
        let before = rows.len();
        rows.retain(|key, _| key.first() >= Some(&kept));
        Ok((before - rows.len()) as u64)
    }
}

impl StoreReader for MemoryStore {
    fn sql_query(&self, _query: &str) -> Result<SqlAnswer, StoreError> {
        Err(StoreError::Database(
            "the state is in memory only, and there is no SQL to ask: set DB in oned.conf".into(),
        ))
    }

    fn vm(&self, id: Id) -> Result<Option<Vm>, StoreError> {
        let database = self.database();
        let row = database.rows(&VMS).find(|row| row.first() == Some(&id.into()));
        row.map(|row| vm_parse(&database.vm_row(row)?)).transpose()
    }

    fn vms_done(&self, range: DoneRange, limit: u64) -> Result<Vec<DoneVm>, StoreError> {
        let database = self.database();
        let within = |row: &&Vec<Cell>| {
            let time = |column| int(&VMS, row, column).unwrap_or(0);
            time("etime") > range.ended_after && time("stime") < range.made_before
        };
        let done = database
            .rows(&VMS)
            .filter(|row| Database::is_done(row))
            .filter(within);
        let mut vms = done
            .map(|row| {
                let [oid, uid, gid, perms] = DONE_COLUMNS.map(|column| int(&VMS, row, column));
                done_parse([oid?, uid?, gid?, perms?])
            })
            .collect::<Result<Vec<DoneVm>, StoreError>>()?;
        vms.retain(|vm| (range.first..=range.last).contains(&vm.id));
        if !range.ascending {
            vms.reverse();
        }
        vms.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(vms)
    }

    fn stays(&self, id: Id) -> Result<Vec<Stay>, StoreError> {
        let database = self.database();
        let rows = database
            .rows(&HISTORY)
            .filter(|row| row.first() == Some(&id.into()));
        rows.map(|row| {
            stay_parse([
                int(&HISTORY, row, "oid")?.into(),
                int(&HISTORY, row, "seq")?.into(),
                text(&HISTORY, row, "body")?.into(),
                text(&HISTORY, row, "template")?.into(),
                text(&HISTORY, row, "user_template")?.into(),
                text(&HISTORY, row, "sample")?.into(),
            ])
        })
        .collect()
    }

    fn showback(&self, after: i64, last: i64, limit: u64) -> Result<Vec<ShowbackRow>, StoreError> {
        let database = self.database();
        let mut found = Vec::new();
        for row in database.rows(&VM_SHOWBACK) {
            let slot = int(&VM_SHOWBACK, row, "slot")?;
            let oid = int(&VM_SHOWBACK, row, "oid")?;
            let vm = database.rows(&VMS).find(|vm| vm.first() == Some(&oid.into()));
            let Some(vm) = vm.filter(|_| slot > after && slot <= last) else {
                continue;
            };
            if found.len() as u64 == limit {
                break;
            }
            found.push(showback_parse([
                slot.into(),
                text(&VM_SHOWBACK, row, "body")?.into(),
                oid.into(),
                int(&VMS, vm, "uid")?.into(),
                int(&VMS, vm, "gid")?.into(),
                int(&VMS, vm, "perms")?.into(),
            ])?);
        }
        Ok(found)
    }

    fn log(&self, seq: u64, limit: u64) -> Result<Vec<LogRow>, StoreError> {
        let database = self.database();
        let after = row::counter_cell(&CHANGE_LOG, seq, seq)?;
        let rows = database
            .rows(&CHANGE_LOG)
            .filter(|row| row.first() > Some(&after))
            .take(usize::try_from(limit).unwrap_or(usize::MAX));
        rows.map(|row| row::log_parse(row.clone())).collect()
    }
}

impl Database {
    fn run(&mut self, op: Op) {
        match op {
            Op::Insert(table, cells) | Op::Upsert(table, cells) => {
                let key = cells.iter().take(table.key).cloned().collect();
                self.tables.entry(table.name).or_default().insert(key, cells);
            }
            Op::Delete(table, key) => {
                self.tables.entry(table.name).or_default().remove(&key);
            }
        }
    }

    fn rows(&self, table: &'static Table) -> impl DoubleEndedIterator<Item = &Vec<Cell>> + use<'_> {
        self.tables.get(table.name).into_iter().flat_map(BTreeMap::values)
    }

    fn is_done(row: &[Cell]) -> bool {
        let state = VMS.position("state").and_then(|index| row.get(index));
        state == Some(&VmState::Done.number().into())
    }

    fn vm_row(&self, row: &[Cell]) -> Result<VmRow, StoreError> {
        let oid = int(&VMS, row, "oid")?;
        let attributes = self
            .tables
            .get(VM_ATTRIBUTES.name)
            .and_then(|rows| rows.get([Cell::Int(oid)].as_slice()));
        let attributes = attributes.map(|row| {
            let template = text(&VM_ATTRIBUTES, row, "template")?;
            Ok::<_, StoreError>((template, text(&VM_ATTRIBUTES, row, "user_template")?))
        });
        Ok(VmRow {
            oid,
            body: text(&VMS, row, "body")?,
            attributes: attributes.transpose()?,
        })
    }

    fn load(&self, config: Config) -> Result<Option<World>, StoreError> {
        let mut world = World::new(config);
        let mut objects = 0;
        for kind in LOAD_ORDER {
            let table = table_of(*kind);
            for row in self
                .rows(table)
                .filter(|row| *kind != Kind::Vm || !Self::is_done(row))
            {
                world.put(&self.object(*kind, table, row)?);
                objects += 1;
            }
        }
        for row in self.rows(&OUTBOX) {
            let intent = row::intent_parse(int(&OUTBOX, row, "oid")?, &text(&OUTBOX, row, "body")?)?;
            world.outbox.insert(intent.key, Arc::new(intent));
        }
        for row in self.rows(&POOL_CONTROL) {
            let kind = text(&POOL_CONTROL, row, "kind")?;
            let (kind, id) = row::last_id_parse(&kind, int(&POOL_CONTROL, row, "last_oid")?)?;
            world.last_ids.insert(kind, id);
        }
        if objects == 0 && world.last_ids.is_empty() {
            return Ok(None);
        }
        Ok(Some(world))
    }

    fn object(&self, kind: Kind, table: &'static Table, row: &[Cell]) -> Result<Object, StoreError> {
        if kind == Kind::Vm {
            return Ok(Object::Vm(Arc::new(vm_parse(&self.vm_row(row)?)?)));
        }
        let template = match table.position("template") {
            Some(_) => text(table, row, "template")?,
            None => String::new(),
        };
        let row = ObjectRow {
            oid: int(table, row, "oid")?,
            body: text(table, row, "body")?,
            template,
        };
        row::object_parse(kind, &row)
    }
}

fn int(table: &'static Table, row: &[Cell], column: &str) -> Result<i64, StoreError> {
    match table.position(column).and_then(|index| row.get(index)) {
        Some(Cell::Int(value)) => Ok(*value),
        _ => Err(row_error(table, "?", format!("{column} is no number"))),
    }
}

fn text(table: &'static Table, row: &[Cell], column: &str) -> Result<String, StoreError> {
    match table.position(column).and_then(|index| row.get(index)) {
        Some(Cell::Text(text)) => Ok(text.clone()),
        _ => Err(row_error(table, "?", format!("{column} is no text"))),
    }
}
