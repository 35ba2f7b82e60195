//! Opening an SQLite database for writing: lock, file, settings, schema.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::sql_error;
use crate::StoreError;
use crate::dialect::{self, Sqlite};
use crate::migration::{self, MIGRATIONS, VERSION};
use crate::schema::{DB_VERSION, SETTINGS};

/// How long another program may hold the database before a call fails.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that the log of SQLite keeps at most once it has been moved to the database file.
const LOG_BYTES_KEPT: i64 = 64 << 20;
/// Database and lock hold secrets: passwords and tokens in hashed form, contexts of guests.
const MODE: u32 = 0o600;

pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Where the file is, links resolved.
    pub(super) path: PathBuf,
    pub(super) lock: File,
}

pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let made = file_make(path).map_err(|error| io_error(path, &error))?;
    // Links are resolved, so that two names of one database have one lock.
    let path = path.canonicalize().map_err(|error| io_error(path, &error))?;
    let lock = lock(&path)?;
    if made {
        directory_sync(&path).map_err(|error| io_error(&path, &error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(sql_error)?;
    settings(&connection)?;
    schema(&mut connection, &path)?;
    Ok(Opened {
        connection,
        path,
        lock,
    })
}

fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Database(format!("{}: {error}", path.display()))
}

/// Makes an empty file, if there is none, with the mode that SQLite then gives to the files beside it too.
fn file_make(path: &Path) -> std::io::Result<bool> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path);
    match made {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the name of a new file last.
fn directory_sync(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// The lock beside a database. The file stays: taking it away would let two hold it.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(&name)
        .map_err(|error| io_error(&name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(name)),
        Err(TryLockError::Error(error)) => Err(io_error(&name, &error)),
    }
}

fn settings(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql_error)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sql_error)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::Database(format!(
            "SQLite keeps its journal mode {mode} where it must be WAL: put the database on a local file system"
        )));
    }
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(sql_error)?;
    connection
        .pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
        .map_err(sql_error)?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_KEPT, |_| Ok(()))
        .map_err(sql_error)
}

/// Brings the schema to the version of this program, in one transaction.
fn schema(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sql_error)?;
    let found = version_read(&transaction, path)?;
    let Some(statements) = migration::plan(&Sqlite, found, VERSION, MIGRATIONS)? else {
        return Ok(());
    };
    for statement in &statements {
        transaction.execute_batch(statement).map_err(sql_error)?;
    }
    if found.is_none() {
        first_rows(&transaction)?;
    }
    transaction
        .execute("DELETE FROM db_version", [])
        .and_then(|_| transaction.execute(&dialect::insert(&Sqlite, &DB_VERSION), [VERSION]))
        .map_err(sql_error)?;
    transaction.commit().map_err(sql_error)
}

/// The version of a database; none for an empty one.
fn version_read(connection: &Connection, path: &Path) -> Result<Option<i64>, StoreError> {
    let tables =
        "SELECT count(*), coalesce(sum(name = 'db_version'), 0) FROM sqlite_schema WHERE type = 'table'";
    let (all, ours): (i64, i64) = connection
        .query_row(tables, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(sql_error)?;
    if all == 0 {
        return Ok(None);
    }
    if ours == 0 {
        return Err(StoreError::Database(format!(
            "{} is the database of another program: name one of Plerion's, or a file that does not exist yet",
            path.display()
        )));
    }
    let version = connection
        .query_row("SELECT version FROM db_version", [], |row| row.get(0))
        .optional()
        .map_err(sql_error)?;
    version
        .map(Some)
        .ok_or_else(|| crate::row::row_error(&DB_VERSION, "1", "it is missing"))
}

/// The identity of the cloud, and the row of the leader: nobody yet.
fn first_rows(connection: &Connection) -> Result<(), StoreError> {
    let cloud: String = connection
        .query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))
        .map_err(sql_error)?;
    connection
        .execute(&dialect::insert(&Sqlite, &SETTINGS), ["cloud_id", &cloud])
        .map_err(sql_error)?;
    connection
        .execute(
            "INSERT INTO leader (id, epoch, holder, seq, commits, since, expires) VALUES (0, 0, '', 0, 0, 0, 0)",
            [],
        )
        .map_err(sql_error)?;
    Ok(())
}
