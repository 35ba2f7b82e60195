//! Reading the whole state from a server.

use std::sync::Arc;

use plerion_model::Kind;
use plerion_world::{Config, Object, World};

use crate::dialect::Dialect;
use crate::link::{Cells, Link};
use crate::row::{self, Cell, ObjectRow, done_parse, row_error};
use crate::schema::{LOAD_ORDER, OUTBOX, POOL_CONTROL, Table, VM_ATTRIBUTES, VMS, table_of};
use crate::vm_row::{VmRow, Written, living_states, vm_query, vms_parse};
use crate::{DoneVm, StoreError};

/// The state of the last commit. The caller has begun a transaction that sees one state.
pub(crate) fn world(
    link: &mut dyn Link,
    written: &mut Written,
    dialect: &dyn Dialect,
    config: Config,
) -> Result<Option<World>, StoreError> {
    let mut world = World::new(config);
    let mut objects: u64 = 0;
    for kind in LOAD_ORDER {
        objects += match kind {
            Kind::Vm => vms(link, &mut world, written)?,
            kind => pool(link, &mut world, dialect, *kind)?,
        };
    }
    link.query("SELECT oid, body FROM outbox", &[], &mut |cells| {
        let mut cells = cells.into_iter();
        let oid = int(&mut cells, &OUTBOX)?;
        let intent = row::intent_parse(oid, &text(&mut cells, &OUTBOX, oid)?)?;
        world.outbox.insert(intent.key, Arc::new(intent));
        Ok(())
    })?;
    link.query("SELECT last_oid, kind FROM pool_control", &[], &mut |cells| {
        let mut cells = cells.into_iter();
        let last = int(&mut cells, &POOL_CONTROL)?;
        let (kind, id) = row::last_id_parse(&text(&mut cells, &POOL_CONTROL, last)?, last)?;
        world.last_ids.insert(kind, id);
        Ok(())
    })?;
    if objects == 0 && world.last_ids.is_empty() {
        return Ok(None);
    }
    Ok(Some(world))
}

fn pool(
    link: &mut dyn Link,
    world: &mut World,
    dialect: &dyn Dialect,
    kind: Kind,
) -> Result<u64, StoreError> {
    let table = table_of(kind);
    let template = match table.position("template") {
        Some(_) => "template",
        None => "''",
    };
    let query = format!(
        "SELECT oid, body, {template} FROM {} ORDER BY oid",
        dialect.name(table.name)
    );
    let mut count = 0;
    link.query(&query, &[], &mut |cells| {
        let mut cells = cells.into_iter();
        let oid = int(&mut cells, table)?;
        let row = ObjectRow {
            oid,
            body: text(&mut cells, table, oid)?,
            template: text(&mut cells, table, oid)?,
        };
        world.put(&row::object_parse(kind, &row)?);
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

fn vms(link: &mut dyn Link, world: &mut World, written: &mut Written) -> Result<u64, StoreError> {
    let states: Vec<String> = living_states().map(|state| state.to_string()).collect();
    let query = vm_query(&format!("WHERE vms.state IN ({})", states.join(", ")));
    let mut vms = vms_parse(|take| {
        link.query(&query, &[], &mut |cells| {
            take(vm_row(cells)?);
            Ok(())
        })?;
        Ok(())
    })?;
    vms.sort_unstable_by_key(|vm| vm.id);
    let count = vms.len() as u64;
    for vm in vms {
        written.put(&vm);
        world.put(&Object::Vm(Arc::new(vm)));
    }
    Ok(count)
}

/// A row of [`vm_query`].
pub(crate) fn vm_row(cells: Cells) -> Result<VmRow, StoreError> {
    let mut cells = cells.into_iter();
    let oid = int(&mut cells, &VMS)?;
    let body = text(&mut cells, &VMS, oid)?;
    let attributes = match (cells.next().flatten(), cells.next().flatten()) {
        (None, None) => None,
        (Some(Cell::Text(template)), Some(Cell::Text(user_template))) => Some((template, user_template)),
        _ => return Err(row_error(&VM_ATTRIBUTES, oid, "a text is no text")),
    };
    Ok(VmRow {
        oid,
        body,
        attributes,
    })
}

/// A row of the columns by which a VM that is DONE is chosen.
pub(crate) fn done_row(cells: Cells) -> Result<DoneVm, StoreError> {
    let mut cells = cells.into_iter();
    let mut next = || int(&mut cells, &VMS);
    done_parse([next()?, next()?, next()?, next()?])
}

fn int(cells: &mut impl Iterator<Item = Option<Cell>>, table: &'static Table) -> Result<i64, StoreError> {
    match cells.next().flatten() {
        Some(Cell::Int(value)) => Ok(value),
        _ => Err(row_error(table, "?", "a number is no number")),
    }
}

fn text(
    cells: &mut impl Iterator<Item = Option<Cell>>,
    table: &'static Table,
    key: i64,
) -> Result<String, StoreError> {
    match cells.next().flatten() {
        Some(Cell::Text(text)) => Ok(text),
        _ => Err(row_error(table, key, "a text is no text")),
    }
}
