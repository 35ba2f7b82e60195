//! [`ServerStore`]: the state in a database of a server, PostgreSQL or MariaDB and MySQL.
//!
//! One connection writes. Each transaction moves the leader row under our epoch and makes the lease last on by the time
//! of the database. The row counts transactions: when a connection is lost, the next one waits for the row's lock, reads
//! the count, and so knows whether the transaction was made.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plerion_model::Seconds;
use plerion_world::{Change, Config, World};

use crate::batch::Batch;
use crate::dialect::{self, Dialect};
use crate::link::{Engine, Link, LinkError, ServerKind, ServerSettings};
use crate::migration::{self, MIGRATIONS, VERSION};
use crate::mysql::MysqlEngine;
use crate::postgres::PostgresEngine;
use crate::row::{Cell, Op, counter, counter_cell, row_error};
use crate::schema::{CHANGE_LOG, DB_VERSION, LEADER, SETTINGS, TABLES};
use crate::vm_row::Written;
use crate::{Epoch, LogTrim, ServerReader, Store, StoreError, server_load};

/// How long a leader that says nothing stays the leader, in seconds.
const LEASE_S: i64 = 20;
/// Pause between two renewals.
const LEASE_KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a server may be away before the front-end gives up.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// Pause between attempts to reach a server that is away.
const AWAY_PAUSE: Duration = Duration::from_millis(200);
/// Rows of one statement, for as long as there are as many; and so on.
const ROWS_AT_ONCE: [usize; 3] = [64, 8, 1];
/// Rows of more bytes than these together go one by one.
const BYTES_AT_ONCE: usize = 1 << 20;

/// The writer of a database of a server.
#[derive(Debug)]
pub struct ServerStore {
    engine: Arc<dyn Engine>,
    connection: Connection,
    words: Words,
    written: Written,
    /// Who we are in the leader row.
    identity: String,
    lead: Option<Lead>,
    broken: Option<String>,
    /// Held while the store lives.
    _lock: File,
}

/// What a transaction does, given the number of the last row of the change log before it.
type Work<'a> = dyn FnMut(&mut dyn Link, &mut Words, u64) -> Result<(), LinkError> + 'a;

fn engine(settings: &ServerSettings) -> Arc<dyn Engine> {
    match settings.kind {
        ServerKind::Mysql => Arc::new(MysqlEngine::new(settings.clone())),
        ServerKind::Postgres => Arc::new(PostgresEngine::new(settings.clone())),
    }
}

struct Connection(Option<Box<dyn Link>>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "connected"
        } else {
            "not connected"
        })
    }
}

/// What we know of the leader row.
#[derive(Clone, Copy, Debug)]
struct Lead {
    epoch: u64,
    /// Transactions that were made.
    commits: u64,
}

/// The statements that are made once.
#[derive(Debug)]
struct Words {
    fence: String,
    leader: String,
    leader_locked: String,
    take: String,
    release: String,
    log_young: String,
    log_trim: String,
    rows: HashMap<(&'static str, RowChange, usize), String>,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RowChange {
    Insert,
    Upsert,
    Delete,
}

/// The leader row.
struct Leader {
    epoch: u64,
    holder: String,
    seq: u64,
    commits: u64,
    /// Seconds for which its lease lasts.
    left: i64,
}

impl ServerStore {
    /// Opens a database for writing, makes it when there is none and the user may, and brings it to the schema of this
    /// version. Also gives a reader for other threads. `lock` is a file of this front-end: who holds its lock knows that
    /// an earlier process of the same front-end is gone, and need not wait for the end of that one's lease.
    ///
    /// # Errors
    /// [`StoreError::Locked`] and [`StoreError::Led`] when somebody else writes it; [`StoreError::Version`] when it is of
    /// a later version; when it cannot be reached, or is not ours.
    pub fn open(settings: &ServerSettings, lock: &Path) -> Result<(Self, ServerReader), StoreError> {
        let lock_file = lock_take(lock)?;
        let identity = identity(&lock_file)?;
        let engine = engine(settings);
        let link = engine.connect()?;
        let mut store = Self {
            words: Words::new(&*engine),
            connection: Connection(Some(link)),
            written: Written::default(),
            identity,
            lead: None,
            broken: None,
            _lock: lock_file,
            engine: engine.clone(),
        };
        store.schema(&settings.place())?;
        Ok((store, ServerReader::new(engine, settings.readers)))
    }

    fn guarded<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(reason) = &self.broken {
            return Err(StoreError::Unusable(reason.clone()));
        }
        let result = call(self);
        match &result {
            Ok(_) => {}
            Err(StoreError::Fenced { .. } | StoreError::Led { .. }) => self.written.clear(),
            Err(error) => self.broken = Some(error.to_string()),
        }
        result
    }

    fn link(&mut self) -> Result<&mut dyn Link, LinkError> {
        if self.connection.0.is_none() {
            self.connection.0 = Some(self.engine.connect()?);
        }
        match &mut self.connection.0 {
            Some(link) => Ok(&mut **link),
            None => Err(LinkError::Lost("there is no connection".into())),
        }
    }

    /// Runs a transaction under our epoch, and again when the connection was lost and nothing was written. `run` gets
    /// the number of the last entry of the change log. Returns that number.
    fn transaction(&mut self, epoch: Epoch, entries: u64, run: &mut Work<'_>) -> Result<u64, StoreError> {
        let deadline = Instant::now() + AWAY_MAX;
        loop {
            match self.attempt(epoch, entries, run) {
                Ok(seq) => return Ok(seq),
                Err(LinkError::Failed(error)) => {
                    // A connection with half a transaction is of no use; the server undoes it.
                    self.connection.0 = None;
                    return Err(error);
                }
                Err(LinkError::Lost(reason)) => {
                    tracing::warn!("the connection to the database is lost: {reason}");
                    if let Some(seq) = self.settle(epoch, deadline, &reason)? {
                        return Ok(seq);
                    }
                }
            }
        }
    }

    fn attempt(&mut self, epoch: Epoch, entries: u64, run: &mut Work<'_>) -> Result<u64, LinkError> {
        self.link()?;
        let Some(link) = &mut self.connection.0 else {
            return Err(LinkError::Lost("there is no connection".into()));
        };
        let link = &mut **link;
        let entries = counter_cell(&LEADER, 0, entries)?;
        let own = counter_cell(&LEADER, 0, epoch.0)?;
        link.run("BEGIN")?;
        let touched = link.execute(&self.words.fence, &[&entries, &own])?;
        let row = leader_read(link, &self.words.leader)?;
        if touched != 1 {
            return Err(StoreError::Fenced {
                found: row.epoch,
                own: epoch.0,
            }
            .into());
        }
        run(link, &mut self.words, row.seq)?;
        link.run("COMMIT")?;
        self.lead = Some(Lead {
            epoch: epoch.0,
            commits: row.commits,
        });
        Ok(row.seq)
    }

    /// After a lost connection: whether the transaction was made. `None` when it was not.
    fn settle(&mut self, epoch: Epoch, deadline: Instant, reason: &str) -> Result<Option<u64>, StoreError> {
        let known = self.lead.filter(|lead| lead.epoch == epoch.0);
        let Some(known) = known else {
            return Err(StoreError::Database(format!("{reason}: start again")));
        };
        let row = loop {
            self.connection.0 = None;
            match self.leader_locked() {
                Ok(row) => break row,
                Err(LinkError::Failed(error)) => return Err(error),
                Err(LinkError::Lost(again)) if Instant::now() >= deadline => {
                    return Err(StoreError::Database(format!(
                        "{reason}; then: {again}: the server was away for more than {} s, and whether the last change was \
                         made is not known: see that it runs, and start again",
                        AWAY_MAX.as_secs()
                    )));
                }
                Err(LinkError::Lost(_)) => std::thread::sleep(AWAY_PAUSE),
            }
        };
        if row.epoch != epoch.0 {
            return Err(StoreError::Fenced {
                found: row.epoch,
                own: epoch.0,
            });
        }
        if row.commits == known.commits {
            return Ok(None);
        }
        if Some(row.commits) == known.commits.checked_add(1) {
            self.lead = Some(Lead {
                epoch: epoch.0,
                commits: row.commits,
            });
            return Ok(Some(row.seq));
        }
        Err(row_error(
            &LEADER,
            0,
            format!(
                "it counts {} transactions where ours were {}: the server has lost what it had confirmed, or somebody \
                 has changed the database by hand; compare it with a backup before starting again",
                row.commits, known.commits
            ),
        ))
    }

    /// The leader row, once no other transaction holds it.
    fn leader_locked(&mut self) -> Result<Leader, LinkError> {
        let query = self.words.leader_locked.clone();
        let link = self.link()?;
        link.run("BEGIN")?;
        let row = leader_read(link, &query)?;
        link.run("ROLLBACK")?;
        Ok(row)
    }

    /// Takes the lead, unless another front-end has it.
    fn lead_take(&mut self, now: Seconds) -> Result<Epoch, StoreError> {
        let (take, leader) = (self.words.take.clone(), self.words.leader.clone());
        let (who, now) = (Cell::Text(self.identity.clone()), Cell::Int(now));
        let link = self.link()?;
        link.run("BEGIN")?;
        let touched = link.execute(&take, &[&who, &now, &who])?;
        let row = leader_read(link, &leader)?;
        if touched != 1 {
            link.run("ROLLBACK")?;
            return Err(StoreError::Led {
                holder: row.holder,
                seconds: row.left.max(1),
            });
        }
        link.run("COMMIT")?;
        self.lead = Some(Lead {
            epoch: row.epoch,
            commits: row.commits,
        });
        Ok(Epoch(row.epoch))
    }

    /// Brings the schema to the version of this program. Not while another front-end leads.
    fn schema(&mut self, place: &str) -> Result<(), StoreError> {
        let engine = self.engine.clone();
        let dialect = engine.dialect();
        let link = self.link()?;
        link.run("BEGIN")?;
        if let Some(lock) = engine.schema_lock() {
            link.run(lock)?;
        }
        let found = version_read(link, &*engine, place)?;
        let statements = migration::plan(dialect, found, VERSION, MIGRATIONS)?;
        let Some(statements) = statements else {
            link.run("ROLLBACK")?;
            return Ok(());
        };
        if found.is_some() {
            link.run("ROLLBACK")?;
            self.lead_take(0)?;
        }
        let link = self.link()?;
        if found.is_some() {
            link.run("BEGIN")?;
        }
        for statement in &statements {
            link.run(statement)?;
        }
        if found.is_none() {
            first_rows(link, dialect)?;
        }
        link.run("DELETE FROM db_version")?;
        link.execute(&dialect::insert(dialect, &DB_VERSION), &[&Cell::Int(VERSION)])?;
        link.run("COMMIT")?;
        Ok(())
    }

    fn batch_commit(&mut self, epoch: Epoch, batch: &Batch<'_>, now: Seconds) -> Result<u64, StoreError> {
        let ops = batch.ops(&self.written)?;
        let dialect = self.engine.dialect();
        let seq = self.transaction(epoch, batch.log_len(), &mut |link, words, seq| {
            let log = batch.log_ops(seq, now)?;
            let mut all: Vec<&Op> = ops.iter().chain(&log).collect();
            // No two are of the same row, so their order is free.
            all.sort_by_key(|op| parts(op).0.name);
            for same in all.chunk_by(|one, other| {
                let ((table, what, _), (next, then, _)) = (parts(one), parts(other));
                table.name == next.name && what == then
            }) {
                words.run(link, dialect, same)?;
            }
            Ok(())
        })?;
        batch.note(&mut self.written);
        Ok(seq)
    }

    fn rows_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        let mut gone = 0;
        self.transaction(epoch, 0, &mut |link, words, newest| {
            gone = 0;
            let number = |seq: Option<i64>| seq.map(|seq| counter(&CHANGE_LOG, 0, seq)).transpose();
            let Some(first) = number(int_read(link, "SELECT min(seq) FROM change_log", &[])?)? else {
                return Ok(());
            };
            let batch = Cell::Int(i64::try_from(trim.batch).unwrap_or(i64::MAX));
            let before = Cell::Int(trim.before);
            let young = number(int_read(link, &words.log_young, &[&batch, &before])?)?;
            let kept = counter_cell(&CHANGE_LOG, 0, trim.first_kept(first, newest, young))?;
            gone = link.execute(&words.log_trim, &[&kept])?;
            Ok(())
        })?;
        Ok(gone)
    }
}

impl Drop for ServerStore {
    /// Lets the lease go, so that another front-end need not wait for its end.
    fn drop(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let (Some(lead), Some(link)) = (self.lead, &mut self.connection.0) {
            let epoch = Cell::Int(i64::try_from(lead.epoch).unwrap_or(i64::MAX));
            if let Err(error) = link.execute(&self.words.release, &[&epoch]) {
                let error = StoreError::from(error);
                tracing::warn!("the lease of the database lasts on for {LEASE_S} s: {error}");
            }
        }
    }
}

impl Store for ServerStore {
    fn cloud(&mut self) -> Result<String, StoreError> {
        self.guarded(|store| {
            let mut found = None;
            let query = "SELECT value FROM settings WHERE name = 'cloud_id'";
            store.link()?.query(query, &[], &mut |cells| {
                if let [Some(Cell::Text(value))] = cells.as_slice() {
                    found = Some(value.clone());
                }
                Ok(())
            })?;
            found.ok_or_else(|| row_error(&SETTINGS, "cloud_id", "it is missing"))
        })
    }

    fn lead(&mut self, _holder: &str, now: Seconds) -> Result<Epoch, StoreError> {
        self.guarded(|store| {
            store.written.clear();
            store.lead_take(now)
        })
    }

    fn load(&mut self, config: Config) -> Result<Option<World>, StoreError> {
        self.guarded(|store| {
            let engine = store.engine.clone();
            store.written.clear();
            store.link()?;
            let Some(link) = &mut store.connection.0 else {
                return Err(StoreError::Database("there is no connection".into()));
            };
            link.run(engine.begin_read())?;
            let world = server_load::world(&mut **link, &mut store.written, engine.dialect(), config)?;
            link.run("COMMIT")?;
            Ok(world)
        })
    }

    fn commit(&mut self, epoch: Epoch, changes: &[&Change], now: Seconds) -> Result<u64, StoreError> {
        self.guarded(|store| store.batch_commit(epoch, &Batch::new(changes), now))
    }

    fn log_trim(&mut self, epoch: Epoch, trim: LogTrim) -> Result<u64, StoreError> {
        self.guarded(|store| store.rows_trim(epoch, trim))
    }

    fn lease_keep(&mut self, epoch: Epoch) -> Result<Option<Duration>, StoreError> {
        self.guarded(|store| {
            store.transaction(epoch, 0, &mut |_, _, _| Ok(()))?;
            Ok(Some(LEASE_KEEP_EVERY))
        })
    }
}

impl Words {
    fn new(engine: &dyn Engine) -> Self {
        let dialect = engine.dialect();
        let now = engine.now();
        let p = |n| dialect.parameter(n);
        let leader = format!("SELECT epoch, holder, seq, commits, expires - {now} FROM leader WHERE id = 0");
        Self {
            fence: format!(
                "UPDATE leader SET seq = seq + {}, commits = commits + 1, expires = {now} + {LEASE_S} \
                 WHERE id = 0 AND epoch = {}",
                p(1),
                p(2)
            ),
            leader_locked: format!("{leader} FOR UPDATE"),
            leader,
            take: format!(
                "UPDATE leader SET epoch = epoch + 1, commits = commits + 1, holder = {}, since = {}, \
                 expires = {now} + {LEASE_S} WHERE id = 0 AND (holder = {} OR expires <= {now})",
                p(1),
                p(2),
                p(3)
            ),
            release: format!("UPDATE leader SET expires = 0 WHERE id = 0 AND epoch = {}", p(1)),
            log_young: format!(
                "SELECT seq FROM (SELECT seq, time FROM change_log ORDER BY seq LIMIT {}) AS oldest WHERE time >= {} \
                 ORDER BY seq LIMIT 1",
                p(1),
                p(2)
            ),
            log_trim: format!("DELETE FROM change_log WHERE seq < {}", p(1)),
            rows: HashMap::new(),
        }
    }

    /// Changes rows of one table in one way, some at once.
    fn run(&mut self, link: &mut dyn Link, dialect: &dyn Dialect, ops: &[&Op]) -> Result<(), LinkError> {
        let bytes: usize = ops.iter().flat_map(|op| parts(op).2).map(Cell::size_bytes).sum();
        let mut rest = ops;
        for size in ROWS_AT_ONCE {
            let fits = |op: &Op| size == 1 || (parts(op).1 != RowChange::Delete && bytes <= BYTES_AT_ONCE);
            while rest.len() >= size && rest.first().is_some_and(|op| fits(op)) {
                let (now, later) = rest.split_at(size);
                rest = later;
                let Some(first) = now.first() else { break };
                let (table, what, _) = parts(first);
                let statement = self
                    .rows
                    .entry((table.name, what, size))
                    .or_insert_with(|| match what {
                        RowChange::Insert => dialect::insert_rows(dialect, table, size),
                        RowChange::Upsert => {
                            dialect::insert_rows(dialect, table, size) + &dialect.upsert_tail(table)
                        }
                        RowChange::Delete => dialect::delete(dialect, table),
                    });
                let cells: Vec<&Cell> = now.iter().flat_map(|op| parts(op).2).collect();
                link.execute(statement, &cells)?;
            }
        }
        Ok(())
    }
}

fn parts(op: &Op) -> (&'static crate::schema::Table, RowChange, &[Cell]) {
    match op {
        Op::Insert(table, cells) => (table, RowChange::Insert, cells),
        Op::Upsert(table, cells) => (table, RowChange::Upsert, cells),
        Op::Delete(table, cells) => (table, RowChange::Delete, cells),
    }
}

fn leader_read(link: &mut dyn Link, query: &str) -> Result<Leader, LinkError> {
    let mut found = None;
    link.query(query, &[], &mut |cells| {
        let [
            Some(Cell::Int(epoch)),
            Some(Cell::Text(holder)),
            Some(Cell::Int(seq)),
            Some(Cell::Int(commits)),
            Some(Cell::Int(left)),
        ] = cells.as_slice()
        else {
            return Err(row_error(&LEADER, 0, "its columns are of other types"));
        };
        found = Some(Leader {
            epoch: counter(&LEADER, 0, *epoch)?,
            holder: holder.clone(),
            seq: counter(&LEADER, 0, *seq)?,
            commits: counter(&LEADER, 0, *commits)?,
            left: *left,
        });
        Ok(())
    })?;
    found.ok_or_else(|| {
        row_error(
            &LEADER,
            0,
            "it is missing: somebody has changed the database by hand",
        )
        .into()
    })
}

fn int_read(link: &mut dyn Link, query: &str, cells: &[&Cell]) -> Result<Option<i64>, LinkError> {
    let mut found = None;
    link.query(query, cells, &mut |cells| {
        if let Some(Some(Cell::Int(value))) = cells.first() {
            found = Some(*value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The version of a database; none for an empty one, and for one that was left in the making.
fn version_read(link: &mut dyn Link, engine: &dyn Engine, place: &str) -> Result<Option<i64>, LinkError> {
    let mut tables = Vec::new();
    link.query(engine.tables(), &[], &mut |cells| {
        if let Some(Some(Cell::Text(name))) = cells.into_iter().next() {
            tables.push(name);
        }
        Ok(())
    })?;
    let version = if tables.iter().any(|name| name == DB_VERSION.name) {
        int_read(link, "SELECT version FROM db_version", &[])?
    } else {
        None
    };
    // Where the schema is no part of transactions, tables without a version are those of a start that was cut off.
    let in_the_making = !engine.dialect().schema_is_transactional()
        && tables
            .iter()
            .all(|name| TABLES.iter().any(|table| table.name == name))
        && tables.iter().any(|name| name == DB_VERSION.name);
    if version.is_none() && !tables.is_empty() && !in_the_making {
        return Err(StoreError::Database(format!(
            "{place} is the database of another program: name one of Plerion's in DB_NAME, or one that does not exist yet"
        ))
        .into());
    }
    Ok(version)
}

/// The identity of the cloud, and the row of the leader: nobody yet. A start that was cut off may have written them.
fn first_rows(link: &mut dyn Link, dialect: &dyn Dialect) -> Result<(), LinkError> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| StoreError::Database(format!("/dev/urandom: {error}")))?;
    let cloud: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if int_read(link, "SELECT count(*) FROM settings", &[])? == Some(0) {
        let cells = [Cell::from("cloud_id"), Cell::from(cloud)];
        link.execute(
            &dialect::insert(dialect, &SETTINGS),
            &cells.iter().collect::<Vec<_>>(),
        )?;
    }
    if int_read(link, "SELECT count(*) FROM leader", &[])? == Some(0) {
        link.run(
            "INSERT INTO leader (id, epoch, holder, seq, commits, since, expires) VALUES (0, 0, '', 0, 0, 0, 0)",
        )?;
    }
    Ok(())
}

fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Database(format!("{}: {error}", path.display()))
}

fn lock_take(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io_error(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(path, &error)),
    }
}

/// Names this front-end until its machine is started anew: no other can hold the same file at the same boot.
fn identity(lock: &File) -> Result<String, StoreError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let boot = std::fs::read_to_string(path).map_err(|error| io_error(path, &error))?;
    let file = lock
        .metadata()
        .map_err(|error| StoreError::Database(format!("the lock of this front-end: {error}")))?;
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    Ok(format!("{machine} {} {}:{}", boot.trim(), file.dev(), file.ino()))
}
