//! The transient phases: what hosts are asked for in each, and where it leads.

use plerion_model::vm_state::{LcmState, Phase, VmState};

/// What the hosts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// Prepare the disks on the host, one part a disk.
    Prolog,
    /// Bring the VM's files from the front-end to the host.
    ToHost,
    /// Make the context disk and start the domain.
    Boot,
    /// Start the domain from its checkpoint.
    Restore,
    /// End the domain: by asking the guest, or at once, as the history action says.
    Shutdown,
    /// Save the domain to a checkpoint.
    Save,
    /// Bring persistent disks home and delete the VM's files.
    Epilog,
    /// Bring the VM's files from the host to the front-end.
    ToFrontEnd,
    /// Destroy the domain and delete the VM's files.
    Cleanup,
    /// Move the running domain to another host.
    Migrate,
    /// End or save the domain on the host that the VM leaves.
    Leave,
    /// Move the VM's files from the host that it leaves.
    Move,
    /// Give the running domain another number of CPUs or another amount of memory.
    Resize,
    /// Change a device of the VM, as its pending change says; without one, make the context disk anew and show it to the
    /// running guest.
    Device,
    /// Copy disks to a backup datastore, as the backup under way says.
    Backup,
    /// Take disks back to what a backup holds, as the restore under way says.
    RestoreDisks,
    /// Ask the guest to restart; the phase does not change.
    Reboot,
    /// Reset the machine; the phase does not change.
    Reset,
    /// Wait for the end of the command that runs in the guest; the phase does not change.
    GuestAwait,
}

/// A transient phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transient {
    /// What hosts are asked for.
    pub ask: Ask,
    /// Where success leads.
    pub done: Phase,
    /// Where failure leads.
    pub failed: Phase,
}

const fn row(ask: Ask, done: Phase, failed: Phase) -> Option<Transient> {
    Some(Transient { ask, done, failed })
}

const RUNNING: Phase = Phase::active(LcmState::Running);
const POWEROFF: Phase = Phase::rest(VmState::Poweroff);
const SUSPENDED: Phase = Phase::rest(VmState::Suspended);
const STOPPED: Phase = Phase::rest(VmState::Stopped);
const UNDEPLOYED: Phase = Phase::rest(VmState::Undeployed);

/// Whether it works or not, a change of a device leads back to where the VM was.
const fn device_row(back: Phase) -> Option<Transient> {
    row(Ask::Device, back, back)
}

/// The row of a transient phase; `None` where a VM stays until somebody acts.
#[must_use]
pub const fn transient(lcm: LcmState) -> Option<Transient> {
    use LcmState as L;
    let active = Phase::active;
    match lcm {
        L::Prolog => row(Ask::Prolog, active(L::Boot), active(L::PrologFailure)),
        L::PrologResume => row(
            Ask::ToHost,
            active(L::BootStopped),
            active(L::PrologResumeFailure),
        ),
        L::PrologUndeploy => row(
            Ask::ToHost,
            active(L::BootUndeploy),
            active(L::PrologUndeployFailure),
        ),
        L::Boot => row(Ask::Boot, RUNNING, active(L::BootFailure)),
        L::BootUndeploy => row(Ask::Boot, RUNNING, active(L::BootUndeployFailure)),
        L::BootPoweroff => row(Ask::Boot, RUNNING, Phase::rest(VmState::Poweroff)),
        L::BootUnknown => row(Ask::Boot, RUNNING, active(L::Unknown)),
        L::BootStopped => row(Ask::Restore, RUNNING, active(L::BootStoppedFailure)),
        L::BootSuspended => row(Ask::Restore, RUNNING, Phase::rest(VmState::Suspended)),
        L::Shutdown => row(Ask::Shutdown, active(L::Epilog), RUNNING),
        L::ShutdownPoweroff => row(Ask::Shutdown, Phase::rest(VmState::Poweroff), RUNNING),
        L::ShutdownUndeploy => row(Ask::Shutdown, active(L::EpilogUndeploy), RUNNING),
        L::SaveSuspend => row(Ask::Save, Phase::rest(VmState::Suspended), RUNNING),
        L::Migrate => row(Ask::Migrate, RUNNING, RUNNING),
        L::SaveMigrate => row(Ask::Leave, active(L::PrologMigrate), RUNNING),
        // To BOOT where the VM was switched off to be moved.
        L::PrologMigrate => row(Ask::Move, active(L::BootMigrate), active(L::PrologMigrateFailure)),
        L::PrologMigratePoweroff => row(
            Ask::Move,
            Phase::rest(VmState::Poweroff),
            active(L::PrologMigratePoweroffFailure),
        ),
        L::PrologMigrateSuspend => row(
            Ask::Move,
            Phase::rest(VmState::Suspended),
            active(L::PrologMigrateSuspendFailure),
        ),
        L::PrologMigrateUnknown => row(Ask::Move, active(L::Boot), active(L::PrologMigrateUnknownFailure)),
        L::BootMigrate => row(Ask::Restore, RUNNING, active(L::BootMigrateFailure)),
        L::HotplugResize => row(Ask::Resize, RUNNING, RUNNING),
        // Whether it works or not, the VM goes on as before.
        L::Backup => row(Ask::Backup, RUNNING, RUNNING),
        L::BackupPoweroff => row(Ask::Backup, POWEROFF, POWEROFF),
        L::Restore => row(Ask::RestoreDisks, POWEROFF, POWEROFF),
        L::Hotplug
        | L::HotplugSnapshot
        | L::HotplugNic
        | L::HotplugSaveas
        | L::DiskSnapshot
        | L::DiskSnapshotDelete
        | L::DiskResize => device_row(RUNNING),
        L::HotplugSaveasPoweroff
        | L::HotplugPrologPoweroff
        | L::HotplugEpilogPoweroff
        | L::DiskSnapshotPoweroff
        | L::DiskSnapshotRevertPoweroff
        | L::DiskSnapshotDeletePoweroff
        | L::DiskResizePoweroff
        | L::HotplugNicPoweroff => device_row(POWEROFF),
        L::HotplugSaveasSuspended | L::DiskSnapshotSuspended | L::DiskSnapshotDeleteSuspended => {
            device_row(SUSPENDED)
        }
        L::DiskResizeUndeployed | L::HotplugSaveasUndeployed => device_row(UNDEPLOYED),
        L::HotplugSaveasStopped => device_row(STOPPED),
        L::SaveStop => row(Ask::Save, active(L::EpilogStop), RUNNING),
        L::Epilog => row(Ask::Epilog, Phase::rest(VmState::Done), active(L::EpilogFailure)),
        L::EpilogStop => row(
            Ask::ToFrontEnd,
            Phase::rest(VmState::Stopped),
            active(L::EpilogStopFailure),
        ),
        L::EpilogUndeploy => row(
            Ask::ToFrontEnd,
            Phase::rest(VmState::Undeployed),
            active(L::EpilogUndeployFailure),
        ),
        // A domain that could not be destroyed may still run, so the VM does not count as gone and does not start
        // elsewhere before somebody has looked.
        L::CleanupDelete => row(Ask::Cleanup, Phase::rest(VmState::Done), active(L::EpilogFailure)),
        L::CleanupResubmit => row(
            Ask::Cleanup,
            Phase::rest(VmState::Pending),
            active(L::BootFailure),
        ),
        L::LcmInit
        | L::Running
        | L::Unknown
        | L::BootFailure
        | L::BootMigrateFailure
        | L::PrologMigrateFailure
        | L::PrologFailure
        | L::EpilogFailure
        | L::EpilogStopFailure
        | L::EpilogUndeployFailure
        | L::PrologMigratePoweroffFailure
        | L::PrologMigrateSuspendFailure
        | L::BootUndeployFailure
        | L::BootStoppedFailure
        | L::PrologResumeFailure
        | L::PrologUndeployFailure
        | L::PrologMigrateUnknownFailure => None,
    }
}

/// The transient phase that a failure phase is the failure of, and that `recover retry` goes back to.
#[must_use]
pub fn failure_of(failure: LcmState) -> Option<LcmState> {
    if !failure.as_str().ends_with("_FAILURE") {
        return None;
    }
    LcmState::ALL
        .iter()
        .copied()
        .find(|lcm| transient(*lcm).is_some_and(|row| row.failed == Phase::active(failure)))
}
