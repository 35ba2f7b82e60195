//! [`SqliteStore`]: the state in an SQLite file.
//!
//! One connection writes, in WAL mode with every commit synced. A lock file beside the database keeps a second
//! front-end out; should it be taken away, the epoch in the leader row still does. Checkpoints are made here and not
//! by SQLite on its own, which would swallow their errors.

use std::fs::File;
use std::path::Path;

use plerion_model::Seconds;
use plerion_world::{Change, Config, World};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior, params_from_iter};

use crate::batch::Batch;
use crate::dialect::{self, Sqlite};
use crate::row::{Cell, Op, counter, counter_cell};
use crate::schema::{CHANGE_LOG, LEADER, TABLES, Table};
use crate::vm_row::Written;
use crate::{Epoch, LogTrim, SqliteReader, Store, StoreError};

mod load;
mod open;

pub(crate) use load::{int, text, vm_row};
pub(crate) use open::BUSY_TIMEOUT;

/// Statements that stay prepared: more than there are.
const STATEMENTS_MAX: usize = 128;
/// Commits between checkpoints.
const CHECKPOINT_COMMITS: u32 = 500;
/// Bytes of rows between checkpoints.
const CHECKPOINT_BYTES: usize = 8 << 20;

const FENCE: &str = "UPDATE leader SET seq = seq + ?1, commits = commits + 1 WHERE id = 0 AND epoch = ?2";
const SEQ: &str = "SELECT seq FROM leader WHERE id = 0";
const EPOCH: &str = "SELECT epoch FROM leader WHERE id = 0";
const LEAD: &str =
    "UPDATE leader SET epoch = epoch + 1, commits = commits + 1, holder = ?1, since = ?2 WHERE id = 0";
const LOG_FIRST: &str = "SELECT min(seq) FROM change_log";
const LOG_YOUNG: &str = "SELECT seq FROM (SELECT seq, time FROM change_log ORDER BY seq LIMIT ?1) WHERE time >= ?2 \
                         ORDER BY seq LIMIT 1";
const LOG_TRIM: &str = "DELETE FROM change_log WHERE seq < ?1";
const CLOUD: &str = "SELECT value FROM settings WHERE name = 'cloud_id'";

/// The writer of an SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    statements: Statements,
    written: Written,
    unchecked: Unchecked,
    /// Why it must not be used any more.
    broken: Option<String>,
    /// Held while the store lives. Declared last: it is let go after the connection is closed.
    _lock: File,
}

/// The statements of each table.
#[derive(Debug)]
struct Statements {
    tables: Vec<TableStatements>,
}

#[derive(Debug)]
struct TableStatements {
    table: &'static Table,
    insert: String,
    upsert: String,
    delete: String,
}

/// What has been written since the last checkpoint.
#[derive(Debug, Default)]
struct Unchecked {
    commits: u32,
    bytes: usize,
}

impl SqliteStore {
    /// Opens a database for writing, makes it when there is none, and brings it to the schema of this version. Also
    /// gives a reader for other threads.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when somebody else has it open for writing; [`StoreError::Version`] when it is of a later
    /// version; when it cannot be opened, or is not ours.
    pub fn open(path: &Path) -> Result<(Self, SqliteReader), StoreError> {
        let opened = open::open(path)?;
        opened
            .connection
            .set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let reader = SqliteReader::open(&opened.path)?;
        let store = Self {
            connection: opened.connection,
            statements: Statements::new(),
            written: Written::default(),
            unchecked: Unchecked::default(),
            broken: None,
            _lock: opened.lock,
        };
        Ok((store, reader))
    }

    /// Runs a call unless one before it failed; after a failure that leaves it open what was written, no more calls
    /// are run.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(reason) = &self.broken {
            return Err(StoreError::Unusable(reason.clone()));
        }
        let result = call(self);
        match &result {
            Ok(_) => {}
            Err(StoreError::Fenced { .. }) => self.written.clear(),
            Err(error) => self.break_off(error),
        }
        result
    }

    /// From now on nothing is written, not even when the connection is closed.
    fn break_off(&mut self, error: &StoreError) {
        let mut reason = error.to_string();
        let no_checkpoint = self
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(second) = no_checkpoint {
            reason.push_str(&format!("; then: {second}"));
        }
        self.broken = Some(reason);
    }

    fn batch_commit(&mut self, epoch: Epoch, batch: &Batch<'_>, now: Seconds) -> Result<u64, StoreError> {
        let ops = batch.ops(&self.written)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql_error)?;
        let seq = fence(&transaction, epoch, batch.log_len())?;
        let log = batch.log_ops(seq, now)?;
        let mut bytes = 0;
        for op in ops.iter().chain(&log) {
            bytes += self.statements.run(&transaction, op)?;
        }
        transaction.commit().map_err(sql_error)?;
        batch.note(&mut self.written);
        self.unchecked.commits += 1;
        self.unchecked.bytes += bytes;
        Ok(seq)
    }

    fn rows_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql_error)?;
        let newest = fence(&transaction, epoch, 0)?;
        let first: Option<i64> = transaction
            .query_row(LOG_FIRST, [], |row| row.get(0))
            .map_err(sql_error)?;
        let Some(first) = first else { return Ok(0) };
        let batch = i64::try_from(trim.batch).unwrap_or(i64::MAX);
        let young: Option<i64> = transaction
            .query_row(LOG_YOUNG, (batch, trim.before), |row| row.get(0))
            .optional()
            .map_err(sql_error)?;
        let young = young.map(|seq| counter(&CHANGE_LOG, 0, seq)).transpose()?;
        let kept = trim.first_kept(counter(&CHANGE_LOG, 0, first)?, newest, young);
        let gone = transaction
            .execute(LOG_TRIM, [counter_cell(&CHANGE_LOG, 0, kept)?])
            .map_err(sql_error)?;
        if gone == 0 {
            // Nothing was written that would have to be kept.
            return Ok(0);
        }
        transaction.commit().map_err(sql_error)?;
        self.unchecked.commits += 1;
        Ok(gone as u64)
    }

    /// Moves what was committed from the log of SQLite to the database file, now and then.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.unchecked.commits < CHECKPOINT_COMMITS && self.unchecked.bytes < CHECKPOINT_BYTES {
            return Ok(());
        }
        // PASSIVE waits for nobody: what a reader holds up is moved the next time.
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(sql_error)?;
        self.unchecked = Unchecked::default();
        Ok(())
    }
}

impl Store for SqliteStore {
    fn cloud(&mut self) -> Result<String, StoreError> {
        self.guarded(|store| {
            store
                .connection
                .query_row(CLOUD, [], |row| row.get(0))
                .map_err(sql_error)
        })
    }

    fn lead(&mut self, holder: &str, now: Seconds) -> Result<Epoch, StoreError> {
        self.guarded(|store| {
            store.written.clear();
            let transaction = store
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(sql_error)?;
            let touched = transaction.execute(LEAD, (holder, now)).map_err(sql_error)?;
            if touched != 1 {
                return Err(leader_missing());
            }
            let epoch = epoch_read(&transaction)?;
            transaction.commit().map_err(sql_error)?;
            Ok(Epoch(epoch))
        })
    }

    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError> {
        self.guarded(|store| load::world(&mut store.connection, &mut store.written, config))
    }

    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError> {
        self.guarded(|store| {
            let seq = store.batch_commit(epoch, &Batch::new(changes), now)?;
            store.checkpoint()?;
            Ok(seq)
        })
    }

    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        self.guarded(|store| {
            let gone = store.rows_trim(epoch, trim)?;
            store.checkpoint()?;
            Ok(gone)
        })
    }
}

/// Moves the leader row under our epoch. Returns the number of the last entry of the change log.
fn fence(connection: &Connection, epoch: Epoch, entries: u64) -> Result<u64, StoreError> {
    let parameters = [
        counter_cell(&LEADER, 0, entries)?,
        counter_cell(&LEADER, 0, epoch.0)?,
    ];
    let touched = connection
        .prepare_cached(FENCE)
        .and_then(|mut statement| statement.execute(params_from_iter(&parameters)))
        .map_err(sql_error)?;
    if touched != 1 {
        return Err(StoreError::Fenced {
            found: epoch_read(connection)?,
            own: epoch.0,
        });
    }
    let seq: i64 = connection
        .prepare_cached(SEQ)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(sql_error)?;
    counter(&LEADER, 0, seq)
}

fn epoch_read(connection: &Connection) -> Result<u64, StoreError> {
    let epoch: Option<i64> = connection
        .query_row(EPOCH, [], |row| row.get(0))
        .optional()
        .map_err(sql_error)?;
    counter(&LEADER, 0, epoch.ok_or_else(leader_missing)?)
}

fn leader_missing() -> StoreError {
    crate::row::row_error(
        &LEADER,
        0,
        "it is missing: somebody has changed the database by hand",
    )
}

impl Statements {
    fn new() -> Self {
        let tables = TABLES.iter().map(|table| TableStatements {
            table,
            insert: dialect::insert(&Sqlite, table),
            upsert: dialect::upsert(&Sqlite, table),
            delete: dialect::delete(&Sqlite, table),
        });
        Self {
            tables: tables.collect(),
        }
    }

    /// Changes a row. Returns the size of its texts in bytes.
    fn run(&self, connection: &Connection, op: &Op) -> Result<usize, StoreError> {
        let (table, cells) = match op {
            Op::Insert(table, cells) | Op::Upsert(table, cells) | Op::Delete(table, cells) => (*table, cells),
        };
        let statements = self
            .tables
            .iter()
            .find(|statements| statements.table.name == table.name)
            .ok_or_else(|| StoreError::Database(format!("there is no table {}", table.name)))?;
        let text = match op {
            Op::Insert(..) => &statements.insert,
            Op::Upsert(..) => &statements.upsert,
            Op::Delete(..) => &statements.delete,
        };
        connection
            .prepare_cached(text)
            .and_then(|mut statement| statement.execute(params_from_iter(cells)))
            .map_err(sql_error)?;
        Ok(cells.iter().map(Cell::size_bytes).sum())
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// An error of SQLite, with what to do about it where that is known.
pub(crate) fn sql_error(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ": make room on its file system and start again",
        Some(ErrorCode::ReadOnly) => ": let this user write the file and its directory",
        Some(ErrorCode::CannotOpen) => ": see that its directory exists and this user may write it",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ": restore it from a backup",
        Some(ErrorCode::SystemIoFailure) => ": see the kernel's messages about the disk below it",
        Some(ErrorCode::DatabaseBusy) => ": some other program has locked it, end that one",
        _ => "",
    };
    let code = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => format!(" (SQLite {})", failure.extended_code),
        _ => String::new(),
    };
    StoreError::Database(format!("{error}{code}{advice}"))
}
