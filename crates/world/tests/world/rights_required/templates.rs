//! Templates, documents, hooks, backup jobs, scheduled actions, VM groups.

use plerion_model::Kind;
use plerion_world::{
    BackupJobCommand, Command, DocumentCommand, HookCommand, SchedCommand, TemplateImagesCommand,
    VmGroupCommand,
};

use super::check;
use crate::cloud::stage::{Stage, t};

#[test]
fn templates_documents_hooks_and_jobs() {
    let stage = Stage::new();
    let named = |name: &str| name.to_owned();
    let job = |command| Command::BackupJob(command);
    let group = |command| Command::VmGroup(command);
    let images = |command| Command::TemplateImages(command);
    let (id, vm) = (stage.template, stage.vm);
    let table = vec![
        (
            "CREATE TEMPLATE",
            Command::TemplateAllocate {
                template: t("NAME=n"),
            },
        ),
        (
            "CREATE TEMPLATE; USE TEMPLATE [0]",
            Command::TemplateClone { id, name: named("n") },
        ),
        (
            "CREATE TEMPLATE; USE TEMPLATE [0]",
            images(TemplateImagesCommand::Clone { id, name: named("n") }),
        ),
        (
            "MANAGE TEMPLATE [0]",
            images(TemplateImagesCommand::Chmod {
                id,
                bits: [1, 1, -1, 1, -1, -1, 1, -1, -1],
            }),
        ),
        (
            "MANAGE TEMPLATE [0]",
            images(TemplateImagesCommand::Delete { id }),
        ),
        (
            "USE TEMPLATE [0]",
            Command::TemplateInstantiate {
                id,
                name: named("n"),
                hold: true,
                extra: t(""),
                persistent: false,
            },
        ),
        (
            "USE TEMPLATE [0]; CREATE TEMPLATE",
            Command::TemplateInstantiate {
                id,
                name: named("n"),
                hold: true,
                extra: t("MEMORY=65"),
                persistent: false,
            },
        ),
        (
            "CREATE TEMPLATE; USE TEMPLATE [0]",
            Command::TemplateInstantiate {
                id,
                name: named("n"),
                hold: true,
                extra: t(""),
                persistent: true,
            },
        ),
        (
            "MANAGE USER [2]; MANAGE GROUP [1]",
            Command::TemplateInstantiate {
                id,
                name: named("n"),
                hold: true,
                extra: t("AS_UID=2\nAS_GID=1"),
                persistent: false,
            },
        ),
        (
            "CREATE VM",
            Command::VmAllocate {
                template: t(
                    "CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nNIC=[NETWORK_ID=0,SECURITY_GROUPS=0]\nVMGROUP=[VMGROUP_ID=0,ROLE=a]",
                ),
                hold: true,
            },
        ),
        (
            "CREATE DOCUMENT",
            Command::Document(DocumentCommand::Allocate {
                template: t("NAME=n"),
                document_type: 100,
            }),
        ),
        (
            "CREATE DOCUMENT; USE DOCUMENT [0]",
            Command::Document(DocumentCommand::Clone {
                id: stage.document,
                name: named("n"),
            }),
        ),
        (
            "CREATE HOOK",
            Command::Hook(HookCommand::Allocate {
                template: t("NAME=n\nTYPE=api\nCALL=one.vm.info\nCOMMAND=x"),
            }),
        ),
        (
            "MANAGE HOOK [0]",
            Command::Hook(HookCommand::Retry {
                id: stage.hook,
                number: 0,
            }),
        ),
        (
            "CREATE BACKUPJOB",
            job(BackupJobCommand::Allocate {
                template: t("NAME=n"),
            }),
        ),
        (
            "MANAGE BACKUPJOB [0]",
            job(BackupJobCommand::Backup { id: stage.job }),
        ),
        (
            "MANAGE BACKUPJOB [0]",
            job(BackupJobCommand::Cancel { id: stage.job }),
        ),
        (
            "MANAGE BACKUPJOB [0]",
            job(BackupJobCommand::Retry { id: stage.job }),
        ),
        (
            "MANAGE BACKUPJOB [0]",
            job(BackupJobCommand::Priority {
                id: stage.job,
                priority: 10,
            }),
        ),
        (
            "ADMIN BACKUPJOB [0]",
            job(BackupJobCommand::Priority {
                id: stage.job,
                priority: 60,
            }),
        ),
        (
            "MANAGE VM [0]",
            Command::Sched(SchedCommand::Add {
                kind: Kind::Vm,
                id: vm,
                template: t("SCHED_ACTION=[ACTION=hold,TIME=9]"),
            }),
        ),
        (
            "MANAGE VM [0]",
            Command::Sched(SchedCommand::Update {
                kind: Kind::Vm,
                id: vm,
                action: stage.action,
                template: t("SCHED_ACTION=[ACTION=hold,TIME=9]"),
            }),
        ),
        (
            "MANAGE VM [0]",
            Command::Sched(SchedCommand::Delete {
                kind: Kind::Vm,
                id: vm,
                action: stage.action,
            }),
        ),
        (
            "CREATE VMGROUP",
            group(VmGroupCommand::Allocate {
                template: t("NAME=n"),
            }),
        ),
        (
            "MANAGE VMGROUP [0]",
            group(VmGroupCommand::RoleAdd {
                id: stage.vmgroup,
                template: t("ROLE=[NAME=c]"),
            }),
        ),
        (
            "MANAGE VMGROUP [0]",
            group(VmGroupCommand::RoleDelete {
                id: stage.vmgroup,
                role: 0,
            }),
        ),
        (
            "MANAGE VMGROUP [0]",
            group(VmGroupCommand::RoleUpdate {
                id: stage.vmgroup,
                role: 0,
                template: t("ROLE=[NAME=c]"),
            }),
        ),
        (
            "MANAGE VM [0]",
            group(VmGroupCommand::VmAdd {
                vm,
                id: stage.vmgroup,
                role: named("a"),
            }),
        ),
        ("MANAGE VM [0]", group(VmGroupCommand::VmRemove { vm })),
    ];
    let caller = stage.stranger.clone();
    check(stage, &caller, table);
}
