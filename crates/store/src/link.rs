//! Connections to database servers: what [`crate::ServerStore`] asks of an engine.

use std::path::PathBuf;

use crate::dialect::Dialect;
use crate::row::Cell;
use crate::{SqlAnswer, StoreError};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// MariaDB or MySQL.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// Where a database is, and as whom.
#[derive(Clone)]
pub struct ServerSettings {
    /// Which server.
    pub kind: ServerKind,
    /// Name or address of its machine.
    pub host: String,
    /// Its port; 0 is the usual one.
    pub port: u16,
    /// Its socket, instead of host and port: the socket of MariaDB, the directory of PostgreSQL's.
    pub socket: Option<PathBuf>,
    /// User of the database.
    pub user: String,
    /// Password of that user.
    pub password: String,
    /// Name of the database.
    pub database: String,
    /// Connections for reading, beside the one that writes.
    pub readers: usize,
}

impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl ServerSettings {
    /// Where it is, for people; without the password.
    pub(crate) fn place(&self) -> String {
        match &self.socket {
            Some(socket) => format!(
                "database {} of {} at {}",
                self.database,
                self.user,
                socket.display()
            ),
            None => format!(
                "database {} of {} at {}:{}",
                self.database, self.user, self.host, self.port
            ),
        }
    }
}

/// Why a statement was not carried out.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The connection is gone, or was cut by the server: another one may do.
    Lost(String),
    /// Anything else.
    Failed(StoreError),
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Lost(reason) => Self::Database(format!(
                "{reason}: see that the database server runs and can be reached, and start again"
            )),
            LinkError::Failed(error) => error,
        }
    }
}

/// A row that was read; `None` is NULL.
pub(crate) type Cells = Vec<Option<Cell>>;

/// One connection.
pub(crate) trait Link: Send {
    /// Runs a statement without parameters.
    fn run(&mut self, statement: &str) -> Result<(), LinkError>;
    /// Runs a statement. Returns how many rows it touched.
    fn execute(&mut self, statement: &str, cells: &[&Cell]) -> Result<u64, LinkError>;
    /// Runs a query and hands its rows over, one after another.
    fn query(
        &mut self,
        query: &str,
        cells: &[&Cell],
        each: &mut dyn FnMut(Cells) -> Result<(), StoreError>,
    ) -> Result<(), LinkError>;
    /// Asks any query, in a transaction that only reads and for as long as it may last. The connection is of no use for
    /// anything else afterwards.
    fn ask(&mut self, query: &str) -> Result<SqlAnswer, LinkError>;
}

/// A kind of server, and where one is.
pub(crate) trait Engine: Send + Sync + std::fmt::Debug {
    fn dialect(&self) -> &'static dyn Dialect;
    /// A connection with all that it needs set. The database is made when there is none.
    fn connect(&self) -> Result<Box<dyn Link>, LinkError>;
    /// The time of the database in seconds, as an expression.
    fn now(&self) -> &'static str;
    /// Begins a transaction that sees one state of the database.
    fn begin_read(&self) -> &'static str;
    /// Names of the tables of the database.
    fn tables(&self) -> &'static str;
    /// Waits for others who change the schema, within a transaction, where the engine can.
    fn schema_lock(&self) -> Option<&'static str>;
}
