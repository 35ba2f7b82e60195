//! PostgreSQL.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use ::postgres::error::SqlState;
use ::postgres::fallible_iterator::FallibleIterator as _;
use ::postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use ::postgres::{Client, Config, NoTls, Row, SimpleQueryMessage, Statement};

use crate::dialect::{Dialect, Postgres};
use crate::link::{Cells, Engine, Link, LinkError, ServerSettings};
use crate::row::Cell;
use crate::sql_query::{no_query, too_long};
use crate::{SQL_TIME_MAX, SqlAnswer, StoreError};

const PORT: u16 = 5432;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Data that a server does not take for this time means that it is gone.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// Rows that a cursor gives at once.
const ROWS_AT_ONCE: usize = 100;
/// PostgreSQL 12.
const VERSION_MIN: i64 = 120_000;
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; SET client_encoding = 'UTF8'; \
                       SET client_min_messages = warning; SET standard_conforming_strings = on";

#[derive(Debug)]
pub(crate) struct PostgresEngine {
    settings: ServerSettings,
}

impl PostgresEngine {
    pub(crate) fn new(mut settings: ServerSettings) -> Self {
        if settings.port == 0 {
            settings.port = PORT;
        }
        Self { settings }
    }

    fn client(&self, database: &str) -> Result<Client, ::postgres::Error> {
        let mut config = Config::new();
        config
            .user(&self.settings.user)
            .dbname(database)
            .port(self.settings.port)
            .application_name("plerion")
            .connect_timeout(CONNECT_WITHIN)
            .keepalives_idle(SILENT_MAX)
            .tcp_user_timeout(SILENT_MAX);
        if !self.settings.password.is_empty() {
            config.password(&self.settings.password);
        }
        match &self.settings.socket {
            Some(directory) => config.host_path(directory),
            None => config.host(&self.settings.host),
        };
        config.connect(NoTls)
    }

    fn database_make(&self) -> Result<(), LinkError> {
        let name = self.settings.database.replace('"', "\"\"");
        let statement = format!("CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0");
        let made = self
            .client("postgres")
            .and_then(|mut client| client.batch_execute(&statement));
        match made {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            Err(error) => Err(LinkError::Failed(StoreError::Database(format!(
                "{} does not exist, and {} may not make it ({}): run as administrator of the server: \
                 CREATE DATABASE \"{name}\" OWNER \"{}\" ENCODING 'UTF8' TEMPLATE template0",
                self.settings.place(),
                self.settings.user,
                words(&error),
                self.settings.user
            )))),
        }
    }

    fn connect_error(&self, error: &::postgres::Error) -> LinkError {
        let place = self.settings.place();
        let words = words(error);
        match error.code() {
            Some(code)
                if *code == SqlState::INVALID_PASSWORD
                    || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
            {
                StoreError::Database(format!(
                    "{place}: {words}: set USER and PASSWD of DB in oned.conf as in the server, and see its pg_hba.conf"
                ))
                .into()
            }
            Some(_) => LinkError::Lost(format!("{place}: {words}")),
            None => LinkError::Lost(format!("{place} cannot be reached: {words}")),
        }
    }

    fn fit(&self, link: &mut dyn Link) -> Result<(), LinkError> {
        let mut found = (0, String::new());
        let query = "SELECT current_setting('server_version_num')::bigint, pg_encoding_to_char(encoding)::text \
                     FROM pg_database WHERE datname = current_database()";
        link.query(query, &[], &mut |cells| {
            if let [Some(Cell::Int(version)), Some(Cell::Text(encoding))] = cells.as_slice() {
                found = (*version, encoding.clone());
            }
            Ok(())
        })?;
        let place = self.settings.place();
        let (version, encoding) = found;
        if version < VERSION_MIN {
            return Err(StoreError::Database(format!(
                "{place}: the server is of version {version}, and PostgreSQL 12 ({VERSION_MIN}) is the oldest that will \
                 do: install a newer one"
            ))
            .into());
        }
        if encoding != "UTF8" {
            return Err(StoreError::Database(format!(
                "{place}: its encoding is {encoding} where it must be UTF8: make a database with ENCODING 'UTF8' TEMPLATE \
                 template0, or name one that does not exist yet in DB_NAME"
            ))
            .into());
        }
        Ok(())
    }
}

impl Engine for PostgresEngine {
    fn dialect(&self) -> &'static dyn Dialect {
        &Postgres
    }

    fn connect(&self) -> Result<Box<dyn Link>, LinkError> {
        let client = match self.client(&self.settings.database) {
            Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                self.database_make()?;
                self.client(&self.settings.database)
            }
            other => other,
        };
        let client = client.map_err(|error| self.connect_error(&error))?;
        let mut link = PostgresLink {
            client,
            statements: HashMap::new(),
        };
        link.run(SESSION)?;
        self.fit(&mut link)?;
        Ok(Box::new(link))
    }

    fn now(&self) -> &'static str {
        "extract(epoch from clock_timestamp())::bigint"
    }

    fn begin_read(&self) -> &'static str {
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    }

    fn tables(&self) -> &'static str {
        "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
    }

    fn schema_lock(&self) -> Option<&'static str> {
        // The number is that of nobody else: the bytes of "plerion".
        Some("SELECT pg_advisory_xact_lock(31636331823464302)")
    }
}

struct PostgresLink {
    client: Client,
    /// Prepared once; there are as many as this program has words for.
    statements: HashMap<String, Statement>,
}

impl PostgresLink {
    fn statement(&mut self, text: &str) -> Result<Statement, LinkError> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text).map_err(|error| self.error(&error))?;
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    fn error(&self, error: &::postgres::Error) -> LinkError {
        let words = words(error);
        let ended = [
            &SqlState::ADMIN_SHUTDOWN,
            &SqlState::CRASH_SHUTDOWN,
            &SqlState::CANNOT_CONNECT_NOW,
        ];
        let advice = match error.code() {
            None => return LinkError::Lost(words),
            Some(code) if self.client.is_closed() || ended.contains(&code) => return LinkError::Lost(words),
            Some(code) if *code == SqlState::DISK_FULL => ": make room on the server and start again",
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
                ": the server is a copy that only reads, name the one that writes in SERVER"
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                ": give the user of DB all rights on the database and its schema"
            }
            Some(_) => "",
        };
        StoreError::Database(format!("{words}{advice}")).into()
    }
}

impl Link for PostgresLink {
    fn run(&mut self, statement: &str) -> Result<(), LinkError> {
        self.client
            .batch_execute(statement)
            .map_err(|error| self.error(&error))
    }

    fn execute(&mut self, statement: &str, cells: &[&Cell]) -> Result<u64, LinkError> {
        let statement = self.statement(statement)?;
        let cells: Vec<&(dyn ToSql + Sync)> = cells.iter().map(|cell| *cell as &(dyn ToSql + Sync)).collect();
        self.client
            .execute(&statement, &cells)
            .map_err(|error| self.error(&error))
    }

    fn query(
        &mut self,
        query: &str,
        cells: &[&Cell],
        each: &mut dyn FnMut(Cells) -> Result<(), StoreError>,
    ) -> Result<(), LinkError> {
        let statement = self.statement(query)?;
        let cells = cells.iter().map(|cell| *cell as &(dyn ToSql + Sync));
        let read = (|| {
            let mut rows = self.client.query_raw(&statement, cells)?;
            while let Some(row) = rows.next()? {
                let cells = cells_of(&row)?;
                if let Err(error) = each(cells) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })();
        match read {
            Ok(handed) => Ok(handed?),
            Err(error) => Err(self.error(&error)),
        }
    }

    fn ask(&mut self, query: &str) -> Result<SqlAnswer, LinkError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            SQL_TIME_MAX.as_millis()
        );
        self.run(&begin)?;
        let mut answer = SqlAnswer::default();
        match self.fetch(query, &mut answer) {
            Ok(pushed) => pushed?,
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => return Err(too_long().into()),
            Err(error) if error.code() == Some(&SqlState::SYNTAX_ERROR) => {
                return Err(StoreError::Database(format!("{}: {}", no_query(), words(&error))).into());
            }
            Err(error) => return Err(self.error(&error)),
        }
        Ok(answer)
    }
}

impl PostgresLink {
    /// Reads by a cursor: the server makes one for queries only, and a statement that is prepared is one.
    fn fetch(
        &mut self,
        query: &str,
        answer: &mut SqlAnswer,
    ) -> Result<Result<(), StoreError>, ::postgres::Error> {
        let cursor = self
            .client
            .prepare(&format!("DECLARE answer NO SCROLL CURSOR FOR {query}"))?;
        self.client.execute(&cursor, &[])?;
        loop {
            let before = answer.rows.len();
            for message in self
                .client
                .simple_query(&format!("FETCH FORWARD {ROWS_AT_ONCE} FROM answer"))?
            {
                match message {
                    SimpleQueryMessage::RowDescription(columns) => {
                        answer.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                    }
                    SimpleQueryMessage::Row(row) => {
                        let cells = (0..row.len()).map(|index| row.get(index).map(str::to_owned));
                        if let Err(error) = answer.push(cells.collect()) {
                            return Ok(Err(error));
                        }
                    }
                    _ => {}
                }
            }
            if answer.rows.len() == before {
                return Ok(Ok(()));
            }
        }
    }
}

fn cells_of(row: &Row) -> Result<Cells, ::postgres::Error> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(index, column)| {
            Ok(if *column.type_() == Type::INT8 {
                row.try_get::<_, Option<i64>>(index)?.map(Cell::Int)
            } else {
                row.try_get::<_, Option<String>>(index)?.map(Cell::Text)
            })
        })
        .collect()
}

impl ToSql for Cell {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut ::postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Int(value) => value.to_sql(kind, out),
            // No text of PostgreSQL holds a zero byte; bodies and templates escape it.
            Self::Text(text) if text.contains('\0') => text.replace('\0', "\u{fffd}").to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8 || *kind == Type::TEXT
    }

    to_sql_checked!();
}

/// What an error says, with what the server said.
fn words(error: &::postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} (PostgreSQL {})", said.message(), said.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
