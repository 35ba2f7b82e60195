//! The rows of the table of the life cycle: what can be asked of a VM in which states, and what is seen of it. A run counts
//! how often each was begun, so that it can be told what the simulator has looked at and what it has not.

use plerion_lifecycle::{Event as Action, Recover, Relocation, failure_of, transient};
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_world::{
    Command, GuestCommand, Migration, SchedCommand, VmBackupCommand, VmDeviceCommand, VmGroupCommand,
};

/// Every row, in the order of the table.
pub(crate) const ROWS: &[&str] = &[
    "create",
    "deploy",
    "deploy from STOPPED",
    "deploy from UNDEPLOYED",
    "terminate: RUNNING, UNKNOWN",
    "terminate: SUSPENDED, POWEROFF",
    "terminate: STOPPED, UNDEPLOYED",
    "terminate: PENDING, HOLD, CLONING, CLONING_FAILURE",
    "terminate: failed",
    "terminate-hard: RUNNING, UNKNOWN",
    "terminate-hard: SHUTDOWN",
    "undeploy: RUNNING, UNKNOWN",
    "undeploy: POWEROFF",
    "undeploy-hard",
    "poweroff",
    "poweroff-hard",
    "hold",
    "release",
    "stop: RUNNING",
    "stop: SUSPENDED",
    "suspend",
    "resume: STOPPED, UNDEPLOYED",
    "resume: SUSPENDED",
    "resume: POWEROFF",
    "resume: UNKNOWN",
    "reboot",
    "reboot-hard",
    "resched",
    "unresched",
    "migrate with save",
    "migrate with poweroff",
    "migrate with poweroff-hard",
    "migrate: POWEROFF",
    "migrate: SUSPENDED",
    "migrate: UNKNOWN",
    "live-migrate",
    "recover failure",
    "recover success",
    "recover retry",
    "recover delete",
    "recover delete-recreate",
    "recover delete-db",
    "disk-attach: RUNNING",
    "disk-attach: POWEROFF",
    "disk-detach: RUNNING",
    "disk-detach: POWEROFF",
    "nic-attach: RUNNING",
    "nic-attach: POWEROFF",
    "nic-detach: RUNNING",
    "nic-detach: POWEROFF",
    "nic-update",
    "sg-attach, sg-detach",
    "snapshot-create",
    "snapshot-revert",
    "snapshot-delete",
    "disk-snapshot-create: RUNNING",
    "disk-snapshot-create: POWEROFF, SUSPENDED",
    "disk-snapshot-revert",
    "disk-snapshot-delete",
    "disk-snapshot-rename",
    "disk-saveas",
    "disk-resize: RUNNING",
    "disk-resize: POWEROFF, UNDEPLOYED",
    "resize: at rest",
    "resize: RUNNING",
    "updateconf",
    "backup: RUNNING",
    "backup: POWEROFF",
    "backup-cancel",
    "restore",
    "pci-attach, pci-detach",
    "exec, retryexec",
    "cancelexec",
    "vmgroup add, del",
    "rename, update, chown, chmod, lock, schedule",
    "seen: off",
    "seen: running",
    "host lost",
];

/// The row of a command that was taken, by the phase that its VM had before. `None` for what the table has no row for.
pub(crate) fn row_of(command: &Command, phase: Phase) -> Option<&'static str> {
    Some(match command {
        Command::VmAction { event, .. } => return action_row(*event, phase),
        Command::VmMigrate { migration, .. } => return migrate_row(migration, phase),
        Command::VmRecover { recover, .. } => return recover_row(*recover, phase),
        Command::VmDevice { command, .. } => return device_row(command, phase),
        Command::VmResize { .. } if is_running(phase) => "resize: RUNNING",
        Command::VmResize { .. } => "resize: at rest",
        Command::VmUpdateConf { .. } => "updateconf",
        Command::VmBackup { command, .. } => match command {
            VmBackupCommand::Make { .. } if is_running(phase) => "backup: RUNNING",
            VmBackupCommand::Make { .. } => "backup: POWEROFF",
            VmBackupCommand::Cancel => "backup-cancel",
            VmBackupCommand::Restore { .. } => "restore",
        },
        Command::VmExec { command, .. } => match command {
            GuestCommand::Run { .. } | GuestCommand::Retry => "exec, retryexec",
            GuestCommand::Cancel => "cancelexec",
        },
        Command::VmGroup(VmGroupCommand::VmAdd { .. } | VmGroupCommand::VmRemove { .. }) => {
            "vmgroup add, del"
        }
        Command::Rename { .. }
        | Command::Update { .. }
        | Command::Chown { .. }
        | Command::Chmod { .. }
        | Command::Lock { .. }
        | Command::Sched(SchedCommand::Add { .. }) => "rename, update, chown, chmod, lock, schedule",
        _ => return None,
    })
}

/// The row of an edge that says more than what was asked for.
pub(crate) fn edge_row(from: &str, to: &str) -> Option<&'static str> {
    match (from, to) {
        ("PENDING" | "HOLD" | "STOPPED" | "UNDEPLOYED", "PROLOG") => Some("deploy"),
        (_, "PROLOG_RESUME") if !from.ends_with("FAILURE") => Some("deploy from STOPPED"),
        (_, "PROLOG_UNDEPLOY") if !from.ends_with("FAILURE") => Some("deploy from UNDEPLOYED"),
        ("RUNNING", "UNKNOWN") => Some("host lost"),
        _ => None,
    }
}

fn is_running(phase: Phase) -> bool {
    phase == Phase::active(LcmState::Running)
}

fn action_row(event: Action, phase: Phase) -> Option<&'static str> {
    use VmState as S;
    let up = phase.state == S::Active;
    Some(match event {
        Action::Terminate { hard } => match (phase.state, phase.lcm) {
            (S::Active, LcmState::Running | LcmState::Unknown) if hard => "terminate-hard: RUNNING, UNKNOWN",
            (S::Active, LcmState::Running | LcmState::Unknown) => "terminate: RUNNING, UNKNOWN",
            (S::Active, LcmState::Shutdown) => "terminate-hard: SHUTDOWN",
            (S::Active, lcm) => return failure_of(lcm).map(|_| "terminate: failed"),
            (S::Suspended | S::Poweroff, _) => "terminate: SUSPENDED, POWEROFF",
            (S::Stopped | S::Undeployed, _) => "terminate: STOPPED, UNDEPLOYED",
            _ => "terminate: PENDING, HOLD, CLONING, CLONING_FAILURE",
        },
        Action::Undeploy { hard: true } => "undeploy-hard",
        Action::Undeploy { hard: false } if up => "undeploy: RUNNING, UNKNOWN",
        Action::Undeploy { hard: false } => "undeploy: POWEROFF",
        Action::Poweroff { hard: true } => "poweroff-hard",
        Action::Poweroff { hard: false } => "poweroff",
        Action::Reboot { hard: true } => "reboot-hard",
        Action::Reboot { hard: false } => "reboot",
        Action::Stop if up => "stop: RUNNING",
        Action::Stop => "stop: SUSPENDED",
        Action::Suspend => "suspend",
        Action::Resume => match phase.state {
            S::Suspended => "resume: SUSPENDED",
            S::Poweroff => "resume: POWEROFF",
            S::Active => "resume: UNKNOWN",
            _ => "resume: STOPPED, UNDEPLOYED",
        },
        Action::Hold => "hold",
        Action::Release => "release",
        Action::Resched => "resched",
        Action::Unresched => "unresched",
        _ => return None,
    })
}

fn migrate_row(migration: &Migration, phase: Phase) -> Option<&'static str> {
    Some(match (phase.state, migration.relocation) {
        (VmState::Poweroff, _) => "migrate: POWEROFF",
        (VmState::Suspended, _) => "migrate: SUSPENDED",
        (_, _) if phase.lcm == LcmState::Unknown => "migrate: UNKNOWN",
        (_, Relocation::Live) => "live-migrate",
        (_, Relocation::Save) => "migrate with save",
        (_, Relocation::Poweroff) => "migrate with poweroff",
        (_, Relocation::PoweroffHard) => "migrate with poweroff-hard",
    })
}

/// Settling what needs no settling is taken, too, and does nothing: it does not count.
fn recover_row(recover: Recover, phase: Phase) -> Option<&'static str> {
    let up = phase.state == VmState::Active;
    let settles = up && (transient(phase.lcm).is_some() || failure_of(phase.lcm).is_some());
    let cloning = phase.state == VmState::CloningFailure;
    match recover {
        Recover::Failure => (settles || cloning).then_some("recover failure"),
        Recover::Success => (settles || cloning).then_some("recover success"),
        Recover::Retry => settles.then_some("recover retry"),
        Recover::Delete => Some("recover delete"),
        Recover::DeleteRecreate => Some("recover delete-recreate"),
        Recover::DeleteDb => Some("recover delete-db"),
    }
}

fn device_row(command: &VmDeviceCommand, phase: Phase) -> Option<&'static str> {
    use VmDeviceCommand as C;
    let up = phase.state == VmState::Active;
    Some(match command {
        C::DiskAttach(_) if up => "disk-attach: RUNNING",
        C::DiskAttach(_) => "disk-attach: POWEROFF",
        C::DiskDetach(_) if up => "disk-detach: RUNNING",
        C::DiskDetach(_) => "disk-detach: POWEROFF",
        C::NicAttach(_) if up => "nic-attach: RUNNING",
        C::NicAttach(_) => "nic-attach: POWEROFF",
        C::NicDetach(_) if up => "nic-detach: RUNNING",
        C::NicDetach(_) => "nic-detach: POWEROFF",
        C::NicUpdate { .. } => "nic-update",
        C::SecurityGroup { .. } => "sg-attach, sg-detach",
        C::PciAttach(_) | C::PciDetach(_) => "pci-attach, pci-detach",
        C::SnapshotCreate(_) => "snapshot-create",
        C::SnapshotRevert(_) => "snapshot-revert",
        C::SnapshotDelete(_) => "snapshot-delete",
        C::DiskSnapshotCreate(..) if up => "disk-snapshot-create: RUNNING",
        C::DiskSnapshotCreate(..) => "disk-snapshot-create: POWEROFF, SUSPENDED",
        C::DiskSnapshotRevert(..) => "disk-snapshot-revert",
        C::DiskSnapshotDelete(..) => "disk-snapshot-delete",
        C::DiskSnapshotRename(..) => "disk-snapshot-rename",
        C::DiskSaveAs { .. } => "disk-saveas",
        C::DiskResize { .. } if up => "disk-resize: RUNNING",
        C::DiskResize { .. } => "disk-resize: POWEROFF, UNDEPLOYED",
    })
}
