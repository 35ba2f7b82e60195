//! What a durable commit costs on this disk at least: one small row, one transaction, WAL, every commit synced.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;

/// Commits per second of a bare loop that goes on for `time`, in a new database at `path`.
pub(crate) fn commits_per_s(path: &Path, time: Duration) -> Result<f64> {
    measure(path, time).map_err(|error| format!("the bare commit loop in {}: {error}", path.display()))
}

fn measure(path: &Path, time: Duration) -> rusqlite::Result<f64> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (number INTEGER)",
    )?;
    let mut statement = connection.prepare("INSERT INTO rows VALUES (?1)")?;
    let begun = Instant::now();
    let mut count = 0_i64;
    while begun.elapsed() < time {
        statement.execute([count])?;
        count += 1;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
