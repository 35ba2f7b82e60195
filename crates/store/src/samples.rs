//! [`SampleStore`]: measurements of hosts and VMs, in an SQLite file of their own.
//!
//! They are many and worth little: they are written apart from the state and are never waited for by it, and a power cut
//! may take the last ones. They go when they are old.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plerion_model::view::{HostSampleView, VmSampleView};
use plerion_model::{Id, Seconds};
use rusqlite::{Connection, OpenFlags};
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::sqlite::sql_error;

/// How long another connection may hold the file before a call fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Mode of the file.
const MODE: u32 = 0o600;
/// Memory that a connection keeps pages in, in KiB; negative as SQLite wants it.
const CACHE_KIB: i64 = -1024;
/// The version of the one table.
const VERSION: i64 = 1;

const TABLE: &str = "CREATE TABLE samples (kind INTEGER NOT NULL, oid INTEGER NOT NULL, time INTEGER NOT NULL, \
                     body TEXT NOT NULL, PRIMARY KEY (kind, oid, time)) STRICT, WITHOUT ROWID; \
                     CREATE INDEX samples_time ON samples (kind, time)";
const PUT: &str = "INSERT INTO samples (kind, oid, time, body) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (kind, oid, time) DO UPDATE SET body = excluded.body";
const TRIM: &str = "DELETE FROM samples WHERE (kind, oid, time) IN \
                    (SELECT kind, oid, time FROM samples WHERE kind = ?1 AND time < ?2 LIMIT ?3)";
const SINCE: &str = "SELECT body FROM samples WHERE kind = ?1 AND oid = ?2 AND time >= ?3 ORDER BY time";
const LAST: &str = "SELECT body FROM samples WHERE kind = ?1 AND oid = ?2 ORDER BY time DESC LIMIT 1";

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// A host.
    Host,
    /// A VM.
    Vm,
}

impl SampleKind {
    /// The number in rows: never change one.
    const fn number(self) -> i64 {
        match self {
            Self::Host => 1,
            Self::Vm => 2,
        }
    }
}

/// A measurement.
#[derive(Clone, Debug)]
pub enum Sample {
    /// Of a host.
    Host(Id, Arc<HostSampleView>),
    /// Of a VM.
    Vm(Id, Arc<VmSampleView>),
}

impl Sample {
    fn row(&self) -> Result<(SampleKind, Id, Seconds, String), StoreError> {
        let (kind, id, time, body) = match self {
            Self::Host(id, sample) => (
                SampleKind::Host,
                id,
                sample.time,
                serde_json::to_string(&**sample),
            ),
            Self::Vm(id, sample) => (SampleKind::Vm, id, sample.time, serde_json::to_string(&**sample)),
        };
        let body = body.map_err(|error| StoreError::Database(error.to_string()))?;
        Ok((kind, *id, time, body))
    }
}

/// Writes measurements. One thread owns it.
#[derive(Debug)]
pub struct SampleStore {
    connection: Connection,
}

/// Reads measurements, from any thread.
#[derive(Clone, Debug)]
pub struct SampleReader {
    connection: Arc<Mutex<Connection>>,
    path: Arc<PathBuf>,
}

impl SampleStore {
    /// Opens the file, and makes it when there is none. Also gives a reader.
    ///
    /// # Errors
    /// When it cannot be opened, or is not ours.
    pub fn open(path: &Path) -> Result<(Self, SampleReader), StoreError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(path)
            .map_err(|error| StoreError::Database(format!("{}: {error}", path.display())))?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema(&connection, path)?;
        let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let reader = SampleReader {
            connection: Arc::new(Mutex::new(reader)),
            path: Arc::new(path.to_owned()),
        };
        Ok((Self { connection }, reader))
    }

    /// Writes some measurements in one transaction.
    ///
    /// # Errors
    /// When the file cannot be written: none of them is.
    pub fn put(&mut self, samples: &[Sample]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(sql_error)?;
        {
            let mut statement = transaction.prepare_cached(PUT).map_err(sql_error)?;
            for sample in samples {
                let (kind, id, time, body) = sample.row()?;
                statement
                    .execute((kind.number(), id, time, body))
                    .map_err(sql_error)?;
            }
        }
        transaction.commit().map_err(sql_error)
    }

    /// Deletes measurements of before a time, at most `limit`. Returns how many.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trim(&mut self, kind: SampleKind, before: Seconds, limit: u32) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(TRIM).map_err(sql_error)?;
        statement
            .execute((kind.number(), before, limit))
            .map_err(sql_error)
    }
}

impl SampleReader {
    /// Measurements of a host from a time on, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn host(&self, id: Id, since: Seconds) -> Result<Vec<HostSampleView>, StoreError> {
        self.read(SINCE, (SampleKind::Host.number(), id, since))
    }

    /// Measurements of a VM from a time on, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn vm(&self, id: Id, since: Seconds) -> Result<Vec<VmSampleView>, StoreError> {
        self.read(SINCE, (SampleKind::Vm.number(), id, since))
    }

    /// The last measurement of a host.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn host_last(&self, id: Id) -> Result<Option<HostSampleView>, StoreError> {
        Ok(self.read(LAST, (SampleKind::Host.number(), id))?.pop())
    }

    /// The last measurement of a VM.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn vm_last(&self, id: Id) -> Result<Option<VmSampleView>, StoreError> {
        Ok(self.read(LAST, (SampleKind::Vm.number(), id))?.pop())
    }

    fn read<T: DeserializeOwned>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<T>, StoreError> {
        // A connection is fit for the next read whatever became of the one before.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare_cached(query).map_err(sql_error)?;
        let mut rows = statement.query(parameters).map_err(sql_error)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(sql_error)? {
            let body: String = row.get(0).map_err(sql_error)?;
            let sample = serde_json::from_str(&body)
                .map_err(|error| StoreError::Database(format!("{}: {error}", self.path.display())))?;
            found.push(sample);
        }
        Ok(found)
    }
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql_error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql_error)?;
    connection
        .pragma_update(None, "cache_size", CACHE_KIB)
        .map_err(sql_error)?;
    Ok(connection)
}

fn schema(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(sql_error)?;
    connection
        .pragma_update(None, "synchronous", "NORMAL")
        .map_err(sql_error)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sql_error)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql_error)?;
    if found == VERSION {
        return Ok(());
    }
    if found > VERSION || tables > 0 {
        return Err(StoreError::Database(format!(
            "{} is of another program or version: move it away, and a new one is made",
            path.display()
        )));
    }
    let make = format!("BEGIN IMMEDIATE; {TABLE}; PRAGMA user_version = {VERSION}; COMMIT");
    connection.execute_batch(&make).map_err(sql_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("plerion-samples-{name}-{}.db", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            for suffix in ["", "-wal", "-shm"] {
                let mut name = self.0.clone().into_os_string();
                name.push(suffix);
                // Not all of them are left.
                let _ = std::fs::remove_file(name);
            }
        }
    }

    fn vm(id: Id, time: Seconds) -> Sample {
        Sample::Vm(
            id,
            Arc::new(VmSampleView {
                time,
                memory_kib: 64,
                net_rx_bytes: u64::MAX,
                ..VmSampleView::default()
            }),
        )
    }

    fn host(id: Id, time: Seconds) -> Sample {
        Sample::Host(
            id,
            Arc::new(HostSampleView {
                time,
                cpu_used: 20,
                ..HostSampleView::default()
            }),
        )
    }

    fn times(reader: &SampleReader, id: Id, since: Seconds) -> Vec<Seconds> {
        let samples = reader.vm(id, since).expect("reads");
        samples.iter().map(|sample| sample.time).collect()
    }

    #[test]
    fn samples_come_back_in_order_and_old_ones_go() {
        let file = File::new("order");
        let (mut store, reader) = SampleStore::open(&file.0).expect("opens");
        store
            .put(&[vm(1, 30), vm(1, 10), vm(2, 20), vm(1, 20), host(1, 15)])
            .expect("writes");
        store.put(&[vm(1, 30)]).expect("the same again is one");
        assert_eq!(times(&reader, 1, 0), [10, 20, 30]);
        assert_eq!(times(&reader, 1, 20), [20, 30]);
        assert!(times(&reader, 3, 0).is_empty());
        let last = reader.vm_last(1).expect("reads").expect("one");
        assert_eq!((last.time, last.net_rx_bytes), (30, u64::MAX));
        assert_eq!(reader.host_last(2).expect("reads"), None);
        assert_eq!(store.trim(SampleKind::Vm, 25, 2), Ok(2));
        assert_eq!(store.trim(SampleKind::Vm, 25, 2), Ok(1));
        assert_eq!(store.trim(SampleKind::Vm, 25, 2), Ok(0));
        assert_eq!(times(&reader, 1, 0), [30]);
        assert_eq!(
            reader.host(1, 0).expect("reads").len(),
            1,
            "hosts have a time of their own"
        );
        drop((store, reader));
        let (_, reader) = SampleStore::open(&file.0).expect("opens again");
        assert_eq!(times(&reader, 1, 0), [30]);
    }

    #[test]
    fn the_file_of_another_program_is_refused() {
        let file = File::new("other");
        let other = Connection::open(&file.0).expect("opens");
        other.execute_batch("CREATE TABLE a (b)").expect("makes");
        drop(other);
        let refusal = SampleStore::open(&file.0).expect_err("refused");
        assert!(refusal.to_string().contains("move it away"), "{refusal}");
    }
}
