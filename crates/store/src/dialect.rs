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
        let values = table.columns.iter().skip(table.key).map(|column| {
            let name = self.name(column.name);
            format!("{name} = excluded.{name}")
        });
        format!(
            " ON CONFLICT ({}) DO UPDATE SET {}",
            names(self, table.key_columns()),
            values.collect::<Vec<_>>().join(", ")
        )
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
    let parameters: Vec<String> = (1..=table.columns.len()).map(|n| dialect.parameter(n)).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        dialect.name(table.name),
        names(dialect, table.columns),
        parameters.join(", ")
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
