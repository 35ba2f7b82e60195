//! A backup: what is copied, by whom, and from where.

use crate::common::Cloud;
use plerion_drivers::{Place, Step};
use plerion_lifecycle::Event;
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, Freeze, Location, Mark};
use plerion_world::{Command, VmBackupCommand};

/// A KVM host's VM with two image disks that runs, and a backup datastore.
fn running(cloud: &mut Cloud, config: &str) -> (Id, Id) {
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    let images = cloud.datastore("NAME=i\nTYPE=IMAGE_DS\nDS_MAD=fs\nTM_MAD=ssh");
    let store = cloud.datastore("NAME=b\nTYPE=BACKUP_DS\nDS_MAD=fs");
    let image = cloud.image(images, "NAME=os\nPATH=/var/tmp/x", "/ds/original");
    let disk = format!("DISK=[IMAGE_ID={image}]\n");
    let vm = cloud.vm(&format!("{disk}{disk}{config}"), 1, system);
    cloud.lines(vm);
    (vm, store)
}

/// The steps of a backup, and the directory that it is put in.
fn backup(cloud: &mut Cloud, vm: Id, datastore: Id) -> (Vec<Step>, String) {
    let command = VmBackupCommand::Make {
        datastore,
        reset: false,
    };
    cloud.run(Command::VmBackup { id: vm, command });
    let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
    (plan.steps, plan.output.source.expect("a place"))
}

/// Where on the host disks are brought home from, and to where.
fn brought(steps: &[Step]) -> Vec<(&str, &str)> {
    steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Transfer {
                source: Location::There(_, from),
                destination: Location::Here(to),
            } if step.place == Place::FrontEnd => Some((from.as_str(), to.as_str())),
            _ => None,
        })
        .collect()
}

#[test]
fn disks_of_a_guest_that_runs_are_taken_together_before_they_are_brought_home() {
    let mut cloud = Cloud::new();
    let (vm, store) = running(&mut cloud, "BACKUP_CONFIG=[FS_FREEZE=SUSPEND]");
    let (steps, place) = backup(&mut cloud, vm, store);
    let [take, rest @ ..] = steps.as_slice() else {
        panic!("no steps")
    };
    let Action::DomainDisksCopy {
        disks,
        freeze: Freeze::Suspend,
        passing: true,
        ..
    } = &take.action
    else {
        panic!("{:?}", take.action)
    };
    assert_eq!((take.place, rest.len()), (Place::Host(1), 2));
    let targets: Vec<&str> = disks.iter().map(|disk| disk.target.as_str()).collect();
    assert_eq!(targets, ["sda", "sdb"]);
    let places = [format!("{place}/disk.0"), format!("{place}/disk.1")];
    let expected: Vec<(&str, &str)> = disks
        .iter()
        .zip(&places)
        .map(|(disk, place)| (disk.destination.as_str(), place.as_str()))
        .collect();
    assert_eq!(brought(rest), expected);
}

#[test]
fn disks_that_nothing_writes_to_are_brought_home_as_they_are() {
    let mut cloud = Cloud::new();
    let (vm, store) = running(&mut cloud, "");
    cloud.action(vm, Event::Poweroff { hard: true });
    cloud.lines(vm);
    let (steps, _) = backup(&mut cloud, vm, store);
    assert!(
        matches!(steps[0].action, Action::DomainAbsent { .. }),
        "{:?}",
        steps[0].action
    );
    let from: Vec<&str> = brought(&steps).into_iter().map(|(from, _)| from).collect();
    assert_eq!((steps.len(), from.len()), (3, 2));
    for (number, path) in from.iter().enumerate() {
        assert!(path.ends_with(&format!("/{vm}/disk.{number}")), "{path}");
    }
}

/// A KVM host's VM with a disk of a format that runs, and that is backed up by increments; and a backup datastore.
fn by_increments(cloud: &mut Cloud, format: &str, config: &str) -> (Id, Id) {
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh");
    let images = cloud.datastore("NAME=i\nTYPE=IMAGE_DS\nDS_MAD=fs\nTM_MAD=ssh");
    let store = cloud.datastore("NAME=b\nTYPE=BACKUP_DS\nDS_MAD=fs");
    let image = cloud.image(
        images,
        &format!("NAME=os\nPATH=/var/tmp/x\nFORMAT={format}"),
        "/ds/original",
    );
    let config = format!("BACKUP_CONFIG=[MODE=INCREMENT{config}]");
    let vm = cloud.vm(&format!("DISK=[IMAGE_ID={image}]\n{config}"), 1, system);
    cloud.lines(vm);
    (vm, store)
}

fn marks(steps: &[Step]) -> Vec<Mark> {
    let mark = |step: &Step| match &step.action {
        Action::DomainDisksCopy { mark, .. } => mark.clone(),
        _ => None,
    };
    steps.iter().filter_map(mark).collect()
}

/// What is made of which layers, and what is deleted on the front-end.
fn merged(steps: &[Step]) -> Vec<String> {
    let line = |step: &Step| match &step.action {
        Action::LayersMerge { layers, destination } => Some(format!("{} > {destination}", layers.join(" "))),
        Action::PathDelete { path } => Some(format!("delete {path}")),
        _ => None,
    };
    let at_front_end = steps.iter().filter(|step| step.place == Place::FrontEnd);
    at_front_end.filter_map(line).collect()
}

#[test]
fn increments_follow_marks_and_the_oldest_become_one() {
    let mut cloud = Cloud::new();
    let (vm, store) = by_increments(&mut cloud, "qcow2", ",KEEP_LAST=2");
    let mut places = Vec::new();
    for number in 0..3 {
        cloud.random += 1;
        let (steps, place) = backup(&mut cloud, vm, store);
        let marks = marks(&steps);
        let [mark] = marks.as_slice() else {
            panic!("no mark")
        };
        let names: Vec<&str> = places
            .iter()
            .map(|place: &String| place.rsplit('/').next().unwrap_or_default())
            .collect();
        assert!(
            place.ends_with(&format!("/{}", mark.name)),
            "{place} {}",
            mark.name
        );
        let known: Vec<&str> = names.iter().rev().copied().collect();
        assert_eq!(mark.since, known);
        let below: Vec<String> = names
            .last()
            .map(|last| format!("../{last}/disk.0"))
            .into_iter()
            .collect();
        assert_eq!(mark.below, below);
        if number < 2 {
            assert!(merged(&steps).is_empty());
        } else {
            let [first, second] = places.as_slice() else {
                panic!("{places:?}")
            };
            assert_eq!(
                merged(&steps),
                [
                    format!("{first}/disk.0 {second}/disk.0 > {second}/disk.0"),
                    format!("delete {first}"),
                ]
            );
        }
        cloud.lines(vm);
        places.push(place);
    }
    let [image] = cloud
        .world
        .vm_backups(vm)
        .map(|image| image.id)
        .collect::<Vec<_>>()[..]
    else {
        panic!("one")
    };
    // One of the two that are left is restored, and an image made of it; then all goes.
    cloud.action(vm, Event::Poweroff { hard: true });
    cloud.lines(vm);
    let restore = |increment| VmBackupCommand::Restore {
        image,
        increment,
        disk: -1,
    };
    cloud.run(Command::VmBackup {
        id: vm,
        command: restore(1),
    });
    let lines = merged(&cloud.plan(&cloud.intent(Kind::Vm, vm)).steps);
    let [made, gone] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(
        made.starts_with(&format!("{}/disk.0 > {}/restored.", places[1], places[1])),
        "{made}"
    );
    assert!(
        gone.starts_with(&format!("delete {}/restored.", places[1])),
        "{gone}"
    );
    cloud.lines(vm);
    let template = crate::common::template("NAME=again");
    cloud.run(Command::ImageRestore {
        id: image,
        datastore: 1,
        options: template,
    });
    let clone = cloud
        .world
        .outbox
        .values()
        .find(|intent| intent.key.kind == Kind::Image)
        .cloned();
    let clone = clone.expect("an image is made");
    let lines = merged(&cloud.plan(&clone).steps);
    assert!(
        lines[0].starts_with(&format!("{}/disk.0 {}/disk.0 > ", places[1], places[2])),
        "{lines:?}"
    );
    cloud.end(&clone, plerion_world::Output::default());
    cloud.run(Command::Delete {
        kind: Kind::Image,
        id: image,
    });
    let lines = merged(&cloud.plan(&cloud.intent(Kind::Image, image)).steps);
    assert_eq!(
        lines,
        [format!("delete {}", places[1]), format!("delete {}", places[2])]
    );
}

#[test]
fn what_knows_of_no_changes_is_taken_whole() {
    let mut cloud = Cloud::new();
    let (vm, store) = by_increments(&mut cloud, "raw", "");
    for images in 1..3 {
        cloud.random += 1;
        let (steps, _) = backup(&mut cloud, vm, store);
        assert!(marks(&steps).is_empty());
        cloud.lines(vm);
        assert_eq!(cloud.world.vm_backups(vm).count(), images);
    }
}
