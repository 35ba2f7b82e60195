//! What a VM holds in each state. All usages (of hosts, leases, images, quotas, ports) derive from this table.

use crate::vm_state::{LcmState, Phase, VmState};

/// What a VM holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// CPU and memory of its host, and space of its system datastore.
    pub host: bool,
    /// The same of the host that it is leaving, until its domain has left it. (Recorded: freed when the move of the files
    /// begins.)
    pub host_left: bool,
    /// Its address leases.
    pub leases: bool,
    /// Its images.
    pub images: bool,
    /// Its share of the quotas of owner and group.
    pub quota: bool,
    /// Its share of the quotas for running VMs. (Recorded: a VM on HOLD counts.)
    pub running_quota: bool,
    /// Its console port.
    pub port: bool,
}

const NOTHING: Holds = Holds {
    host: false,
    host_left: false,
    leases: false,
    images: false,
    quota: false,
    running_quota: false,
    port: false,
};
/// Waiting for its first host.
const WAITING: Holds = Holds {
    leases: true,
    images: true,
    quota: true,
    running_quota: true,
    ..NOTHING
};
/// On a host.
const ON_HOST: Holds = Holds {
    host: true,
    port: true,
    ..WAITING
};
/// On a host, but off: its files and its place stay.
const PARKED: Holds = Holds {
    running_quota: false,
    ..ON_HOST
};
/// On a host, on its way to another.
const LEAVING: Holds = Holds {
    host_left: true,
    ..ON_HOST
};
/// Off its host, with its console port. (Recorded: stop keeps the port.)
const STOPPED: Holds = Holds {
    leases: true,
    images: true,
    quota: true,
    port: true,
    ..NOTHING
};
/// Off its host.
const UNDEPLOYED: Holds = Holds {
    port: false,
    ..STOPPED
};

impl Holds {
    /// What a VM holds in a phase.
    #[must_use]
    pub const fn of(phase: Phase) -> Self {
        match phase.state {
            VmState::Init | VmState::Pending | VmState::Hold | VmState::Cloning | VmState::CloningFailure => {
                WAITING
            }
            VmState::Active => Self::of_active(phase.lcm),
            VmState::Suspended | VmState::Poweroff => PARKED,
            VmState::Stopped => STOPPED,
            VmState::Undeployed => UNDEPLOYED,
            VmState::Done => NOTHING,
        }
    }

    /// While an operation on a VM that is off runs, it still does not count as running.
    const fn of_active(lcm: LcmState) -> Self {
        match lcm {
            LcmState::HotplugSaveasPoweroff
            | LcmState::HotplugSaveasSuspended
            | LcmState::HotplugPrologPoweroff
            | LcmState::HotplugEpilogPoweroff
            | LcmState::HotplugNicPoweroff
            | LcmState::PrologMigratePoweroff
            | LcmState::PrologMigratePoweroffFailure
            | LcmState::PrologMigrateSuspend
            | LcmState::PrologMigrateSuspendFailure
            | LcmState::DiskSnapshotPoweroff
            | LcmState::DiskSnapshotRevertPoweroff
            | LcmState::DiskSnapshotDeletePoweroff
            | LcmState::DiskSnapshotSuspended
            | LcmState::DiskSnapshotDeleteSuspended
            | LcmState::DiskResizePoweroff
            | LcmState::BackupPoweroff
            | LcmState::Restore => PARKED,
            // The guest has ended, only files are moved or removed: what ends a VM that is off takes nothing anew.
            LcmState::Epilog
            | LcmState::EpilogFailure
            | LcmState::EpilogStop
            | LcmState::EpilogStopFailure
            | LcmState::EpilogUndeploy
            | LcmState::EpilogUndeployFailure
            | LcmState::CleanupDelete => PARKED,
            LcmState::Migrate | LcmState::SaveMigrate => LEAVING,
            LcmState::HotplugSaveasUndeployed | LcmState::DiskResizeUndeployed => UNDEPLOYED,
            LcmState::HotplugSaveasStopped => STOPPED,
            LcmState::LcmInit
            | LcmState::Prolog
            | LcmState::Boot
            | LcmState::Running
            | LcmState::SaveStop
            | LcmState::SaveSuspend
            | LcmState::PrologMigrate
            | LcmState::PrologResume
            | LcmState::Shutdown
            | LcmState::CleanupResubmit
            | LcmState::Unknown
            | LcmState::Hotplug
            | LcmState::ShutdownPoweroff
            | LcmState::BootUnknown
            | LcmState::BootPoweroff
            | LcmState::BootSuspended
            | LcmState::BootStopped
            | LcmState::HotplugSnapshot
            | LcmState::HotplugNic
            | LcmState::HotplugSaveas
            | LcmState::ShutdownUndeploy
            | LcmState::PrologUndeploy
            | LcmState::BootUndeploy
            | LcmState::BootMigrate
            | LcmState::BootFailure
            | LcmState::BootMigrateFailure
            | LcmState::PrologMigrateFailure
            | LcmState::PrologFailure
            | LcmState::BootUndeployFailure
            | LcmState::BootStoppedFailure
            | LcmState::PrologResumeFailure
            | LcmState::PrologUndeployFailure
            | LcmState::DiskSnapshot
            | LcmState::DiskSnapshotDelete
            | LcmState::PrologMigrateUnknown
            | LcmState::PrologMigrateUnknownFailure
            | LcmState::DiskResize
            | LcmState::HotplugResize
            | LcmState::Backup => ON_HOST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_contradicts_itself() {
        for phase in Phase::all() {
            let holds = Holds::of(phase);
            assert!(
                !holds.running_quota || holds.quota,
                "{phase:?}: running without being counted"
            );
            assert!(
                !holds.host || (holds.leases && holds.images && holds.quota),
                "{phase:?}: on a host without its parts"
            );
            assert!(
                !holds.host_left || holds.host,
                "{phase:?}: leaves a host for nowhere"
            );
            assert_eq!(holds.quota, phase.state != VmState::Done, "{phase:?}");
        }
    }
}
