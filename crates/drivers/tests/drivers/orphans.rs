//! VMs whose host was deleted: they can be ended, by the front-end alone.

use crate::common::{Cloud, line};
use plerion_drivers::{Place, Plan};
use plerion_lifecycle::{Ask, Event};
use plerion_model::{Id, Kind};
use plerion_protocol::Action;
use plerion_world::{Command, Intent, Task};

const HOST: Id = 1;

/// A VM on the KVM host with a persistent and a volatile disk, that was stopped or undeployed before its host was deleted.
fn orphan(system: &str, images: &str, rest: Event) -> (Cloud, Id) {
    let mut cloud = Cloud::new();
    let images = cloud.datastore(images);
    let system = cloud.datastore(system);
    cloud.image(images, "NAME=data\nPATH=/a\nPERSISTENT=YES", "/ds/100/data");
    let vm = cloud.vm("DISK=[IMAGE_ID=0]\nDISK=[TYPE=swap,SIZE=20]", HOST, system);
    cloud.lines(vm);
    cloud.action(vm, rest);
    cloud.lines(vm);
    cloud.run(Command::Delete {
        kind: Kind::Host,
        id: HOST,
    });
    (cloud, vm)
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            assert_eq!(step.place, Place::FrontEnd, "there is no other agent");
            match &step.action {
                Action::FileReplace { source, destination } => format!("replace {source} {destination}"),
                Action::PathDelete { path } => format!("delete {path}"),
                action => line(step.place, action),
            }
        })
        .collect()
}

fn asked(cloud: &Cloud, vm: Id) -> (Intent, Plan) {
    let intent = cloud.intent(Kind::Vm, vm);
    let plan = cloud.plan(&intent);
    (intent, plan)
}

#[test]
fn a_stopped_vm_whose_host_was_deleted_ends_and_keeps_its_data() {
    for rest in [Event::Stop, Event::Undeploy { hard: true }] {
        let (mut cloud, vm) = orphan(
            "NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh",
            "NAME=i\nDS_MAD=fs\nTM_MAD=ssh",
            rest,
        );
        cloud.action(vm, Event::Terminate { hard: false });
        let (intent, plan) = asked(&cloud, vm);
        assert_eq!(intent.task, Task::Vm(Ask::Epilog));
        assert_eq!(
            lines(&plan),
            ["replace /ds/101/0/disk.0 /ds/100/data", "delete /ds/101/0"]
        );
        let [note] = &plan.notes[..] else {
            panic!("{:?}", plan.notes)
        };
        assert!(note.contains("node-b") && note.contains("/ds/101/0"), "{note}");
        assert!(!note.contains("image"), "nothing is lost: {note}");
        cloud.end(&intent, plan.output);
        assert!(cloud.world.vms.get(vm).is_none(), "it is DONE");
    }
}

#[test]
fn what_shared_datastores_hold_is_removed() {
    let (cloud, vm) = {
        let (mut cloud, vm) = orphan(
            "NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=shared",
            "NAME=i\nDS_MAD=fs\nTM_MAD=shared",
            Event::Stop,
        );
        cloud.action(vm, Event::Terminate { hard: false });
        (cloud, vm)
    };
    assert_eq!(lines(&asked(&cloud, vm).1), ["delete /ds/101/0"]);
}

#[test]
fn scripts_are_told_of_the_front_end_only() {
    let (mut cloud, vm) = orphan(
        "NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=x",
        "NAME=i\nDS_MAD=x\nTM_MAD=x",
        Event::Undeploy { hard: true },
    );
    cloud.action(vm, Event::Terminate { hard: false });
    assert_eq!(
        lines(&asked(&cloud, vm).1),
        [
            "tm/x/mvds fe:/ds/101/0/disk.0 /ds/100/data 0 100",
            "tm/x/delete fe:/ds/101/0/disk.1 0 101",
            "tm/x/delete fe:/ds/101/0 0 101",
        ]
    );
}

#[test]
fn a_failed_end_can_be_cleaned_up_too() {
    let (mut cloud, vm) = orphan(
        "NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=ssh",
        "NAME=i\nDS_MAD=fs\nTM_MAD=ssh",
        Event::Stop,
    );
    cloud.action(vm, Event::Terminate { hard: false });
    let (intent, _) = asked(&cloud, vm);
    cloud.run(Command::IntentEnded {
        key: intent.key,
        result: Err("the disk is full".into()),
    });
    cloud.action(vm, Event::Terminate { hard: true });
    let (intent, plan) = asked(&cloud, vm);
    assert_eq!(intent.task, Task::Vm(Ask::Cleanup));
    assert_eq!(lines(&plan), ["delete /ds/101/0"]);
    cloud.end(&intent, plan.output);
    assert!(cloud.world.vms.get(vm).is_none(), "it is DONE");
}
