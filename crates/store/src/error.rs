//! [`StoreError`].

use std::path::PathBuf;

/// Why the database did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another front-end leads.
    #[error("another front-end has taken over (its epoch is {found}, ours {own}): this one stops writing")]
    Fenced {
        /// Epoch in the database.
        found: u64,
        /// Our epoch.
        own: u64,
    },
    /// The database was made by a later version.
    #[error(
        "the database is of version {found}, and this program knows versions up to {known}: install a newer one"
    )]
    Version {
        /// Version in the database.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// Somebody else has the database open for writing.
    #[error(
        "another plerion serve uses this database ({} is locked): stop that one first, or give this one a database \
         of its own", .0.display()
    )]
    Locked(PathBuf),
    /// Another front-end leads, and its lease has not run out.
    #[error(
        "the front-end {holder:?} uses this database, and its lease lasts {seconds} s more: stop that one first, or give \
         this one a database of its own; if that one is gone, start again once its lease is over"
    )]
    Led {
        /// Who.
        holder: String,
        /// For how long at least.
        seconds: i64,
    },
    /// A row cannot be understood.
    #[error("{table} row {key}: {reason}")]
    Row {
        /// Table.
        table: &'static str,
        /// Key of the row.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The database failed.
    #[error("database: {0}")]
    Database(String),
    /// A call before this one failed, and nobody knows what it wrote.
    #[error(
        "the database is not used any more since it failed ({0}): start again to go on from what it holds"
    )]
    Unusable(String),
}
