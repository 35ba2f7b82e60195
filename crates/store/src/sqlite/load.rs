//! Reading the whole state from SQLite.

use std::sync::Arc;

use plerion_model::Kind;
use plerion_world::{Config, Object, World};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::sql_error;
use crate::StoreError;
use crate::row::{self, ObjectRow, row_error};
use crate::schema::{LOAD_ORDER, OUTBOX, POOL_CONTROL, Table, VM_ATTRIBUTES, VMS, table_of};
use crate::vm_row::{VmRow, Written, living_states, vm_query, vms_parse};

/// The state of the last commit, read in one transaction.
pub(super) fn world(
    connection: &mut Connection,
    written: &mut Written,
    config: Config,
) -> Result<Option<World>, StoreError> {
    written.clear();
    let transaction = connection.transaction().map_err(sql_error)?;
    let mut world = World::new(config);
    let mut objects: u64 = 0;
    for kind in LOAD_ORDER {
        objects += match kind {
            Kind::Vm => vms(&transaction, &mut world, written)?,
            kind => pool(&transaction, &mut world, *kind)?,
        };
    }
    outbox(&transaction, &mut world)?;
    last_ids(&transaction, &mut world)?;
    if objects == 0 && world.last_ids.is_empty() {
        return Ok(None);
    }
    Ok(Some(world))
}

/// Runs a query and hands its rows over.
fn rows(
    connection: &Connection,
    query: &str,
    mut each: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare(query).map_err(sql_error)?;
    let mut rows = statement.query([]).map_err(sql_error)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(sql_error)? {
        each(row)?;
        count += 1;
    }
    Ok(count)
}

fn pool(connection: &Connection, world: &mut World, kind: Kind) -> Result<u64, StoreError> {
    let table = table_of(kind);
    let template = match table.position("template") {
        Some(_) => "template",
        None => "''",
    };
    let query = format!(
        "SELECT oid, body, {template} FROM \"{}\" ORDER BY oid",
        table.name
    );
    rows(connection, &query, |row| {
        let oid = int(row, 0, table)?;
        let row = ObjectRow {
            oid,
            body: text(row, 1, table, oid)?,
            template: text(row, 2, table, oid)?,
        };
        world.put(&row::object_parse(kind, &row)?);
        Ok(())
    })
}

fn vms(connection: &Connection, world: &mut World, written: &mut Written) -> Result<u64, StoreError> {
    // A list and not `<> 6`, which no index serves: VMs that are DONE may be many times those that live.
    let states: Vec<String> = living_states().map(|state| state.to_string()).collect();
    let query = vm_query(&format!("WHERE vms.state IN ({})", states.join(", ")));
    let mut vms = vms_parse(|take| {
        rows(connection, &query, |row| {
            take(vm_row(row)?);
            Ok(())
        })
        .map(|_| ())
    })?;
    // The index gives them state by state.
    vms.sort_unstable_by_key(|vm| vm.id);
    let count = vms.len() as u64;
    for vm in vms {
        written.put(&vm);
        world.put(&Object::Vm(Arc::new(vm)));
    }
    Ok(count)
}

/// A row of [`vm_query`].
pub(crate) fn vm_row(row: &Row<'_>) -> Result<VmRow, StoreError> {
    let oid = int(row, 0, &VMS)?;
    let missing = matches!(row.get_ref(2), Ok(ValueRef::Null));
    Ok(VmRow {
        oid,
        body: text(row, 1, &VMS, oid)?,
        attributes: if missing {
            None
        } else {
            let template = text(row, 2, &VM_ATTRIBUTES, oid)?;
            Some((template, text(row, 3, &VM_ATTRIBUTES, oid)?))
        },
    })
}

fn outbox(connection: &Connection, world: &mut World) -> Result<(), StoreError> {
    rows(connection, "SELECT oid, body FROM outbox", |row| {
        let oid = int(row, 0, &OUTBOX)?;
        let intent = row::intent_parse(oid, &text(row, 1, &OUTBOX, oid)?)?;
        world.outbox.insert(intent.key, Arc::new(intent));
        Ok(())
    })?;
    Ok(())
}

fn last_ids(connection: &Connection, world: &mut World) -> Result<(), StoreError> {
    rows(connection, "SELECT last_oid, kind FROM pool_control", |row| {
        let last = int(row, 0, &POOL_CONTROL)?;
        let (kind, id) = row::last_id_parse(&text(row, 1, &POOL_CONTROL, last)?, last)?;
        world.last_ids.insert(kind, id);
        Ok(())
    })?;
    Ok(())
}

pub(crate) fn int(row: &Row<'_>, index: usize, table: &'static Table) -> Result<i64, StoreError> {
    match row.get_ref(index).map_err(sql_error)? {
        ValueRef::Integer(value) => Ok(value),
        other => Err(row_error(
            table,
            "?",
            format!("a number is {}", other.data_type()),
        )),
    }
}

pub(crate) fn text(
    row: &Row<'_>,
    index: usize,
    table: &'static Table,
    key: i64,
) -> Result<String, StoreError> {
    match row.get_ref(index).map_err(sql_error)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map(ToOwned::to_owned)
            .map_err(|error| row_error(table, key, error)),
        other => Err(row_error(table, key, format!("a text is {}", other.data_type()))),
    }
}
