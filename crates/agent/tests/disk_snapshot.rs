//! Snapshots of QCOW2 disks, done by a real agent process on real files.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Channel, Scratch, text};
use plerion_protocol::{Action, DiskFormat, ErrorKind, SnapshotWork};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("started");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(disk: &str, word: &str) {
    run(
        "qemu-io",
        &["-f", "qcow2", "-c", &format!("write -q -P {word} 1M 64k"), disk],
    );
}

fn holds(disk: &str, word: &str) {
    run(
        "qemu-io",
        &[
            "-f",
            "qcow2",
            "-r",
            "-c",
            &format!("read -q -P {word} 1M 64k"),
            disk,
        ],
    );
}

/// An image in a datastore.
fn image(scratch: &Scratch) -> String {
    let file = scratch.ds("1/image");
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    run("qemu-img", &["create", "-q", "-f", "qcow2", &text(&file), "8M"]);
    write(&text(&file), "1");
    text(&file)
}

fn snapshot(path: &str, snapshot: u32, work: SnapshotWork) -> Action {
    Action::DiskSnapshot {
        path: path.to_owned(),
        snapshot,
        work,
    }
}

fn link(path: &str) -> String {
    text(&std::fs::read_link(path).expect("a link"))
}

#[test]
fn what_was_written_comes_back_and_what_others_follow_from_stays() {
    let scratch = Scratch::new("snapshots");
    let mut agent = Channel::stdio(&scratch);
    let disk = scratch.ds_text("100/7/disk.0");
    let overlay = Action::DiskOverlay {
        backing: image(&scratch),
        backing_format: DiskFormat::Qcow2,
        destination: disk.clone(),
        size_mib: None,
    };
    agent.act(overlay).expect("made");
    write(&disk, "2");
    for _ in 0..2 {
        agent
            .act(snapshot(&disk, 0, SnapshotWork::Take))
            .expect("taken, once");
        assert_eq!(link(&disk), "disk.0.snap/1");
    }
    holds(&disk, "2");
    write(&disk, "3");
    // The number of one that failed is not used again.
    agent.act(snapshot(&disk, 2, SnapshotWork::Take)).expect("taken");
    assert_eq!(link(&disk), "disk.0.snap/3");
    assert!(!scratch.ds("100/7/disk.0.snap/1").exists());
    write(&disk, "4");
    let error = agent
        .act(snapshot(&disk, 0, SnapshotWork::Delete))
        .expect_err("2 follows");
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.text.contains("snapshot 2 follows from it"),
        "{}",
        error.text
    );
    let error = agent
        .act(snapshot(&disk, 2, SnapshotWork::Delete))
        .expect_err("the disk follows");
    assert!(error.text.contains("as it is now"), "{}", error.text);
    for _ in 0..2 {
        agent
            .act(snapshot(&disk, 0, SnapshotWork::Revert))
            .expect("gone back");
        holds(&disk, "2");
    }
    agent
        .act(snapshot(&disk, 2, SnapshotWork::Delete))
        .expect("nothing follows any more");
    agent
        .act(snapshot(&disk, 2, SnapshotWork::Delete))
        .expect("gone already");
    let error = agent
        .act(snapshot(&disk, 2, SnapshotWork::Revert))
        .expect_err("gone");
    assert!(error.text.contains("is missing"), "{}", error.text);
    holds(&disk, "2");
    let flat = scratch.ds_text("1/flat");
    let flatten = Action::DiskFlatten {
        source: scratch.ds_text("100/7/disk.0.snap/0"),
        destination: flat.clone(),
        format: DiskFormat::Qcow2,
    };
    agent.act(flatten).expect("copied");
    holds(&flat, "2");
    agent
        .act(Action::PathDelete { path: disk.clone() })
        .expect("deleted");
    assert!(!scratch.ds("100/7/disk.0.snap").exists());
}

#[test]
fn those_of_a_persistent_image_lie_beside_it() {
    let scratch = Scratch::new("snapshots-kept");
    let mut agent = Channel::stdio(&scratch);
    let source = image(&scratch);
    let disk = scratch.ds_text("100/7/disk.0");
    let action = Action::DiskLink {
        source: source.clone(),
        destination: disk.clone(),
        format: DiskFormat::Qcow2,
    };
    agent.act(action.clone()).expect("linked");
    // The first number that works is 1.
    agent.act(snapshot(&disk, 1, SnapshotWork::Take)).expect("taken");
    assert_eq!(link(&disk), format!("{source}.snap/2"));
    // The names of files below hold where the files are, not beside a link from elsewhere.
    write(&link(&disk), "9");
    holds(&source, "1");
    // The next VM goes on where this one was.
    agent
        .act(Action::PathDelete { path: disk.clone() })
        .expect("deleted");
    agent.act(action).expect("linked");
    holds(&link(&disk), "9");
    agent
        .act(snapshot(&disk, 1, SnapshotWork::Revert))
        .expect("gone back");
    holds(&link(&disk), "1");
    // Without a VM, by the image's own name.
    agent.act(Action::PathDelete { path: disk }).expect("deleted");
    let written = format!("{source}.snap/2");
    write(&written, "7");
    agent
        .act(snapshot(&source, 1, SnapshotWork::Revert))
        .expect("gone back");
    holds(&written, "1");
}

#[test]
fn those_of_an_image_are_changed_without_a_vm() {
    let scratch = Scratch::new("snapshots-image");
    let mut agent = Channel::stdio(&scratch);
    let source = image(&scratch);
    let disk = scratch.ds_text("100/7/disk.0");
    let linked = Action::DiskLink {
        source: source.clone(),
        destination: disk.clone(),
        format: DiskFormat::Qcow2,
    };
    agent.act(linked).expect("linked");
    for (number, written) in [(0, "3"), (1, "7")] {
        agent
            .act(snapshot(&disk, number, SnapshotWork::Take))
            .expect("taken");
        write(&link(&disk), written);
    }
    agent.act(Action::PathDelete { path: disk }).expect("deleted");
    let written = format!("{source}.snap/2");
    holds(&written, "7");
    agent
        .act(snapshot(&source, 1, SnapshotWork::Revert))
        .expect("gone back");
    holds(&written, "3");
    let error = agent
        .act(snapshot(&source, 1, SnapshotWork::Delete))
        .expect_err("the disk follows");
    assert!(error.text.contains("as it is now"), "{}", error.text);
    write(&format!("{source}.snap/1"), "8");
    let directory = format!("{source}.snap");
    let flatten = |snapshot: u32| Action::DiskFlatten {
        source: format!("{directory}/{snapshot}"),
        destination: source.clone(),
        format: DiskFormat::Qcow2,
    };
    agent.act(flatten(0)).expect("it is that already");
    holds(&source, "1");
    for _ in 0..2 {
        agent.act(flatten(1)).expect("merged");
    }
    let gone = Action::PathDelete {
        path: directory.clone(),
    };
    agent.act(gone).expect("deleted");
    assert!(!Path::new(&directory).exists());
    holds(&source, "8");
}

#[test]
fn a_disk_that_is_a_file_of_its_own_becomes_a_chain() {
    let scratch = Scratch::new("snapshots-volatile");
    let mut agent = Channel::stdio(&scratch);
    let disk = scratch.ds_text("100/7/disk.1");
    let make = Action::DiskMake {
        destination: disk.clone(),
        format: DiskFormat::Qcow2,
        size_mib: 8,
        file_system: None,
        swap: false,
    };
    agent.act(make).expect("made");
    write(&disk, "5");
    agent.act(snapshot(&disk, 0, SnapshotWork::Take)).expect("taken");
    write(&disk, "6");
    agent
        .act(snapshot(&disk, 0, SnapshotWork::Revert))
        .expect("gone back");
    holds(&disk, "5");
    assert!(Path::new(&disk).is_symlink());
    let elsewhere = scratch.ds_text("100/7/disk.2");
    std::os::unix::fs::symlink(image(&scratch), &elsewhere).expect("linked");
    let error = agent
        .act(snapshot(&elsewhere, 0, SnapshotWork::Take))
        .expect_err("refused");
    assert!(
        error.text.contains("no directory for snapshots"),
        "{}",
        error.text
    );
}
