//! The truth in SQL. Only this crate knows SQL.
//!
//! A [`Store`] takes batches of changes, each batch one transaction that first moves the `leader` row under its epoch,
//! so that a front-end that was replaced cannot write. A [`StoreReader`] answers what memory does not hold: VMs that
//! are DONE and the change log.

mod batch;
mod dialect;
mod error;
mod memory;
mod migration;
mod row;
mod schema;
mod sqlite;
mod sqlite_reader;
mod vm_row;

pub use error::StoreError;
pub use memory::{FailPoint, MemoryStore};
pub use sqlite::SqliteStore;
pub use sqlite_reader::SqliteReader;

use plerion_model::vm::Vm;
use plerion_model::{Id, Seconds};
use plerion_world::{Change, Config, LogEntry, World};

/// Who may write: made by [`Store::lead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Reads and writes the whole state. One thread owns it.
pub trait Store: Send {
    /// Identity of the cloud, made when the database was made.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn cloud(&mut self) -> Result<String, StoreError>;

    /// Becomes the writer: raises the epoch. Writers of lower epochs fail from now on.
    ///
    /// # Errors
    /// When the database cannot be written.
    fn lead(&mut self, holder: &str, now: Seconds) -> Result<Epoch, StoreError>;

    /// The state of the last commit; `None` for a database without objects.
    ///
    /// # Errors
    /// When the database cannot be read, or holds what this version cannot understand.
    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError>;

    /// Writes changes in order, in one durable transaction, under an epoch. Returns the sequence number of the last
    /// entry of the change log after it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when somebody else leads. After any other error nobody knows what was written: the caller
    /// must stop.
    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError>;
}

/// A row of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Its number.
    pub seq: u64,
    /// When.
    pub time: Seconds,
    /// What.
    pub entry: LogEntry,
}

/// Reads beside the writer, from any thread.
pub trait StoreReader: Send + Sync {
    /// A VM, also one that is DONE.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn vm(&self, id: Id) -> Result<Option<Vm>, StoreError>;

    /// VMs that are DONE, by descending id, at most `limit`, after skipping `offset`.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn vms_done(&self, offset: u64, limit: u64) -> Result<Vec<Vm>, StoreError>;

    /// Rows of the change log after `seq`, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn log(&self, seq: u64, limit: u64) -> Result<Vec<LogRow>, StoreError>;
}
