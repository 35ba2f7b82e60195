//! Moving VMs that do not run to other system datastores: whose files go where, by transfer driver.

use crate::common::{Cloud, template};
use plerion_drivers::Place;
use plerion_lifecycle::{Event, Relocation};
use plerion_model::{Id, Kind};
use plerion_protocol::{Action, Location};
use plerion_world::{Command, Migration};

/// A VM that is off on host 1, in the first of two system datastores of a driver; a second KVM host, number 2.
fn off(driver: &str) -> (Cloud, Id, [Id; 2]) {
    let mut cloud = Cloud::new();
    cloud.host("node-c", "kvm");
    let stores =
        ["a", "b"].map(|name| cloud.datastore(&format!("NAME={name}\nTYPE=SYSTEM_DS\nTM_MAD={driver}")));
    let vm = cloud.vm("DISK=[TYPE=fs, SIZE=10]", 1, stores[0]);
    cloud.lines(vm);
    cloud.action(vm, Event::Poweroff { hard: true });
    cloud.lines(vm);
    (cloud, vm, stores)
}

fn move_to(vm: Id, host: Id, datastore: Id, relocation: Relocation) -> Command {
    let migration = Migration {
        host,
        relocation,
        enforce: true,
        datastore,
    };
    Command::VmMigrate { id: vm, migration }
}

/// What is copied and deleted, and by whom.
fn files(cloud: &Cloud, vm: Id) -> Vec<String> {
    let end = |location: &Location| match location {
        Location::Here(path) => path.clone(),
        Location::There(target, path) => format!("{}:{path}", target.host),
    };
    let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
    let steps = plan.steps.iter().filter_map(|step| {
        let who = match step.place {
            Place::FrontEnd => "front-end".to_owned(),
            Place::Host(id) => format!("host {id}"),
        };
        match &step.action {
            Action::Transfer { source, destination } => {
                Some(format!("{who}: {} > {}", end(source), end(destination)))
            }
            Action::PathDelete { path } => Some(format!("{who}: delete {path}")),
            _ => None,
        }
    });
    steps.collect()
}

#[test]
fn copied_files_go_over_the_front_end_and_go_last_where_they_were() {
    for (host, name) in [(1, "node-b"), (2, "node-c")] {
        let (mut cloud, vm, [a, b]) = off("ssh");
        cloud.run(move_to(vm, host, b, Relocation::Save));
        assert_eq!(
            files(&cloud, vm),
            [
                format!("front-end: node-b:/ds/{a}/{vm} > /ds/{b}/{vm}"),
                format!("front-end: /ds/{b}/{vm} > {name}:/ds/{b}/{vm}"),
                format!("front-end: delete /ds/{b}/{vm}"),
                format!("host 1: delete /ds/{a}/{vm}"),
            ]
        );
    }
}

#[test]
fn what_the_front_end_sees_itself_is_not_copied_twice() {
    let seen = |cloud: &mut Cloud, host: Id| {
        cloud.run(Command::Update {
            kind: Kind::Host,
            id: host,
            template: template("FRONT_END_STORAGE=YES"),
            append: true,
        });
    };
    // Host and front-end are one machine.
    let (mut cloud, vm, [a, b]) = off("ssh");
    seen(&mut cloud, 1);
    cloud.run(move_to(vm, 1, b, Relocation::Save));
    let once = [
        format!("front-end: node-b:/ds/{a}/{vm} > /ds/{b}/{vm}"),
        format!("host 1: delete /ds/{a}/{vm}"),
    ];
    assert_eq!(files(&cloud, vm), once);
    // Only the host that is left is.
    let (mut cloud, vm, [a, b]) = off("ssh");
    seen(&mut cloud, 1);
    cloud.run(move_to(vm, 2, b, Relocation::Save));
    assert_eq!(
        files(&cloud, vm),
        [
            format!("front-end: /ds/{a}/{vm} > node-c:/ds/{b}/{vm}"),
            format!("host 1: delete /ds/{a}/{vm}"),
        ]
    );
    // All see the same files.
    for driver in ["shared", "qcow2"] {
        for host in [1, 2] {
            let (mut cloud, vm, [a, b]) = off(driver);
            cloud.run(move_to(vm, host, b, Relocation::Save));
            let once = [
                format!("front-end: node-b:/ds/{a}/{vm} > /ds/{b}/{vm}"),
                format!("host 1: delete /ds/{a}/{vm}"),
            ];
            assert_eq!(files(&cloud, vm), once, "{driver}");
        }
        let (mut cloud, vm, [a, _]) = off(driver);
        cloud.run(move_to(vm, 2, a, Relocation::Save));
        assert!(
            files(&cloud, vm).is_empty(),
            "{driver}: nothing moves within one datastore"
        );
    }
}

#[test]
fn on_the_way_back_nothing_is_copied() {
    for driver in ["ssh", "qcow2"] {
        let (mut cloud, vm, [a, b]) = off(driver);
        cloud.run(move_to(vm, 1, b, Relocation::Save));
        let key = cloud.intent(Kind::Vm, vm).key;
        let result = Err("no space".into());
        cloud.run(Command::IntentEnded { key, result });
        let recover = plerion_lifecycle::Recover::Failure;
        cloud.run(Command::VmRecover { id: vm, recover });
        assert!(files(&cloud, vm).is_empty(), "{driver}");
        let plan = cloud.plan(&cloud.intent(Kind::Vm, vm));
        let note = format!("/ds/{b}/{vm}");
        assert!(
            plan.notes.iter().any(|said| said.contains(&note)),
            "{:?}",
            plan.notes
        );
        cloud.lines(vm);
        let last = cloud.world.vms.get(vm).and_then(|vm| vm.last_history().cloned());
        assert_eq!(last.map(|record| record.datastore), Some(a));
    }
}

#[test]
fn a_vm_that_runs_stays_in_its_datastore() {
    let (mut cloud, vm, [_, b]) = off("ssh");
    cloud.action(vm, Event::Resume);
    cloud.lines(vm);
    let refused = cloud.refused(move_to(vm, 1, b, Relocation::Live));
    assert!(refused.contains("without --live"), "{refused}");
    cloud.run(move_to(vm, 1, b, Relocation::Poweroff));
    let lines = cloud.lines(vm);
    let place = |what: &str| lines.iter().position(|line| line.contains(what));
    assert!(
        place("DomainShutdown") < place("Transfer") && place("Transfer") < place("DomainStart"),
        "{lines:?}"
    );
}
