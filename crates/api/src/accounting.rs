//! Accounting: the stays of VMs on hosts, each with the VM as it was. Living VMs come from memory, VMs that are DONE and
//! what VMs were earlier from the database, a VM at a time.

use std::sync::Arc;

use plerion_engine::{Engine, Snapshot, Stay, StoreReader};
use plerion_model::view::VmSampleView;
use plerion_model::vm::Vm;
use plerion_model::{Kind, Seconds, View as _};
use plerion_template::EscapedXml;
use plerion_world::{Caller, Snapshot as View};

use crate::method::{Handler, Method, Right, method};
use crate::pool::stream_framed;
use crate::pool_done::{DoneVms, Listed, Merged, Order};
use crate::pool_filter::{Filter, vms_visible};
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

pub(crate) fn methods() -> Vec<Method> {
    vec![method(
        "one.vmpool.accounting".into(),
        "filter:int, start:int, end:int",
        Right::Filtered(Kind::Vm),
        "lists the stays of VMs on hosts between two times".into(),
        Handler::Stored(accounting),
    )]
}

/// A time; -1 leaves that end open.
fn time_or(value: i32, open: Seconds) -> Seconds {
    if value == -1 { open } else { value.into() }
}

/// Answers `one.vmpool.accounting`: by VM and number of the stay (recorded).
fn accounting(engine: &Arc<Engine>, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let filter = Filter::owners(params.int()?)?;
    let (start, end) = (params.int()?, params.int()?);
    let (start, end) = (time_or(start, -1), time_or(end, Seconds::MAX));
    let snapshot = engine.snapshot();
    let items = vms_between(engine, caller, &snapshot, filter, (start, end));
    let reader = engine.reader().clone();
    Ok(stream_framed(
        snapshot,
        "HISTORY_RECORDS",
        items,
        move |out, snapshot, view, item| {
            let vm = listed_vm(snapshot, &*reader, item)?;
            stays_render(out, view, &*reader, &vm, (start, end))
        },
        |_, _| {},
    ))
}

/// The VMs that a caller wants and may see, and that were on hosts between two times, by id.
pub(crate) fn vms_between(
    engine: &Arc<Engine>,
    caller: &Caller,
    snapshot: &Snapshot,
    filter: Filter,
    (start, end): (Seconds, Seconds),
) -> Merged<DoneVms> {
    let stayed = |vm: &Vm| vm.history.iter().any(|record| record.overlaps(start, end));
    let living = vms_visible(snapshot, caller, filter)
        .filter(|vm| stayed(vm))
        .map(|vm| vm.id)
        .collect();
    let done = DoneVms::new(engine, caller, snapshot, filter, Order::Ascending).within(start, end);
    Merged::new(living, done, Order::Ascending, filter)
}

/// A VM of [`vms_between`].
pub(crate) fn listed_vm(
    snapshot: &Snapshot,
    reader: &dyn StoreReader,
    item: Listed,
) -> Result<Arc<Vm>, String> {
    let id = match item {
        Listed::Living(id) | Listed::Done(id) => id,
    };
    if let (Listed::Living(_), Some(vm)) = (item, snapshot.world.vms.get(id)) {
        return Ok(vm.clone());
    }
    let vm = reader.vm(id).map_err(|error| error.to_string())?;
    vm.map(Arc::new)
        .ok_or_else(|| format!("VM {id} is listed as DONE, but its row is gone"))
}

/// What a VM was in its stays.
pub(crate) struct Earlier {
    stays: Vec<Stay>,
}

impl Earlier {
    /// Reads what is needed for the stays between two times: a VM whose only stay lasts has nothing else to show.
    pub(crate) fn read(
        reader: &dyn StoreReader,
        vm: &Vm,
        (start, end): (Seconds, Seconds),
    ) -> Result<Self, String> {
        let ended = |record: &plerion_model::vm_history::History| record.etime > 0;
        let needed = vm
            .history
            .iter()
            .any(|record| ended(record) && record.overlaps(start, end));
        let stays = if needed {
            reader.stays(vm.id).map_err(|error| error.to_string())?
        } else {
            Vec::new()
        };
        Ok(Self { stays })
    }

    /// The VM as it was in a stay. (A stay from before such records were kept has the VM as it is.)
    pub(crate) fn vm<'a>(&'a self, seq: i32, vm: &'a Vm) -> &'a Vm {
        self.stay(seq)
            .filter(|stay| !stay.last)
            .map_or(vm, |stay| &stay.vm)
    }

    fn stay(&self, seq: i32) -> Option<&Stay> {
        self.stays.iter().find(|stay| stay.seq == seq)
    }

    /// The last measurement of the VM in a stay.
    fn sample(&self, seq: i32, lasts: bool, vm: &Vm, view: &View<'_>) -> Option<Arc<VmSampleView>> {
        if lasts {
            return view.vm_sample(vm.id);
        }
        self.stay(seq)?.sample.clone().map(Arc::new)
    }
}

fn stays_render(
    out: &mut EscapedXml,
    view: &View<'_>,
    reader: &dyn StoreReader,
    vm: &Vm,
    times: (Seconds, Seconds),
) -> Result<(), String> {
    let earlier = Earlier::read(reader, vm, times)?;
    let records = vm.history.iter();
    for record in records.filter(|record| record.overlaps(times.0, times.1)) {
        let sample = earlier.sample(record.seq, record.etime == 0, vm, view);
        record.render_accounted(out, vm.id, |out| {
            earlier
                .vm(record.seq, vm)
                .render_accounted(out, view, sample.as_deref());
        });
    }
    Ok(())
}
