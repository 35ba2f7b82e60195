//! The truth in SQL. Only this crate knows SQL.
//!
//! A [`Store`] takes batches of changes, each batch one transaction that first moves the `leader` row under its epoch,
//! so that a front-end that was replaced cannot write. A [`StoreReader`] answers what memory does not hold: VMs that
//! are DONE and the change log.

mod batch;
mod dialect;
mod error;
mod link;
mod memory;
mod migration;
mod mysql;
mod postgres;
mod row;
mod samples;
mod schema;
mod server;
mod server_load;
mod server_reader;
mod sql_query;
mod sqlite;
mod sqlite_reader;
mod stay_row;
mod vm_row;

pub use error::StoreError;
pub use link::{ServerKind, ServerSettings};
pub use memory::{FailPoint, MemoryStore};
pub use samples::{Sample, SampleKind, SampleReader, SampleStore};
pub use server::ServerStore;
pub use server_reader::ServerReader;
pub use sql_query::{SQL_BYTES_MAX, SQL_ROWS_MAX, SQL_TIME_MAX, SqlAnswer};
pub use sqlite::SqliteStore;
pub use sqlite_reader::SqliteReader;

use std::time::Duration;

use plerion_model::showback::Showback;
use plerion_model::view::VmSampleView;
use plerion_model::vm::Vm;
use plerion_model::{Id, Owned, Seconds};
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

    /// Deletes a batch of old rows of the change log, in a transaction of its own. Returns how many; as many as
    /// [`LogTrim::batch`] mean that there may be more.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError>;

    /// Makes the lease last on, where the database knows one. Returns after which time to call again; `None` where a
    /// lock takes its place.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn lease_keep(&mut self, _epoch: Epoch) -> Result<Option<Duration>, StoreError> {
        Ok(None)
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn cloud(&mut self) -> Result<String, StoreError> {
        (**self).cloud()
    }

    fn lead(&mut self, holder: &str, now: Seconds) -> Result<Epoch, StoreError> {
        (**self).lead(holder, now)
    }

    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError> {
        (**self).load(config)
    }

    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError> {
        (**self).commit(epoch, changes, now)
    }

    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        (**self).log_trim(epoch, trim)
    }

    fn lease_keep(&mut self, epoch: Epoch) -> Result<Option<Duration>, StoreError> {
        (**self).lease_keep(epoch)
    }
}

/// What of the change log is to go. Its newest row always stays, so that who reads on after a row that is gone sees that
/// the next one does not follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTrim {
    /// Rows of before that time go, in seconds.
    pub before: Seconds,
    /// Of more rows than this the oldest go.
    pub rows_max: u64,
    /// Rows after that number stay: the last one that all who still read on have taken in.
    pub taken: u64,
    /// Rows that go at once, at most.
    pub batch: u64,
}

impl LogTrim {
    /// The first row that stays, when the log begins at `first` and ends at `newest`, and `young` is the first of the
    /// batch's rows that is not old.
    pub(crate) fn first_kept(&self, first: u64, newest: u64, young: Option<u64>) -> u64 {
        let end = first.saturating_add(self.batch);
        let by_age = young.unwrap_or(end);
        let by_number = newest.saturating_sub(self.rows_max).saturating_add(1);
        by_age
            .max(by_number)
            .min(end)
            .min(self.taken.saturating_add(1))
            .min(newest)
    }
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

/// Which VMs that are DONE to read, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneRange {
    /// The lowest id.
    pub first: Id,
    /// The highest id.
    pub last: Id,
    /// From the lowest to the highest, or the other way round.
    pub ascending: bool,
    /// Only those that ended after that time.
    pub ended_after: Seconds,
    /// Only those that were made before that time.
    pub made_before: Seconds,
}

impl DoneRange {
    /// All of them.
    #[must_use]
    pub const fn all(ascending: bool) -> Self {
        Self {
            first: 0,
            last: Id::MAX,
            ascending,
            ended_after: -1,
            made_before: Seconds::MAX,
        }
    }

    /// What of the range is left after a VM in it; `None` when nothing is.
    #[must_use]
    pub fn after(self, id: Id) -> Option<Self> {
        let rest = if self.ascending {
            Self {
                first: id.checked_add(1)?,
                ..self
            }
        } else {
            Self {
                last: id.checked_sub(1)?,
                ..self
            }
        };
        (rest.first <= rest.last).then_some(rest)
    }
}

/// A VM that is DONE, as far as choosing needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneVm {
    /// Id.
    pub id: Id,
    /// Owner, group and permissions; not its lock.
    pub owned: Owned,
}

/// A stay on a host that has ended, as accounting shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stay {
    /// Number of the record.
    pub seq: i32,
    /// The VM as it was then.
    pub vm: Vm,
    /// Whether templates of `vm` are missing: they are those of the VM, which was over then, too.
    pub last: bool,
    /// The last measurement of the VM then.
    pub sample: Option<VmSampleView>,
}

/// What a VM cost in a month, and whose it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowbackRow {
    /// Its place in the order of months and VMs.
    pub slot: i64,
    /// The costs.
    pub showback: Showback,
    /// Owner, group and permissions of the VM today.
    pub vm: DoneVm,
}

/// The place of a VM in a month, in the order in which [`StoreReader::showback`] gives them.
#[must_use]
pub fn showback_slot(year: i16, month: i8, vm: Id) -> i64 {
    let months = i64::from(year) * 12 + i64::from(month) - 1;
    (months << 32) + i64::from(vm)
}

/// Reads beside the writer, from any thread.
pub trait StoreReader: Send + Sync {
    /// A VM, also one that is DONE.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn vm(&self, id: Id) -> Result<Option<Vm>, StoreError>;

    /// VMs that are DONE, in the order of their ids, at most `limit`: what there is to choose among them. Whole ones are
    /// read by [`StoreReader::vm`].
    ///
    /// # Errors
    /// When the database cannot be read.
    fn vms_done(&self, range: DoneRange, limit: u64) -> Result<Vec<DoneVm>, StoreError>;

    /// The stays of a VM that have ended, as far as they were written: in the order of their numbers.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn stays(&self, id: Id) -> Result<Vec<Stay>, StoreError>;

    /// What VMs cost, by month and VM: slots ([`showback_slot`]) after `after` up to `last`, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn showback(&self, after: i64, last: i64, limit: u64) -> Result<Vec<ShowbackRow>, StoreError>;

    /// Rows of the change log after `seq`, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn log(&self, seq: u64, limit: u64) -> Result<Vec<LogRow>, StoreError>;

    /// Asks a query in the words of the engine, on a connection of its own that only reads. Bounded by [`SQL_ROWS_MAX`],
    /// [`SQL_BYTES_MAX`] and [`SQL_TIME_MAX`].
    ///
    /// # Errors
    /// When the engine refuses it, it is no query, or it goes beyond a bound.
    fn sql_query(&self, query: &str) -> Result<SqlAnswer, StoreError>;
}
