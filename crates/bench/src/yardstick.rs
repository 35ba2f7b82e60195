//! What a durable commit costs on this disk at least: one small row, one transaction, WAL, every commit synced, by a
//! process that does nothing else. The log of SQLite has its size already, as in a server that has run for a while:
//! commits that make the file longer take twice as long on journalling file systems.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;

const INSERT: &str = "INSERT INTO rows VALUES (?1)";
/// Commits until the log has its size: SQLite moves it to the database file after 1000 pages, then writes over it.
const WARM_COMMITS: i64 = 1100;

/// A database that is written as barely as can be.
pub(crate) struct Yardstick {
    connection: Connection,
    rows: i64,
}

impl Yardstick {
    /// In a new database at `path`.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (number INTEGER)",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|error| format!("{}: {error}", path.display()))?;
        let mut yardstick = Self { connection, rows: 0 };
        yardstick
            .warm()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(yardstick)
    }

    fn warm(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(INSERT)?;
        while self.rows < WARM_COMMITS {
            statement.execute([self.rows])?;
            self.rows += 1;
        }
        Ok(())
    }

    /// Commits per second of a bare loop that goes on for `time`.
    pub(crate) fn commits_per_s(&mut self, time: Duration) -> Result<f64> {
        self.turn(time)
            .map_err(|error| format!("the bare commit loop: {error}"))
    }

    fn turn(&mut self, time: Duration) -> rusqlite::Result<f64> {
        let mut statement = self.connection.prepare(INSERT)?;
        let begun = Instant::now();
        let first = self.rows;
        while begun.elapsed() < time {
            statement.execute([self.rows])?;
            self.rows += 1;
        }
        Ok((self.rows - first) as f64 / begun.elapsed().as_secs_f64())
    }
}
