//! What a durable commit costs on this disk at least: one small row, one transaction, WAL, every commit synced.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;

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
        Ok(Self { connection, rows: 0 })
    }

    /// Commits per second of a bare loop that goes on for `time`.
    pub(crate) fn commits_per_s(&mut self, time: Duration) -> Result<f64> {
        self.turn(time)
            .map_err(|error| format!("the bare commit loop: {error}"))
    }

    fn turn(&mut self, time: Duration) -> rusqlite::Result<f64> {
        let mut statement = self.connection.prepare("INSERT INTO rows VALUES (?1)")?;
        let begun = Instant::now();
        let first = self.rows;
        while begun.elapsed() < time {
            statement.execute([self.rows])?;
            self.rows += 1;
        }
        Ok((self.rows - first) as f64 / begun.elapsed().as_secs_f64())
    }
}
