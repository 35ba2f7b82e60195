//! What all kinds have in common: update, rename, chmod, chown, lock, delete.

use std::sync::Arc;

use plerion_lifecycle::Ask;
use plerion_model::permissions::{Lock, LockLevel, Operation};
use plerion_model::vdc::VdcResource;
use plerion_model::{ApiError, ErrorCode, Id, Kind};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, allows_unlocked, require};
use crate::change::{ImageAsk, IntentKey, IntentResult, Task};
use crate::group_vlan::vlans_allowed;
use crate::image_snapshot::image_snapshot_ended;
use crate::name::{name_check_owner, name_check_rename};
use crate::object::Object;
use crate::owner::others_allowed;
use crate::restricted::{restricted_check_given, restricted_check_kept};
use crate::stencil::nameless;
use crate::txn::Txn;
use crate::vm_right::{VmClass, rights_keep, vm_right};
use crate::world::World;
use crate::{
    acl, backupjob, cluster, datastore, group, hook, host, image, marketplace, secgroup, user, vm_exec_end,
    vm_state, vnet,
};
use crate::{vdc, vmgroup, vrouter};

/// The right that changing the template of a kind needs.
const fn update_right(kind: Kind) -> Operation {
    match kind {
        Kind::Host | Kind::Group => Operation::Admin,
        Kind::Vm
        | Kind::Vnet
        | Kind::Image
        | Kind::User
        | Kind::Template
        | Kind::Acl
        | Kind::Datastore
        | Kind::Cluster
        | Kind::Document
        | Kind::VmGroup
        | Kind::Vrouter
        | Kind::VnTemplate
        | Kind::Zone
        | Kind::Marketplace
        | Kind::MarketplaceApp
        | Kind::Hook
        | Kind::HookExecution
        | Kind::BackupJob
        | Kind::SchedAction
        | Kind::Vdc
        | Kind::SecurityGroup => Operation::Manage,
    }
}

/// `one.*.update`.
pub(crate) fn update(
    txn: &mut Txn<'_>,
    caller: &Caller,
    kind: Kind,
    id: Id,
    template: &Template,
    append: bool,
) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, kind, id)?;
    let right = match kind {
        Kind::Vm => vm_right(&txn.world, caller, VmClass::Update),
        _ => update_right(kind),
    };
    require(&txn.world, caller, &[(right, target)])?;
    let mut object = txn.world.object(kind, id)?;
    let Some(packed) = object.entity_mut().template_mut() else {
        return Err(ApiError::action(format!(
            "A {} has no template",
            kind.error_name()
        )));
    };
    let old = packed.unpack();
    restricted_check_given(&txn.world, caller, kind, template, &old)?;
    if let Object::Vnet(vnet) = &object {
        vlans_allowed(&txn.world, caller, template, &old, vnet.template_id)?;
    }
    let mut new = if append { old.clone() } else { Template::new() };
    new.merge(template);
    rights_keep(caller, kind, &old, &mut new);
    after_update(&txn.world, &mut object, &old, new)?;
    if let Some(new) = object.entity().template() {
        restricted_check_kept(&txn.world, caller, kind, &old, &new.unpack())?;
    }
    txn.update(object);
    if kind == Kind::SecurityGroup {
        secgroup::vms_refresh(txn, id);
    }
    Ok(id)
}

/// Puts the new template in, keeping what each kind keeps.
fn after_update(world: &World, object: &mut Object, old: &Template, new: Template) -> Result<(), ApiError> {
    match object {
        Object::Host(host) => host::host_updated(Arc::make_mut(host), old, new)?,
        Object::Vnet(vnet) => vnet::vnet_updated(world, Arc::make_mut(vnet), old, new)?,
        Object::Datastore(datastore) => {
            datastore::datastore_updated(world, Arc::make_mut(datastore), old, new)?
        }
        Object::Template(template) => Arc::make_mut(template).template = nameless(new),
        Object::Marketplace(market) => {
            marketplace::market_updated(world, Arc::make_mut(market), new)?;
        }
        Object::MarketplaceApp(app) => marketplace::app_updated(Arc::make_mut(app), new),
        Object::BackupJob(job) => backupjob::backupjob_updated(Arc::make_mut(job), new)?,
        Object::Hook(hook) => hook::hook_updated(Arc::make_mut(hook), old, new)?,
        Object::Vrouter(vrouter) => vrouter::vrouter_updated(Arc::make_mut(vrouter), old, new),
        Object::VmGroup(group) => vmgroup::vmgroup_updated(Arc::make_mut(group), new)?,
        Object::VnTemplate(template) => Arc::make_mut(template).template = nameless(new),
        Object::SecurityGroup(group) => secgroup::secgroup_updated(Arc::make_mut(group), new)?,
        Object::User(user) => user::user_updated(Arc::make_mut(user), old, new),
        Object::Vm(_)
        | Object::Image(_)
        | Object::Group(_)
        | Object::Acl(_)
        | Object::SchedAction(_)
        | Object::Vdc(_)
        | Object::HookExecution(_)
        | Object::Cluster(_)
        | Object::Document(_)
        | Object::Zone(_) => {
            if let Some(packed) = object.entity_mut().template_mut() {
                *packed = PackedTemplate::new(&new);
            }
        }
    }
    Ok(())
}

/// `one.*.rename`.
pub(crate) fn rename(
    txn: &mut Txn<'_>,
    caller: &Caller,
    kind: Kind,
    id: Id,
    name: &str,
) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, kind, id)?;
    let right = match kind {
        Kind::Host => Operation::Admin,
        Kind::Vm => vm_right(&txn.world, caller, VmClass::Rename),
        _ => Operation::Manage,
    };
    require(&txn.world, caller, &[(right, target)])?;
    let mut object = txn.world.object(kind, id)?;
    if object.entity().name() == name {
        return Ok(id);
    }
    let owner = object.owned().map_or(-1, |owned| owned.uid);
    name_check_rename(&txn.world, kind, owner, id, name)?;
    object.entity_mut().name_set(name.to_owned());
    txn.update(object);
    Ok(id)
}

/// `one.*.chmod`.
pub(crate) fn chmod(
    txn: &mut Txn<'_>,
    caller: &Caller,
    kind: Kind,
    id: Id,
    bits: &[i32; 9],
) -> Result<Id, ApiError> {
    if bits.iter().any(|bit| !(-1..=1).contains(bit)) {
        return Err(ApiError::rpc_api(
            "Wrong permission bits: each is 1 to set, 0 to clear or -1 to keep",
        ));
    }
    let target = Target::of(&txn.world, kind, id)?;
    let mut object = txn.world.object(kind, id)?;
    let Some(owned) = object.entity_mut().owned_mut() else {
        return Err(ApiError::action(format!(
            "A {} has no permissions",
            kind.error_name()
        )));
    };
    let new = owned.permissions.changed(bits);
    // The administrator's bits (1 of each digit) need ADMIN; the rest MANAGE.
    let changed = new.0 ^ owned.permissions.0;
    let right = if changed & 0o111 != 0 {
        Operation::Admin
    } else {
        Operation::Manage
    };
    owned.permissions = new;
    require(&txn.world, caller, &[(right, target)])?;
    if changed & 0o007 != 0 && !others_allowed(&txn.world) && !caller.is_admin() {
        return Err(ApiError::authorization(
            caller.uid,
            "Management of 'other' permissions is disabled in oned.conf (ENABLE_OTHER_PERMISSIONS)",
        ));
    }
    txn.update(object);
    if kind == Kind::Vrouter {
        vrouter::vms_follow(txn, id, |owned| {
            owned.permissions = owned.permissions.changed(bits)
        });
    }
    Ok(id)
}

/// `one.*.chown`.
pub(crate) fn chown(
    txn: &mut Txn<'_>,
    caller: &Caller,
    kind: Kind,
    id: Id,
    uid: Id,
    gid: Id,
) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, kind, id)?;
    let mut rights = vec![(Operation::Manage, target)];
    if uid >= 0 {
        rights.push((Operation::Manage, Target::of(&txn.world, Kind::User, uid)?));
    }
    if gid >= 0 {
        rights.push((Operation::Use, Target::of(&txn.world, Kind::Group, gid)?));
    }
    require(&txn.world, caller, &rights)?;
    let mut object = txn.world.object(kind, id)?;
    let name = object.entity().name().to_owned();
    let Some(owned) = object.entity_mut().owned_mut() else {
        return Err(ApiError::action(format!("A {} has no owner", kind.error_name())));
    };
    if uid >= 0 {
        name_check_owner(&txn.world, kind, uid, id, &name)?;
        owned.uid = uid;
    }
    if gid >= 0 {
        owned.gid = gid;
    }
    txn.update(object);
    if kind == Kind::Vrouter {
        vrouter::vms_follow(txn, id, |owned| {
            if uid >= 0 {
                owned.uid = uid;
            }
            if gid >= 0 {
                owned.gid = gid;
            }
        });
    }
    Ok(id)
}

/// `one.*.lock` and `one.*.unlock`.
pub(crate) fn lock(
    txn: &mut Txn<'_>,
    caller: &Caller,
    kind: Kind,
    id: Id,
    level: i32,
    test: bool,
) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, kind, id)?;
    if !allows_unlocked(&txn.world, caller, Operation::Manage, &target) {
        require(&txn.world, caller, &[(Operation::Manage, target)])?;
    }
    let level = match level {
        0 => None,
        1 | 4 => Some(LockLevel::Use),
        2 => Some(LockLevel::Manage),
        3 => Some(LockLevel::Admin),
        _ => {
            return Err(ApiError::rpc_api(
                "Wrong lock level: it is 1 (use), 2 (manage), 3 (admin) or 4 (all)",
            ));
        }
    };
    let now = txn.context.now;
    let mut object = txn.world.object(kind, id)?;
    let Some(owned) = object.entity_mut().owned_mut() else {
        return Err(ApiError::action(format!(
            "A {} cannot be locked",
            kind.error_name()
        )));
    };
    match (&owned.lock, level) {
        (Some(_), Some(_)) if test => {
            return Err(ApiError::action(
                "Error trying to lock the object: it is locked already",
            ));
        }
        (Some(lock), None) if lock.owner != caller.uid && !caller.is_admin() => {
            return Err(ApiError::action(
                "Error trying to unlock the object: it was locked by somebody else",
            ));
        }
        _ => {}
    }
    owned.lock = level.map(|level| Lock {
        level,
        owner: caller.uid,
        time: now,
    });
    txn.update(object);
    Ok(id)
}

/// `one.*.delete`.
pub(crate) fn delete(txn: &mut Txn<'_>, caller: &Caller, kind: Kind, id: Id) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, kind, id)?;
    let right = match kind {
        Kind::Host | Kind::User | Kind::Group | Kind::Cluster | Kind::Zone | Kind::Vdc => Operation::Admin,
        Kind::Vm
        | Kind::Vnet
        | Kind::Image
        | Kind::Template
        | Kind::Acl
        | Kind::Datastore
        | Kind::Document
        | Kind::VmGroup
        | Kind::Vrouter
        | Kind::VnTemplate
        | Kind::Marketplace
        | Kind::MarketplaceApp
        | Kind::Hook
        | Kind::HookExecution
        | Kind::BackupJob
        | Kind::SchedAction
        | Kind::SecurityGroup => Operation::Manage,
    };
    require(&txn.world, caller, &[(right, target)])?;
    match kind {
        Kind::Host => host::host_delete(txn, id)?,
        Kind::Vnet => vnet::vnet_delete(txn, id)?,
        Kind::Image => image::image_delete(txn, id)?,
        Kind::User => user::user_delete(txn, id)?,
        Kind::Template | Kind::Document | Kind::VnTemplate => txn.delete(kind, id),
        Kind::VmGroup => vmgroup::vmgroup_delete(txn, id)?,
        Kind::Marketplace => marketplace::market_delete(txn, id)?,
        Kind::MarketplaceApp => marketplace::app_delete(txn, id)?,
        Kind::Vrouter => vrouter::vrouter_delete(txn, caller, id)?,
        Kind::Group => group::group_delete(txn, id)?,
        Kind::Datastore => datastore::datastore_delete(txn, id)?,
        Kind::Cluster => cluster::cluster_delete(txn, id)?,
        Kind::SecurityGroup => secgroup::secgroup_delete(txn, id)?,
        Kind::Vdc => vdc::vdc_delete(txn, id)?,
        Kind::BackupJob => backupjob::backupjob_delete(txn, id),
        Kind::Hook => hook::hook_delete(txn, id),
        Kind::Vm | Kind::Acl | Kind::SchedAction | Kind::HookExecution | Kind::Zone => {
            return Err(ApiError::new(
                ErrorCode::Action,
                format!("A {} is not deleted this way", kind.error_name()),
            ));
        }
    }
    if VdcResource::of_kind(kind).is_some() {
        vdc::vdcs_forget(txn, kind, id);
        acl::rules_forget(txn, kind, id);
    }
    Ok(id)
}

/// An intent ended: its object goes on. A result for a step that is over is dropped.
pub(crate) fn intent_ended(txn: &mut Txn<'_>, key: IntentKey, result: &IntentResult) {
    let Some(task) = txn.world.outbox.get(&key).map(|intent| intent.task) else {
        return;
    };
    txn.intent_over(key);
    match key.kind {
        Kind::Vm if task == Task::Vm(Ask::GuestAwait) => {
            vm_exec_end::guest_command_ended(txn, key.id, result)
        }
        Kind::Vm => vm_state::vm_part_ended(txn, key, result),
        Kind::Image => match task {
            Task::Image(ImageAsk::Snapshot(work)) => image_snapshot_ended(txn, key, work, result),
            _ => image::image_ended(txn, key, result),
        },
        // No other kind asks hosts for anything.
        _ => {}
    }
}
