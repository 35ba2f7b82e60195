//! A disk that becomes an image: who copies it, from where, and into what.

use crate::common::Cloud;
use plerion_drivers::{Place, Step};
use plerion_lifecycle::Event;
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, Location};
use plerion_world::{Command, VmDeviceCommand};

/// A KVM host's VM with one image disk that runs; its id and that of the image datastore.
fn running(cloud: &mut Cloud, driver: &str) -> (Id, Id) {
    let system = cloud.datastore(&format!("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD={driver}"));
    let images = cloud.datastore(&format!("NAME=i\nTYPE=IMAGE_DS\nDS_MAD=fs\nTM_MAD={driver}"));
    let image = cloud.image(images, "NAME=os\nPATH=/var/tmp/x", "/ds/original");
    let vm = cloud.vm(&format!("DISK=[IMAGE_ID={image}]"), 1, system);
    cloud.lines(vm);
    (vm, images)
}

/// As [`running`], powered off.
fn resting(cloud: &mut Cloud, driver: &str) -> (Id, Id) {
    let (vm, images) = running(cloud, driver);
    cloud.action(vm, Event::Poweroff { hard: true });
    cloud.lines(vm);
    (vm, images)
}

/// The steps of saving disk 0, and where the image's file is to be.
fn steps(cloud: &mut Cloud, vm: Id) -> (Vec<Step>, String) {
    let command = VmDeviceCommand::DiskSaveAs {
        disk: 0,
        name: format!("saved-{}", cloud.world.images.len()),
        kind: String::new(),
        snapshot: -1,
    };
    let image = cloud.run(Command::VmDevice { id: vm, command });
    let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
    let source = cloud.world.images.get(image).expect("there").source.clone();
    (plan.steps, source)
}

/// The one step of saving disk 0, and where the image's file is to be.
fn saved(cloud: &mut Cloud, vm: Id) -> (Place, Action, String) {
    let (steps, source) = steps(cloud, vm);
    let [step] = steps.as_slice() else {
        panic!("{} steps", steps.len())
    };
    (step.place, step.action.clone(), source)
}

#[test]
fn a_copy_on_a_host_is_brought_home_to_the_place_of_the_new_image() {
    let mut cloud = Cloud::new();
    let (vm, images) = resting(&mut cloud, "ssh");
    let (place, action, file) = saved(&mut cloud, vm);
    assert!(file.starts_with(&format!("/ds/{images}/")), "{file}");
    assert_eq!(place, Place::FrontEnd);
    match action {
        Action::Transfer {
            source: Location::There(target, path),
            destination: Location::Here(destination),
        } => {
            assert_eq!((target.host.as_str(), destination), ("node-b", file));
            assert!(path.ends_with(&format!("/{vm}/disk.0")), "{path}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_all_see_is_flattened_on_the_host_and_at_home_after_an_undeploy() {
    for driver in ["shared", "qcow2"] {
        let mut cloud = Cloud::new();
        let (vm, _) = resting(&mut cloud, driver);
        let (place, action, file) = saved(&mut cloud, vm);
        assert_eq!(place, Place::Host(1));
        assert!(
            matches!(&action, Action::DiskFlatten { destination, .. } if *destination == file),
            "{action:?}"
        );
        cloud.lines(vm);
        cloud.action(vm, Event::Undeploy { hard: false });
        cloud.lines(vm);
        let (place, action, file) = saved(&mut cloud, vm);
        assert_eq!(place, Place::FrontEnd);
        assert!(
            matches!(&action, Action::DiskFlatten { destination, .. } if *destination == file),
            "{action:?}"
        );
    }
}

#[test]
fn what_a_guest_writes_to_is_taken_by_its_hypervisor_before_it_is_brought_home() {
    let mut cloud = Cloud::new();
    let (vm, _) = running(&mut cloud, "ssh");
    let (steps, file) = steps(&mut cloud, vm);
    let [take, bring] = steps.as_slice() else {
        panic!("{} steps", steps.len())
    };
    let Action::DomainDisksCopy {
        name,
        disks,
        passing: true,
        ..
    } = &take.action
    else {
        panic!("{:?}", take.action)
    };
    assert_eq!(
        (take.place, name.as_str(), disks.len()),
        (Place::Host(1), "one-0", 1)
    );
    assert_eq!(disks[0].target, "sda");
    assert!(
        disks[0].destination.contains(&format!("/{vm}/disk.0.copy-")),
        "{}",
        disks[0].destination
    );
    match &bring.action {
        Action::Transfer {
            source: Location::There(_, path),
            destination: Location::Here(destination),
        } => assert_eq!((path, destination), (&disks[0].destination, &file)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_all_see_is_taken_to_its_place_at_once() {
    for driver in ["shared", "qcow2"] {
        let mut cloud = Cloud::new();
        let (vm, _) = running(&mut cloud, driver);
        let (place, action, file) = saved(&mut cloud, vm);
        assert_eq!(place, Place::Host(1));
        match action {
            Action::DomainDisksCopy {
                disks,
                passing: false,
                ..
            } => assert_eq!(disks[0].destination, file),
            other => panic!("{other:?}"),
        }
    }
}
