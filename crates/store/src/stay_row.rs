//! Stays that ended, and what VMs cost, as rows.

use std::sync::Arc;

use plerion_model::showback::Showback;
use plerion_model::vm::{Demand, Vm};
use plerion_world::StayEnd;

use crate::row::{Cell, body, done_parse, id_check, parse, row_error, template_parse};
use crate::schema::{HISTORY, VM_SHOWBACK};
use crate::{ShowbackRow, Stay, StoreError, showback_slot};

/// The columns of `history` that [`stay_parse`] takes, in their order.
pub(crate) const STAY_COLUMNS: &str = "oid, seq, body, template, user_template, sample";

/// The query of [`showback_parse`]'s columns, up to its condition.
pub(crate) const SHOWBACK_QUERY: &str = "SELECT vm_showback.slot, vm_showback.body, vms.oid, vms.uid, vms.gid, \
                                         vms.perms FROM vm_showback JOIN vms ON vms.oid = vm_showback.oid";

/// The row of a stay that ended.
pub(crate) fn stay_row(stay: &StayEnd) -> Result<Vec<Cell>, StoreError> {
    let vm = &stay.vm;
    let Some(record) = vm.last_history() else {
        return Err(row_error(&HISTORY, vm.id, "a stay without its record"));
    };
    let (template, user_template) = if stay.last {
        (String::new(), String::new())
    } else {
        (vm.template.to_json(), vm.user_template.to_json())
    };
    let sample = match &stay.sample {
        Some(sample) => body(&HISTORY, vm.id, &**sample)?,
        None => "".into(),
    };
    Ok(vec![
        vm.id.into(),
        record.seq.into(),
        record.stime.into(),
        record.etime.into(),
        body(&HISTORY, vm.id, &**vm)?,
        template.into(),
        user_template.into(),
        sample,
    ])
}

/// A stay, from [`STAY_COLUMNS`].
pub(crate) fn stay_parse(cells: [Cell; 6]) -> Result<Stay, StoreError> {
    let [
        Cell::Int(oid),
        Cell::Int(seq),
        Cell::Text(body),
        Cell::Text(template),
        Cell::Text(user_template),
        Cell::Text(sample),
    ] = cells
    else {
        return Err(row_error(&HISTORY, "?", "its columns are of other types"));
    };
    let mut vm: Vm = parse(&HISTORY, oid, &body)?;
    id_check(&HISTORY, oid, vm.id)?;
    let last = template.is_empty();
    if !last {
        vm.template = template_parse(&HISTORY, oid, &template)?;
        vm.user_template = template_parse(&HISTORY, oid, &user_template)?;
        vm.demand = Arc::new(Demand::read(&vm.template));
    }
    let sample = match sample.as_str() {
        "" => None,
        text => Some(parse(&HISTORY, oid, text)?),
    };
    Ok(Stay {
        seq: i32::try_from(seq).map_err(|_| row_error(&HISTORY, oid, "its number is too large"))?,
        vm,
        last,
        sample,
    })
}

/// The row of what a VM cost in a month.
pub(crate) fn showback_row(showback: &Showback) -> Result<Vec<Cell>, StoreError> {
    let (year, month) = (showback.year, showback.month);
    Ok(vec![
        showback_slot(year, month, showback.vm).into(),
        showback.vm.into(),
        i64::from(year).into(),
        i64::from(month).into(),
        showback.uid.into(),
        showback.gid.into(),
        body(&VM_SHOWBACK, showback.vm, showback)?,
    ])
}

/// What a VM cost in a month, from the columns of [`SHOWBACK_QUERY`].
pub(crate) fn showback_parse(cells: [Cell; 6]) -> Result<ShowbackRow, StoreError> {
    let [
        Cell::Int(slot),
        Cell::Text(body),
        Cell::Int(oid),
        Cell::Int(uid),
        Cell::Int(gid),
        Cell::Int(perms),
    ] = cells
    else {
        return Err(row_error(&VM_SHOWBACK, "?", "its columns are of other types"));
    };
    Ok(ShowbackRow {
        slot,
        showback: parse(&VM_SHOWBACK, slot, &body)?,
        vm: done_parse([oid, uid, gid, perms])?,
    })
}
