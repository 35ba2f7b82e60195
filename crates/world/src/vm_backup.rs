//! `one.vm.backup`, `backupcancel` and `restore`: disks of a VM are copied to a backup datastore, and taken back.

use std::sync::Arc;

use plerion_lifecycle::{Event, Outcome, Refusal, vm_step};
use plerion_model::backupjob::BackupJob;
use plerion_model::datastore::DatastoreType;
use plerion_model::image::{ImageState, ImageType};
use plerion_model::numbers::id_list;
use plerion_model::vm::Vm;
use plerion_model::vm_backup::{BackupMode, BackupRun, FsFreeze, RestoreRun};
use plerion_model::vm_history::HistoryAction;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::PackedVector;

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::vm_backup_end::is_backup;
use crate::vm_cause::Cause;
use crate::vm_history::history_renew;
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::{vm_event, vm_go};

/// The driver of hosts, transfers and datastores that are none: whatever is asked of them is done.
const DUMMY: &str = "dummy";

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmBackupCommand {
    /// `one.vm.backup`.
    Make {
        /// Backup datastore; -1 that of the chain of increments.
        datastore: Id,
        /// Whether a full backup begins a new chain of increments.
        reset: bool,
    },
    /// `one.vm.backupcancel`.
    Cancel,
    /// `one.vm.restore`.
    Restore {
        /// Backup image.
        image: Id,
        /// Increment; -1 the last one.
        increment: Id,
        /// DISK_ID; -1 all disks of the backup.
        disk: Id,
    },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupOrder {
    /// Backup datastore; -1 that of the chain of increments.
    pub(crate) datastore: Id,
    /// Whether a full backup begins a new chain of increments.
    pub(crate) reset: bool,
    /// The job that asks.
    pub(crate) job: Option<Id>,
}

/// Carries a command out. Answers the id of the VM.
pub(crate) fn vm_backup_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    command: VmBackupCommand,
) -> Result<Id, ApiError> {
    match command {
        VmBackupCommand::Make { datastore, reset } => {
            let order = BackupOrder {
                datastore,
                reset,
                job: None,
            };
            vm_backup_begin(txn, caller, id, &order)?;
        }
        VmBackupCommand::Cancel => {
            vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Backup))?;
            vm_backup_cancel(txn, id)?;
        }
        VmBackupCommand::Restore {
            image,
            increment,
            disk,
        } => {
            let run = RestoreRun {
                image,
                increment,
                disk,
            };
            restore_begin(txn, caller, id, run)?;
        }
    }
    Ok(id)
}

/// Begins the backup of a VM, for one who may do so.
pub(crate) fn vm_backup_begin(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    order: &BackupOrder,
) -> Result<(), ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Backup))?;
    let mut vm = txn.world.vm(id)?.clone();
    if let Some(job) = txn.world.backup_job_of(id).filter(|_| order.job.is_none()) {
        // Recorded (with -1 for the job).
        return Err(ApiError::action(format!(
            "Unable to start an individual backup for the Virtual Machine, it is part of Backup Job ID {job}"
        )));
    }
    let outcome = outcome_of(&vm, Event::Backup, |state| {
        // Recorded.
        format!("Could not create a new backup for VM {id}, wrong state {state}.")
    })?;
    let mut run = run_of(txn, &vm, order)?;
    let target = Target::of(&txn.world, Kind::Datastore, run.datastore)?;
    require(&txn.world, caller, &[(Operation::Use, target)])?;
    datastore_check(txn, &vm, &run)?;
    run.place = place_new(txn, id, run.datastore)?;
    let own = Arc::make_mut(&mut vm);
    own.backup_set(|backup| backup.run = Some(run));
    let cause = Cause::user(caller);
    history_renew(own, HistoryAction::Backup, &cause, txn.context.now);
    vm_go(txn, vm, &outcome, Event::Backup, &cause);
    Ok(())
}

fn outcome_of(
    vm: &Vm,
    event: Event,
    refusal: impl FnOnce(&'static str) -> String,
) -> Result<Outcome, ApiError> {
    vm_step(vm.phase, HistoryAction::None, event)
        .map_err(|Refusal::State(phase)| ApiError::internal(refusal(phase.as_str())))
}

/// What is to be done, as the job says, or else the VM's BACKUP_CONFIG.
fn run_of(txn: &Txn<'_>, vm: &Vm, order: &BackupOrder) -> Result<BackupRun, ApiError> {
    let job = order.job.and_then(|job| txn.world.backupjobs.get(job));
    let setting = |name: &str| match job {
        Some(job) => job.template.get(name),
        None => vm.template.pair("BACKUP_CONFIG", name),
    };
    let is =
        |name: &str, word: &str| setting(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(word));
    let disks = disks_of(vm, job.map(|job| &**job), is("BACKUP_VOLATILE", "YES"))?;
    // As with the reference, what knows of no changes is taken whole.
    let mode = if is("MODE", "INCREMENT") && knows_changes(vm, &disks) {
        BackupMode::Increment
    } else {
        BackupMode::Full
    };
    let chain = (mode == BackupMode::Increment && !order.reset)
        .then(|| chain_of(txn, vm, &disks))
        .flatten();
    let datastore = match chain {
        Some((_, datastore)) => datastore,
        None if order.datastore < 0 => {
            return Err(ApiError::action(
                "No datastore for the backup: name a backup datastore",
            ));
        }
        None => order.datastore,
    };
    Ok(BackupRun {
        datastore,
        mode,
        chain: chain.map(|(image, _)| image),
        keep_last: setting("KEEP_LAST")
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0),
        freeze: if is("FS_FREEZE", "AGENT") {
            FsFreeze::Agent
        } else if is("FS_FREEZE", "SUSPEND") {
            FsFreeze::Suspend
        } else {
            FsFreeze::None
        },
        disks,
        job: order.job,
        place: String::new(),
        made: None,
    })
}

/// Whether disks know what was written to them since a backup: QCOW2 files do, and dummy hosts.
fn knows_changes(vm: &Vm, disks: &[Id]) -> bool {
    let dummy = vm.last_history().is_none_or(|record| record.vm_mad == DUMMY);
    let qcow2 = |disk: &PackedVector<'_>| {
        let format = disk.get("FORMAT").or_else(|| disk.get("DRIVER"));
        format.is_some_and(|format| format.eq_ignore_ascii_case("qcow2"))
    };
    let mut taken = vm
        .template
        .vectors("DISK")
        .filter(|disk| disk_id(*disk).is_some_and(|id| disks.contains(&id)));
    dummy || taken.all(|disk| qcow2(&disk))
}

/// The image that an increment of these disks can be added to, and its datastore.
fn chain_of(txn: &Txn<'_>, vm: &Vm, disks: &[Id]) -> Option<(Id, Id)> {
    let chain = vm.backup_chain()?;
    let image = txn.world.images.get(chain.image)?;
    let same = image.backup.as_ref().is_some_and(|backup| backup.disks == disks);
    (image.state == ImageState::Ready && same).then_some((image.id, image.datastore_id))
}

/// The disks that a backup takes in.
fn disks_of(vm: &Vm, job: Option<&BackupJob>, volatile: bool) -> Result<Vec<Id>, ApiError> {
    let asked = match job {
        Some(job) => job.template.get("DISK_IDS"),
        None => vm.template.pair("BACKUP_CONFIG", "DISK_IDS"),
    };
    let asked: Vec<Id> = id_list(asked.unwrap_or_default()).collect();
    let mut disks = Vec::new();
    for disk in vm.template.vectors("DISK") {
        let is = |name: &str, word: &str| disk.get(name).is_some_and(|text| text.eq_ignore_ascii_case(word));
        if is("TYPE", "FILESYSTEM") {
            return Err(ApiError::action(format!(
                "VM {} cannot be backed up: it has FILESYSTEM disks",
                vm.id
            )));
        }
        let skipped = is("TYPE", "CDROM")
            || is("TYPE", "SWAP")
            || is("READONLY", "YES")
            || (!volatile && disk.get("IMAGE_ID").is_none());
        let Some(id) = disk_id(disk).filter(|_| !skipped) else {
            continue;
        };
        if asked.is_empty() || asked.contains(&id) {
            disks.push(id);
        }
    }
    if disks.is_empty() {
        return Err(ApiError::action(format!(
            "VM {} has no disk to back up: CD-ROMs and swap disks are left out, and volatile ones unless BACKUP_VOLATILE is YES",
            vm.id
        )));
    }
    Ok(disks)
}

fn disk_id(disk: PackedVector<'_>) -> Option<Id> {
    disk.get("DISK_ID").and_then(|text| text.parse().ok())
}

fn datastore_check(txn: &Txn<'_>, vm: &Vm, run: &BackupRun) -> Result<(), ApiError> {
    let id = run.datastore;
    let store = txn.world.datastore(id)?;
    if store.kind != DatastoreType::Backup {
        return Err(ApiError::action(format!(
            "Datastore {id} is no backup datastore (TYPE=BACKUP_DS)"
        )));
    }
    drivers_check(vm, &store.ds_mad, "Backups are")?;
    Ok(())
}

/// Dummy drivers go together; and what the transfer driver ssh has copied to a host is copied to the files of the datastore
/// driver fs, and back.
fn drivers_check(vm: &Vm, ds_mad: &str, what: &str) -> Result<(), ApiError> {
    let Some(record) = vm.last_history() else {
        return Ok(());
    };
    let drivers = (record.vm_mad.as_str(), record.tm_mad.as_str(), ds_mad);
    match drivers {
        (DUMMY, DUMMY, DUMMY) | ("kvm" | "qemu", "ssh", "fs") => Ok(()),
        (hypervisor, transfer, datastore) => Err(ApiError::action(format!(
            "{what} not supported yet with the hypervisor driver {hypervisor}, the transfer driver {transfer} and the \
             datastore driver {datastore}; they are with kvm, ssh and fs"
        ))),
    }
}

/// Where the built-in driver puts a new backup; others choose by themselves and say so at the end.
fn place_new(txn: &mut Txn<'_>, vm: Id, datastore: Id) -> Result<String, ApiError> {
    let store = txn.world.datastore(datastore)?;
    if store.ds_mad != "fs" {
        return Ok(String::new());
    }
    let base = store.base_path.clone();
    Ok(format!("{base}/{vm}/{:032x}", txn.random()))
}

/// Ends the backup of a VM; what was copied is no backup. (The reference answers and goes on with it.)
pub(crate) fn vm_backup_cancel(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let vm = txn.world.vm(id)?;
    if !is_backup(vm.phase) {
        // Recorded.
        return Err(ApiError::internal(format!(
            "Could not cancel backup for VM {id}, no backup in progress"
        )));
    }
    let cause = Cause::system("the backup was canceled");
    vm_event(txn, id, Event::Failed, &cause)
        .map_err(|Refusal::State(phase)| ApiError::internal(format!("VM {id} is in {}", phase.as_str())))
}

fn restore_begin(txn: &mut Txn<'_>, caller: &Caller, id: Id, run: RestoreRun) -> Result<(), ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Restore))?;
    let target = Target::of(&txn.world, Kind::Image, run.image)?;
    require(&txn.world, caller, &[(Operation::Use, target)])?;
    restore_check(txn, id, run)?;
    let mut vm = txn.world.vm(id)?.clone();
    let outcome = outcome_of(&vm, Event::RestoreDisks, |state| {
        format!("Could not restore VM {id}, wrong state {state}: power it off first.")
    })?;
    let home = txn.world.datastore(txn.world.image(run.image)?.datastore_id)?;
    drivers_check(&vm, &home.ds_mad, "Restoring is")?;
    let own = Arc::make_mut(&mut vm);
    own.backup_set(|backup| backup.restore = Some(run));
    let cause = Cause::user(caller);
    history_renew(own, HistoryAction::Restore, &cause, txn.context.now);
    vm_go(txn, vm, &outcome, Event::RestoreDisks, &cause);
    Ok(())
}

/// That the image holds what is asked for, of this VM.
fn restore_check(txn: &Txn<'_>, id: Id, run: RestoreRun) -> Result<(), ApiError> {
    let image = txn.world.image(run.image)?;
    let Some(backup) = image.backup.as_ref().filter(|_| image.kind == ImageType::Backup) else {
        // Recorded.
        return Err(ApiError::action("Image has to be of type BACKUP"));
    };
    let refused = |reason: String| Err(ApiError::action(format!("Image {}: {reason}", image.id)));
    if image.state != ImageState::Ready {
        return refused(format!("it is in state {}", image.state));
    }
    if backup.vm != id {
        return refused(format!("it is a backup of VM {}, not of VM {id}", backup.vm));
    }
    let known = |wanted: Id| backup.increments.iter().any(|own| own.id == wanted);
    if run.increment >= 0 && !known(run.increment) {
        return refused(format!("it has no increment {}", run.increment));
    }
    if run.disk >= 0 && !backup.disks.contains(&run.disk) {
        return refused(format!("disk {} is not in it", run.disk));
    }
    Ok(())
}
