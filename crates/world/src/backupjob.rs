//! Commands on backup jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use plerion_model::backupjob::{BackupJob, PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MAX_MANAGE, Progress};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::backup_run::{job_begin, job_cancel, job_retry};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::sched_action::{sched_create, sched_forget};
use crate::txn::Txn;

/// Most VMs of a job.
const VMS_MAX: usize = 10_000;

/// What can be asked of backup jobs beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum BackupJobCommand {
    /// `one.backupjob.allocate`.
    Allocate {
        /// Attributes and scheduled actions.
        template: Template,
    },
    /// `one.backupjob.backup`, also what its schedule does: all its VMs are backed up.
    Backup {
        /// Backup job.
        id: Id,
    },
    /// `one.backupjob.cancel`: VMs that wait are not backed up, backups that are being made end.
    Cancel {
        /// Backup job.
        id: Id,
    },
    /// `one.backupjob.retry`: the VMs that could not be backed up are tried again.
    Retry {
        /// Backup job.
        id: Id,
    },
    /// `one.backupjob.priority`.
    Priority {
        /// Backup job.
        id: Id,
        /// From 0 to 99.
        priority: i32,
    },
}

/// Carries a command out. Answers the id of the job.
pub(crate) fn backupjob_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &BackupJobCommand,
) -> Result<Id, ApiError> {
    match command {
        BackupJobCommand::Allocate { template } => allocate(txn, caller, template),
        BackupJobCommand::Backup { id } => {
            job_require(txn, caller, *id, Operation::Manage)?;
            job_begin(txn, *id)
        }
        BackupJobCommand::Cancel { id } => {
            job_require(txn, caller, *id, Operation::Manage)?;
            job_cancel(txn, *id)
        }
        BackupJobCommand::Retry { id } => {
            job_require(txn, caller, *id, Operation::Manage)?;
            job_retry(txn, *id)
        }
        BackupJobCommand::Priority { id, priority } => priority_set(txn, caller, *id, *priority),
    }
}

fn job_require(txn: &Txn<'_>, caller: &Caller, id: Id, operation: Operation) -> Result<(), ApiError> {
    let target = Target::of(&txn.world, Kind::BackupJob, id)?;
    require(&txn.world, caller, &[(operation, target)])
}

fn allocate(txn: &mut Txn<'_>, caller: &Caller, given: &Template) -> Result<Id, ApiError> {
    let right = (Operation::Create, Target::new_of(Kind::BackupJob));
    require(&txn.world, caller, &[right])?;
    let mut template = given.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    name_check_new(&txn.world, Kind::BackupJob, caller.uid, &name)?;
    let refused = |reason: String| ApiError::allocate(Kind::BackupJob, &format!("{reason}."));
    let priority = priority_read(&template).map_err(refused)?;
    // One more than `one.backupjob.priority` lets others set, as the default is that (recorded).
    if priority > PRIORITY_DEFAULT && !caller.is_admin() {
        return Err(ApiError::authorization(
            caller.uid,
            &format!("A PRIORITY above {PRIORITY_DEFAULT} is given by administrators only"),
        ));
    }
    for name in ["NAME", "PRIORITY", "SCHED_ACTION"] {
        template.remove(name);
    }
    let id = txn.id_next(Kind::BackupJob);
    txn.create(BackupJob {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        priority,
        last_time: 0,
        last_duration: 0,
        progress: BTreeMap::new(),
        template: PackedTemplate::new(&settings(template).map_err(refused)?),
    });
    sched_create(txn, Kind::BackupJob, id, given)?;
    Ok(id)
}

fn priority_read(template: &Template) -> Result<i32, String> {
    let Some(text) = template.get("PRIORITY") else {
        return Ok(PRIORITY_DEFAULT);
    };
    let number = text.trim().parse().ok();
    number
        .filter(|number| (0..=PRIORITY_MAX).contains(number))
        .ok_or_else(|| format!("PRIORITY is \"{text}\": it is a number from 0 to {PRIORITY_MAX}"))
}

fn priority_set(txn: &mut Txn<'_>, caller: &Caller, id: Id, priority: i32) -> Result<Id, ApiError> {
    let right = if priority > PRIORITY_MAX_MANAGE {
        Operation::Admin
    } else {
        Operation::Manage
    };
    job_require(txn, caller, id, right)?;
    if !(0..=PRIORITY_MAX).contains(&priority) {
        return Err(ApiError::rpc_api(format!(
            "Wrong priority {priority}: it is a number from 0 to {PRIORITY_MAX}"
        )));
    }
    let mut job = txn.world.backupjob(id)?.clone();
    Arc::make_mut(&mut job).priority = priority;
    txn.update(job);
    Ok(id)
}

/// Puts a new template in. VMs that it does not name any more are not waited for.
pub(crate) fn backupjob_updated(job: &mut BackupJob, mut new: Template) -> Result<(), ApiError> {
    if new.contains("PRIORITY") {
        return Err(ApiError::action(
            "PRIORITY is no attribute of the template: set it with one.backupjob.priority",
        ));
    }
    // Clients that edit what `info` shows send them along; they have calls of their own.
    new.remove("SCHED_ACTION");
    new.remove("NAME");
    job.template = PackedTemplate::new(&settings(new).map_err(ApiError::action)?);
    let vms = job.vms();
    job.progress
        .retain(|vm, progress| *progress == Progress::BackingUp || vms.contains(vm));
    Ok(())
}

/// Deletes a job with its schedule. Backups that are being made go on as if they had been asked for one by one.
pub(crate) fn backupjob_delete(txn: &mut Txn<'_>, id: Id) {
    sched_forget(txn, Kind::BackupJob, id);
    txn.delete(Kind::BackupJob, id);
}

/// The attributes as they are kept: checked, completed, by name (recorded).
fn settings(mut given: Template) -> Result<Template, String> {
    for (name, default) in [("BACKUP_VMS", ""), ("KEEP_LAST", "0")] {
        given.set_if_missing(name, default);
    }
    vms_check(given.get("BACKUP_VMS").unwrap_or_default())?;
    word(&mut given, "BACKUP_VOLATILE", &["NO", "YES"])?;
    word(&mut given, "EXECUTION", &["SEQUENTIAL", "PARALLEL"])?;
    word(&mut given, "FS_FREEZE", &["NONE", "AGENT", "SUSPEND"])?;
    word(&mut given, "MODE", &["FULL", "INCREMENT"])?;
    if given.get("MODE") == Some("INCREMENT") {
        word(&mut given, "INCREMENT_MODE", &["CBT", "SNAPSHOT"])?;
    }
    if given.contains("RESET") {
        word(&mut given, "RESET", &["NO", "YES"])?;
    }
    for name in ["KEEP_LAST", "DATASTORE_ID"] {
        number_check(&given, name)?;
    }
    let mut sorted: Vec<_> = given.iter().cloned().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut kept = Template::new();
    for attribute in sorted {
        kept.add(&attribute.name, attribute.value);
    }
    Ok(kept)
}

/// The first of the words is what it is without the attribute.
fn word(given: &mut Template, name: &str, words: &[&str]) -> Result<(), String> {
    let text = match given.get(name) {
        Some(text) => text.trim().to_ascii_uppercase(),
        None if given.contains(name) => return Err(format!("{name} is a vector: write {name}=\"…\"")),
        None => words.first().copied().unwrap_or_default().to_owned(),
    };
    if !words.contains(&text.as_str()) {
        return Err(format!("{name} is \"{text}\": it is one of {}", words.join(", ")));
    }
    given.set(name, text);
    Ok(())
}

fn number_check(given: &Template, name: &str) -> Result<(), String> {
    let Some(text) = given.get(name) else {
        return Ok(());
    };
    let number = text.trim().parse::<Id>().ok().filter(|number| *number >= 0);
    number
        .map(drop)
        .ok_or_else(|| format!("{name} is \"{text}\": it is a number, 0 or more"))
}

fn vms_check(text: &str) -> Result<(), String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut count: usize = 0;
    for part in parts {
        if part.parse::<Id>().ok().is_none_or(|id| id < 0) {
            return Err(format!(
                "BACKUP_VMS holds \"{part}\": it is a list of ids of VMs with commas between them"
            ));
        }
        count = count.saturating_add(1);
    }
    if count > VMS_MAX {
        return Err(format!("BACKUP_VMS names more than {VMS_MAX} VMs"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Result<String, String> {
        let template = settings(Template::parse(text).expect("good"))?;
        let pairs = template.iter().map(|attribute| {
            format!(
                "{}={}",
                attribute.name,
                template.get(&attribute.name).unwrap_or("[]")
            )
        });
        Ok(pairs.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_missing_is_filled_in_by_name() {
        assert_eq!(
            kept("KEEP_LAST=\"2\"\nMODE=\"full\"\n").expect("good"),
            "BACKUP_VMS= BACKUP_VOLATILE=NO EXECUTION=SEQUENTIAL FS_FREEZE=NONE KEEP_LAST=2 MODE=FULL"
        );
        assert_eq!(
            kept("MODE=\"INCREMENT\"\nBACKUP_VMS=\"3, 1\"\nDESCRIPTION=\"x\"\n").expect("good"),
            "BACKUP_VMS=3, 1 BACKUP_VOLATILE=NO DESCRIPTION=x EXECUTION=SEQUENTIAL FS_FREEZE=NONE \
             INCREMENT_MODE=CBT KEEP_LAST=0 MODE=INCREMENT"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, name) in [
            ("BACKUP_VMS=\"1,a\"\n", "BACKUP_VMS"),
            ("BACKUP_VMS=\"-1\"\n", "BACKUP_VMS"),
            ("KEEP_LAST=\"many\"\n", "KEEP_LAST"),
            ("DATASTORE_ID=\"-3\"\n", "DATASTORE_ID"),
            ("EXECUTION=\"RANDOM\"\n", "EXECUTION"),
            ("MODE=[A=\"1\"]\n", "MODE"),
            ("RESET=\"MAYBE\"\n", "RESET"),
        ] {
            let reason = kept(text).expect_err(text);
            assert!(reason.starts_with(name), "{reason}");
        }
        let many = format!("BACKUP_VMS=\"{}\"\n", "1,".repeat(VMS_MAX + 1));
        assert!(kept(&many).is_err());
    }
}
