//! [`apply`]: from a world and a command to the next world.

use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Seconds};

use crate::auth::Caller;
use crate::backup_run::jobs_go_on;
use crate::change::Change;
use crate::command::{Command, Order, Reply};
use crate::context::Context;
use crate::hook_fire::{ApiCall, call_fired};
use crate::quota::{quota_command, quota_enforce};
use crate::stencil::{stencil_allocate, stencil_clone};
use crate::txn::Txn;
use crate::vm_backup::vm_backup_command;
use crate::vm_cloning::cloning_go_on;
use crate::vmtemplate_instantiate::{Instantiate, instantiate_persistent, template_instantiate};
use crate::world::World;
use crate::{
    acl, cluster, datastore, document, generic, group, hook, host, image, marketplace, sched_action,
    sched_due, secgroup, showback, user, user_external, vm, vm_allocate, vm_deploy, vm_device_command,
    vm_exec, vm_migrate, vm_resize, vm_updateconf, vnet, vnet_lease, vnet_range, zone,
};

/// A command that was accepted.
#[derive(Debug)]
pub struct Applied {
    /// The next snapshot.
    pub world: World,
    /// What to write.
    pub change: Change,
    /// What to answer.
    pub reply: Reply,
}

/// Applies a command.
///
/// # Errors
/// A refusal; the world stays as it was.
pub fn apply(world: &World, order: &Order, context: &Context) -> Result<Applied, ApiError> {
    let (call, command) = match &order.command {
        Command::Called { call, command } => (Some(call), &**command),
        command => (None, command),
    };
    let mut txn = Txn::new(world, context);
    let id = run(&mut txn, &order.caller, command)?;
    jobs_go_on(&mut txn);
    cloning_go_on(&mut txn);
    if command.is_asked_for() {
        quota_enforce(world, &txn, &order.caller)?;
    }
    if let Some(call) = call {
        let firings = call_fired(&txn.world, call, Ok(id));
        txn.executions_add(firings);
    }
    let answer = txn.answer.take().map(Reply::Text);
    let (world, change) = txn.finish();
    let reply = answer.or(id.map(Reply::Id)).unwrap_or(Reply::Nothing);
    Ok(Applied { world, change, reply })
}

/// What is left to do for a call that was refused: the hooks that name it are run.
#[must_use]
pub fn apply_refused(world: &World, call: &ApiCall, error: &ApiError, context: &Context) -> Applied {
    let mut txn = Txn::new(world, context);
    let firings = call_fired(world, call, Err(error));
    txn.executions_add(firings);
    let (world, change) = txn.finish();
    let reply = Reply::Nothing;
    Applied { world, change, reply }
}

/// Does a scheduled action that is due. What it asked for, how that went and its next time are one change.
fn sched_due(txn: &mut Txn<'_>, id: Id, time: Seconds) {
    let Some(order) = sched_due::sched_order(&txn.world, id, time) else {
        return;
    };
    let context = txn.context;
    let outcome = order.and_then(|order| apply(&txn.world, &order, context).map_err(|refusal| refusal.text));
    let error = match outcome {
        Ok(applied) => {
            txn.absorb(applied.world, applied.change);
            None
        }
        Err(error) => Some(error),
    };
    sched_action::sched_ran(txn, id, error);
}

fn run(txn: &mut Txn<'_>, caller: &Caller, command: &Command) -> Result<Option<Id>, ApiError> {
    let id = match command {
        Command::Update {
            kind,
            id,
            template,
            append,
        } => generic::update(txn, caller, *kind, *id, template, *append)?,
        Command::Rename { kind, id, name } => generic::rename(txn, caller, *kind, *id, name)?,
        Command::Chmod { kind, id, bits } => generic::chmod(txn, caller, *kind, *id, bits)?,
        Command::Chown { kind, id, uid, gid } => generic::chown(txn, caller, *kind, *id, *uid, *gid)?,
        Command::Delete { kind, id } => generic::delete(txn, caller, *kind, *id)?,
        Command::Lock {
            kind,
            id,
            level,
            test,
        } => generic::lock(txn, caller, *kind, *id, *level, *test)?,
        Command::UserAllocate {
            name,
            password,
            driver,
            groups,
        } => user::user_allocate(txn, caller, name, password, driver, groups)?,
        Command::UserPasswd { id, password } => user::user_passwd(txn, caller, *id, password)?,
        Command::UserChgrp { id, gid } => user::user_chgrp(txn, caller, *id, *gid)?,
        Command::UserGroup { id, gid, add } => user::user_group(txn, caller, *id, *gid, *add)?,
        Command::UserChauth { id, driver, password } => {
            user::user_chauth(txn, caller, *id, driver, password)?
        }
        Command::ZoneEnable { id, enable } => zone::zone_enable(txn, caller, *id, *enable)?,
        Command::UserEnable { id, enable } => user::user_enable(txn, caller, *id, *enable)?,
        Command::UserLogin {
            name,
            hash,
            valid,
            egid,
            named,
        } => user::user_login(
            txn,
            caller,
            &user::Login {
                name,
                hash,
                valid: *valid,
                egid: *egid,
                named: *named,
            },
        )?,
        Command::External(command) => user_external::user_external(txn, caller, command)?,
        Command::GroupAllocate { name } => group::group_allocate(txn, caller, name)?,
        Command::ClusterAllocate { name } => cluster::cluster_allocate(txn, caller, name)?,
        Command::ClusterMember { id, member, add } => {
            cluster::cluster_member(txn, caller, *id, *member, *add)?
        }
        Command::HostAllocate {
            name,
            im_mad,
            vm_mad,
            cluster,
        } => host::host_allocate(txn, caller, name, im_mad, vm_mad, *cluster)?,
        Command::HostSetStatus { id, status } => host::host_status(txn, caller, *id, *status)?,
        Command::HostReported { id, report } => {
            host::host_reported(txn, *id, report)?;
            return Ok(None);
        }
        Command::DatastoreAllocate { template, cluster } => {
            datastore::datastore_allocate(txn, caller, template, *cluster)?
        }
        Command::DatastoreEnable { id, enable } => datastore::datastore_enable(txn, caller, *id, *enable)?,
        Command::Acl(command) => acl::acl_command(txn, caller, command)?,
        Command::GroupAdmin { id, uid, add } => acl::group_admin(txn, caller, *id, *uid, *add)?,
        Command::GroupVlan { id, template } => crate::group_vlan::group_vlan(txn, caller, *id, template)?,
        Command::Quota(command) => quota_command(txn, caller, command)?,
        Command::Document(command) => document::document_command(txn, caller, command)?,
        Command::ShowbackPut { rows } => showback::showback_put(txn, caller, rows)?,
        Command::ImageAllocate {
            template,
            datastore,
            spec,
        } => image::image_allocate(txn, caller, template, *datastore, spec)?,
        Command::ImageEnable { id, enable } => image::image_enable(txn, caller, *id, *enable)?,
        Command::ImagePersistent { id, persistent } => {
            image::image_persistent(txn, caller, *id, *persistent)?
        }
        Command::ImageChtype { id, kind } => image::image_chtype(txn, caller, *id, kind)?,
        Command::ImageSnapshot { id, work } => {
            crate::image_snapshot::image_snapshot(txn, caller, *id, *work)?
        }
        Command::ImageClone { id, name, datastore } => {
            image::image_clone(txn, caller, *id, name, *datastore, false)?
        }
        Command::ImageRestore {
            id,
            datastore,
            options,
        } => crate::image_restore::image_restore(txn, caller, *id, *datastore, options)?,
        Command::VnetAllocate { template, cluster } => vnet::vnet_allocate(txn, caller, template, *cluster)?,
        Command::VnetAddRange { id, template } => vnet_range::vnet_range_add(txn, caller, *id, template)?,
        Command::VnetRemoveRange { id, range, force } => {
            vnet_range::vnet_range_remove(txn, caller, *id, *range, *force)?
        }
        Command::VnetHold { id, template, hold } => vnet_lease::vnet_hold(txn, caller, *id, template, *hold)?,
        Command::Vnet(command) => vnet::vnet_command(txn, caller, command)?,
        Command::VnTemplate(command) => crate::vntemplate::vntemplate_command(txn, caller, command)?,
        Command::Secgroup(command) => secgroup::secgroup_command(txn, caller, command)?,
        Command::Vrouter(command) => crate::vrouter::vrouter_command(txn, caller, command)?,
        Command::Vdc(command) => crate::vdc::vdc_command(txn, caller, command)?,
        Command::VmGroup(command) => crate::vmgroup::vmgroup_command(txn, caller, command)?,
        Command::SecgroupAllocate { template } => secgroup::secgroup_allocate(txn, caller, template)?,
        Command::TemplateAllocate { template } => stencil_allocate::<VmTemplate>(txn, caller, template)?,
        Command::TemplateClone { id, name } => stencil_clone::<VmTemplate>(txn, caller, *id, name)?,
        Command::TemplateImages(command) => {
            crate::vmtemplate_images::template_images_command(txn, caller, command)?
        }
        Command::TemplateInstantiate {
            id,
            name,
            hold,
            extra,
            persistent,
        } => {
            let wanted = Instantiate {
                id: *id,
                name,
                hold: *hold,
                extra,
            };
            if *persistent {
                instantiate_persistent(txn, caller, &wanted)?
            } else {
                template_instantiate(txn, caller, &wanted)?
            }
        }
        Command::VmAllocate { template, hold } => vm_allocate::vm_allocate(txn, caller, template, *hold)?,
        Command::VmDeploy {
            id,
            host,
            enforce,
            datastore,
        } => vm_deploy::vm_deploy(txn, caller, *id, *host, *enforce, *datastore)?,
        Command::VmMigrate { id, migration } => vm_migrate::vm_migrate(txn, caller, *id, migration)?,
        Command::VmResize {
            id,
            template,
            enforce,
        } => vm_resize::vm_resize(txn, caller, *id, template, *enforce)?,
        Command::VmUpdateConf { id, template, append } => {
            vm_updateconf::vm_updateconf(txn, caller, *id, template, *append)?
        }
        Command::VmDevice { id, command } => vm_device_command::vm_device_command(txn, caller, *id, command)?,
        Command::VmExec { id, command } => vm_exec::vm_exec(txn, caller, *id, command)?,
        Command::VmBackup { id, command } => vm_backup_command(txn, caller, *id, *command)?,
        Command::VmAction { id, name, event } => vm::vm_action(txn, caller, *id, name, *event)?,
        Command::Hook(command) => hook::hook_command(txn, caller, command)?,
        // Such a one stands around a command of another kind; one within another is not made.
        Command::Called { command, .. } => return run(txn, caller, command),
        Command::Market(command) => marketplace::market_command(txn, caller, command)?,
        Command::BackupJob(command) => crate::backupjob::backupjob_command(txn, caller, command)?,
        Command::Sched(command) => sched_action::sched_command(txn, caller, command)?,
        Command::SchedDue { id, time } => {
            sched_due(txn, *id, *time);
            return Ok(None);
        }
        Command::VmRecover { id, recover } => vm::vm_recover(txn, caller, *id, *recover)?,
        Command::VmPlacementRefused {
            id,
            message,
            verdicts,
        } => {
            vm::vm_placement_refused(txn, *id, message, verdicts)?;
            return Ok(None);
        }
        Command::IntentEnded { key, result } => {
            generic::intent_ended(txn, *key, result);
            return Ok(None);
        }
        Command::DomainSeen { host, vm, end } => {
            vm::vm_domain_seen(txn, *host, *vm, *end);
            return Ok(None);
        }
        Command::Failure(command) => {
            crate::host_failure::failure_command(txn, command);
            return Ok(None);
        }
        Command::Autostart(command) => {
            crate::vm_autostart::autostart_command(txn, command);
            return Ok(None);
        }
    };
    Ok(Some(id))
}
