//! MariaDB and MySQL.

use std::time::Duration;

use ::mysql::prelude::Queryable as _;
use ::mysql::{Conn, Error, OptsBuilder, Params, Value};

use crate::dialect::{Dialect, Mysql};
use crate::link::{Cells, Engine, Link, LinkError, ServerSettings};
use crate::row::Cell;
use crate::sql_query::{no_query, too_long};
use crate::{SQL_ROWS_MAX, SQL_TIME_MAX, SqlAnswer, StoreError};

const PORT: u16 = 3306;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that says nothing for this time is taken for gone.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Statements that stay prepared: more than there are.
const STATEMENTS_MAX: usize = 256;
/// What one row may need.
const PACKET_BYTES_MIN: i64 = 16 << 20;
const ACCESS_DENIED: u16 = 1045;
const DATABASE_DENIED: u16 = 1044;
const DATABASE_UNKNOWN: u16 = 1049;
/// Shutting down, killed, gone, lost.
const ENDED: [u16; 5] = [1053, 1927, 1047, 2006, 2013];
/// Of MariaDB and of MySQL.
const TOO_LONG: [u16; 2] = [1969, 3024];
const VARIABLE_UNKNOWN: u16 = 1193;
const READ_ONLY: [u16; 2] = [1290, 1836];
const SESSION: [&str; 4] = [
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout = 10",
];

#[derive(Debug)]
pub(crate) struct MysqlEngine {
    settings: ServerSettings,
}

impl MysqlEngine {
    pub(crate) fn new(mut settings: ServerSettings) -> Self {
        if settings.port == 0 {
            settings.port = PORT;
        }
        Self { settings }
    }

    fn connection(&self, database: Option<&str>) -> Result<Conn, Error> {
        let settings = &self.settings;
        let options = OptsBuilder::new()
            .user(Some(&settings.user))
            .pass(Some(&settings.password))
            .db_name(database)
            .ip_or_hostname(Some(&settings.host))
            .tcp_port(settings.port)
            .socket(settings.socket.as_ref().map(|path| path.to_string_lossy()))
            .prefer_socket(false)
            .tcp_connect_timeout(Some(CONNECT_WITHIN))
            .read_timeout(Some(SILENT_MAX))
            .write_timeout(Some(SILENT_MAX))
            .stmt_cache_size(STATEMENTS_MAX)
            .init(SESSION.to_vec());
        Conn::new(options)
    }

    fn database_make(&self) -> Result<(), LinkError> {
        let name = self.settings.database.replace('`', "``");
        let statement =
            format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        let made = self
            .connection(None)
            .and_then(|mut connection| connection.query_drop(&statement));
        made.map_err(|error| {
            StoreError::Database(format!(
                "{} does not exist, and {} may not make it ({error}): run as administrator of the server: {statement}; \
                 GRANT ALL ON `{name}`.* TO '{}'@'%'",
                self.settings.place(),
                self.settings.user,
                self.settings.user
            ))
            .into()
        })
    }

    fn connect_error(&self, error: &Error) -> LinkError {
        let place = self.settings.place();
        match error {
            Error::MySqlError(said) if said.code == ACCESS_DENIED => StoreError::Database(format!(
                "{place}: {error}: set USER and PASSWD of DB in oned.conf as in the server"
            ))
            .into(),
            Error::MySqlError(said) if said.code == DATABASE_DENIED => {
                let name = &self.settings.database;
                StoreError::Database(format!(
                    "{place}: {error}: the database is missing or this user has no right to it; run as administrator of \
                     the server: CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4; \
                     GRANT ALL ON `{name}`.* TO '{}'@'%'",
                    self.settings.user
                ))
                .into()
            }
            error => LinkError::Lost(format!("{place} cannot be reached: {error}")),
        }
    }

    fn fit(&self, link: &mut dyn Link) -> Result<(), LinkError> {
        let mut found = (String::new(), 0);
        link.query(
            "SELECT CONVERT(VERSION() USING utf8mb4), CAST(@@max_allowed_packet AS SIGNED)",
            &[],
            &mut |cells| {
                if let [Some(Cell::Text(version)), Some(Cell::Int(packet))] = cells.as_slice() {
                    found = (version.clone(), *packet);
                }
                Ok(())
            },
        )?;
        let (version, packet) = found;
        let place = self.settings.place();
        let oldest = if version.contains("MariaDB") {
            (10, 5)
        } else {
            (8, 0)
        };
        if version_of(&version) < oldest {
            return Err(StoreError::Database(format!(
                "{place}: the server is of version {version}, and MariaDB 10.5 or MySQL 8.0 are the oldest that will do: \
                 install a newer one"
            ))
            .into());
        }
        if packet < PACKET_BYTES_MIN {
            return Err(StoreError::Database(format!(
                "{place}: max_allowed_packet of the server is {packet} where {PACKET_BYTES_MIN} are needed at least: set \
                 it in the server's configuration and restart it"
            ))
            .into());
        }
        Ok(())
    }
}

fn version_of(text: &str) -> (u32, u32) {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Engine for MysqlEngine {
    fn dialect(&self) -> &'static dyn Dialect {
        &Mysql
    }

    fn connect(&self) -> Result<Box<dyn Link>, LinkError> {
        let connection = match self.connection(Some(&self.settings.database)) {
            Err(Error::MySqlError(said)) if said.code == DATABASE_UNKNOWN => {
                self.database_make()?;
                self.connection(Some(&self.settings.database))
            }
            other => other,
        };
        let mut link = MysqlLink {
            connection: connection.map_err(|error| self.connect_error(&error))?,
        };
        self.fit(&mut link)?;
        Ok(Box::new(link))
    }

    fn now(&self) -> &'static str {
        "UNIX_TIMESTAMP()"
    }

    fn begin_read(&self) -> &'static str {
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    }

    fn tables(&self) -> &'static str {
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    }

    fn schema_lock(&self) -> Option<&'static str> {
        None
    }
}

struct MysqlLink {
    connection: Conn,
}

fn link_error(error: &Error) -> LinkError {
    let advice = match error {
        Error::MySqlError(said) if ENDED.contains(&said.code) => return LinkError::Lost(error.to_string()),
        Error::MySqlError(said) if READ_ONLY.contains(&said.code) => {
            ": the server only reads, name the one that writes in SERVER"
        }
        Error::MySqlError(_) => "",
        _ => return LinkError::Lost(error.to_string()),
    };
    StoreError::Database(format!("{error}{advice}")).into()
}

fn values(cells: &[&Cell]) -> Params {
    let value = |cell: &&Cell| match cell {
        Cell::Int(value) => Value::Int(*value),
        Cell::Text(text) => Value::Bytes(text.as_bytes().to_vec()),
    };
    if cells.is_empty() {
        return Params::Empty;
    }
    Params::Positional(cells.iter().map(value).collect())
}

fn cell_of(value: Value) -> Result<Option<Cell>, StoreError> {
    let unfit = |what: &str| StoreError::Database(format!("the server answered with {what}"));
    Ok(match value {
        Value::NULL => None,
        Value::Int(value) => Some(Cell::Int(value)),
        Value::UInt(value) => Some(Cell::Int(
            i64::try_from(value).map_err(|_| unfit("a number that is too large"))?,
        )),
        Value::Bytes(bytes) => Some(Cell::Text(
            String::from_utf8(bytes).map_err(|_| unfit("a text that is no UTF-8"))?,
        )),
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => {
            return Err(unfit("neither a number nor a text"));
        }
    })
}

impl Link for MysqlLink {
    fn run(&mut self, statement: &str) -> Result<(), LinkError> {
        self.connection
            .query_drop(statement)
            .map_err(|error| link_error(&error))
    }

    fn execute(&mut self, statement: &str, cells: &[&Cell]) -> Result<u64, LinkError> {
        self.connection
            .exec_drop(statement, values(cells))
            .map_err(|error| link_error(&error))?;
        Ok(self.connection.affected_rows())
    }

    fn query(
        &mut self,
        query: &str,
        cells: &[&Cell],
        each: &mut dyn FnMut(Cells) -> Result<(), StoreError>,
    ) -> Result<(), LinkError> {
        let rows = self
            .connection
            .exec_iter(query, values(cells))
            .map_err(|error| link_error(&error))?;
        for row in rows {
            let row = row.map_err(|error| link_error(&error))?;
            let cells: Result<Cells, StoreError> = row.unwrap().into_iter().map(cell_of).collect();
            each(cells?)?;
        }
        Ok(())
    }

    fn ask(&mut self, query: &str) -> Result<SqlAnswer, LinkError> {
        let failed = |error: Error| match &error {
            Error::MySqlError(said) if TOO_LONG.contains(&said.code) => too_long().into(),
            error => link_error(error),
        };
        self.bound()?;
        self.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
        // A statement that is prepared is one, and the server says what it answers before it does anything.
        let statement = self.connection.prep(query).map_err(failed)?;
        if statement.columns().is_empty() {
            return Err(no_query().into());
        }
        let columns = statement.columns();
        let mut answer = SqlAnswer::new(
            columns
                .iter()
                .map(|column| column.name_str().into_owned())
                .collect(),
        );
        let rows = self.connection.exec_iter(&statement, ()).map_err(failed)?;
        for row in rows {
            let cells = row.map_err(failed)?.unwrap().into_iter().map(any_text).collect();
            answer.push(cells)?;
        }
        Ok(answer)
    }
}

impl MysqlLink {
    /// Bounds the rows and the time of what the connection is asked; MariaDB counts seconds, MySQL milliseconds.
    fn bound(&mut self) -> Result<(), LinkError> {
        self.run(&format!(
            "SET SESSION sql_select_limit = {}",
            SQL_ROWS_MAX.saturating_add(1)
        ))?;
        let seconds = format!("SET SESSION max_statement_time = {}", SQL_TIME_MAX.as_secs());
        let milliseconds = format!("SET SESSION max_execution_time = {}", SQL_TIME_MAX.as_millis());
        match self.connection.query_drop(seconds) {
            Err(Error::MySqlError(said)) if said.code == VARIABLE_UNKNOWN => self.run(&milliseconds),
            other => other.map_err(|error| link_error(&error)),
        }
    }
}

/// A value as people read it.
fn any_text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Date(year, month, day, hour, minute, second, _) => Some(format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )),
        Value::Time(negative, days, hours, minutes, seconds, _) => {
            let hours = days.saturating_mul(24).saturating_add(u32::from(hours));
            let sign = if negative { "-" } else { "" };
            Some(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"))
        }
    }
}
