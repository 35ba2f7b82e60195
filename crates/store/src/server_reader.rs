//! [`ServerReader`]: reading beside the writer, on connections of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;

use crate::link::{Engine, Link, LinkError};
use crate::row::{Cell, DONE_COLUMNS, counter_cell, log_parse};
use crate::schema::CHANGE_LOG;
use crate::server_load::{done_row, vm_row};
use crate::stay_row::{SHOWBACK_QUERY, STAY_COLUMNS, showback_parse, stay_parse};
use crate::vm_row::{vm_parse, vm_query};
use crate::{DoneRange, DoneVm, LogRow, ShowbackRow, SqlAnswer, Stay, StoreError, StoreReader};

type Slot = Mutex<Option<Box<dyn Link>>>;

/// Reads from a database of a server. Connections are made when they are needed; one that was lost is made anew.
pub struct ServerReader {
    engine: Arc<dyn Engine>,
    slots: Vec<Slot>,
    /// Counts those that found all in use, to spread them.
    turn: AtomicUsize,
}

impl std::fmt::Debug for ServerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerReader({:?})", self.engine)
    }
}

impl ServerReader {
    pub(crate) fn new(engine: Arc<dyn Engine>, connections: usize) -> Self {
        Self {
            engine,
            slots: (0..connections.max(1)).map(|_| Mutex::new(None)).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Runs a read on a connection, waiting for one when all are in use. On a thread of its own: clients that wait by
    /// a runtime must not do so on one of another.
    fn run<T: Send>(
        &self,
        read: impl Fn(&mut dyn Link) -> Result<T, LinkError> + Send + Sync,
    ) -> Result<T, StoreError> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.run_here(&read));
            thread
                .join()
                .unwrap_or_else(|_| Err(StoreError::Database("a read broke down".into())))
        })
    }

    fn run_here<T>(&self, read: &impl Fn(&mut dyn Link) -> Result<T, LinkError>) -> Result<T, StoreError> {
        for slot in &self.slots {
            match slot.try_lock() {
                Ok(mut slot) => return self.run_on(&mut slot, read),
                Err(TryLockError::Poisoned(poisoned)) => {
                    return self.run_on(&mut poisoned.into_inner(), read);
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let slot = turn
            .checked_rem(self.slots.len())
            .and_then(|index| self.slots.get(index));
        let Some(slot) = slot else {
            return Err(StoreError::Database("there is no connection to read on".into()));
        };
        self.run_on(&mut slot.lock().unwrap_or_else(PoisonError::into_inner), read)
    }

    fn run_on<T>(
        &self,
        slot: &mut Option<Box<dyn Link>>,
        read: &impl Fn(&mut dyn Link) -> Result<T, LinkError>,
    ) -> Result<T, StoreError> {
        // A connection that rested may be gone: the second one is new.
        let rested = slot.is_some();
        let first = self.try_on(slot, read);
        match first {
            Err(LinkError::Lost(_)) if rested => Ok(self.try_on(slot, read)?),
            other => Ok(other?),
        }
    }

    fn try_on<T>(
        &self,
        slot: &mut Option<Box<dyn Link>>,
        read: &impl Fn(&mut dyn Link) -> Result<T, LinkError>,
    ) -> Result<T, LinkError> {
        let mut link = match slot.take() {
            Some(link) => link,
            None => self.engine.connect()?,
        };
        let result = read(&mut *link);
        if result.is_ok() {
            *slot = Some(link);
        }
        result
    }

    /// The rows of a query of six columns, none of them NULL.
    fn rows<T: Send>(
        &self,
        query: &str,
        cells: &[Cell],
        parse: fn([Cell; 6]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.run(|link| {
            let mut rows = Vec::new();
            link.query(query, &cells.iter().collect::<Vec<_>>(), &mut |cells| {
                let cells: Vec<Cell> = cells.into_iter().flatten().collect();
                let cells = <[Cell; 6]>::try_from(cells)
                    .map_err(|_| StoreError::Database("a column that must not be is NULL".into()))?;
                rows.push(parse(cells)?);
                Ok(())
            })?;
            Ok(rows)
        })
    }

    fn vms(&self, condition: &str, cells: &[Cell]) -> Result<Vec<Vm>, StoreError> {
        let query = vm_query(condition);
        self.run(|link| {
            let mut vms = Vec::new();
            link.query(&query, &cells.iter().collect::<Vec<_>>(), &mut |cells| {
                vms.push(vm_parse(&vm_row(cells)?)?);
                Ok(())
            })?;
            Ok(vms)
        })
    }
}

impl StoreReader for ServerReader {
    fn sql_query(&self, query: &str) -> Result<SqlAnswer, StoreError> {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| self.engine.connect()?.ask(query));
            let answer = asked
                .join()
                .unwrap_or_else(|_| Err(StoreError::Database("a query broke down".into()).into()));
            Ok(answer?)
        })
    }

    fn vm(&self, id: Id) -> Result<Option<Vm>, StoreError> {
        let condition = format!("WHERE vms.oid = {}", self.engine.dialect().parameter(1));
        Ok(self.vms(&condition, &[id.into()])?.pop())
    }

    fn vms_done(&self, range: DoneRange, limit: u64) -> Result<Vec<DoneVm>, StoreError> {
        let dialect = self.engine.dialect();
        let query = format!(
            "SELECT {} FROM vms WHERE state = {} AND oid BETWEEN {} AND {} AND etime > {} AND stime < {} \
             ORDER BY oid {} LIMIT {}",
            DONE_COLUMNS.join(", "),
            VmState::Done.number(),
            dialect.parameter(1),
            dialect.parameter(2),
            dialect.parameter(3),
            dialect.parameter(4),
            if range.ascending { "ASC" } else { "DESC" },
            dialect.parameter(5)
        );
        let cells: [Cell; 5] = [
            range.first.into(),
            range.last.into(),
            range.ended_after.into(),
            range.made_before.into(),
            count(limit),
        ];
        self.run(|link| {
            let mut vms = Vec::new();
            link.query(&query, &cells.iter().collect::<Vec<_>>(), &mut |cells| {
                vms.push(done_row(cells)?);
                Ok(())
            })?;
            Ok(vms)
        })
    }

    fn stays(&self, id: Id) -> Result<Vec<Stay>, StoreError> {
        let parameter = self.engine.dialect().parameter(1);
        let query = format!("SELECT {STAY_COLUMNS} FROM history WHERE oid = {parameter} ORDER BY seq");
        self.rows(&query, &[id.into()], stay_parse)
    }

    fn showback(&self, after: i64, last: i64, limit: u64) -> Result<Vec<ShowbackRow>, StoreError> {
        let dialect = self.engine.dialect();
        let query = format!(
            "{SHOWBACK_QUERY} WHERE slot > {} AND slot <= {} ORDER BY slot LIMIT {}",
            dialect.parameter(1),
            dialect.parameter(2),
            dialect.parameter(3)
        );
        self.rows(&query, &[after.into(), last.into(), count(limit)], showback_parse)
    }

    fn log(&self, seq: u64, limit: u64) -> Result<Vec<LogRow>, StoreError> {
        let dialect = self.engine.dialect();
        let query = format!(
            "SELECT seq, time, kind, oid, operation, old_state, new_state, message FROM change_log \
             WHERE seq > {} ORDER BY seq LIMIT {}",
            dialect.parameter(1),
            dialect.parameter(2)
        );
        let cells = [counter_cell(&CHANGE_LOG, seq, seq)?, count(limit)];
        self.run(|link| {
            let mut log = Vec::new();
            link.query(&query, &cells.iter().collect::<Vec<_>>(), &mut |cells| {
                log.push(log_parse(cells.into_iter().flatten().collect())?);
                Ok(())
            })?;
            Ok(log)
        })
    }
}

/// A limit; what is beyond the numbers of SQL is no limit.
fn count(limit: u64) -> Cell {
    Cell::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}
