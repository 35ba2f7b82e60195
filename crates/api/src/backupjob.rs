//! Calls on backup jobs.

use plerion_model::{Kind, Operation};
use plerion_world::{BackupJobCommand, Command};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let manage = Right::On(Operation::Manage, Kind::BackupJob);
    vec![
        command(
            "one.backupjob.allocate",
            "template:string",
            Right::On(Operation::Create, Kind::BackupJob),
            "makes a backup job",
            allocate,
        ),
        command(
            "one.backupjob.backup",
            "id:int",
            manage,
            "backs up the VMs of a backup job",
            |params| {
                let id = params.int()?;
                Ok(Command::BackupJob(BackupJobCommand::Backup { id }))
            },
        ),
        command(
            "one.backupjob.cancel",
            "id:int",
            manage,
            "ends the run of a backup job",
            |params| {
                let id = params.int()?;
                Ok(Command::BackupJob(BackupJobCommand::Cancel { id }))
            },
        ),
        command(
            "one.backupjob.retry",
            "id:int",
            manage,
            "tries the VMs of a backup job again that could not be backed up",
            |params| {
                let id = params.int()?;
                Ok(Command::BackupJob(BackupJobCommand::Retry { id }))
            },
        ),
        command(
            "one.backupjob.priority",
            "id:int, priority:int",
            manage,
            "sets the priority of a backup job",
            priority,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::BackupJob(BackupJobCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn priority(params: &mut Params) -> Decoded {
    Ok(Command::BackupJob(BackupJobCommand::Priority {
        id: params.int()?,
        priority: params.int()?,
    }))
}
