//! In which phases the configuration of a VM may be changed.

use plerion_model::vm_state::{LcmState, Phase, VmState};

/// Whether a change of the configuration takes effect with the next start, or at once: not while one is under way that
/// would start with half of it, nor with a memory that was saved with the old one.
#[must_use]
pub const fn may_reconfigure(phase: Phase) -> bool {
    match phase.state {
        VmState::Pending
        | VmState::Hold
        | VmState::Poweroff
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => true,
        VmState::Init | VmState::Stopped | VmState::Suspended | VmState::Done => false,
        VmState::Active => may_reconfigure_active(phase.lcm),
    }
}

const fn may_reconfigure_active(lcm: LcmState) -> bool {
    match lcm {
        LcmState::LcmInit
        | LcmState::Prolog
        | LcmState::Running
        | LcmState::Epilog
        | LcmState::Shutdown
        | LcmState::CleanupResubmit
        | LcmState::ShutdownPoweroff
        | LcmState::CleanupDelete
        | LcmState::HotplugSaveasPoweroff
        | LcmState::ShutdownUndeploy
        | LcmState::EpilogUndeploy
        | LcmState::PrologUndeploy
        | LcmState::HotplugPrologPoweroff
        | LcmState::HotplugEpilogPoweroff
        | LcmState::BootFailure
        | LcmState::PrologFailure
        | LcmState::EpilogFailure
        | LcmState::EpilogUndeployFailure
        | LcmState::PrologMigratePoweroff
        | LcmState::PrologMigratePoweroffFailure
        | LcmState::BootUndeployFailure
        | LcmState::PrologUndeployFailure
        | LcmState::DiskSnapshotPoweroff
        | LcmState::DiskSnapshotRevertPoweroff
        | LcmState::DiskSnapshotDeletePoweroff => true,
        LcmState::Boot
        | LcmState::Migrate
        | LcmState::SaveStop
        | LcmState::SaveSuspend
        | LcmState::SaveMigrate
        | LcmState::PrologMigrate
        | LcmState::PrologResume
        | LcmState::EpilogStop
        | LcmState::Unknown
        | LcmState::Hotplug
        | LcmState::BootUnknown
        | LcmState::BootPoweroff
        | LcmState::BootSuspended
        | LcmState::BootStopped
        | LcmState::HotplugSnapshot
        | LcmState::HotplugNic
        | LcmState::HotplugSaveas
        | LcmState::HotplugSaveasSuspended
        | LcmState::BootUndeploy
        | LcmState::BootMigrate
        | LcmState::BootMigrateFailure
        | LcmState::PrologMigrateFailure
        | LcmState::EpilogStopFailure
        | LcmState::PrologMigrateSuspend
        | LcmState::PrologMigrateSuspendFailure
        | LcmState::BootStoppedFailure
        | LcmState::PrologResumeFailure
        | LcmState::DiskSnapshotSuspended
        | LcmState::DiskSnapshotDeleteSuspended
        | LcmState::DiskSnapshot
        | LcmState::DiskSnapshotDelete
        | LcmState::PrologMigrateUnknown
        | LcmState::PrologMigrateUnknownFailure
        | LcmState::DiskResize
        | LcmState::DiskResizePoweroff
        | LcmState::DiskResizeUndeployed
        | LcmState::HotplugNicPoweroff
        | LcmState::HotplugResize
        | LcmState::HotplugSaveasUndeployed
        | LcmState::HotplugSaveasStopped
        | LcmState::Backup
        | LcmState::BackupPoweroff
        | LcmState::Restore => false,
    }
}
