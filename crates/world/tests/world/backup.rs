//! Backups of VMs: what they become, how many are kept, how jobs go through their VMs, and what a restore leaves.

use plerion_lifecycle::Event;
use plerion_model::backupjob::Progress;
use plerion_model::image::{ImageState, ImageType};
use plerion_model::{ErrorCode, Id, Kind};
use plerion_template::Template;
use plerion_world::{
    BackupJobCommand, Caller, Command, IntentKey, Output, SchedCommand, VmBackupCommand, VmDeviceCommand,
};

use crate::cloud::{Cloud, VM};

fn datastore(cloud: &mut Cloud) -> Id {
    cloud.made("NAME=backups\nTYPE=BACKUP_DS\nDS_MAD=dummy", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: -1,
        }
    })
}

fn running(cloud: &mut Cloud) -> Id {
    let vm = cloud
        .vm("NAME=v\nCPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[TYPE=fs,SIZE=5]")
        .expect("a VM");
    cloud.deploy(vm).expect("deployed");
    cloud.finish();
    vm
}

fn job(cloud: &mut Cloud, name: &str, text: &str) -> Id {
    cloud.made(&format!("NAME={name}\n{text}"), |template| {
        Command::BackupJob(BackupJobCommand::Allocate { template })
    })
}

fn run(cloud: &mut Cloud, id: Id) {
    let command = Command::BackupJob(BackupJobCommand::Backup { id });
    cloud.give(&Caller::system(), command).expect("run");
}

fn command(id: Id, command: VmBackupCommand) -> Command {
    Command::VmBackup { id, command }
}

fn make(datastore: Id, reset: bool) -> VmBackupCommand {
    VmBackupCommand::Make { datastore, reset }
}

fn ask(cloud: &mut Cloud, vm: Id, what: VmBackupCommand) {
    cloud.give(&Caller::system(), command(vm, what)).expect("taken");
}

fn refused(cloud: &mut Cloud, vm: Id, what: VmBackupCommand) -> (ErrorCode, String) {
    let refusal = cloud
        .give(&Caller::system(), command(vm, what))
        .expect_err("refused");
    (refusal.code, refusal.text)
}

fn asked(cloud: &Cloud, vm: Id) -> IntentKey {
    let keys = cloud.world.outbox.keys().copied();
    keys.into_iter()
        .find(|key| key.kind == Kind::Vm && key.id == vm)
        .expect("hosts are asked")
}

/// Hosts say that the backup of a VM is made.
fn done(cloud: &mut Cloud, vm: Id, size_mib: u64) {
    let key = asked(cloud, vm);
    let output = Output {
        source: Some(format!("backup-of-{vm}")),
        size_mib: Some(size_mib),
        format: Some("raw".into()),
        ..Output::default()
    };
    cloud.end(key, Ok(output));
}

fn failed(cloud: &mut Cloud, vm: Id) {
    let key = asked(cloud, vm);
    cloud.end(key, Err("the disk is full".into()));
}

fn backups(cloud: &Cloud, vm: Id) -> Vec<Id> {
    cloud.world.vm_backups(vm).map(|image| image.id).collect()
}

fn progress(cloud: &Cloud, job: Id) -> Vec<(Id, Progress)> {
    let job = cloud.world.backupjobs.get(job).expect("a job");
    job.progress
        .iter()
        .map(|(vm, progress)| (*vm, *progress))
        .collect()
}

fn configure(cloud: &mut Cloud, vm: Id, text: &str) {
    let template = Template::parse(text).expect("a template");
    let update = Command::VmUpdateConf {
        id: vm,
        template,
        append: true,
    };
    cloud.give(&Caller::system(), update).expect("configured");
}

#[test]
fn a_backup_becomes_an_image_of_the_vms_owner() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let vm = running(&mut cloud);
    ask(&mut cloud, vm, make(store, false));
    assert_eq!(cloud.phase(vm), "BACKUP");
    done(&mut cloud, vm, 1024);
    assert_eq!(cloud.phase(vm), "RUNNING");
    let [image] = backups(&cloud, vm)[..] else {
        panic!("one")
    };
    let image = cloud.world.images.get(image).expect("an image");
    assert_eq!((image.kind, image.state), (ImageType::Backup, ImageState::Ready));
    assert_eq!(
        (image.size_mib, image.datastore_id, image.persistent),
        (1024, store, true)
    );
    let backup = image.backup.as_ref().expect("a backup");
    // Volatile disks are left out unless they are asked for.
    assert_eq!((backup.vm, backup.disks.as_slice()), (vm, &[0][..]));
    assert!(backup.increments.is_empty());
    cloud.act(vm, Event::Poweroff { hard: true }).expect("taken");
    cloud.finish();
    configure(&mut cloud, vm, "BACKUP_CONFIG=[BACKUP_VOLATILE=YES]");
    ask(&mut cloud, vm, make(store, false));
    assert_eq!(cloud.phase(vm), "BACKUP_POWEROFF");
    done(&mut cloud, vm, 10);
    assert_eq!(cloud.phase(vm), "POWEROFF");
    let second = backups(&cloud, vm)[1];
    let second = cloud.world.images.get(second).expect("an image");
    assert_eq!(second.backup.as_ref().expect("a backup").disks, [0, 1]);
    cloud.world.check().expect("what is derived is right");
}

#[test]
fn what_cannot_be_backed_up_is_refused() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let pending = cloud.vm(VM).expect("a VM");
    let (code, text) = refused(&mut cloud, pending, make(store, false));
    assert_eq!(code, ErrorCode::Internal);
    assert_eq!(
        text,
        format!("Could not create a new backup for VM {pending}, wrong state PENDING.")
    );
    let vm = running(&mut cloud);
    assert!(
        refused(&mut cloud, vm, make(101, false))
            .1
            .contains("no backup datastore")
    );
    assert!(
        refused(&mut cloud, vm, make(-1, false))
            .1
            .contains("name a backup datastore")
    );
    assert_eq!(refused(&mut cloud, vm, make(999, false)).0, ErrorCode::NoExists);
    let (code, text) = refused(&mut cloud, vm, VmBackupCommand::Cancel);
    assert_eq!(code, ErrorCode::Internal);
    assert_eq!(
        text,
        format!("Could not cancel backup for VM {vm}, no backup in progress")
    );
    let own = job(&mut cloud, "own", &format!("BACKUP_VMS=\"{vm}\""));
    let (_, text) = refused(&mut cloud, vm, make(store, false));
    assert!(
        text.ends_with(&format!("it is part of Backup Job ID {own}")),
        "{text}"
    );
    let files = cloud.made("NAME=files-of-backups\nTYPE=BACKUP_DS\nDS_MAD=fs", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: -1,
        }
    });
    let other = running(&mut cloud);
    let (_, text) = refused(&mut cloud, other, make(files, false));
    assert!(text.contains("hypervisor driver dummy"), "{text}");
    let bare = cloud.vm("NAME=bare\nCPU=0.1\nMEMORY=64").expect("a VM");
    cloud.deploy(bare).expect("deployed");
    cloud.finish();
    assert!(
        refused(&mut cloud, bare, make(store, false))
            .1
            .contains("no disk to back up")
    );
}

#[test]
fn a_backup_that_fails_or_is_canceled_leaves_no_image() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let vm = running(&mut cloud);
    ask(&mut cloud, vm, make(store, false));
    failed(&mut cloud, vm);
    assert_eq!(cloud.phase(vm), "RUNNING");
    let error = cloud
        .world
        .vms
        .get(vm)
        .and_then(|vm| vm.user_template.get("ERROR"));
    assert_eq!(error, Some("the disk is full"));
    ask(&mut cloud, vm, make(store, false));
    let key = asked(&cloud, vm);
    ask(&mut cloud, vm, VmBackupCommand::Cancel);
    assert_eq!(cloud.phase(vm), "RUNNING");
    // What comes later is of no interest any more.
    let late = Output {
        source: Some("late".into()),
        ..Output::default()
    };
    cloud.end(key, Ok(late));
    assert!(backups(&cloud, vm).is_empty());
    assert!(cloud.world.vms.get(vm).is_some_and(|vm| vm.backup.is_none()));
}

#[test]
fn no_more_than_keep_last_are_kept() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let vm = running(&mut cloud);
    configure(&mut cloud, vm, "BACKUP_CONFIG=[KEEP_LAST=2]");
    for _ in 0..4 {
        ask(&mut cloud, vm, make(store, false));
        done(&mut cloud, vm, 7);
        cloud.finish();
    }
    assert_eq!(backups(&cloud, vm).len(), 2);
    assert_eq!(
        cloud
            .world
            .images
            .values()
            .filter(|image| image.backup.is_some())
            .count(),
        2
    );
}

#[test]
fn increments_make_a_chain_of_which_the_oldest_are_merged() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let other = cloud.made("NAME=other\nTYPE=BACKUP_DS\nDS_MAD=dummy", |template| {
        Command::DatastoreAllocate {
            template,
            cluster: -1,
        }
    });
    let vm = running(&mut cloud);
    configure(&mut cloud, vm, "BACKUP_CONFIG=[MODE=INCREMENT,KEEP_LAST=3]");
    for size in [100, 1, 2, 3] {
        // The datastore of a chain that goes on is that of its image.
        ask(
            &mut cloud,
            vm,
            make(if size == 100 { store } else { other }, false),
        );
        done(&mut cloud, vm, size);
    }
    let [image] = backups(&cloud, vm)[..] else {
        panic!("one")
    };
    let chain = cloud.world.images.get(image).expect("an image").clone();
    let parts = &chain.backup.as_ref().expect("a backup").increments;
    let shown: Vec<(Id, &str, Id, u64)> = parts
        .iter()
        .map(|part| (part.id, part.mode.as_str(), part.parent, part.size_mib))
        .collect();
    assert_eq!(
        shown,
        [
            (1, "FULL", -1, 101),
            (2, "INCREMENT", 1, 2),
            (3, "INCREMENT", 2, 3)
        ]
    );
    assert_eq!((chain.size_mib, chain.datastore_id), (106, store));
    // A new chain, because it is asked for; and because the image is gone.
    ask(&mut cloud, vm, make(other, true));
    done(&mut cloud, vm, 50);
    let second = *backups(&cloud, vm).last().expect("an image");
    assert_ne!(second, image);
    let delete = |id| Command::Delete {
        kind: Kind::Image,
        id,
    };
    ask(&mut cloud, vm, make(-1, false));
    cloud
        .give(&Caller::system(), delete(second))
        .expect_err("an increment is being added");
    done(&mut cloud, vm, 1);
    cloud.give(&Caller::system(), delete(second)).expect("deleted");
    assert!(
        refused(&mut cloud, vm, make(-1, false))
            .1
            .contains("name a backup datastore")
    );
}

#[test]
fn snapshots_and_increments_exclude_each_other() {
    let mut cloud = Cloud::new();
    let vm = running(&mut cloud);
    let update = |mode: &str| Command::VmUpdateConf {
        id: vm,
        template: Template::parse(&format!("BACKUP_CONFIG=[MODE={mode}]")).expect("a template"),
        append: true,
    };
    let snapshot = Command::VmDevice {
        id: vm,
        command: VmDeviceCommand::DiskSnapshotCreate(0, "before".into()),
    };
    cloud
        .give(&Caller::system(), update("INCREMENT"))
        .expect("configured");
    cloud
        .give(&Caller::system(), snapshot.clone())
        .expect_err("increments");
    cloud.give(&Caller::system(), update("FULL")).expect("configured");
    cloud.give(&Caller::system(), snapshot).expect("a snapshot");
    cloud.finish();
    let refusal = cloud
        .give(&Caller::system(), update("INCREMENT"))
        .expect_err("snapshots");
    assert_eq!(
        refusal.text,
        "VM cannot use backup increment mode, it has snapshots."
    );
}

#[test]
fn a_job_backs_up_one_vm_after_another_in_its_order() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let [first, second, third] = [(); 3].map(|()| running(&mut cloud));
    let job = job(
        &mut cloud,
        "nightly",
        &format!("BACKUP_VMS=\"{third},{first},{second}\"\nDATASTORE_ID={store}"),
    );
    run(&mut cloud, job);
    assert_eq!(
        progress(&cloud, job),
        [
            (first, Progress::Outdated),
            (second, Progress::Outdated),
            (third, Progress::BackingUp)
        ]
    );
    done(&mut cloud, third, 1);
    assert_eq!((cloud.phase(first), cloud.phase(second)), ("BACKUP", "RUNNING"));
    failed(&mut cloud, first);
    cloud.pass(100);
    done(&mut cloud, second, 1);
    assert_eq!(
        progress(&cloud, job),
        [
            (first, Progress::Error),
            (second, Progress::Updated),
            (third, Progress::Updated)
        ]
    );
    let shown = cloud.world.backupjobs.get(job).expect("a job").clone();
    assert!(shown.last_time > 0 && shown.last_duration >= 100);
    assert_eq!(
        shown.template.get("ERROR"),
        Some(format!("VM {first}: the disk is full").as_str())
    );
    let retry = Command::BackupJob(BackupJobCommand::Retry { id: job });
    cloud.give(&Caller::system(), retry).expect("retried");
    done(&mut cloud, first, 1);
    assert!(
        progress(&cloud, job)
            .iter()
            .all(|(_, own)| *own == Progress::Updated)
    );
    let image = backups(&cloud, first)[0];
    let image = cloud.world.images.get(image).expect("an image");
    assert_eq!(
        image.template.get("BACKUP_JOB_ID"),
        Some(job.to_string().as_str())
    );
    cloud.world.check().expect("what is derived is right");
}

#[test]
fn a_host_makes_two_backups_at_a_time() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let there = cloud.host("node-b");
    let mut vms: Vec<Id> = (0..4).map(|_| running(&mut cloud)).collect();
    let other = cloud
        .vm("NAME=o\nCPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID=0]")
        .expect("a VM");
    let deploy = Command::VmDeploy {
        id: other,
        host: there,
        enforce: true,
        datastore: -1,
    };
    cloud.give(&Caller::system(), deploy).expect("placed");
    cloud.finish();
    vms.push(other);
    let list: Vec<String> = vms.iter().map(Id::to_string).collect();
    let text =
        |list: &str, how: &str| format!("BACKUP_VMS=\"{list}\"\nDATASTORE_ID={store}\nEXECUTION={how}");
    let all = job(&mut cloud, "all", &text(&list.join(","), "PARALLEL"));
    run(&mut cloud, all);
    let busy = |cloud: &Cloud| -> Vec<Id> {
        let found = vms.iter().copied();
        found.filter(|vm| cloud.phase(*vm) == "BACKUP").collect()
    };
    assert_eq!(busy(&cloud), [vms[0], vms[1], other], "the other host has room");
    done(&mut cloud, other, 1);
    assert_eq!(busy(&cloud), [vms[0], vms[1]]);
    done(&mut cloud, vms[1], 1);
    assert_eq!(busy(&cloud), [vms[0], vms[2]]);
    done(&mut cloud, vms[0], 1);
    done(&mut cloud, vms[3], 1);
    done(&mut cloud, vms[2], 1);
    assert!(
        progress(&cloud, all)
            .iter()
            .all(|(_, own)| *own == Progress::Updated)
    );
}

#[test]
fn jobs_share_what_may_be_backed_up_at_a_time_by_priority() {
    let mut cloud = Cloud::new();
    let conf = Template::parse("MAX_BACKUPS_HOST=8").expect("a configuration");
    cloud.world.config = std::sync::Arc::new(plerion_world::Config::new(conf, "/var/lib/one/datastores"));
    let store = datastore(&mut cloud);
    let vms: Vec<Id> = (0..8).map(|_| running(&mut cloud)).collect();
    let text = |vms: &[Id], priority| {
        let vms: Vec<String> = vms.iter().map(Id::to_string).collect();
        format!(
            "BACKUP_VMS=\"{}\"\nDATASTORE_ID={store}\nEXECUTION=PARALLEL\nPRIORITY={priority}",
            vms.join(",")
        )
    };
    let low = job(&mut cloud, "low", &text(&vms[..6], 10));
    let high = job(&mut cloud, "high", &text(&vms[6..], 60));
    let count = |cloud: &Cloud, job, wanted| {
        let all = progress(cloud, job);
        all.iter().filter(|(_, own)| *own == wanted).count()
    };
    run(&mut cloud, low);
    assert_eq!(
        count(&cloud, low, Progress::BackingUp),
        5,
        "five at a time in the cloud"
    );
    run(&mut cloud, high);
    assert_eq!(count(&cloud, high, Progress::Outdated), 2);
    done(&mut cloud, vms[0], 1);
    assert_eq!(count(&cloud, high, Progress::BackingUp), 1);
    assert_eq!(count(&cloud, low, Progress::Outdated), 1);
    let cancel = Command::BackupJob(BackupJobCommand::Cancel { id: low });
    cloud.give(&Caller::system(), cancel).expect("canceled");
    assert_eq!(count(&cloud, low, Progress::Error), 4);
    assert_eq!(count(&cloud, low, Progress::Updated), 1);
    assert_eq!(count(&cloud, low, Progress::Outdated), 0);
    assert_eq!(count(&cloud, high, Progress::BackingUp), 2);
}

#[test]
fn a_vm_that_ends_in_its_backup_does_not_stop_the_job() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let [first, second] = [(); 2].map(|()| running(&mut cloud));
    let job = job(
        &mut cloud,
        "nightly",
        &format!("BACKUP_VMS=\"{first},{second}\"\nDATASTORE_ID={store}"),
    );
    run(&mut cloud, job);
    let delete = Command::VmRecover {
        id: first,
        recover: plerion_lifecycle::Recover::Delete,
    };
    cloud.give(&Caller::system(), delete).expect("taken");
    assert_eq!(
        progress(&cloud, job),
        [(first, Progress::Error), (second, Progress::BackingUp)]
    );
    let gone = Command::Delete {
        kind: Kind::BackupJob,
        id: job,
    };
    cloud.give(&Caller::system(), gone).expect("deleted");
    done(&mut cloud, second, 1);
    assert_eq!(backups(&cloud, second).len(), 1);
}

#[test]
fn a_restore_needs_a_backup_of_the_vm_and_ends_its_chain() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let [vm, other] = [(); 2].map(|()| running(&mut cloud));
    let restore = |image, increment, disk| VmBackupCommand::Restore {
        image,
        increment,
        disk,
    };
    assert_eq!(
        refused(&mut cloud, vm, restore(0, -1, -1)),
        (ErrorCode::Action, "Image has to be of type BACKUP".to_owned())
    );
    configure(&mut cloud, vm, "BACKUP_CONFIG=[MODE=INCREMENT]");
    ask(&mut cloud, vm, make(store, false));
    done(&mut cloud, vm, 1);
    let image = backups(&cloud, vm)[0];
    assert!(
        refused(&mut cloud, vm, restore(image, -1, -1))
            .1
            .contains("wrong state RUNNING")
    );
    assert!(
        refused(&mut cloud, other, restore(image, -1, -1))
            .1
            .contains("not of VM")
    );
    cloud.act(vm, Event::Poweroff { hard: true }).expect("taken");
    cloud.finish();
    assert!(
        refused(&mut cloud, vm, restore(image, 5, -1))
            .1
            .contains("no increment 5")
    );
    assert!(
        refused(&mut cloud, vm, restore(image, 0, 1))
            .1
            .contains("disk 1 is not in it")
    );
    ask(&mut cloud, vm, restore(image, 0, 0));
    assert_eq!(cloud.phase(vm), "RESTORE");
    cloud.finish();
    assert_eq!(cloud.phase(vm), "POWEROFF");
    let records = cloud.world.vms.get(vm).expect("a VM").history.clone();
    let actions: Vec<i32> = records.iter().map(|record| record.action.number()).collect();
    // Recorded: backup, restore, and how it was switched off.
    assert_eq!(actions, [50, 60, 20]);
    assert!(
        cloud
            .world
            .vms
            .get(vm)
            .is_some_and(|vm| vm.backup_chain().is_none())
    );
}

#[test]
fn schedules_back_up() {
    let mut cloud = Cloud::new();
    let store = datastore(&mut cloud);
    let [vm, of_job] = [(); 2].map(|()| running(&mut cloud));
    let job = job(
        &mut cloud,
        "nightly",
        &format!("BACKUP_VMS=\"{of_job}\"\nDATASTORE_ID={store}"),
    );
    for (kind, id, text) in [
        (
            Kind::Vm,
            vm,
            format!("SCHED_ACTION=[ACTION=backup,TIME=5000,ARGS=\"{store},NO\"]"),
        ),
        (Kind::BackupJob, job, "SCHED_ACTION=[TIME=5000]".to_owned()),
    ] {
        let template = Template::parse(&text).expect("a template");
        let add = Command::Sched(SchedCommand::Add { kind, id, template });
        let action = cloud.give(&Caller::system(), add).expect("scheduled");
        cloud.pass(10_000);
        let due = Command::SchedDue {
            id: action,
            time: 5000,
        };
        cloud.give(&Caller::system(), due).expect("done");
        let ran = cloud.world.sched_actions.get(action).expect("it stays");
        assert_eq!(ran.message, "");
    }
    assert_eq!((cloud.phase(vm), cloud.phase(of_job)), ("BACKUP", "BACKUP"));
}
