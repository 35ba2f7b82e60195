//! [`SqliteReader`]: reading beside the writer, on connections of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, mpsc};

use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::row::{Cell, DONE_COLUMNS, counter_cell, done_parse, log_parse};
use crate::schema::{CHANGE_LOG, ColumnType, VMS};
use crate::sql_query::{SQL_TIME_MAX, no_query, too_long};
use crate::sqlite::{BUSY_TIMEOUT, int, sql_error, text, vm_row};
use crate::stay_row::{SHOWBACK_QUERY, STAY_COLUMNS, showback_parse, stay_parse};
use crate::vm_row::{vm_parse, vm_query};
use crate::{DoneRange, DoneVm, LogRow, ShowbackRow, SqlAnswer, Stay, StoreError, StoreReader};

/// Reads that may run at once; others wait.
const CONNECTIONS: usize = 4;

/// Reads from an SQLite database. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqliteReader {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    connections: Vec<Mutex<Connection>>,
    /// Counts those that found all in use, to spread them.
    turn: AtomicUsize,
}

impl SqliteReader {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connections: Result<Vec<Mutex<Connection>>, rusqlite::Error> = (0..CONNECTIONS)
            .map(|_| Ok(Mutex::new(read_only(path)?)))
            .collect();
        Ok(Self {
            pool: Arc::new(Pool {
                path: path.to_owned(),
                connections: connections.map_err(sql_error)?,
                turn: AtomicUsize::new(0),
            }),
        })
    }

    /// The rows of a query of six columns.
    fn rows<T>(
        &self,
        query: &str,
        parameters: &[Cell],
        parse: fn([Cell; 6]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.pool.run(|connection| {
            let mut statement = connection.prepare_cached(query).map_err(sql_error)?;
            let mut rows = statement
                .query(rusqlite::params_from_iter(parameters))
                .map_err(sql_error)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(sql_error)? {
                let mut cells = [const { Cell::Int(0) }; 6];
                for (index, cell) in cells.iter_mut().enumerate() {
                    *cell = any(row, index)?;
                }
                found.push(parse(cells)?);
            }
            Ok(found)
        })
    }

    fn vms(&self, condition: &str, parameters: &[Cell]) -> Result<Vec<Vm>, StoreError> {
        self.pool.run(|connection| {
            let mut statement = connection
                .prepare_cached(&vm_query(condition))
                .map_err(sql_error)?;
            let mut rows = statement
                .query(rusqlite::params_from_iter(parameters))
                .map_err(sql_error)?;
            let mut vms = Vec::new();
            while let Some(row) = rows.next().map_err(sql_error)? {
                vms.push(vm_parse(&vm_row(row)?)?);
            }
            Ok(vms)
        })
    }
}

impl StoreReader for SqliteReader {
    fn sql_query(&self, query: &str) -> Result<SqlAnswer, StoreError> {
        let connection = read_only(&self.pool.path).map_err(sql_error)?;
        // No other file is reached, neither to read (ATTACH) nor to write (VACUUM INTO).
        connection
            .set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)
            .map_err(sql_error)?;
        any_query(&connection, query)
    }

    fn vm(&self, id: Id) -> Result<Option<Vm>, StoreError> {
        Ok(self.vms("WHERE vms.oid = ?1", &[id.into()])?.pop())
    }

    fn vms_done(&self, range: DoneRange, limit: u64) -> Result<Vec<DoneVm>, StoreError> {
        let query = format!(
            "SELECT {} FROM vms WHERE state = {} AND oid BETWEEN ?1 AND ?2 AND etime > ?4 AND stime < ?5 \
             ORDER BY oid {} LIMIT ?3",
            DONE_COLUMNS.join(", "),
            VmState::Done.number(),
            if range.ascending { "ASC" } else { "DESC" }
        );
        self.pool.run(|connection| {
            let mut statement = connection.prepare_cached(&query).map_err(sql_error)?;
            let parameters: [Cell; 5] = [
                range.first.into(),
                range.last.into(),
                count(limit),
                range.ended_after.into(),
                range.made_before.into(),
            ];
            let mut rows = statement.query(parameters).map_err(sql_error)?;
            let mut vms = Vec::new();
            while let Some(row) = rows.next().map_err(sql_error)? {
                let cell = |index| int(row, index, &VMS);
                vms.push(done_parse([cell(0)?, cell(1)?, cell(2)?, cell(3)?])?);
            }
            Ok(vms)
        })
    }

    fn stays(&self, id: Id) -> Result<Vec<Stay>, StoreError> {
        let query = format!("SELECT {STAY_COLUMNS} FROM history WHERE oid = ?1 ORDER BY seq");
        self.rows(&query, &[id.into()], stay_parse)
    }

    fn showback(&self, after: i64, last: i64, limit: u64) -> Result<Vec<ShowbackRow>, StoreError> {
        let query = format!("{SHOWBACK_QUERY} WHERE slot > ?1 AND slot <= ?2 ORDER BY slot LIMIT ?3");
        let parameters = [after.into(), last.into(), count(limit)];
        self.rows(&query, &parameters, showback_parse)
    }

    fn log(&self, seq: u64, limit: u64) -> Result<Vec<LogRow>, StoreError> {
        let after = counter_cell(&CHANGE_LOG, seq, seq)?;
        self.pool.run(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT seq, time, kind, oid, operation, old_state, new_state, message FROM change_log \
                     WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                )
                .map_err(sql_error)?;
            let mut rows = statement.query([after, count(limit)]).map_err(sql_error)?;
            let mut log = Vec::new();
            while let Some(row) = rows.next().map_err(sql_error)? {
                log.push(log_parse(log_cells(row)?)?);
            }
            Ok(log)
        })
    }
}

fn read_only(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Asks any query on a connection that only reads, for as long as it may last.
fn any_query(connection: &Connection, query: &str) -> Result<SqlAnswer, StoreError> {
    let interrupt = connection.get_interrupt_handle();
    let (over, clock) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if clock.recv_timeout(SQL_TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let answer = any_rows(connection, query);
        drop(over);
        answer
    })
}

fn any_rows(connection: &Connection, query: &str) -> Result<SqlAnswer, StoreError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => too_long(),
        _ => sql_error(error),
    };
    let mut statement = connection.prepare(query).map_err(failed)?;
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(no_query());
    }
    let columns = statement.column_names();
    let mut answer = SqlAnswer::new(columns.into_iter().map(str::to_owned).collect());
    let width = answer.columns.len();
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let cells: Result<Vec<Option<String>>, rusqlite::Error> = (0..width)
            .map(|index| Ok(cell_text(row.get_ref(index)?)))
            .collect();
        answer.push(cells.map_err(failed)?)?;
    }
    Ok(answer)
}

fn cell_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// A cell of whatever type it is.
fn any(row: &rusqlite::Row<'_>, index: usize) -> Result<Cell, StoreError> {
    match row.get_ref(index).map_err(sql_error)? {
        ValueRef::Integer(value) => Ok(Cell::Int(value)),
        other => other
            .as_str()
            .map(Cell::from)
            .map_err(|error| StoreError::Database(error.to_string())),
    }
}

/// A limit; what is beyond the numbers of SQL is no limit.
fn count(limit: u64) -> Cell {
    Cell::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}

fn log_cells(row: &rusqlite::Row<'_>) -> Result<Vec<Cell>, StoreError> {
    let seq = int(row, 0, &CHANGE_LOG)?;
    let columns = CHANGE_LOG.columns.iter().enumerate();
    columns
        .map(|(index, column)| match column.kind {
            ColumnType::Int => int(row, index, &CHANGE_LOG).map(Cell::Int),
            ColumnType::Name | ColumnType::Text => text(row, index, &CHANGE_LOG, seq).map(Cell::Text),
        })
        .collect()
}

impl Pool {
    /// Runs a read on a connection, waiting for one when all are in use.
    fn run<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A connection is fit for the next read whatever became of the one before.
        for connection in &self.connections {
            match connection.try_lock() {
                Ok(connection) => return read(&connection),
                Err(TryLockError::Poisoned(poisoned)) => return read(&poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let Some(connection) = self.connections.get(turn) else {
            return Err(StoreError::Database("there is no connection to read on".into()));
        };
        read(&connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
