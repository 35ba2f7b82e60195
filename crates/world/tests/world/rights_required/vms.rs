//! Calls about a VM.

use plerion_lifecycle::{Event, Recover, Relocation};
use plerion_world::{Command, GuestCommand, Migration, VmBackupCommand, VmDeviceCommand};

use super::check;
use crate::cloud::stage::{Stage, t};

fn vm_commands(stage: &Stage) -> Vec<Command> {
    let named = |name: &str| name.to_owned();
    let id = stage.vm;
    let migration = |relocation| Migration {
        host: 0,
        relocation,
        enforce: false,
        datastore: 100,
    };
    let backup = |command| Command::VmBackup { id, command };
    vec![
        Command::VmDeploy {
            id,
            host: 0,
            enforce: false,
            datastore: 100,
        },
        Command::VmMigrate {
            id,
            migration: migration(Relocation::Live),
        },
        Command::VmResize {
            id,
            template: t("CPU=2"),
            enforce: false,
        },
        Command::VmUpdateConf {
            id,
            template: t("CONTEXT=[FILES_DS=\"$FILE[IMAGE_ID=0]\"]"),
            append: true,
        },
        Command::VmExec {
            id,
            command: GuestCommand::Run {
                command: "id".into(),
                stdin: String::new(),
            },
        },
        Command::VmRecover {
            id,
            recover: Recover::Success,
        },
        backup(VmBackupCommand::Make {
            datastore: stage.backups,
            reset: false,
        }),
        backup(VmBackupCommand::Cancel),
        backup(VmBackupCommand::Restore {
            image: 0,
            increment: -1,
            disk: -1,
        }),
        stage.act(Event::Hold),
        stage.act(Event::Resched),
        stage.device(VmDeviceCommand::NicAttach(t("NIC=[NETWORK_ID=0]"))),
        stage.device(VmDeviceCommand::NicDetach(0)),
        stage.device(VmDeviceCommand::NicUpdate {
            nic: 0,
            template: t("NIC=[INBOUND_AVG_BW=1]"),
            merge: true,
        }),
        stage.device(VmDeviceCommand::SecurityGroup {
            nic: 0,
            group: stage.secgroup,
            attach: true,
        }),
        stage.device(VmDeviceCommand::PciAttach(t("PCI=[VENDOR=1]"))),
        stage.device(VmDeviceCommand::PciDetach(0)),
        stage.device(VmDeviceCommand::DiskAttach(t("DISK=[IMAGE_ID=0]"))),
        stage.device(VmDeviceCommand::DiskDetach(0)),
        stage.device(VmDeviceCommand::DiskResize {
            disk: 0,
            size: named("20"),
        }),
        stage.device(VmDeviceCommand::DiskSaveAs {
            disk: 0,
            name: named("n"),
            kind: String::new(),
            snapshot: -1,
        }),
        stage.device(VmDeviceCommand::DiskSnapshotCreate(0, named("n"))),
        stage.device(VmDeviceCommand::DiskSnapshotRevert(0, 0)),
        stage.device(VmDeviceCommand::DiskSnapshotDelete(0, 0)),
        stage.device(VmDeviceCommand::DiskSnapshotRename(0, 0, named("n"))),
        stage.device(VmDeviceCommand::SnapshotCreate(named("n"))),
        stage.device(VmDeviceCommand::SnapshotRevert(0)),
        stage.device(VmDeviceCommand::SnapshotDelete(0)),
    ]
}

const VM_STRANGER: &[&str] = &[
    "ADMIN VM [0]",
    "ADMIN VM [0]; MANAGE HOST [0]; USE DATASTORE [100]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "ADMIN VM [0]",
    "ADMIN VM [0]",
    "ADMIN VM [0]",
    "ADMIN VM [0]",
    "MANAGE VM [0]",
    "ADMIN VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
    "MANAGE VM [0]",
];

#[test]
fn calls_about_a_vm() {
    let stage = Stage::new();
    let (caller, commands) = (stage.stranger.clone(), vm_commands(&stage));
    assert_eq!(commands.len(), VM_STRANGER.len());
    check(
        stage,
        &caller,
        VM_STRANGER.iter().copied().zip(commands).collect(),
    );
}
