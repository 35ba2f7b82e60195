//! A backup: what is copied, by whom, and from where.

mod common;

use common::Cloud;
use plerion_drivers::{Place, Step};
use plerion_lifecycle::Event;
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, Freeze, Location};
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
