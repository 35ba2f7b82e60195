//! What the owner of a VM needs besides.

use std::sync::Arc;

use plerion_lifecycle::Relocation;
use plerion_model::Kind;
use plerion_model::acl::{self, AclRule};
use plerion_world::{
    AclCommand, Caller, Command, Config, ImageSpec, MarketCommand, Migration, VmBackupCommand,
    VmDeviceCommand, VmGroupCommand, VrouterCommand,
};

use super::check;
use crate::cloud::stage::{Stage, give, t};

/// Who owns the VM needs rights on what else the call names.
#[test]
fn what_else_a_vm_needs() {
    let mut stage = Stage::new();
    let conf = "VM_MANAGE_OPERATIONS=\"backup, restore, deploy, migrate\"";
    stage.cloud.world.config = Arc::new(Config::new(t(conf), "/var/lib/one/datastores"));
    let file = Command::ImageAllocate {
        template: t("NAME=file\nTYPE=CONTEXT\nPATH=/x"),
        datastore: 2,
        spec: ImageSpec { size_mib: Some(1) },
    };
    let file = give(&mut stage, file);
    let kernel = Command::ImageAllocate {
        template: t("NAME=kernel\nTYPE=KERNEL\nPATH=/x"),
        datastore: 2,
        spec: ImageSpec { size_mib: Some(1) },
    };
    let kernel = give(&mut stage, kernel);
    stage.cloud.finish();
    let kept = stage
        .cloud
        .placed("NAME=k\nCPU=0.1\nMEMORY=64\nDISK=[IMAGE_ID=1]")
        .expect("a VM");
    let delete = Command::Delete {
        kind: Kind::BackupJob,
        id: stage.job,
    };
    give(&mut stage, delete);
    let (uid, gid) = (stage.owner.uid, -1);
    for (kind, id) in [(Kind::Vm, kept), (Kind::Vrouter, stage.vrouter)] {
        give(&mut stage, Command::Chown { kind, id, uid, gid });
    }
    // What is new, too, up to what it names.
    let rule = AclRule {
        id: -1,
        user: acl::INDIVIDUAL | acl::id_bits(uid),
        resource: acl::ALL | Kind::Vm.acl_bit() | Kind::MarketplaceApp.acl_bit(),
        rights: 8,
        zone: acl::ALL,
    };
    give(&mut stage, Command::Acl(AclCommand::Add(rule)));
    let caller = Caller {
        gid: 500,
        groups: vec![500],
        ..stage.owner.clone()
    };
    let named = |name: &str| name.to_owned();
    let of_kept = |command| Command::VmDevice { id: kept, command };
    let (id, vm, market) = (stage.vrouter, stage.vm, stage.market);
    let backup = |command| Command::VmBackup { id: vm, command };
    let save = VmDeviceCommand::DiskSaveAs {
        disk: 0,
        name: named("n"),
        kind: String::new(),
        snapshot: -1,
    };
    let sg = VmDeviceCommand::SecurityGroup {
        nic: 0,
        group: stage.secgroup,
        attach: true,
    };
    let files = format!("CONTEXT=[FILES_DS=\"$FILE[IMAGE_ID={file}]\"]");
    let new = format!(
        "CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nNIC=[NETWORK_ID=0,SECURITY_GROUPS=100]\nVMGROUP=[VMGROUP_ID=0,ROLE=a]\nOS=[KERNEL_DS=\"$FILE[IMAGE_ID={kernel}]\"]\n{files}"
    );
    let migration = Migration {
        host: 0,
        relocation: Relocation::Live,
        enforce: false,
        datastore: 100,
    };
    let instantiate = VrouterCommand::Instantiate {
        id,
        count: 1,
        template: stage.router_template,
        name: named("n"),
        hold: true,
        extra: t(""),
    };
    let table = vec![
        (
            "MANAGE HOST [0]; USE DATASTORE [100]",
            Command::VmDeploy {
                id: vm,
                host: 0,
                enforce: false,
                datastore: 100,
            },
        ),
        (
            "MANAGE HOST [0]; USE DATASTORE [100]",
            Command::VmMigrate { id: vm, migration },
        ),
        (
            "USE DATASTORE [102]",
            backup(VmBackupCommand::Make {
                datastore: stage.backups,
                reset: false,
            }),
        ),
        (
            "USE IMAGE [0]",
            backup(VmBackupCommand::Restore {
                image: 0,
                increment: -1,
                disk: -1,
            }),
        ),
        (
            "USE IMAGE [2]",
            Command::VmUpdateConf {
                id: vm,
                template: t(&files),
                append: true,
            },
        ),
        (
            "USE NET [0]",
            stage.device(VmDeviceCommand::NicAttach(t("NIC=[NETWORK_ID=0]"))),
        ),
        ("USE SECGROUP [100]", stage.device(sg)),
        (
            "USE IMAGE [0]",
            stage.device(VmDeviceCommand::DiskAttach(t("DISK=[IMAGE_ID=0]"))),
        ),
        ("CREATE IMAGE; USE DATASTORE [101]", stage.device(save)),
        (
            "MANAGE IMAGE [1]",
            of_kept(VmDeviceCommand::DiskResize {
                disk: 0,
                size: named("20"),
            }),
        ),
        (
            "MANAGE IMAGE [1]",
            of_kept(VmDeviceCommand::DiskSnapshotCreate(0, named("n"))),
        ),
        (
            "USE VMGROUP [0]",
            Command::VmGroup(VmGroupCommand::VmAdd {
                vm,
                id: stage.vmgroup,
                role: named("a"),
            }),
        ),
        ("USE TEMPLATE [1]", Command::Vrouter(instantiate)),
        (
            "USE IMAGE [0]",
            Command::Market(MarketCommand::AppAllocate {
                template: t("NAME=n\nTYPE=IMAGE\nORIGIN_ID=0"),
                market,
            }),
        ),
        (
            "USE IMAGE [0]; USE NET [0]; USE SECGROUP [100]; USE IMAGE [2]; USE IMAGE [3]; USE VMGROUP [0]",
            Command::VmAllocate {
                template: t(&new),
                hold: true,
            },
        ),
    ];
    check(stage, &caller, table);
}
