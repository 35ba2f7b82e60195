//! Runs of backup jobs: whose turn it is, and what became of each VM.
//!
//! Nothing but the world says whose turn it is, so there is nothing to be woken: whoever lets a job begin, or ends a backup,
//! lets those begin for which there is room now.

use std::sync::Arc;

use plerion_model::backupjob::{BackupJob, Execution, Progress};
use plerion_model::{ApiError, Id, Kind};

use crate::auth::Caller;
use crate::txn::{BackupOver, Txn};
use crate::vm_backup::{BackupOrder, vm_backup_begin, vm_backup_cancel};

/// The same on one host, where `MAX_BACKUPS_HOST` says nothing (recorded).
const BACKUPS_HOST_MAX: usize = 2;
/// Backups that jobs make at a time, where `MAX_BACKUPS` says nothing (recorded).
const BACKUPS_MAX: usize = 5;

/// Has all VMs of a job backed up that are not being backed up already.
pub(crate) fn job_begin(txn: &mut Txn<'_>, id: Id) -> Result<Id, ApiError> {
    let mut job = txn.world.backupjob(id)?.clone();
    let own = Arc::make_mut(&mut job);
    let vms = own.vms();
    if !own.is_running() {
        own.last_time = txn.context.now;
    }
    own.progress
        .retain(|_, progress| *progress == Progress::BackingUp);
    for vm in vms {
        own.progress.entry(vm).or_insert(Progress::Outdated);
    }
    own.template.note("ERROR", None);
    txn.update(job);
    backups_go_on(txn);
    Ok(id)
}

/// Tries those again that could not be backed up.
pub(crate) fn job_retry(txn: &mut Txn<'_>, id: Id) -> Result<Id, ApiError> {
    let mut job = txn.world.backupjob(id)?.clone();
    let own = Arc::make_mut(&mut job);
    let failed = own.vms_in(Progress::Error);
    if failed.is_empty() {
        return Ok(id);
    }
    if !own.is_running() {
        own.last_time = txn.context.now;
    }
    for vm in failed {
        own.progress.insert(vm, Progress::Outdated);
    }
    own.template.note("ERROR", None);
    txn.update(job);
    backups_go_on(txn);
    Ok(id)
}

/// Forgets those that wait, and ends the backups that are being made.
pub(crate) fn job_cancel(txn: &mut Txn<'_>, id: Id) -> Result<Id, ApiError> {
    let mut job = txn.world.backupjob(id)?.clone();
    let own = Arc::make_mut(&mut job);
    if !own.is_running() {
        return Ok(id);
    }
    own.progress.retain(|_, progress| *progress != Progress::Outdated);
    run_close(own, txn.context.now);
    let running = own.vms_in(Progress::BackingUp);
    txn.update(job);
    for vm in running {
        vm_backup_cancel(txn, vm)?;
    }
    Ok(id)
}

/// Notes what became of the backups of jobs that have ended, and begins others.
pub(crate) fn jobs_go_on(txn: &mut Txn<'_>) {
    let over = std::mem::take(&mut txn.backups_over);
    if over.is_empty() {
        return;
    }
    for BackupOver { job, vm, error } in over {
        let progress = if error.is_none() {
            Progress::Updated
        } else {
            Progress::Error
        };
        progress_set(txn, job, vm, progress, error.as_deref());
    }
    backups_go_on(txn);
}

/// Begins the backups for which there is room: of the job of the highest priority first, and of older jobs before newer ones.
pub(crate) fn backups_go_on(txn: &mut Txn<'_>) {
    let mut room = backups_max(txn).saturating_sub(backups_running(txn));
    let mut jobs: Vec<(i32, Id)> = txn
        .world
        .backupjobs
        .values()
        .filter(|job| job.is_running())
        .map(|job| (job.priority, job.id))
        .collect();
    jobs.sort_by_key(|(priority, id)| (std::cmp::Reverse(*priority), *id));
    for (_, id) in jobs {
        while room > 0
            && let Some(vm) = next_of(txn, id)
        {
            if vm_begin(txn, id, vm) {
                room = room.saturating_sub(1);
            }
        }
    }
}

fn backups_max(txn: &Txn<'_>) -> usize {
    limit(txn, "MAX_BACKUPS", BACKUPS_MAX)
}

fn limit(txn: &Txn<'_>, name: &str, default: usize) -> usize {
    let setting = txn.world.config.attributes.get_i64(name);
    setting
        .and_then(|max| usize::try_from(max).ok())
        .filter(|max| *max > 0)
        .unwrap_or(default)
}

/// Whether the host of a VM makes as many backups of jobs as it may at a time.
fn host_is_busy(txn: &Txn<'_>, vm: Id) -> bool {
    let host_of = |vm: Id| {
        let vm = txn.world.vms.get(vm)?;
        vm.last_history().map(|record| record.host)
    };
    let Some(host) = host_of(vm) else { return false };
    let jobs = txn.world.backupjobs.values();
    let made = jobs
        .flat_map(|job| job.vms_in(Progress::BackingUp))
        .filter(|other| host_of(*other) == Some(host));
    made.count() >= limit(txn, "MAX_BACKUPS_HOST", BACKUPS_HOST_MAX)
}

fn backups_running(txn: &Txn<'_>) -> usize {
    let jobs = txn.world.backupjobs.values();
    jobs.map(|job| job.vms_in(Progress::BackingUp).len()).sum()
}

/// The VM of a job whose turn it is.
fn next_of(txn: &Txn<'_>, id: Id) -> Option<Id> {
    let job = txn.world.backupjobs.get(id)?;
    let busy = job
        .progress
        .values()
        .any(|progress| *progress == Progress::BackingUp);
    if busy && job.execution() == Execution::Sequential {
        return None;
    }
    let mut waiting = job
        .vms()
        .into_iter()
        .filter(|vm| job.progress.get(vm) == Some(&Progress::Outdated));
    match job.execution() {
        Execution::Sequential => waiting.next().filter(|vm| !host_is_busy(txn, *vm)),
        Execution::Parallel => waiting.find(|vm| !host_is_busy(txn, *vm)),
    }
}

/// Whether it was begun; if not, the job says why.
fn vm_begin(txn: &mut Txn<'_>, id: Id, vm: Id) -> bool {
    let Some(job) = txn.world.backupjobs.get(id).cloned() else {
        return false;
    };
    let begun = owner_of(txn, &job).and_then(|owner| {
        let order = order_of(&job)?;
        vm_backup_begin(txn, &owner, vm, &order).map_err(|error| error.text)
    });
    match begun {
        Ok(()) => {
            progress_set(txn, id, vm, Progress::BackingUp, None);
            true
        }
        Err(reason) => {
            progress_set(txn, id, vm, Progress::Error, Some(&reason));
            false
        }
    }
}

/// Jobs are run in the name of their owner: they can do no more than he.
fn owner_of(txn: &Txn<'_>, job: &BackupJob) -> Result<Caller, String> {
    let uid = job.owned.uid;
    let owner = txn.world.users.get(uid);
    owner
        .map(|owner| Caller::of(owner))
        .ok_or_else(|| format!("The job's owner, user {uid}, does not exist any more"))
}

fn order_of(job: &BackupJob) -> Result<BackupOrder, String> {
    let datastore = job
        .template
        .get("DATASTORE_ID")
        .and_then(|text| text.trim().parse().ok())
        .ok_or("The job has no DATASTORE_ID: name a backup datastore")?;
    Ok(BackupOrder {
        datastore,
        reset: job.template.get("RESET") == Some("YES"),
        job: Some(job.id),
    })
}

/// Notes how far a VM has come, and that the run is over when it was the last one.
fn progress_set(txn: &mut Txn<'_>, id: Id, vm: Id, progress: Progress, reason: Option<&str>) {
    let Some(mut job) = txn.world.backupjobs.get(id).cloned() else {
        return;
    };
    let own = Arc::make_mut(&mut job);
    own.progress.insert(vm, progress);
    if let Some(reason) = reason {
        let text = format!("VM {vm}: {reason}");
        own.template.note("ERROR", Some(&text));
        txn.log(Kind::BackupJob, id, "error", "", "", &text);
    }
    run_close(own, txn.context.now);
    txn.update(job);
}

fn run_close(job: &mut BackupJob, now: plerion_model::Seconds) {
    if !job.is_running() {
        job.last_duration = now.saturating_sub(job.last_time).max(0);
    }
}
