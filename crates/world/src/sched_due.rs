//! What a scheduled action that is due asks for.

use plerion_model::sched_action::SchedAction;
use plerion_model::{Id, Kind, Seconds};

use crate::auth::Caller;
use crate::backupjob::BackupJobCommand;
use crate::command::{Command, Order};
use crate::sched_action::VM_ACTIONS;
use crate::vm_backup::VmBackupCommand;
use crate::vm_device_command::VmDeviceCommand;
use crate::world::World;

/// What an action that is due asks for, in the name of its object's owner; or why nothing can be asked. `None` when it is
/// not due at that time any more: it was done, changed or deleted.
pub(crate) fn sched_order(world: &World, id: Id, time: Seconds) -> Option<Result<Order, String>> {
    let action = world
        .sched_actions
        .get(id)
        .filter(|action| action.due() == Some(time))?;
    Some(owner_of(world, action).and_then(|caller| {
        Ok(Order {
            caller,
            command: command_of(action)?,
        })
    }))
}

fn owner_of(world: &World, action: &SchedAction) -> Result<Caller, String> {
    let object = world
        .object(action.parent_kind, action.parent)
        .map_err(|error| error.text)?;
    let uid = object.owned().map_or(-1, |owned| owned.uid);
    let owner = world
        .users
        .get(uid)
        .ok_or_else(|| format!("Its owner, user {uid}, does not exist any more"))?;
    Ok(Caller::of(owner))
}

fn command_of(action: &SchedAction) -> Result<Command, String> {
    if action.parent_kind == Kind::BackupJob {
        return Ok(Command::BackupJob(BackupJobCommand::Backup { id: action.parent }));
    }
    if action.action == "backup" {
        return backup_of(action);
    }
    let event = VM_ACTIONS
        .iter()
        .find(|(name, _)| *name == action.action)
        .and_then(|(_, event)| *event);
    match event {
        Some(event) => Ok(Command::VmAction {
            id: action.parent,
            name: action.action.clone(),
            event,
        }),
        None => snapshot_of(action),
    }
}

/// The arguments of a snapshot of the machine are its name, or its id; those of a snapshot of a disk follow the disk's id and a
/// comma (as commands with `--schedule` write them).
fn snapshot_of(action: &SchedAction) -> Result<Command, String> {
    let args = action.args.trim();
    let id = |text: &str, what: &str| {
        text.trim().parse::<Id>().map_err(|_| {
            format!(
                "ARGS is \"{args}\" where the id of {what} is needed as \"{}\"",
                args_wanted(action)
            )
        })
    };
    let (disk, rest) = args.split_once(',').unwrap_or((args, ""));
    let command = match action.action.as_str() {
        "snapshot-create" => VmDeviceCommand::SnapshotCreate(args.to_owned()),
        "snapshot-revert" => VmDeviceCommand::SnapshotRevert(id(args, "a snapshot")?),
        "snapshot-delete" => VmDeviceCommand::SnapshotDelete(id(args, "a snapshot")?),
        "disk-snapshot-create" => {
            VmDeviceCommand::DiskSnapshotCreate(id(disk, "a disk")?, rest.trim().to_owned())
        }
        "disk-snapshot-revert" => {
            VmDeviceCommand::DiskSnapshotRevert(id(disk, "a disk")?, id(rest, "a snapshot")?)
        }
        "disk-snapshot-delete" => {
            VmDeviceCommand::DiskSnapshotDelete(id(disk, "a disk")?, id(rest, "a snapshot")?)
        }
        other => return Err(format!("There is no action {other} that can be scheduled")),
    };
    Ok(Command::VmDevice {
        id: action.parent,
        command,
    })
}

fn args_wanted(action: &SchedAction) -> &'static str {
    match action.action.as_str() {
        "disk-snapshot-create" => "DISK_ID,NAME",
        "disk-snapshot-revert" | "disk-snapshot-delete" => "DISK_ID,SNAPSHOT_ID",
        _ => "SNAPSHOT_ID",
    }
}

/// The arguments of a backup are its datastore, and whether it begins anew.
fn backup_of(action: &SchedAction) -> Result<Command, String> {
    let mut args = action.args.split(',').map(str::trim);
    let datastore = match args.next() {
        None | Some("") => -1,
        Some(text) => text.parse().map_err(|_| {
            format!("ARGS begins with \"{text}\": that is to be the id of a backup datastore")
        })?,
    };
    let reset = args.next().is_some_and(|text| {
        ["yes", "true", "1"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
    });
    Ok(Command::VmBackup {
        id: action.parent,
        command: VmBackupCommand::Make { datastore, reset },
    })
}
