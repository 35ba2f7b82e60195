//! Snapshots of disks: what is asked of hosts, by storage.

use crate::common::Cloud;
use plerion_drivers::Place;
use plerion_lifecycle::Event;
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, DiskFormat, Location, SnapshotWork};
use plerion_world::{Command, ImageSnapshot, Output, VmDeviceCommand};

/// A KVM host's VM with one image disk that runs; its id.
fn running(cloud: &mut Cloud, driver: &str, format: &str, persistent: &str) -> Id {
    let system = cloud.datastore(&format!("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD={driver}"));
    let images = cloud.datastore(&format!("NAME=i\nTYPE=IMAGE_DS\nDS_MAD=fs\nTM_MAD={driver}"));
    let template = format!("NAME=os\nPATH=/var/tmp/x\nFORMAT={format}\nPERSISTENT={persistent}");
    let image = cloud.image(images, &template, "/ds/original");
    let vm = cloud.vm(&format!("DISK=[IMAGE_ID={image}]"), 1, system);
    cloud.lines(vm);
    vm
}

fn off(cloud: &mut Cloud, vm: Id) {
    cloud.action(vm, Event::Poweroff { hard: true });
    cloud.lines(vm);
}

/// The one step of a change.
fn step(cloud: &mut Cloud, vm: Id, command: VmDeviceCommand) -> Action {
    cloud.run(Command::VmDevice { id: vm, command });
    let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
    let [step] = plan.steps.as_slice() else {
        panic!("{} steps", plan.steps.len())
    };
    assert_eq!(step.place, Place::Host(1));
    step.action.clone()
}

fn take() -> VmDeviceCommand {
    VmDeviceCommand::DiskSnapshotCreate(0, "s".into())
}

#[test]
fn chains_grow_also_while_the_vm_runs() {
    let mut cloud = Cloud::new();
    let vm = running(&mut cloud, "qcow2", "qcow2", "NO");
    match step(&mut cloud, vm, take()) {
        Action::DomainDiskSnapshot {
            target,
            path,
            snapshot,
            ..
        } => {
            assert!(path.ends_with(&format!("/{vm}/disk.0")), "{path}");
            assert_eq!((target.is_empty(), snapshot), (false, 0));
        }
        other => panic!("{other:?}"),
    }
    cloud.lines(vm);
    off(&mut cloud, vm);
    for (command, number, wanted) in [
        (take(), 1, SnapshotWork::Take),
        (VmDeviceCommand::DiskSnapshotRevert(0, 0), 0, SnapshotWork::Revert),
        (VmDeviceCommand::DiskSnapshotDelete(0, 1), 1, SnapshotWork::Delete),
    ] {
        match step(&mut cloud, vm, command) {
            Action::DiskSnapshot { snapshot, work, .. } => assert_eq!((snapshot, work), (number, wanted)),
            other => panic!("{other:?}"),
        }
        cloud.lines(vm);
    }
    let command = VmDeviceCommand::DiskSnapshotDelete(0, 0);
    let refused = cloud.refused(Command::VmDevice { id: vm, command });
    assert!(refused.contains("it is the active one"), "{refused}");
}

#[test]
fn other_disks_are_copied_to_beside_their_files() {
    for (driver, persistent) in [("ssh", "NO"), ("shared", "NO"), ("shared", "YES")] {
        let mut cloud = Cloud::new();
        let vm = running(&mut cloud, driver, "raw", persistent);
        let refused = cloud.refused(Command::VmDevice {
            id: vm,
            command: take(),
        });
        assert!(
            refused.contains("power the VM off or suspend it first"),
            "{refused}"
        );
        off(&mut cloud, vm);
        let copied = |action: Action| match action {
            Action::DiskCopy {
                source, destination, ..
            } => (source, destination),
            other => panic!("{other:?}"),
        };
        let (file, copy) = copied(step(&mut cloud, vm, take()));
        if persistent == "YES" {
            assert_eq!(file, "/ds/original");
        } else {
            assert!(file.ends_with(&format!("/{vm}/disk.0")), "{file}");
        }
        assert_eq!(copy, format!("{file}.snap/0"));
        cloud.lines(vm);
        let back = copied(step(&mut cloud, vm, VmDeviceCommand::DiskSnapshotRevert(0, 0)));
        assert_eq!(back, (copy.clone(), file));
        cloud.lines(vm);
        if persistent == "NO" {
            let delete = step(&mut cloud, vm, VmDeviceCommand::DiskSnapshotDelete(0, 0));
            assert_eq!(delete, Action::PathDelete { path: copy });
        }
    }
}

#[test]
fn snapshots_of_a_persistent_image_come_home_and_go_out_with_it() {
    for home in [false, true] {
        let mut cloud = Cloud::new();
        let vm = running(&mut cloud, "ssh", "raw", "YES");
        off(&mut cloud, vm);
        step(&mut cloud, vm, take());
        cloud.lines(vm);
        if home {
            cloud.action(vm, Event::Undeploy { hard: false });
            cloud.lines(vm);
        }
        cloud.action(vm, Event::Terminate { hard: true });
        let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
        let comes = plan.steps.iter().any(|step| match &step.action {
            Action::Transfer {
                source: Location::There(_, path),
                destination: Location::Here(here),
            } => !home && path.ends_with("/disk.0.snap") && here == "/ds/original.snap",
            Action::FileReplace { source, destination } => {
                home && source.ends_with("/disk.0.snap/0") && destination == "/ds/original.snap/0"
            }
            _ => false,
        });
        assert!(comes, "{home}: {:?}", plan.steps);
    }
}

/// An image that a VM has left with the snapshots 0 and 1.
fn image_left(cloud: &mut Cloud, driver: &str, format: &str) -> Id {
    let vm = running(cloud, driver, format, "YES");
    off(cloud, vm);
    for _ in 0..2 {
        step(cloud, vm, take());
        cloud.lines(vm);
    }
    cloud.action(vm, Event::Terminate { hard: true });
    cloud.lines(vm);
    let image = cloud.world.images.values().next().expect("one");
    assert_eq!((image.snapshots.snapshots.len(), image.snapshots.active), (2, 1));
    image.id
}

#[test]
fn snapshots_of_images_are_changed_as_vms_left_them() {
    for (driver, format, chain) in [
        ("qcow2", "qcow2", true),
        ("shared", "qcow2", true),
        ("shared", "raw", false),
        ("ssh", "qcow2", false),
    ] {
        let mut cloud = Cloud::new();
        let id = image_left(&mut cloud, driver, format);
        let (file, copy) = ("/ds/original".to_owned(), "/ds/original.snap/0".to_owned());
        let of_chain = |snapshot, work| Action::DiskSnapshot {
            path: file.clone(),
            snapshot,
            work,
        };
        let disk_format = if format == "raw" {
            DiskFormat::Raw
        } else {
            DiskFormat::Qcow2
        };
        let copied = Action::DiskCopy {
            source: copy.clone(),
            destination: file.clone(),
            format: disk_format,
            size_mib: None,
        };
        let gone = |path: &str| Action::PathDelete {
            path: path.to_owned(),
        };
        let flat = Action::DiskFlatten {
            source: copy.clone(),
            destination: file.clone(),
            format: disk_format,
        };
        for (work, wanted) in [
            (
                ImageSnapshot::Revert(0),
                vec![if chain {
                    of_chain(0, SnapshotWork::Revert)
                } else {
                    copied.clone()
                }],
            ),
            (
                ImageSnapshot::Delete(1),
                vec![if chain {
                    of_chain(1, SnapshotWork::Delete)
                } else {
                    gone("/ds/original.snap/1")
                }],
            ),
            (
                ImageSnapshot::Flatten(0),
                vec![
                    if chain { flat } else { copied.clone() },
                    gone("/ds/original.snap"),
                ],
            ),
        ] {
            cloud.run(Command::ImageSnapshot { id, work });
            let intent = cloud.intent(Kind::Image, id);
            let steps = cloud.plan(&intent).steps;
            assert!(steps.iter().all(|step| step.place == Place::FrontEnd));
            let actions: Vec<Action> = steps.into_iter().map(|step| step.action).collect();
            assert_eq!(actions, wanted, "{driver} {format} {work:?}");
            cloud.end(&intent, Output::default());
        }
        let image = cloud.world.images.get(id).expect("there");
        assert!(image.snapshots.snapshots.is_empty());
    }
}
