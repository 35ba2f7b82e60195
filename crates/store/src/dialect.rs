//! From the schema to the SQL of an engine. What engines disagree about is a [`Dialect`]; the rest is written once.

use crate::schema::{Column, ColumnType, Index, Table};

/// What an engine says in its own way.
pub(crate) trait Dialect {
    /// A name of a table or column, quoted: some of ours are words of the language.
    fn name(&self, name: &str) -> String;
    /// A type, with what must be said of a column.
    fn column_type(&self, kind: ColumnType) -> &'static str;
    /// What follows the columns of a new table.
    fn table_options(&self) -> &'static str;
    /// The n-th parameter, from 1.
    fn parameter(&self, n: usize) -> String;
    /// What makes an INSERT replace the row of the same key.
    fn upsert_tail(&self, table: &Table) -> String;
    /// Whether statements that change the schema are undone with their transaction. Where they are not, each can be run
    /// again.
    fn schema_is_transactional(&self) -> bool {
        true
    }
}

/// SQLite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sqlite;

impl Dialect for Sqlite {
    fn name(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn column_type(&self, kind: ColumnType) -> &'static str {
        match kind {
            ColumnType::Int => "INTEGER NOT NULL",
            ColumnType::Name | ColumnType::Text => "TEXT NOT NULL",
        }
    }

    fn table_options(&self) -> &'static str {
        " STRICT"
    }

    fn parameter(&self, n: usize) -> String {
        format!("?{n}")
    }

    fn upsert_tail(&self, table: &Table) -> String {
        conflict_tail(self, table)
    }
}

fn conflict_tail(dialect: &dyn Dialect, table: &Table) -> String {
    let values = table.columns.iter().skip(table.key).map(|column| {
        let name = dialect.name(column.name);
        format!("{name} = excluded.{name}")
    });
    format!(
        " ON CONFLICT ({}) DO UPDATE SET {}",
        names(dialect, table.key_columns()),
        values.collect::<Vec<_>>().join(", ")
    )
}

/// PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Postgres;

impl Dialect for Postgres {
    fn name(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    fn column_type(&self, kind: ColumnType) -> &'static str {
        match kind {
            ColumnType::Int => "BIGINT NOT NULL",
            ColumnType::Name | ColumnType::Text => "TEXT COLLATE \"C\" NOT NULL",
        }
    }

    fn table_options(&self) -> &'static str {
        ""
    }

    fn parameter(&self, n: usize) -> String {
        format!("${n}")
    }

    fn upsert_tail(&self, table: &Table) -> String {
        conflict_tail(self, table)
    }
}

/// MariaDB and MySQL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mysql;

impl Dialect for Mysql {
    fn name(&self, name: &str) -> String {
        format!("`{name}`")
    }

    fn column_type(&self, kind: ColumnType) -> &'static str {
        match kind {
            ColumnType::Int => "BIGINT NOT NULL",
            ColumnType::Name => "VARCHAR(255) NOT NULL",
            ColumnType::Text => "LONGTEXT NOT NULL",
        }
    }

    fn table_options(&self) -> &'static str {
        // Told apart by their bytes, as everywhere else: neither case nor accents are the same.
        " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    }

    fn parameter(&self, _n: usize) -> String {
        "?".into()
    }

    fn upsert_tail(&self, table: &Table) -> String {
        let values = table.columns.iter().skip(table.key).map(|column| {
            let name = self.name(column.name);
            format!("{name} = VALUES({name})")
        });
        format!(
            " ON DUPLICATE KEY UPDATE {}",
            values.collect::<Vec<_>>().join(", ")
        )
    }

    fn schema_is_transactional(&self) -> bool {
        false
    }
}

/// The statements that make a table and its indexes.
pub(crate) fn table_create(dialect: &dyn Dialect, table: &Table) -> Vec<String> {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            format!(
                "{} {}",
                dialect.name(column.name),
                dialect.column_type(column.kind)
            )
        })
        .collect();
    if !dialect.schema_is_transactional() {
        return vec![table_create_again(dialect, table, &columns)];
    }
    let create = format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({})){}",
        dialect.name(table.name),
        columns.join(", "),
        names(dialect, table.key_columns()),
        dialect.table_options()
    );
    std::iter::once(create)
        .chain(
            table
                .indexes
                .iter()
                .map(|index| index_create(dialect, table, index)),
        )
        .collect()
}

/// One statement for a table with its indexes, which does nothing when the table is there.
fn table_create_again(dialect: &dyn Dialect, table: &Table, columns: &[String]) -> String {
    let indexes = table.indexes.iter().map(|index| {
        let on: Vec<String> = index.columns.iter().map(|name| dialect.name(name)).collect();
        format!(", INDEX {} ({})", dialect.name(index.name), on.join(", "))
    });
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}){}){}",
        dialect.name(table.name),
        columns.join(", "),
        names(dialect, table.key_columns()),
        indexes.collect::<String>(),
        dialect.table_options()
    )
}

fn index_create(dialect: &dyn Dialect, table: &Table, index: &Index) -> String {
    let columns: Vec<String> = index.columns.iter().map(|name| dialect.name(name)).collect();
    format!(
        "CREATE INDEX {} ON {} ({})",
        dialect.name(index.name),
        dialect.name(table.name),
        columns.join(", ")
    )
}

/// Puts a new row in; its columns are the parameters, in order.
pub(crate) fn insert(dialect: &dyn Dialect, table: &Table) -> String {
    insert_rows(dialect, table, 1)
}

/// Puts some new rows in at once; their columns are the parameters, row by row.
pub(crate) fn insert_rows(dialect: &dyn Dialect, table: &Table, rows: usize) -> String {
    let width = table.columns.len();
    let row = |row: usize| {
        let parameters: Vec<String> = (1..=width).map(|n| dialect.parameter(row * width + n)).collect();
        format!("({})", parameters.join(", "))
    };
    format!(
        "INSERT INTO {} ({}) VALUES {}",
        dialect.name(table.name),
        names(dialect, table.columns),
        (0..rows).map(row).collect::<Vec<_>>().join(", ")
    )
}

/// Puts a row in, in the place of one of the same key; its columns are the parameters, in order.
pub(crate) fn upsert(dialect: &dyn Dialect, table: &Table) -> String {
    insert(dialect, table) + &dialect.upsert_tail(table)
}

/// Deletes the row of a key; the columns of the key are the parameters.
pub(crate) fn delete(dialect: &dyn Dialect, table: &Table) -> String {
    let conditions: Vec<String> = table
        .key_columns()
        .iter()
        .zip(1..)
        .map(|(column, n)| format!("{} = {}", dialect.name(column.name), dialect.parameter(n)))
        .collect();
    format!(
        "DELETE FROM {} WHERE {}",
        dialect.name(table.name),
        conditions.join(" AND ")
    )
}

fn names(dialect: &(impl Dialect + ?Sized), columns: &[Column]) -> String {
    let names: Vec<String> = columns.iter().map(|column| dialect.name(column.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{OUTBOX, VMS};

    #[test]
    fn statements_name_all_columns_and_the_key() {
        assert_eq!(
            upsert(&Sqlite, &OUTBOX),
            "INSERT INTO \"outbox\" (\"kind\", \"oid\", \"step\", \"part\", \"body\") VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (\"kind\", \"oid\", \"step\", \"part\") DO UPDATE SET \"body\" = excluded.\"body\""
        );
        assert_eq!(delete(&Sqlite, &VMS), "DELETE FROM \"vms\" WHERE \"oid\" = ?1");
        let create = table_create(&Sqlite, &VMS);
        assert_eq!(create.len(), 2);
        assert_eq!(
            create[1],
            "CREATE INDEX \"vms_state\" ON \"vms\" (\"state\", \"oid\")"
        );
    }
}
