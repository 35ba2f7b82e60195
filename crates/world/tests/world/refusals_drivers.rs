//! What is refused where real hosts or their drivers cannot do it.

use std::collections::BTreeMap;

use plerion_lifecycle::{Event, Relocation};
use plerion_model::Id;
use plerion_model::snapshot::{Orphans, SnapshotTree};
use plerion_template::Template;
use plerion_world::{Caller, Command, HostReport, ImageSpec, Migration, VmBackupCommand, VmDeviceCommand};

use crate::cloud::Cloud;

fn given(cloud: &mut Cloud, command: Command) -> Id {
    cloud.give(&Caller::system(), command).expect("given")
}

fn refuses(cloud: &mut Cloud, says: &str, command: Command) {
    let asked = format!("{command:?}");
    match cloud.give(&Caller::system(), command) {
        Ok(_) => panic!("not refused: {asked}"),
        Err(refusal) => assert!(refusal.text.contains(says), "{asked}: {}", refusal.text),
    }
}

fn store(cloud: &mut Cloud, text: &str) -> Id {
    cloud.made(text, |template| Command::DatastoreAllocate {
        template,
        cluster: -1,
    })
}

fn real_host(cloud: &mut Cloud) -> Id {
    let allocate = Command::HostAllocate {
        name: "real".into(),
        im_mad: "kvm".into(),
        vm_mad: "kvm".into(),
        cluster: -1,
    };
    let id = given(cloud, allocate);
    let report = HostReport::Up {
        total_cpu: 400,
        total_memory_kib: 4 << 20,
        boot_id: "b".into(),
        facts: BTreeMap::new(),
    };
    given(cloud, Command::HostReported { id, report });
    id
}

/// A VM that runs on a real host, with a disk of a qcow2 image that the datastore driver `fs` keeps, and a volatile one.
/// The transfer drivers are those of the image's datastore and of the system datastore.
fn running(image_driver: &str, system_driver: &str, persistent: &str) -> (Cloud, Id, Id) {
    let mut cloud = Cloud::new();
    let host = real_host(&mut cloud);
    let system = store(
        &mut cloud,
        &format!("NAME=real-sys\nTYPE=SYSTEM_DS\nTM_MAD={system_driver}"),
    );
    let images = store(
        &mut cloud,
        &format!("NAME=real-img\nDS_MAD=fs\nTM_MAD={image_driver}\nTM_MAD_SYSTEM=\"{system_driver}\""),
    );
    let image = cloud.made(
        &format!("NAME=real\nPATH=/var/tmp/x\nFORMAT=qcow2\nPERSISTENT={persistent}"),
        |template| Command::ImageAllocate {
            template,
            datastore: images,
            spec: ImageSpec { size_mib: Some(10) },
        },
    );
    cloud.finish();
    cloud.image_set(image, |image| image.format = "qcow2".into());
    let text =
        format!("NAME=v\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]\nDISK=[TYPE=fs,SIZE=5,FORMAT=qcow2]");
    let id = cloud.vm(&text).expect("a VM");
    let deploy = Command::VmDeploy {
        id,
        host,
        enforce: true,
        datastore: system,
    };
    given(&mut cloud, deploy);
    cloud.finish();
    assert_eq!(cloud.phase(id), "RUNNING");
    (cloud, id, host)
}

fn device(id: Id, command: VmDeviceCommand) -> Command {
    Command::VmDevice { id, command }
}

fn snapshot(id: Id, disk: Id) -> Command {
    device(id, VmDeviceCommand::DiskSnapshotCreate(disk, "s".into()))
}

fn disk_set(cloud: &mut Cloud, id: Id, number: usize, name: &str, value: &str) {
    cloud.vm_template_set(id, |template| {
        let disk = template.vectors_mut("DISK").nth(number).expect("a disk");
        disk.set(name, value);
    });
}

#[test]
fn snapshots_that_would_be_copies_of_what_is_written_to() {
    let (mut cloud, id, _) = running("ssh", "ssh", "NO");
    refuses(
        &mut cloud,
        "would have to be copied while it is written to",
        snapshot(id, 0),
    );
    let (mut cloud, id, _) = running("shared", "shared", "NO");
    refuses(&mut cloud, "and the disk is volatile", snapshot(id, 1));
    given(&mut cloud, snapshot(id, 0));
}

#[test]
fn snapshots_that_the_datastore_of_a_persistent_image_would_not_understand() {
    let (mut cloud, id, _) = running("shared", "ssh", "YES");
    refuses(
        &mut cloud,
        "keeps snapshots in another way than ssh",
        snapshot(id, 0),
    );
    let (mut cloud, id, _) = running("qcow2", "qcow2", "YES");
    disk_set(&mut cloud, id, 0, "PERSISTENT_SNAPSHOTS", "no");
    refuses(&mut cloud, "is to have no snapshots", snapshot(id, 0));
}

#[test]
fn snapshots_that_others_follow_from() {
    let (mut cloud, id, _) = running("shared", "shared", "NO");
    let mut tree = SnapshotTree::new(Orphans::No);
    tree.add("first", 1, 10);
    tree.add("second", 2, 10);
    cloud.vm_set(id, |vm| {
        vm.disk_snapshots.insert(0, tree);
    });
    given(
        &mut cloud,
        Command::VmAction {
            id,
            name: "x".into(),
            event: Event::Poweroff { hard: true },
        },
    );
    cloud.finish();
    let delete = |number| device(id, VmDeviceCommand::DiskSnapshotDelete(0, number));
    refuses(&mut cloud, "it is the active one", delete(1));
    refuses(&mut cloud, "others follow from it", delete(0));
}

#[test]
fn disks_that_cannot_be_saved_or_gone_back_with() {
    let save = |disk| VmDeviceCommand::DiskSaveAs {
        disk,
        name: "saved".into(),
        kind: String::new(),
        snapshot: -1,
    };
    let (mut cloud, id, _) = running("ssh", "ssh", "NO");
    let image = cloud
        .world
        .images
        .values()
        .map(|image| image.id)
        .max()
        .expect("an image");
    cloud.image_set(image, |image| image.datastore_id = 101);
    refuses(
        &mut cloud,
        "of the driver dummy is not supported yet",
        device(id, save(0)),
    );
    // A host that is none, with the default system datastore, whose driver (ssh) would have something to do.
    let mut cloud = Cloud::new();
    let id = cloud
        .placed("CPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=8]")
        .expect("placed");
    let mut tree = SnapshotTree::new(Orphans::No);
    tree.add("first", 1, 10);
    tree.add("second", 2, 10);
    cloud.vm_set(id, |vm| {
        vm.disk_snapshots.insert(0, tree);
    });
    refuses(
        &mut cloud,
        "Saving a disk as an image is not supported yet",
        device(id, save(0)),
    );
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    let back = VmDeviceCommand::DiskSnapshotRevert(0, 0);
    refuses(
        &mut cloud,
        "Going back to a snapshot of a disk is not supported yet",
        device(id, back),
    );
    let delete = VmDeviceCommand::DiskSnapshotDelete(0, 0);
    refuses(
        &mut cloud,
        "Deleting a snapshot of a disk is not supported yet",
        device(id, delete),
    );
}

#[test]
fn backups_that_the_drivers_cannot_make() {
    let (mut cloud, id, _) = running("ssh", "ssh", "NO");
    let backups = store(&mut cloud, "NAME=backups\nTYPE=BACKUP_DS\nDS_MAD=fs");
    let back_up = Command::VmBackup {
        id,
        command: VmBackupCommand::Make {
            datastore: backups,
            reset: false,
        },
    };
    disk_set(&mut cloud, id, 1, "TYPE", "FILESYSTEM");
    refuses(&mut cloud, "it has FILESYSTEM disks", back_up.clone());
    disk_set(&mut cloud, id, 1, "TYPE", "fs");
    given(&mut cloud, back_up);
}

#[test]
fn moves_to_where_the_vm_could_not_run() {
    let (mut cloud, id, real) = running("ssh", "ssh", "NO");
    let go = |host, datastore, relocation| Command::VmMigrate {
        id,
        migration: Migration {
            host,
            relocation,
            enforce: true,
            datastore,
        },
    };
    refuses(
        &mut cloud,
        "has the hypervisor driver dummy, and the VM runs with kvm",
        go(0, -1, Relocation::Save),
    );
    let other = store(&mut cloud, "NAME=more\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    refuses(
        &mut cloud,
        "while the VM runs: this is not supported yet with the driver kvm",
        go(real, other, Relocation::Live),
    );
}

/// Why other hosts have not got the disks of a VM whose host is lost.
fn lost(cloud: &mut Cloud, id: Id, host: Id) -> Result<(), String> {
    let report = HostReport::Down("gone".into());
    given(cloud, Command::HostReported { id: host, report });
    let vm = cloud.world.vm(id).expect("there");
    let standing = cloud.world.standing(vm, 1_000_000, None, 10);
    standing.expect("it is lost").storage
}

#[test]
fn disks_of_lost_vms_that_no_other_host_has() {
    let (mut cloud, id, host) = running("shared", "shared", "NO");
    assert_eq!(lost(&mut cloud, id, host), Ok(()));
    let (mut cloud, id, host) = running("ssh", "ssh", "NO");
    let why = lost(&mut cloud, id, host).expect_err("on the host");
    assert!(why.contains("on the host itself"), "{why}");
    let (mut cloud, id, host) = running("shared", "shared", "NO");
    disk_set(&mut cloud, id, 0, "TM_MAD", "lvm");
    let why = lost(&mut cloud, id, host).expect_err("of a script");
    assert!(why.contains("the transfer driver lvm has made"), "{why}");
}

#[test]
fn hosts_look_only_at_leases_that_are_kept() {
    let (mut cloud, id, host) = running("shared", "shared", "NO");
    assert_eq!(lost(&mut cloud, id, host), Ok(()));
    let observer = |cloud: &Cloud| cloud.world.lease_observer(cloud.world.vm(id).expect("there"));
    assert_eq!(observer(&cloud), None);
    let store = cloud.world.vm(id).ok().and_then(|vm| vm.last_history());
    let store = store.expect("a stay").datastore;
    let update = Command::Update {
        kind: plerion_model::Kind::Datastore,
        id: store,
        template: Template::parse("LEASE_SECONDS=60").expect("a template"),
        append: true,
    };
    given(&mut cloud, update);
    assert_eq!(observer(&cloud), Some(0));
}
