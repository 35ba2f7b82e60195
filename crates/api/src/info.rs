//! `one.*.info`: the body of one object.

use bytes::Bytes;
use plerion_engine::{Engine, Snapshot};
use plerion_model::hook::ExecutionState;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{EscapedXml, Markup};
use plerion_world::{
    Caller, Object, Snapshot as View, Target, object_opened, require_right, require_see, template_extended,
};

use crate::reject::Reject;
use crate::vnet::lease_seen;
use crate::xmlrpc::{Params, Payload};

/// Room for the body of an object, in bytes; most are smaller.
const BODY_BYTES: usize = 16 * 1024;

/// Writes an object; `full` as info calls do, otherwise as pools do.
pub(crate) fn render(out: &mut EscapedXml, object: &Object, view: &View<'_>, full: bool) {
    match object {
        Object::Vm(vm) => vm.render(out, view),
        Object::Host(host) => host.render(out, view),
        Object::Vnet(vnet) if full => vnet.render_full(out, view, &|_| true),
        Object::Vnet(vnet) => vnet.render_short(out, view),
        Object::Image(image) => image.render(out, view),
        Object::User(user) => {
            user.render(out, view, full);
            if !full {
                user.render_pool_quotas(out, view);
            }
        }
        Object::Template(template) => template.render(out, view),
        Object::Group(group) => {
            group.render(out, view, full);
            if !full {
                group.render_pool_quotas(out, view);
                group.render_vlan_rules(out);
            }
        }
        Object::Vdc(vdc) => vdc.render(out),
        Object::Acl(rule) => rule.render(out),
        Object::Marketplace(market) => market.render(out, view),
        Object::MarketplaceApp(app) => app.render(out, view),
        Object::Hook(hook) => {
            let executions = view.world.hook_executions.values();
            let over = executions
                .filter(|execution| execution.hook == hook.id && execution.state == ExecutionState::Over)
                .map(|execution| &**execution);
            hook.render(out, full.then_some(over));
        }
        Object::HookExecution(execution) => execution.render(out),
        Object::BackupJob(job) => job.render(out, view, full),
        Object::SchedAction(action) => action.render(out),
        Object::Datastore(datastore) => datastore.render(out, view),
        Object::Cluster(cluster) => cluster.render(out, view),
        Object::Document(document) => document.render(out, view),
        Object::Zone(zone) => zone.render(out),
        Object::Vrouter(vrouter) => vrouter.render(out, view),
        Object::VmGroup(group) => group.render(out, view),
        Object::VnTemplate(template) => template.render(out, view),
        Object::SecurityGroup(group) => group.render(out, view),
    }
}

/// Answers `one.<kind>.info`.
pub(crate) fn info(
    engine: &Engine,
    caller: &Caller,
    kind: Kind,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let id = own_id(kind, params.int()?, caller);
    let extended = kind == Kind::Template && params.bool_or(false)?;
    // Who may not see values in clear gets them as they are kept: that is no error.
    let decrypt = params.bool_or(false)? && caller.is_admin();
    let snapshot = engine.snapshot();
    let world = &*snapshot.world;
    match Target::of(world, kind, id) {
        Ok(target) => require_see(world, caller, &target)?,
        Err(missing) if kind == Kind::Vm => {
            return vm_done(engine, &snapshot, caller, (id, decrypt), missing);
        }
        Err(missing) => return Err(missing.into()),
    }
    if extended {
        let template = Object::Template(template_extended(world, caller, id)?.into());
        return Ok(body(&snapshot, &clear_if(decrypt, &snapshot, template)));
    }
    let object = clear_if(decrypt, &snapshot, world.object(kind, id)?);
    if let Object::Vnet(vnet) = &object {
        let target = Target::of_object(&object);
        let mut out = EscapedXml::with_capacity(BODY_BYTES);
        vnet.render_full(&mut out, &view_of(&snapshot), &|holder| {
            lease_seen(world, caller, &target, holder)
        });
        return Ok(Payload::Escaped(Bytes::from(out.into_bytes())));
    }
    Ok(body(&snapshot, &object))
}

/// An object with its values in clear, if that was asked for.
fn clear_if(decrypt: bool, snapshot: &Snapshot, object: Object) -> Object {
    if decrypt {
        object_opened(&snapshot.world.config.secrets, &object)
    } else {
        object
    }
}

/// What forms of XML need to know beside an object.
pub(crate) fn view_of(snapshot: &Snapshot) -> View<'_> {
    View {
        world: &snapshot.world,
        measurements: &snapshot.measurements,
    }
}

/// -1 is the caller itself, or its group.
fn own_id(kind: Kind, id: Id, caller: &Caller) -> Id {
    match (kind, id) {
        (Kind::User, -1) => caller.uid,
        (Kind::Group, -1) => caller.gid,
        _ => id,
    }
}

fn body(snapshot: &Snapshot, object: &Object) -> Payload {
    let mut out = EscapedXml::with_capacity(BODY_BYTES);
    render(&mut out, object, &view_of(snapshot), true);
    Payload::Escaped(Bytes::from(out.into_bytes()))
}

/// A VM that is DONE is in the database only.
fn vm_done(
    engine: &Engine,
    snapshot: &Snapshot,
    caller: &Caller,
    (id, decrypt): (Id, bool),
    missing: ApiError,
) -> Result<Payload, Reject> {
    let found = engine
        .reader()
        .vm(id)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let Some(vm) = found else {
        return Err(missing.into());
    };
    require_see(&snapshot.world, caller, &Target::owned(Kind::Vm, id, &vm.owned))?;
    Ok(body(
        snapshot,
        &clear_if(decrypt, snapshot, Object::Vm(vm.into())),
    ))
}

/// Answers `one.acl.info`: rules by user, then id (recorded).
pub(crate) fn acl_info(engine: &Engine, caller: &Caller) -> Result<Payload, Reject> {
    let snapshot = engine.snapshot();
    require_right(
        &snapshot.world,
        caller,
        Operation::Manage,
        &Target::new_of(Kind::Acl),
    )?;
    let mut rules: Vec<_> = snapshot.world.acls.values().collect();
    rules.sort_by_key(|rule| (rule.user, rule.id));
    let mut out = EscapedXml::with_capacity(BODY_BYTES);
    out.open("ACL_POOL");
    rules.into_iter().for_each(|rule| rule.render(&mut out));
    out.close("ACL_POOL");
    Ok(Payload::Escaped(Bytes::from(out.into_bytes())))
}
