//! `one.*.monitoring`: what was measured of hosts and VMs. The last measurement is in memory, older ones are in a file of
//! their own (`SampleReader`).

use std::sync::Arc;

use plerion_engine::{Engine, SampleReader, Snapshot, StoreError};
use plerion_model::view::{HostSampleView, VmSampleView};
use plerion_model::{ApiError, Id, Kind, Seconds};
use plerion_template::EscapedXml;
use plerion_world::{Caller, Measurements, Target, may_see, require_see};

use crate::method::{Handler, Method, Right, Stored, method};
use crate::pool::stream_framed;
use crate::pool_filter::{Filter, vms_visible};
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// The element around measurements.
const ROOT: &str = "MONITORING_DATA";

#[rustfmt::skip]
pub(crate) fn methods() -> Vec<Method> {
    let row = |name: &str, parameters, right, summary: &str, stored: Stored| method(name.into(), parameters, right, summary.into(), Handler::Stored(stored));
    let using = |kind| Right::On(plerion_model::Operation::Use, kind);
    vec![
        row("one.vm.monitoring", "id:int", using(Kind::Vm), "lists what was measured of a VM", vm_monitoring),
        row("one.host.monitoring", "id:int", using(Kind::Host), "lists what was measured of a host", host_monitoring),
        row("one.vmpool.monitoring", "filter:int, seconds:int(-1)", Right::Filtered(Kind::Vm), "lists what was measured of VMs", vmpool_monitoring),
        row("one.hostpool.monitoring", "seconds:int(-1)", Right::Filtered(Kind::Host), "lists what was measured of hosts", hostpool_monitoring),
    ]
}

/// Which measurements of an object.
#[derive(Clone, Copy)]
enum Wanted {
    /// The last one.
    Last,
    /// Those from a time on.
    Since(Seconds),
}

impl Wanted {
    /// -1 all, 0 the last one, else those of the last seconds.
    fn read(engine: &Engine, seconds: i32) -> Self {
        match seconds {
            0 => Self::Last,
            seconds if seconds > 0 => Self::Since(engine.now().saturating_sub(seconds.into())),
            _ => Self::Since(0),
        }
    }
}

fn vm_monitoring(engine: &Arc<Engine>, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    let snapshot = engine.snapshot();
    let target = match Target::of(&snapshot.world, Kind::Vm, id) {
        Ok(target) => target,
        Err(missing) => {
            // One that is DONE is in the database only.
            let vm = engine
                .reader()
                .vm(id)
                .map_err(|error| ApiError::internal(error.to_string()))?;
            Target::owned(Kind::Vm, id, &vm.ok_or(missing)?.owned)
        }
    };
    require_see(&snapshot.world, caller, &target)?;
    Ok(measured::<VmSampleView>(
        engine,
        snapshot,
        vec![id],
        Wanted::Since(0),
    ))
}

fn host_monitoring(engine: &Arc<Engine>, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    let snapshot = engine.snapshot();
    let target = Target::of(&snapshot.world, Kind::Host, id)?;
    require_see(&snapshot.world, caller, &target)?;
    Ok(measured::<HostSampleView>(
        engine,
        snapshot,
        vec![id],
        Wanted::Since(0),
    ))
}

fn vmpool_monitoring(engine: &Arc<Engine>, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let filter = Filter::owners(params.int()?)?;
    let wanted = Wanted::read(engine, params.int_or(-1)?);
    let snapshot = engine.snapshot();
    let ids = vms_visible(&snapshot, caller, filter).map(|vm| vm.id).collect();
    Ok(measured::<VmSampleView>(engine, snapshot, ids, wanted))
}

fn hostpool_monitoring(
    engine: &Arc<Engine>,
    caller: &Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let wanted = Wanted::read(engine, params.int_or(-1)?);
    let snapshot = engine.snapshot();
    let world = &snapshot.world;
    let visible = |id: &Id| {
        world
            .object(Kind::Host, *id)
            .is_ok_and(|host| may_see(world, caller, &Target::of_object(&host)))
    };
    let ids = world.ids(Kind::Host).into_iter().filter(visible).collect();
    Ok(measured::<HostSampleView>(engine, snapshot, ids, wanted))
}

/// Measurements of a kind of objects.
trait Sample: Clone + 'static {
    /// When it was taken.
    fn time(&self) -> Seconds;
    fn write(&self, out: &mut EscapedXml, id: Id);
    /// The last one of an object, which may not have been written yet.
    fn known(measurements: &Measurements, id: Id) -> Option<&Arc<Self>>;
    /// The last one that was written.
    fn last(reader: &SampleReader, id: Id) -> Result<Option<Self>, StoreError>;
    /// Those that were written from a time on, the oldest first.
    fn since(reader: &SampleReader, id: Id, since: Seconds) -> Result<Vec<Self>, StoreError>;
}

macro_rules! sample {
    ($($type:ident $measured:ident $since:ident $last:ident;)*) => {
        $(
            impl Sample for $type {
                fn time(&self) -> Seconds {
                    self.time
                }

                fn write(&self, out: &mut EscapedXml, id: Id) {
                    self.render(out, id);
                }

                fn known(measurements: &Measurements, id: Id) -> Option<&Arc<Self>> {
                    measurements.$measured.get(&id)
                }

                fn last(reader: &SampleReader, id: Id) -> Result<Option<Self>, StoreError> {
                    reader.$last(id)
                }

                fn since(reader: &SampleReader, id: Id, since: Seconds) -> Result<Vec<Self>, StoreError> {
                    reader.$since(id, since)
                }
            }
        )*
    };
}

sample! {
    VmSampleView vms vm vm_last;
    HostSampleView hosts host host_last;
}

/// Streams what was measured of some objects.
fn measured<T: Sample>(engine: &Arc<Engine>, snapshot: Snapshot, ids: Vec<Id>, wanted: Wanted) -> Payload {
    let engine = engine.clone();
    stream_framed(
        snapshot,
        ROOT,
        ids.into_iter().map(Ok),
        move |out: &mut EscapedXml, snapshot, _, id| {
            let known = T::known(&snapshot.measurements, id);
            for sample in samples(&engine, known, id, wanted)? {
                sample.write(out, id);
            }
            Ok(())
        },
        |_, _| {},
    )
}

fn samples<T: Sample>(
    engine: &Engine,
    known: Option<&Arc<T>>,
    id: Id,
    wanted: Wanted,
) -> Result<Vec<T>, String> {
    let text = |error: StoreError| error.to_string();
    let mut found = match (wanted, engine.samples()) {
        (Wanted::Last, Some(reader)) if known.is_none() => {
            T::last(reader, id).map_err(text)?.into_iter().collect()
        }
        (Wanted::Since(since), Some(reader)) => T::since(reader, id, since).map_err(text)?,
        _ => Vec::new(),
    };
    let newest = found.last().map_or(Seconds::MIN, T::time);
    let known = known.filter(|sample| sample.time() > newest && wanted.has(sample.time()));
    found.extend(known.map(|sample| T::clone(sample)));
    Ok(found)
}

impl Wanted {
    fn has(self, time: Seconds) -> bool {
        match self {
            Self::Last => true,
            Self::Since(since) => time >= since,
        }
    }
}
