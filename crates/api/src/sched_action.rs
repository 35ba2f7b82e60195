//! Calls on scheduled actions.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, SchedCommand};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let vm = Right::On(Operation::Manage, Kind::Vm);
    let job = Right::On(Operation::Manage, Kind::BackupJob);
    vec![
        command(
            "one.backupjob.schedadd",
            "id:int, template:string",
            job,
            "schedules a backup job",
            |params| add(Kind::BackupJob, params),
        ),
        command(
            "one.backupjob.schedupdate",
            "id:int, action:int, template:string",
            job,
            "changes the schedule of a backup job",
            |params| update(Kind::BackupJob, params),
        ),
        command(
            "one.backupjob.scheddelete",
            "id:int, action:int",
            job,
            "deletes from the schedule of a backup job",
            |params| delete(Kind::BackupJob, params),
        ),
        command(
            "one.vm.schedadd",
            "id:int, template:string",
            vm,
            "schedules an action on a VM",
            |params| add(Kind::Vm, params),
        ),
        command(
            "one.vm.schedupdate",
            "id:int, action:int, template:string",
            vm,
            "changes a scheduled action of a VM",
            |params| update(Kind::Vm, params),
        ),
        command(
            "one.vm.scheddelete",
            "id:int, action:int",
            vm,
            "deletes a scheduled action of a VM",
            |params| delete(Kind::Vm, params),
        ),
    ]
}

fn add(kind: Kind, params: &mut Params) -> Decoded {
    Ok(Command::Sched(SchedCommand::Add {
        kind,
        id: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn update(kind: Kind, params: &mut Params) -> Decoded {
    let (id, action) = (params.int()?, params.int()?);
    Ok(Command::Sched(SchedCommand::Update {
        kind,
        id,
        action,
        template: template(&params.string()?)?,
    }))
}

fn delete(kind: Kind, params: &mut Params) -> Decoded {
    Ok(Command::Sched(SchedCommand::Delete {
        kind,
        id: params.int()?,
        action: params.int()?,
    }))
}
