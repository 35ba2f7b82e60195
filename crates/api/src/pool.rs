//! `one.*pool.info`: filtered, paged, streamed.

use std::sync::Arc;

use plerion_engine::{Engine, Snapshot};
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind, Owned};
use plerion_template::{EscapedXml, Markup};
use plerion_world::{Caller, Object, Snapshot as View, Target, may_see};

use crate::caches::Caches;
use crate::info::render;
use crate::methods::PoolForm;
use crate::quota::render_defaults;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// A piece of a stream is handed on when it has this size, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Most ids of `one.vmpool.infoset`.
const SET_MAX: usize = 100_000;
/// DONE VMs read from the database at a time.
const DONE_PAGE: u64 = 500;

/// Which objects a call wants.
#[derive(Clone, Copy, Debug)]
struct Filter {
    flag: i32,
    start: i32,
    end: i32,
}

impl Filter {
    fn read(params: &mut Params) -> Result<Self, Reject> {
        let filter = Self {
            flag: params.int()?,
            start: params.int()?,
            end: params.int()?,
        };
        if filter.flag < -4 {
            return Err(ApiError::rpc_api("Incorrect filter_flag: it is -4 (primary group), -3 (own), -2 (all), -1 (own and groups) or a user id").into());
        }
        Ok(filter)
    }

    fn wants(self, caller: &Caller, owned: &Owned) -> bool {
        match self.flag {
            -4 => owned.gid == caller.gid,
            -3 => owned.uid == caller.uid,
            -2 => true,
            -1 => owned.uid == caller.uid || caller.groups.contains(&owned.gid),
            uid => owned.uid == uid,
        }
    }

    /// Keeps a page, or a range of ids, of ids in the order in which they are shown.
    fn page(self, ids: Vec<Id>) -> Vec<Id> {
        if self.end < -1 {
            let size = usize::try_from(self.end.unsigned_abs()).unwrap_or(usize::MAX);
            let skip = usize::try_from(self.start).unwrap_or(0);
            return ids.into_iter().skip(skip).take(size).collect();
        }
        let in_range = |id: &Id| (self.start < 0 || *id >= self.start) && (self.end < 0 || *id <= self.end);
        ids.into_iter().filter(in_range).collect()
    }
}

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
        ids.into_iter(),
        move |out, snapshot, view, id| match snapshot.world.object(kind, id) {
            Ok(Object::Host(host)) => caches.hosts.render(out, &host, view),
            Ok(object) => render(out, &object, view, false),
            Err(_) => {}
        },
    )
}

/// Newest first unless `API_LIST_ORDER=ASC`. `ids` come newest first.
fn ordered(snapshot: &Snapshot, mut ids: Vec<Id>) -> Vec<Id> {
    if snapshot
        .world
        .config
        .attributes
        .get("API_LIST_ORDER")
        .is_some_and(|order| order.eq_ignore_ascii_case("ASC"))
    {
        ids.reverse();
    }
    ids
}

/// Renders piece by piece as the reader takes them; the snapshot lives as long as the stream.
fn stream<I>(
    snapshot: Snapshot,
    kind: Kind,
    mut items: I,
    mut each: impl FnMut(&mut EscapedXml, &Snapshot, &View<'_>, I::Item) + Send + 'static,
) -> Payload
where
    I: Iterator + Send + 'static,
{
    let root = kind.facts().pool_element;
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
                // After users and groups their default quotas (recorded).
                render_defaults(&mut out, kind, &view);
                out.close(root);
                break;
            };
            each(&mut out, &snapshot, &view, item);
        }
        Some(out.into_bytes())
    })))
}

fn visible_vm(snapshot: &Snapshot, caller: &Caller, vm: &Vm) -> bool {
    let target = Target::owned(Kind::Vm, vm.id, &vm.owned)
        .in_clusters(vm.last_history().map(|record| record.cluster).as_slice());
    may_see(&snapshot.world, caller, &target)
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
    if !params.string_or("")?.is_empty() {
        return Err(
            ApiError::internal("Searching VMs by attributes is not supported by this database").into(),
        );
    }
    let snapshot = engine.snapshot();
    let living: Vec<Id> = snapshot
        .world
        .vms
        .values()
        .rev()
        .filter(|vm| state < 0 || vm.phase.state.number() == state)
        .filter(|vm| filter.wants(caller, &vm.owned) && visible_vm(&snapshot, caller, vm))
        .map(|vm| vm.id)
        .collect();
    if state == -2 || state == VmState::Done.number() {
        return with_done(engine, caller, snapshot, living, filter, form);
    }
    let ids = filter.page(ordered(&snapshot, living));
    Ok(vm_stream(caches, snapshot, ids, form))
}

fn vm_stream(caches: &Arc<Caches>, snapshot: Snapshot, ids: Vec<Id>, form: PoolForm) -> Payload {
    let caches = caches.clone();
    let short = form == PoolForm::VmShort;
    stream(
        snapshot,
        Kind::Vm,
        ids.into_iter(),
        move |out, snapshot, view, id| {
            let Some(vm) = snapshot.world.vms.get(id) else {
                return;
            };
            if short {
                caches.vms.render(out, vm, &snapshot.world, view);
            } else {
                vm.render(out, view);
            }
        },
    )
}

/// VMs that are DONE come from the database, page by page, and are merged with those that live.
fn with_done(
    engine: &Arc<Engine>,
    caller: &Caller,
    snapshot: Snapshot,
    living: Vec<Id>,
    filter: Filter,
    form: PoolForm,
) -> Result<Payload, Reject> {
    let mut found: Vec<(Id, Option<Arc<Vm>>)> = living.into_iter().map(|id| (id, None)).collect();
    let mut offset = 0;
    loop {
        let page = engine
            .reader()
            .vms_done(offset, DONE_PAGE)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let count = page.len() as u64;
        for vm in page {
            if filter.wants(caller, &vm.owned) && visible_vm(&snapshot, caller, &vm) {
                found.push((vm.id, Some(Arc::new(vm))));
            }
        }
        offset = offset.saturating_add(count);
        let enough = filter.end < -1
            && found.len() as u64
                >= u64::from(filter.end.unsigned_abs()) + u64::try_from(filter.start).unwrap_or(0);
        if count < DONE_PAGE || enough {
            break;
        }
    }
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    let mut by_id: std::collections::HashMap<Id, Arc<Vm>> = found
        .iter()
        .filter_map(|(id, vm)| vm.clone().map(|vm| (*id, vm)))
        .collect();
    let ids = filter.page(ordered(&snapshot, found.into_iter().map(|(id, _)| id).collect()));
    by_id.retain(|id, _| ids.contains(id));
    let short = form == PoolForm::VmShort;
    Ok(stream(
        snapshot,
        Kind::Vm,
        ids.into_iter(),
        move |out, snapshot, view, id| {
            let Some(vm) = by_id.get(&id).or_else(|| snapshot.world.vms.get(id)) else {
                return;
            };
            if short {
                vm.render_short(out, view);
            } else {
                vm.render(out, view);
            }
        },
    ))
}

fn vm_set(
    engine: &Arc<Engine>,
    caches: &Arc<Caches>,
    caller: &Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (text, extended) = (params.string()?, params.bool()?);
    let snapshot = engine.snapshot();
    let mut ids: Vec<Id> = plerion_model::vm::id_list(&text).take(SET_MAX).collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    ids.retain(|id| {
        snapshot
            .world
            .vms
            .get(*id)
            .is_some_and(|vm| visible_vm(&snapshot, caller, vm))
    });
    let ids = ordered(&snapshot, ids);
    let form = if extended {
        PoolForm::VmExtended
    } else {
        PoolForm::VmShort
    };
    Ok(vm_stream(caches, snapshot, ids, form))
}
