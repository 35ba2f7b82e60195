//! A VM whose host has failed: the host is not asked any more.

use crate::common::Cloud;
use plerion_lifecycle::Relocation;
use plerion_model::{Id, Kind};
use plerion_world::{Command, FailureCommand, HostReport, Migration};

/// A VM on host 1, which does not answer, and a third host.
fn lost() -> (Cloud, Id) {
    let mut cloud = Cloud::new();
    cloud.host("node-c", "kvm");
    let system = cloud.datastore("NAME=s\nTYPE=SYSTEM_DS\nTM_MAD=shared");
    let vm = cloud.vm("ON_HOST_FAILURE=elsewhere", 1, system);
    cloud.lines(vm);
    cloud.run(Command::HostReported {
        id: 1,
        report: HostReport::Down("silent".into()),
    });
    (cloud, vm)
}

fn moved(cloud: &mut Cloud, vm: Id) -> Vec<String> {
    cloud.run(Command::VmMigrate {
        id: vm,
        migration: Migration {
            host: 2,
            relocation: Relocation::Save,
            enforce: true,
            datastore: -1,
        },
    });
    cloud.lines(vm)
}

#[test]
fn what_was_given_up_is_not_waited_for() {
    let (mut cloud, vm) = lost();
    cloud.run(Command::Update {
        kind: Kind::Host,
        id: 1,
        template: crate::common::template("FENCED_BY_HAND=YES"),
        append: true,
    });
    cloud.run(Command::Failure(FailureCommand::GiveUp { id: vm, lease: None }));
    let lines = moved(&mut cloud, vm);
    assert!(
        lines.iter().any(|line| line.contains("Host(2) DomainStart")),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("Host(1)")), "{lines:?}");
}

#[test]
fn what_somebody_moves_without_a_proof_waits_for_its_host() {
    let (mut cloud, vm) = lost();
    cloud.run(Command::Failure(FailureCommand::GiveUp { id: vm, lease: None }));
    let lines = moved(&mut cloud, vm);
    let ended = lines
        .iter()
        .position(|line| line.contains("Host(1) DomainDestroy"));
    let started = lines.iter().position(|line| line.contains("Host(2) DomainStart"));
    assert!(ended.is_some() && ended < started, "{lines:?}");
}
