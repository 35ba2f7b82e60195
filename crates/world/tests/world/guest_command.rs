//! Commands in guests: they begin, end, and are not lost by what else happens to the VM.

use plerion_lifecycle::{Event, Relocation};
use plerion_model::{ApiError, Id};
use plerion_world::{
    Caller, Command, CommandEnd, GuestCommand, IntentKey, Migration, Output, Site, VmDeviceCommand,
};

use crate::cloud::Cloud;

fn running() -> (Cloud, Id) {
    let mut cloud = Cloud::new();
    let vm = cloud.placed("NAME=v\nCPU=1\nMEMORY=64").expect("runs");
    (cloud, vm)
}

fn give(cloud: &mut Cloud, id: Id, command: GuestCommand) -> Result<Id, ApiError> {
    cloud.give(&Caller::system(), Command::VmExec { id, command })
}

fn run(cloud: &mut Cloud, id: Id, command: &str) -> Result<Id, ApiError> {
    let (command, stdin) = (command.to_owned(), "in".to_owned());
    give(cloud, id, GuestCommand::Run { command, stdin })
}

fn said(cloud: &Cloud, id: Id, key: &str) -> String {
    let vm = cloud.world.vm(id).expect("there");
    vm.template.pair("QEMU_GA_EXEC", key).unwrap_or("-").to_owned()
}

/// The only thing that hosts are asked.
fn asked(cloud: &Cloud) -> IntentKey {
    assert_eq!(cloud.world.outbox.len(), 1, "{:?}", cloud.world.outbox);
    *cloud.world.outbox.keys().next().expect("one")
}

fn started(cloud: &mut Cloud, id: Id) {
    run(cloud, id, "sleep 9").expect("taken");
    begun(cloud, id);
}

/// The guest has begun; gives what waits for the end.
fn begun(cloud: &mut Cloud, id: Id) -> IntentKey {
    assert_eq!(cloud.phase(id), "HOTPLUG");
    let output = Output {
        guest_pid: Some(77),
        ..Output::default()
    };
    cloud.end(asked(cloud), Ok(output));
    assert_eq!(
        (cloud.phase(id), said(cloud, id, "PID").as_str()),
        ("RUNNING", "77")
    );
    asked(cloud)
}

fn end(cloud: &mut Cloud, key: IntentKey) {
    let guest_end = CommandEnd {
        status: 3,
        stdout: "b3V0".into(),
        stderr: "ZXJy".into(),
    };
    let output = Output {
        guest_end: Some(guest_end),
        ..Output::default()
    };
    cloud.end(key, Ok(output));
}

#[test]
fn a_command_begins_and_ends() {
    let (mut cloud, id) = running();
    run(&mut cloud, id, "date").expect("taken");
    assert_eq!(
        ["COMMAND", "STDIN", "STATUS", "PID"].map(|key| said(&cloud, id, key)),
        ["date", "in", "EXECUTING", "-"]
    );
    let key = begun(&mut cloud, id);
    let other = run(&mut cloud, id, "date").expect_err("one at a time");
    assert!(other.text.contains("another one is executing"), "{}", other.text);
    end(&mut cloud, key);
    assert_eq!(
        ["STATUS", "RETURN_CODE", "STDOUT", "STDERR"].map(|key| said(&cloud, id, key)),
        ["DONE", "3", "b3V0", "ZXJy"]
    );
    assert!(cloud.world.outbox.is_empty());
    give(&mut cloud, id, GuestCommand::Retry).expect("again");
    assert_eq!(
        ["COMMAND", "STDIN", "STATUS", "STDOUT"].map(|key| said(&cloud, id, key)),
        ["date", "in", "EXECUTING", "-"]
    );
    cloud.end(asked(&cloud), Err("no agent".into()));
    assert_eq!(
        ["STATUS", "STDERR"].map(|key| said(&cloud, id, key)),
        ["ERROR", "bm8gYWdlbnQ="]
    );
    let vm = cloud.world.vm(id).expect("there");
    assert_eq!(vm.user_template.get("ERROR"), Some("no agent"));
    let actions: Vec<i32> = vm.history.iter().map(|record| record.action.number()).collect();
    assert_eq!(actions, [61, 62, 0], "recorded: each opens a record");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let (mut cloud, id) = running();
    let none = give(&mut cloud, id, GuestCommand::Retry).expect_err("none");
    assert!(none.text.contains("no command"), "{}", none.text);
    let none = give(&mut cloud, id, GuestCommand::Cancel).expect_err("none");
    assert!(none.text.contains("none is executing"), "{}", none.text);
    for (command, why) in [
        (" ".to_owned(), "empty"),
        ("a\0b".to_owned(), "zero byte"),
        ("x".repeat(16 * 1024 + 1), "16384 bytes at most"),
    ] {
        let refused = run(&mut cloud, id, &command).expect_err("refused");
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    let stdin = "x".repeat(32 * 1024 + 1);
    let long = GuestCommand::Run {
        command: "cat".into(),
        stdin,
    };
    assert!(give(&mut cloud, id, long).is_err());
    cloud.act(id, Event::Poweroff { hard: true }).expect("off");
    cloud.finish();
    let refused = run(&mut cloud, id, "date").expect_err("off");
    assert_eq!(refused.text, "Could not execute command, VM must be in running");
    let without = cloud
        .placed("NAME=w\nCPU=1\nMEMORY=64\nFEATURES=[GUEST_AGENT=no]")
        .expect("runs");
    let refused = run(&mut cloud, without, "date").expect_err("no channel");
    assert!(refused.text.contains("GUEST_AGENT"), "{}", refused.text);
}

#[test]
fn a_command_is_cancelled() {
    let (mut cloud, id) = running();
    run(&mut cloud, id, "sleep 9").expect("taken");
    let wait = begun(&mut cloud, id);
    give(&mut cloud, id, GuestCommand::Cancel).expect("taken");
    let kill = asked_beside(&cloud, wait);
    cloud.end(kill, Ok(Output::default()));
    assert_eq!(said(&cloud, id, "STATUS"), "CANCELLED");
    // What it has said until then comes later.
    end(&mut cloud, wait);
    assert_eq!(
        ["STATUS", "STDOUT"].map(|key| said(&cloud, id, key)),
        ["CANCELLED", "b3V0"]
    );
    // That of an earlier command is not taken for that of the next.
    run(&mut cloud, id, "sleep 9").expect("taken");
    let wait = begun(&mut cloud, id);
    give(&mut cloud, id, GuestCommand::Cancel).expect("taken");
    let kill = asked_beside(&cloud, wait);
    cloud.end(kill, Err("it lives".into()));
    assert_eq!(said(&cloud, id, "STATUS"), "ERROR");
    run(&mut cloud, id, "date").expect("taken");
    end(&mut cloud, wait);
    assert_eq!(
        ["COMMAND", "STATUS", "STDOUT"].map(|key| said(&cloud, id, key)),
        ["date", "EXECUTING", "-"]
    );
}

#[test]
fn other_changes_of_the_vm_leave_a_command_alone() {
    let (mut cloud, id) = running();
    run(&mut cloud, id, "sleep 9").expect("taken");
    let wait = begun(&mut cloud, id);
    let command = VmDeviceCommand::SnapshotCreate("s".into());
    cloud
        .give(&Caller::system(), Command::VmDevice { id, command })
        .expect("taken");
    assert_eq!(cloud.phase(id), "HOTPLUG_SNAPSHOT");
    let other = asked_beside(&cloud, wait);
    cloud.end(other, Ok(Output::default()));
    assert_eq!((cloud.phase(id), asked(&cloud)), ("RUNNING", wait));
    cloud.act(id, Event::Reboot { hard: false }).expect("taken");
    assert!(cloud.world.outbox.contains_key(&wait));
    end(&mut cloud, wait);
    assert_eq!(said(&cloud, id, "STATUS"), "DONE");
}

#[test]
fn a_command_goes_with_its_guest() {
    let (mut cloud, id) = running();
    started(&mut cloud, id);
    // Saved with it, and back with it.
    cloud.act(id, Event::Suspend).expect("taken");
    let wait = asked_await(&cloud);
    cloud.end(wait, Err("the domain does not run on this host".into()));
    cloud.finish();
    assert_eq!(
        (cloud.phase(id), said(&cloud, id, "STATUS").as_str()),
        ("SUSPENDED", "EXECUTING")
    );
    cloud.act(id, Event::Resume).expect("taken");
    cloud.end(asked(&cloud), Ok(Output::default()));
    let wait = asked(&cloud);
    assert_eq!(cloud.phase(id), "RUNNING");
    // To another host.
    let host = cloud.host("two");
    let migration = Migration {
        host,
        relocation: Relocation::Live,
        enforce: true,
        datastore: -1,
    };
    cloud
        .give(&Caller::system(), Command::VmMigrate { id, migration })
        .expect("taken");
    let other = asked_beside(&cloud, wait);
    cloud.end(other, Ok(Output::default()));
    let moved = asked(&cloud);
    assert_eq!(cloud.phase(id), "RUNNING");
    assert_ne!(moved, wait);
    assert_eq!(
        cloud.world.outbox.get(&moved).expect("there").site,
        Site::Host(host)
    );
    // Not beyond its end.
    cloud.act(id, Event::Poweroff { hard: true }).expect("taken");
    let off = asked_beside(&cloud, moved);
    cloud.end(off, Ok(Output::default()));
    assert_eq!(
        (cloud.phase(id), said(&cloud, id, "STATUS").as_str()),
        ("POWEROFF", "ERROR")
    );
    assert!(cloud.world.outbox.is_empty());
    cloud.world.check().expect("derived state holds");
}

/// The one that waits for the end of the command, which was asked first.
fn asked_await(cloud: &Cloud) -> IntentKey {
    *cloud.world.outbox.keys().next().expect("asked")
}

/// The other one.
fn asked_beside(cloud: &Cloud, wait: IntentKey) -> IntentKey {
    let mut keys = cloud.world.outbox.keys();
    *keys.find(|key| **key != wait).expect("asked")
}
