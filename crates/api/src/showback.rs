//! What VMs cost, month by month: calculated when somebody says so, and kept.

use std::sync::Arc;

use plerion_engine::{Engine, ShowbackRow, Snapshot, showback_slot};
use plerion_model::showback::Showback;
use plerion_model::{ApiError, Id, Kind};
use plerion_world::{
    Bill, Caller, Command, Prices, ShowbackWindow, Snapshot as View, YearMonth, showback_right,
};
use tokio::sync::mpsc;

use crate::accounting::{Earlier, listed_vm, vms_between};
use crate::method::{Handler, Method, Right, method};
use crate::order::order;
use crate::pool::stream_framed;
use crate::pool_done::row_visible;
use crate::pool_filter::Filter;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Rows read from the database at a time.
const PAGE_ROWS: u64 = 1_000;
/// Rows written in one transaction.
const PUT_ROWS: usize = 500;
/// Such writes that wait for the writer at most.
const PUTS_WAITING: usize = 2;

#[rustfmt::skip]
pub(crate) fn methods() -> Vec<Method> {
    let months = "start_month:int, start_year:int, end_month:int, end_year:int";
    vec![
        method("one.vmpool.showback".into(), "filter:int, start_month:int, start_year:int, end_month:int, end_year:int", Right::Filtered(Kind::Vm), "lists what VMs cost in some months".into(), Handler::Stored(showback)),
        method("one.vmpool.calculateshowback".into(), months, Right::AdminGroup, "calculates what VMs cost in some months".into(), Handler::ShowbackCalculate),
    ]
}

/// A month and a year; `None` where either is -1.
fn month_read(params: &mut Params) -> Result<Option<YearMonth>, Reject> {
    let (month, year) = (params.int()?, params.int()?);
    if month == -1 || year == -1 {
        return Ok(None);
    }
    let found = i16::try_from(year).ok().zip(i8::try_from(month).ok());
    match found {
        Some((year @ 1..=9998, month @ 1..=12)) => Ok(Some((year, month))),
        _ => Err(ApiError::rpc_api(format!(
            "There is no month {month} of {year}: months are 1 to 12, and -1 for month or year leaves that end open"
        ))
        .into()),
    }
}

/// Answers `one.vmpool.showback`: by month and VM.
fn showback(engine: &Arc<Engine>, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let filter = Filter::owners(params.int()?)?;
    let (first, last) = (month_read(params)?, month_read(params)?);
    let snapshot = engine.snapshot();
    let costs = Costs {
        engine: engine.clone(),
        caller: caller.clone(),
        clusters: snapshot.world.ids(Kind::Cluster),
        snapshot: snapshot.clone(),
        filter,
        after: first.map_or(i64::MIN, |(year, month)| {
            showback_slot(year, month, 0).saturating_sub(1)
        }),
        last: last.map_or(i64::MAX, |(year, month)| showback_slot(year, month, Id::MAX)),
        page: Vec::new().into_iter(),
        over: false,
    };
    Ok(stream_framed(
        snapshot,
        "SHOWBACK_RECORDS",
        costs,
        |out, _, _, row| {
            row.render(out);
            Ok(())
        },
        |_, _| {},
    ))
}

/// The costs of VMs that the caller wants and may see, read page by page.
struct Costs {
    engine: Arc<Engine>,
    caller: Caller,
    snapshot: Snapshot,
    filter: Filter,
    clusters: Vec<Id>,
    after: i64,
    last: i64,
    page: std::vec::IntoIter<ShowbackRow>,
    over: bool,
}

impl Costs {
    fn row(&mut self) -> Result<Option<ShowbackRow>, String> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        if self.over {
            return Ok(None);
        }
        let reader = self.engine.reader();
        let page = reader
            .showback(self.after, self.last, PAGE_ROWS)
            .map_err(|error| error.to_string())?;
        self.over = (page.len() as u64) < PAGE_ROWS;
        if let Some(row) = page.last() {
            self.after = row.slot;
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }

    fn step(&mut self) -> Result<Option<Showback>, String> {
        while let Some(row) = self.row()? {
            let (engine, caller) = (&self.engine, &self.caller);
            if self.filter.wants(caller, &row.vm.owned)
                && row_visible(engine, &self.snapshot, caller, &self.clusters, &row.vm)?
            {
                return Ok(Some(row.showback));
            }
        }
        Ok(None)
    }
}

impl Iterator for Costs {
    type Item = Result<Showback, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Answers `one.vmpool.calculateshowback`. The costs are calculated beside the writer and handed to it in pieces; when it
/// is asked for again, the months are written anew.
pub(crate) async fn showback_calculate(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (first, last) = (month_read(params)?, month_read(params)?);
    showback_right(&caller)?;
    let snapshot = engine.snapshot();
    let window = ShowbackWindow::new(&snapshot.world.config.time_zone, first, last, engine.now())?;
    let (sender, mut receiver) = mpsc::channel(PUTS_WAITING);
    let calculating = {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || costs_calculate(&engine, &snapshot, &window, &sender))
    };
    while let Some(rows) = receiver.recv().await {
        order(engine, caller.clone(), Command::ShowbackPut { rows }).await?;
    }
    let calculated = calculating.await;
    calculated
        .unwrap_or_else(|_| Err("the calculation broke down".into()))
        .map_err(|error| ApiError::internal(format!("Cannot calculate all costs: {error}")))?;
    // As recorded: a blank.
    Ok(Payload::Text(" ".into()))
}

/// Calculates the costs of all VMs. Ends early when nobody takes them any more.
fn costs_calculate(
    engine: &Arc<Engine>,
    snapshot: &Snapshot,
    window: &ShowbackWindow,
    sender: &mpsc::Sender<Vec<Showback>>,
) -> Result<(), String> {
    let prices = Prices::of(&snapshot.world.config);
    let view = View {
        world: &snapshot.world,
        measurements: &snapshot.measurements,
    };
    let times = (window.start, window.end.saturating_add(1));
    let reader = &**engine.reader();
    let mut rows = Vec::new();
    for item in vms_between(engine, &Caller::system(), snapshot, Filter::everybody(), times) {
        let vm = listed_vm(snapshot, reader, item?)?;
        let earlier = Earlier::read(reader, &vm, times)?;
        let mut bill = Bill::new(window, prices);
        for record in vm.history.iter() {
            if record.overlaps(times.0, times.1) {
                bill.add(record, earlier.vm(record.seq, &vm));
            }
        }
        rows.extend(bill.rows(&vm, &view));
        if rows.len() >= PUT_ROWS && sender.blocking_send(std::mem::take(&mut rows)).is_err() {
            return Ok(());
        }
    }
    if !rows.is_empty() {
        // Nobody takes them when the caller's order was refused, which it has been told.
        let _ = sender.blocking_send(rows);
    }
    Ok(())
}
