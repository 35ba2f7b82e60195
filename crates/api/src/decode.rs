//! From parameters to commands.

use plerion_lifecycle::{Event, Recover, Relocation};
use plerion_model::{ApiError, Id, Kind};
use plerion_template::Template;
use plerion_world::{
    Command, GuestCommand, HostStatus, ImageSnapshot, Member, Migration, TemplateImagesCommand,
    VmBackupCommand,
};

use crate::reject::Reject;
use crate::xmlrpc::Params;

pub(crate) type Decoded = Result<Command, Reject>;

/// A template that must hold something. Callers read all parameters first: a call that lacks one is at fault, whatever
/// its template says.
pub(crate) fn template(text: &str) -> Result<Template, Reject> {
    Template::parse(text).map_err(|error| ApiError::internal(error.to_string()).into())
}

/// A template that may be empty.
pub(crate) fn template_or_empty(text: &str) -> Result<Template, Reject> {
    Template::parse_or_empty(text).map_err(|error| ApiError::internal(error.to_string()).into())
}

/// Whether attributes are added to the old ones, or replace them.
fn is_append(mode: i32) -> Result<bool, Reject> {
    match mode {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(ApiError::rpc_api(format!(
            "Wrong update type {other}: it is 0 to replace or 1 to append"
        ))
        .into()),
    }
}

pub(crate) fn update(kind: Kind, params: &mut Params) -> Decoded {
    let (id, text, mode) = (params.int()?, params.string()?, params.int_or(0)?);
    let template = template_or_empty(&text)?;
    let append = is_append(mode)?;
    Ok(Command::Update {
        kind,
        id,
        template,
        append,
    })
}

pub(crate) fn rename(kind: Kind, params: &mut Params) -> Decoded {
    Ok(Command::Rename {
        kind,
        id: params.int()?,
        name: params.string()?,
    })
}

pub(crate) fn chmod(kind: Kind, params: &mut Params) -> Decoded {
    let id = params.int()?;
    let mut bits = [0; 9];
    for bit in &mut bits {
        *bit = params.int()?;
    }
    if kind == Kind::Template && params.bool_or(false)? {
        return Ok(Command::TemplateImages(TemplateImagesCommand::Chmod { id, bits }));
    }
    Ok(Command::Chmod { kind, id, bits })
}

pub(crate) fn chown(kind: Kind, params: &mut Params) -> Decoded {
    Ok(Command::Chown {
        kind,
        id: params.int()?,
        uid: params.int()?,
        gid: params.int()?,
    })
}

pub(crate) fn delete(kind: Kind, params: &mut Params) -> Decoded {
    let id = params.int()?;
    let flag = params.bool_or(false)?;
    if flag && kind == Kind::Template {
        return Ok(Command::TemplateImages(TemplateImagesCommand::Delete { id }));
    }
    Ok(Command::Delete { kind, id })
}

pub(crate) fn lock(kind: Kind, params: &mut Params) -> Decoded {
    let id = params.int()?;
    let level = params.int()?;
    if level == 0 {
        return Err(
            ApiError::rpc_api("Wrong lock level: it is 1 (use), 2 (manage), 3 (admin) or 4 (all)").into(),
        );
    }
    Ok(Command::Lock {
        kind,
        id,
        level,
        test: params.bool_or(false)?,
    })
}

pub(crate) fn unlock(kind: Kind, params: &mut Params) -> Decoded {
    Ok(Command::Lock {
        kind,
        id: params.int()?,
        level: 0,
        test: false,
    })
}

pub(crate) fn user_chgrp(params: &mut Params) -> Decoded {
    Ok(Command::UserChgrp {
        id: params.int()?,
        gid: params.int()?,
    })
}

pub(crate) fn user_addgroup(params: &mut Params) -> Decoded {
    Ok(Command::UserGroup {
        id: params.int()?,
        gid: params.int()?,
        add: true,
    })
}

pub(crate) fn user_delgroup(params: &mut Params) -> Decoded {
    Ok(Command::UserGroup {
        id: params.int()?,
        gid: params.int()?,
        add: false,
    })
}

pub(crate) fn user_enable(params: &mut Params) -> Decoded {
    Ok(Command::UserEnable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    })
}

pub(crate) fn zone_enable(params: &mut Params) -> Decoded {
    Ok(Command::ZoneEnable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    })
}

pub(crate) fn group_allocate(params: &mut Params) -> Decoded {
    Ok(Command::GroupAllocate {
        name: params.string()?,
    })
}

pub(crate) fn cluster_allocate(params: &mut Params) -> Decoded {
    Ok(Command::ClusterAllocate {
        name: params.string()?,
    })
}

fn member(params: &mut Params, make: fn(i32) -> Member, add: bool) -> Decoded {
    let id = params.int()?;
    Ok(Command::ClusterMember {
        id,
        member: make(params.int()?),
        add,
    })
}

pub(crate) fn cluster_addhost(params: &mut Params) -> Decoded {
    member(params, Member::Host, true)
}

pub(crate) fn cluster_delhost(params: &mut Params) -> Decoded {
    member(params, Member::Host, false)
}

pub(crate) fn cluster_adddatastore(params: &mut Params) -> Decoded {
    member(params, Member::Datastore, true)
}

pub(crate) fn cluster_deldatastore(params: &mut Params) -> Decoded {
    member(params, Member::Datastore, false)
}

pub(crate) fn cluster_addvnet(params: &mut Params) -> Decoded {
    member(params, Member::Vnet, true)
}

pub(crate) fn cluster_delvnet(params: &mut Params) -> Decoded {
    member(params, Member::Vnet, false)
}

pub(crate) fn host_allocate(params: &mut Params) -> Decoded {
    let (name, im_mad, vm_mad) = (params.string()?, params.string()?, params.string()?);
    // Clients of earlier versions send one more driver before the cluster.
    let cluster = params.int()?;
    Ok(Command::HostAllocate {
        name,
        im_mad,
        vm_mad,
        cluster,
    })
}

pub(crate) fn host_status(params: &mut Params) -> Decoded {
    let id = params.int()?;
    let status = match params.int()? {
        0 => HostStatus::Enabled,
        1 => HostStatus::Disabled,
        2 => HostStatus::Offline,
        other => {
            let text = format!("Wrong status code [{other}]: it is 0 (enable), 1 (disable) or 2 (offline)");
            return Err(ApiError::internal(text).into());
        }
    };
    Ok(Command::HostSetStatus { id, status })
}

pub(crate) fn datastore_allocate(params: &mut Params) -> Decoded {
    let (text, cluster) = (params.string()?, params.int_or(-1)?);
    Ok(Command::DatastoreAllocate {
        template: template(&text)?,
        cluster,
    })
}

pub(crate) fn datastore_enable(params: &mut Params) -> Decoded {
    Ok(Command::DatastoreEnable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    })
}

pub(crate) fn image_enable(params: &mut Params) -> Decoded {
    Ok(Command::ImageEnable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    })
}

pub(crate) fn image_persistent(params: &mut Params) -> Decoded {
    Ok(Command::ImagePersistent {
        id: params.int()?,
        persistent: params.bool_or_int()?,
    })
}

pub(crate) fn image_chtype(params: &mut Params) -> Decoded {
    Ok(Command::ImageChtype {
        id: params.int()?,
        kind: params.string()?,
    })
}

fn image_snapshot(params: &mut Params, work: fn(Id) -> ImageSnapshot) -> Decoded {
    Ok(Command::ImageSnapshot {
        id: params.int()?,
        work: work(params.int()?),
    })
}

pub(crate) fn image_snapshot_delete(params: &mut Params) -> Decoded {
    image_snapshot(params, ImageSnapshot::Delete)
}

pub(crate) fn image_snapshot_revert(params: &mut Params) -> Decoded {
    image_snapshot(params, ImageSnapshot::Revert)
}

pub(crate) fn image_snapshot_flatten(params: &mut Params) -> Decoded {
    image_snapshot(params, ImageSnapshot::Flatten)
}

pub(crate) fn image_clone(params: &mut Params) -> Decoded {
    Ok(Command::ImageClone {
        id: params.int()?,
        name: params.string()?,
        datastore: params.int_or(-1)?,
    })
}

pub(crate) fn vnet_allocate(params: &mut Params) -> Decoded {
    let (text, cluster) = (params.string()?, params.int_or(-1)?);
    Ok(Command::VnetAllocate {
        template: template(&text)?,
        cluster,
    })
}

pub(crate) fn vnet_add_ar(params: &mut Params) -> Decoded {
    Ok(Command::VnetAddRange {
        id: params.int()?,
        template: template(&params.string()?)?,
    })
}

pub(crate) fn vnet_rm_ar(params: &mut Params) -> Decoded {
    Ok(Command::VnetRemoveRange {
        id: params.int()?,
        range: params.int()?,
        force: params.bool_or(false)?,
    })
}

pub(crate) fn vnet_hold(params: &mut Params) -> Decoded {
    Ok(Command::VnetHold {
        id: params.int()?,
        template: template(&params.string()?)?,
        hold: true,
    })
}

pub(crate) fn vnet_release(params: &mut Params) -> Decoded {
    Ok(Command::VnetHold {
        id: params.int()?,
        template: template(&params.string()?)?,
        hold: false,
    })
}

pub(crate) fn secgroup_allocate(params: &mut Params) -> Decoded {
    Ok(Command::SecgroupAllocate {
        template: template(&params.string()?)?,
    })
}

pub(crate) fn template_allocate(params: &mut Params) -> Decoded {
    Ok(Command::TemplateAllocate {
        template: template(&params.string()?)?,
    })
}

pub(crate) fn template_clone(params: &mut Params) -> Decoded {
    let (id, name) = (params.int()?, params.string()?);
    if params.bool_or(false)? {
        return Ok(Command::TemplateImages(TemplateImagesCommand::Clone { id, name }));
    }
    Ok(Command::TemplateClone { id, name })
}

pub(crate) fn template_instantiate(params: &mut Params) -> Decoded {
    let (id, name) = (params.int()?, params.string()?);
    let hold = params.bool_or(false)?;
    let (text, persistent) = (params.string_or("")?, params.bool_or(false)?);
    let extra = template_or_empty(&text)?;
    Ok(Command::TemplateInstantiate {
        id,
        name,
        hold,
        extra,
        persistent,
    })
}

pub(crate) fn vm_allocate(params: &mut Params) -> Decoded {
    let (text, hold) = (params.string()?, params.bool_or(false)?);
    Ok(Command::VmAllocate {
        template: template(&text)?,
        hold,
    })
}

pub(crate) fn vm_deploy(params: &mut Params) -> Decoded {
    let (id, host) = (params.int()?, params.int()?);
    let enforce = params.bool_or(false)?;
    let datastore = params.int_or(-1)?;
    if !params.string_or("")?.trim().is_empty() {
        return Err(ApiError::action(
            "Choosing the networks of NICs with NETWORK_MODE=auto is not supported yet",
        )
        .into());
    }
    Ok(Command::VmDeploy {
        id,
        host,
        enforce,
        datastore,
    })
}

pub(crate) fn vm_migrate(params: &mut Params) -> Decoded {
    let (id, host) = (params.int()?, params.int()?);
    let live = params.bool()?;
    let enforce = params.bool_or(false)?;
    let (datastore, kind) = (params.int_or(-1)?, params.int_or(0)?);
    let Some(relocation) = Relocation::of_call(live, kind) else {
        return Err(ApiError::action(format!(
            "Wrong migration type {kind}: it is 0 (save), 1 (poweroff) or 2 (poweroff-hard)"
        ))
        .into());
    };
    Ok(Command::VmMigrate {
        id,
        migration: Migration {
            host,
            relocation,
            enforce,
            datastore,
        },
    })
}

pub(crate) fn vm_resize(params: &mut Params) -> Decoded {
    let (id, text) = (params.int()?, params.string()?);
    let enforce = params.bool_or(true)?;
    Ok(Command::VmResize {
        id,
        template: template_or_empty(&text)?,
        enforce,
    })
}

pub(crate) fn vm_updateconf(params: &mut Params) -> Decoded {
    let (id, text, mode) = (params.int()?, params.string()?, params.int_or(0)?);
    Ok(Command::VmUpdateConf {
        id,
        template: template_or_empty(&text)?,
        append: is_append(mode)?,
    })
}

pub(crate) fn vm_exec(params: &mut Params) -> Decoded {
    let (id, command, stdin) = (params.int()?, params.string()?, params.string_or("")?);
    Ok(Command::VmExec {
        id,
        command: GuestCommand::Run { command, stdin },
    })
}

pub(crate) fn vm_retryexec(params: &mut Params) -> Decoded {
    Ok(Command::VmExec {
        id: params.int()?,
        command: GuestCommand::Retry,
    })
}

pub(crate) fn vm_cancelexec(params: &mut Params) -> Decoded {
    Ok(Command::VmExec {
        id: params.int()?,
        command: GuestCommand::Cancel,
    })
}

/// Actions by name. The old names of terminate are still sent by scripts.
const ACTIONS: &[(&str, Event)] = &[
    ("terminate", Event::Terminate { hard: false }),
    ("terminate-hard", Event::Terminate { hard: true }),
    ("undeploy", Event::Undeploy { hard: false }),
    ("undeploy-hard", Event::Undeploy { hard: true }),
    ("poweroff", Event::Poweroff { hard: false }),
    ("poweroff-hard", Event::Poweroff { hard: true }),
    ("reboot", Event::Reboot { hard: false }),
    ("reboot-hard", Event::Reboot { hard: true }),
    ("hold", Event::Hold),
    ("release", Event::Release),
    ("stop", Event::Stop),
    ("suspend", Event::Suspend),
    ("resume", Event::Resume),
    ("resched", Event::Resched),
    ("unresched", Event::Unresched),
];

pub(crate) fn vm_action(params: &mut Params) -> Decoded {
    let (name, id) = (params.string()?, params.int()?);
    match ACTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, event)) => Ok(Command::VmAction {
            id,
            event: *event,
            name,
        }),
        None => Err(ApiError::action(format!("Action \"{name}\" is not supported")).into()),
    }
}

pub(crate) fn vm_recover(params: &mut Params) -> Decoded {
    let (id, number) = (params.int()?, params.int()?);
    match Recover::from_number(number) {
        Some(recover) => Ok(Command::VmRecover { id, recover }),
        None => Err(ApiError::action(format!("Wrong recovery operation code {number}")).into()),
    }
}

pub(crate) fn vm_backup(params: &mut Params) -> Decoded {
    let id = params.int()?;
    let command = VmBackupCommand::Make {
        datastore: params.int_or(-1)?,
        reset: params.bool_or(false)?,
    };
    Ok(Command::VmBackup { id, command })
}

pub(crate) fn vm_backup_cancel(params: &mut Params) -> Decoded {
    Ok(Command::VmBackup {
        id: params.int()?,
        command: VmBackupCommand::Cancel,
    })
}

pub(crate) fn vm_restore(params: &mut Params) -> Decoded {
    let id = params.int()?;
    let command = VmBackupCommand::Restore {
        image: params.int()?,
        increment: params.int()?,
        disk: params.int()?,
    };
    Ok(Command::VmBackup { id, command })
}

pub(crate) fn image_restore(params: &mut Params) -> Decoded {
    Ok(Command::ImageRestore {
        id: params.int()?,
        datastore: params.int()?,
        options: template_or_empty(&params.string()?)?,
    })
}
