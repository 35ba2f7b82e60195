//! `one.*pool.info`: filtered, paged, streamed.

use std::sync::Arc;

use plerion_engine::{Engine, Snapshot};
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{EscapedXml, Markup};
use plerion_world::{Caller, Object, Snapshot as View, Target, VmSight, may_see};

use crate::caches::Caches;
use crate::info::render;
use crate::method::PoolForm;
use crate::pool_done::{DoneVms, Listed, Merged, Order};
use crate::pool_filter::{Filter, vms_visible};
use crate::pool_found::Found;
use crate::quota::render_defaults;
use crate::reject::Reject;
use crate::search::Search;
use crate::xmlrpc::{Params, Payload};

/// A piece of a stream is handed on when it has this size, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Most ids of `one.vmpool.infoset`.
const SET_MAX: usize = 100_000;

/// Answers a pool call.
pub(crate) fn pool(
    engine: &Arc<Engine>,
    caches: &Arc<Caches>,
    caller: &Caller,
    kind: Kind,
    form: PoolForm,
    params: &mut Params,
) -> Result<Payload, Reject> {
    match form {
        PoolForm::Whole => Ok(objects(engine, caches, caller, kind, None, None)),
        PoolForm::Paged => {
            let filter = Filter::read(params)?;
            Ok(objects(engine, caches, caller, kind, Some(filter), None))
        }
        PoolForm::Typed => {
            let filter = Filter::read(params)?;
            let document_type = params.int()?;
            Ok(objects(
                engine,
                caches,
                caller,
                kind,
                Some(filter),
                Some(document_type),
            ))
        }
        PoolForm::VmShort | PoolForm::VmExtended => vms(engine, caches, caller, form, params),
        PoolForm::VmSet => vm_set(engine, caches, caller, params),
    }
}

/// Ids of a kind, newest first.
fn ids_of(snapshot: &Snapshot, kind: Kind) -> Vec<Id> {
    let mut ids = snapshot.world.ids(kind);
    ids.reverse();
    ids
}

/// The objects of a kind that the caller may see. `document_type` keeps documents of a type.
fn objects(
    engine: &Engine,
    caches: &Arc<Caches>,
    caller: &Caller,
    kind: Kind,
    filter: Option<Filter>,
    document_type: Option<i32>,
) -> Payload {
    let snapshot = engine.snapshot();
    let visible = |id: &Id| {
        let Ok(object) = snapshot.world.object(kind, *id) else {
            return false;
        };
        let of_type = match (&object, document_type) {
            (Object::Document(document), Some(wanted)) => document.document_type == wanted,
            _ => true,
        };
        let wanted = filter.zip(object.owned());
        of_type
            && wanted.is_none_or(|(filter, owned)| filter.wants(caller, owned))
            && may_see(&snapshot.world, caller, &Target::of_object(&object))
    };
    let ids: Vec<Id> = ordered(&snapshot, ids_of(&snapshot, kind))
        .into_iter()
        .filter(visible)
        .collect();
    let ids = filter.map_or(ids.clone(), |filter| filter.page(ids));
    let caches = caches.clone();
    stream(
        snapshot,
        kind,
        ids.into_iter().map(Ok),
        move |out, snapshot, view, id| {
            match snapshot.world.object(kind, id) {
                Ok(Object::Host(host)) => caches.hosts.render(out, &host, view),
                Ok(object) => render(out, &object, view, false),
                Err(_) => {}
            }
            Ok(())
        },
    )
}

/// Newest first unless `API_LIST_ORDER=ASC`. `ids` come newest first.
fn ordered(snapshot: &Snapshot, mut ids: Vec<Id>) -> Vec<Id> {
    if ascending(snapshot) {
        ids.reverse();
    }
    ids
}

/// Whether lists begin with the oldest object.
fn ascending(snapshot: &Snapshot) -> bool {
    snapshot
        .world
        .config
        .attributes
        .get("API_LIST_ORDER")
        .is_some_and(|order| order.eq_ignore_ascii_case("ASC"))
}

/// Renders piece by piece as the reader takes them; the snapshot lives as long as the stream. The first item or body
/// that cannot be had ends it.
fn stream<I, T>(
    snapshot: Snapshot,
    kind: Kind,
    items: I,
    each: impl FnMut(&mut EscapedXml, &Snapshot, &View<'_>, T) -> Result<(), String> + Send + 'static,
) -> Payload
where
    I: Iterator<Item = Result<T, String>> + Send + 'static,
{
    let root = kind.facts().pool_element;
    // After users and groups their default quotas (recorded).
    stream_framed(snapshot, root, items, each, move |out, view| {
        render_defaults(out, kind, view);
    })
}

/// The same within an element of any name; `end` writes what follows the last item.
pub(crate) fn stream_framed<I, T>(
    snapshot: Snapshot,
    root: &'static str,
    mut items: I,
    mut each: impl FnMut(&mut EscapedXml, &Snapshot, &View<'_>, T) -> Result<(), String> + Send + 'static,
    end: impl Fn(&mut EscapedXml, &View<'_>) + Send + 'static,
) -> Payload
where
    I: Iterator<Item = Result<T, String>> + Send + 'static,
{
    let mut begun = false;
    let mut over = false;
    Payload::Stream(Box::new(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut out = EscapedXml::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        if !begun {
            begun = true;
            out.open(root);
        }
        let view = View {
            world: &snapshot.world,
            measurements: &snapshot.measurements,
        };
        while out.len() < CHUNK_BYTES {
            let Some(item) = items.next() else {
                over = true;
                end(&mut out, &view);
                out.close(root);
                break;
            };
            if let Err(error) = item.and_then(|item| each(&mut out, &snapshot, &view, item)) {
                over = true;
                return Some(Err(error));
            }
        }
        Some(Ok(out.into_bytes()))
    })))
}

fn vms(
    engine: &Arc<Engine>,
    caches: &Arc<Caches>,
    caller: &Caller,
    form: PoolForm,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let filter = Filter::read(params)?;
    let state = params.int()?;
    if !(-2..=11).contains(&state) {
        return Err(ApiError::rpc_api(
            "Incorrect filter_flag, state: it is -2 (any), -1 (any but DONE) or a state number",
        )
        .into());
    }
    let search = Search::read(&params.string_or("")?)?;
    let snapshot = engine.snapshot();
    let living = ordered(&snapshot, vms_living(&snapshot, caller, filter, state));
    let with_done = state == -2 || state == VmState::Done.number();
    if !with_done && search.is_none() {
        return Ok(vm_stream(caches, snapshot, filter.page(living), form));
    }
    let order = if ascending(&snapshot) {
        Order::Ascending
    } else {
        Order::Descending
    };
    let done = with_done.then(|| DoneVms::new(engine, caller, &snapshot, filter, order));
    let done = done.into_iter().flatten();
    let Some(search) = search else {
        let items = Merged::new(living, done, order, filter);
        return Ok(vm_stream_listed(engine, caches, snapshot, items, form));
    };
    let all = Merged::whole(living, done, order, filter);
    let items = Found::new(all, search, engine, &snapshot, filter);
    Ok(vm_stream_listed(engine, caches, snapshot, items, form))
}

/// The VMs that the caller wants and may see, but for those that are DONE, newest first.
fn vms_living(snapshot: &Snapshot, caller: &Caller, filter: Filter, state: i32) -> Vec<Id> {
    vms_visible(snapshot, caller, filter)
        .rev()
        .filter(|vm| state < 0 || vm.phase.state.number() == state)
        .map(|vm| vm.id)
        .collect()
}

fn vm_stream(caches: &Arc<Caches>, snapshot: Snapshot, ids: Vec<Id>, form: PoolForm) -> Payload {
    let caches = caches.clone();
    let short = form == PoolForm::VmShort;
    stream(
        snapshot,
        Kind::Vm,
        ids.into_iter().map(Ok),
        move |out, snapshot, view, id| {
            living_render(&caches, out, snapshot, view, id, short);
            Ok(())
        },
    )
}

fn living_render(
    caches: &Caches,
    out: &mut EscapedXml,
    snapshot: &Snapshot,
    view: &View<'_>,
    id: Id,
    short: bool,
) {
    let Some(vm) = snapshot.world.vms.get(id) else {
        return;
    };
    if short {
        caches.vms.render(out, vm, &snapshot.world, view);
    } else {
        vm.render_listed(out, view);
    }
}

/// As [`vm_stream`], of VMs that may be DONE and are then read from the database while the answer is made.
fn vm_stream_listed(
    engine: &Arc<Engine>,
    caches: &Arc<Caches>,
    snapshot: Snapshot,
    items: impl Iterator<Item = Result<Listed, String>> + Send + 'static,
    form: PoolForm,
) -> Payload {
    let (caches, reader) = (caches.clone(), engine.reader().clone());
    let short = form == PoolForm::VmShort;
    stream(snapshot, Kind::Vm, items, move |out, snapshot, view, item| {
        let id = match item {
            Listed::Living(id) => {
                living_render(&caches, out, snapshot, view, id, short);
                return Ok(());
            }
            Listed::Done(id) => id,
        };
        let Some(vm) = reader.vm(id).map_err(|error| error.to_string())? else {
            return Err(format!("VM {id} is listed as DONE, but its row is gone"));
        };
        if short {
            vm.render_short(out, view);
        } else {
            vm.render_listed(out, view);
        }
        Ok(())
    })
}

fn vm_set(
    engine: &Arc<Engine>,
    caches: &Arc<Caches>,
    caller: &Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (text, extended) = (params.string()?, params.bool()?);
    let snapshot = engine.snapshot();
    let mut ids: Vec<Id> = plerion_model::numbers::id_list(&text).take(SET_MAX).collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    let sight = VmSight::of(&snapshot.world, caller);
    ids.retain(|id| snapshot.world.vms.get(*id).is_some_and(|vm| sight.sees(vm)));
    let ids = ordered(&snapshot, ids);
    let form = if extended {
        PoolForm::VmExtended
    } else {
        PoolForm::VmShort
    };
    Ok(vm_stream(caches, snapshot, ids, form))
}
