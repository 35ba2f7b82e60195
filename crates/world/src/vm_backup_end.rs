//! What becomes of a backup or a restore once it has ended.

use std::sync::Arc;

use plerion_lifecycle::{Event, Recover};
use plerion_model::datastore::DiskType;
use plerion_model::image::{Image, ImageBackup, ImageState, ImageType, Increment};
use plerion_model::snapshot::SnapshotTree;
use plerion_model::vm::Vm;
use plerion_model::vm_backup::{BackupChain, BackupMade, BackupMode, BackupRun};
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{Id, Kind};
use plerion_template::{PackedTemplate, Template};

use crate::auth::Caller;
use crate::change::Output;
use crate::image::image_delete;
use crate::owner::owned_new;
use crate::txn::{BackupOver, Txn};
use crate::vm_disk_snapshot_end::total_set;
use crate::vm_template::template_set;
use crate::world::World;

/// Most increments of an image.
const INCREMENTS_MAX: usize = 1000;

/// Whether a backup is being made.
pub(crate) fn is_backup(phase: Phase) -> bool {
    [LcmState::Backup, LcmState::BackupPoweroff]
        .map(Phase::active)
        .contains(&phase)
}

/// Notes what hosts say of a backup that they made.
pub(crate) fn backup_made(vm: &mut Vm, output: &Output) {
    let Some(source) = output.source.clone().filter(|_| is_backup(vm.phase)) else {
        return;
    };
    let made = BackupMade {
        source,
        size_mib: output.size_mib.unwrap_or(0),
        format: output.format.clone().unwrap_or_default(),
    };
    vm.backup_set(|backup| {
        if let Some(run) = &mut backup.run {
            run.made = Some(made);
        }
    });
}

/// The VM has entered a phase: a backup or a restore that was under way has ended.
pub(crate) fn backup_end(
    txn: &mut Txn<'_>,
    vm: &mut Vm,
    (old, new): (Phase, Phase),
    event: Event,
    message: &str,
) {
    let done = matches!(event, Event::Done | Event::Recover(Recover::Success));
    if old == Phase::active(LcmState::Restore) && old != new {
        restore_over(vm, done);
    }
    if !is_backup(old) || is_backup(new) {
        return;
    }
    let Some(run) = vm.backup_run().cloned() else {
        return;
    };
    vm.backup_set(|backup| backup.run = None);
    let result = match (&run.made, done) {
        (Some(made), true) => image_put(txn, vm, &run, made),
        // Recorded for an administrator who said that it had worked.
        (None, true) => Err("there is no backup: no host has said where it is".to_owned()),
        (_, false) if message.is_empty() => Err("the backup was given up".to_owned()),
        (_, false) => Err(message.to_owned()),
    };
    if result.is_err() {
        remains_delete(txn, vm, &run);
    }
    if let Err(reason) = &result {
        txn.log(Kind::Vm, vm.id, "error", "", "", reason);
    }
    if let Some(job) = run.job {
        txn.backups_over.push(BackupOver {
            job,
            vm: vm.id,
            error: result.err(),
        });
    }
}

/// The backup becomes an image, or an increment of one.
fn image_put(txn: &mut Txn<'_>, vm: &mut Vm, run: &BackupRun, made: &BackupMade) -> Result<(), String> {
    let chain = run.chain.and_then(|id| txn.world.images.get(id).cloned());
    let (image, last) = match (chain, run.chain) {
        (Some(mut image), _) => {
            let last = increment_add(Arc::make_mut(&mut image), run, made, txn.context.now)?;
            let id = image.id;
            txn.update(image);
            (id, last)
        }
        (None, Some(id)) => return Err(format!("image {id}, which it was to be an increment of, is gone")),
        (None, None) => (image_new(txn, vm, run, made)?, 0),
    };
    let chain = (run.mode == BackupMode::Increment).then_some(BackupChain { image, last });
    vm.backup_set(|backup| backup.chain = chain);
    if run.mode == BackupMode::Full {
        old_delete(txn, vm.id, run.keep_last);
    }
    Ok(())
}

/// What of a backup that failed may lie in its datastore is deleted like an image of it.
fn remains_delete(txn: &mut Txn<'_>, vm: &Vm, run: &BackupRun) {
    if run.place.is_empty() {
        return;
    }
    let made = BackupMade {
        source: run.place.clone(),
        size_mib: 0,
        format: String::new(),
    };
    let deleted =
        image_new(txn, vm, run, &made).and_then(|image| image_delete(txn, image).map_err(|error| error.text));
    if let Err(reason) = deleted {
        txn.log(Kind::Vm, vm.id, "error", "", "", &reason);
    }
}

/// Adds an increment. Where more are there than are kept, the oldest becomes one with the one after it.
fn increment_add(image: &mut Image, run: &BackupRun, made: &BackupMade, now: i64) -> Result<Id, String> {
    let id = image.id;
    let Some(backup) = &mut image.backup else {
        return Err(format!("image {id} is no backup"));
    };
    let parent = backup.increments.last().map_or(-1, |last| last.id);
    if backup.increments.len() >= INCREMENTS_MAX && run.keep_last == 0 {
        return Err(format!(
            "image {id} has {INCREMENTS_MAX} increments: begin a new chain (onevm backup --reset), or set KEEP_LAST"
        ));
    }
    let last = parent.saturating_add(1);
    backup.increments.push(Increment {
        id: last,
        mode: BackupMode::Increment,
        parent,
        date: now,
        size_mib: made.size_mib,
        source: made.source.clone(),
    });
    let keep = usize::try_from(run.keep_last).unwrap_or(usize::MAX);
    while keep > 0 && backup.increments.len() > keep {
        let oldest = backup.increments.remove(0);
        if let Some(next) = backup.increments.first_mut() {
            next.mode = BackupMode::Full;
            next.parent = -1;
            next.size_mib = next.size_mib.saturating_add(oldest.size_mib);
        }
    }
    if let Some(oldest) = backup.increments.first() {
        oldest.source.clone_into(&mut image.source);
    }
    let sizes = backup.increments.iter().map(|own| own.size_mib);
    image.size_mib = sizes.fold(0, u64::saturating_add);
    image.modtime = now;
    Ok(last)
}

fn image_new(txn: &mut Txn<'_>, vm: &Vm, run: &BackupRun, made: &BackupMade) -> Result<Id, String> {
    let Some(store) = txn.world.datastores.get(run.datastore).cloned() else {
        return Err(format!("datastore {} is gone", run.datastore));
    };
    let now = txn.context.now;
    let owner = Caller {
        uid: vm.owned.uid,
        gid: vm.owned.gid,
        groups: Vec::new(),
        token: None,
    };
    let increments = match run.mode {
        BackupMode::Full => Vec::new(),
        BackupMode::Increment => vec![Increment {
            id: 0,
            mode: BackupMode::Full,
            parent: -1,
            date: now,
            size_mib: made.size_mib,
            source: made.source.clone(),
        }],
    };
    let mut template = Template::new();
    if let Some(job) = run.job {
        template.set("BACKUP_JOB_ID", job.to_string());
    }
    let image = Image {
        id: txn.id_next(Kind::Image),
        name: name_new(&txn.world, vm, now),
        owned: owned_new(&txn.world, &owner),
        kind: ImageType::Backup,
        disk_type: DiskType::File,
        persistent: true,
        regtime: now,
        modtime: now,
        source: made.source.clone(),
        path: String::new(),
        format: made.format.clone(),
        fs: String::new(),
        size_mib: made.size_mib,
        state: ImageState::Ready,
        prev_state: ImageState::Ready,
        cloning_id: -1,
        datastore_id: store.id,
        step: 0,
        snapshots: SnapshotTree::default(),
        backup: Some(Box::new(ImageBackup {
            vm: vm.id,
            disks: run.disks.clone(),
            increments,
            vm_template: vm.template.to_json(),
        })),
        template: PackedTemplate::new(&template),
    };
    let id = image.id;
    txn.create(image);
    Ok(id)
}

/// The VM and the time (recorded: `7 23-Nov 05.31.36`), with a number behind it where there is such a one already.
fn name_new(world: &World, vm: &Vm, now: i64) -> String {
    let time = jiff::Timestamp::from_second(now).unwrap_or_default();
    let time = time
        .to_zoned(world.config.time_zone.clone())
        .strftime("%d-%b %H.%M.%S");
    let name = format!("{} {time}", vm.id);
    let free = |name: &String| world.id_by_name(Kind::Image, vm.owned.uid, name).is_none();
    let mut names =
        std::iter::once(name.clone()).chain((2..).map(|number: u32| format!("{name} ({number})")));
    names.find(free).unwrap_or(name)
}

/// Deletes the oldest backups of a VM until no more are left than are kept. (Chains of increments are kept short on their own.)
fn old_delete(txn: &mut Txn<'_>, vm: Id, keep: u32) {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    if keep == 0 {
        return;
    }
    let mut full: Vec<Id> = txn
        .world
        .vm_backups(vm)
        .filter(|image| image.state != ImageState::Delete)
        .filter(|image| image.backup.as_ref().is_some_and(|own| own.increments.is_empty()))
        .map(|image| image.id)
        .collect();
    full.sort_unstable();
    let over = full.len().saturating_sub(keep);
    for image in full.into_iter().take(over) {
        if let Err(error) = image_delete(txn, image) {
            txn.log(Kind::Image, image, "error", "", "", &error.text);
        }
    }
}

/// Disks that were taken back have no snapshots any more, and the next increment would not follow what they were.
fn restore_over(vm: &mut Vm, done: bool) {
    let Some(run) = vm.backup.as_ref().and_then(|backup| backup.restore) else {
        return;
    };
    vm.backup_set(|backup| {
        backup.restore = None;
        if done {
            backup.chain = None;
        }
    });
    if !done {
        return;
    }
    let disks: Vec<Id> = vm
        .disk_snapshots
        .keys()
        .copied()
        .filter(|disk| run.disk < 0 || run.disk == *disk)
        .collect();
    if disks.is_empty() {
        return;
    }
    let mut template = vm.template.unpack();
    for disk in disks {
        vm.disk_snapshots.remove(&disk);
        total_set(vm, &mut template, disk);
    }
    template_set(vm, &template);
}
