//! The states of a VM.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// State of a VM.
    VmState {
        Init = 0 "INIT",
        Pending = 1 "PENDING",
        Hold = 2 "HOLD",
        Active = 3 "ACTIVE",
        Stopped = 4 "STOPPED",
        Suspended = 5 "SUSPENDED",
        Done = 6 "DONE",
        Poweroff = 8 "POWEROFF",
        Undeployed = 9 "UNDEPLOYED",
        Cloning = 10 "CLONING",
        CloningFailure = 11 "CLONING_FAILURE",
    }
}

wire_enum! {
    /// State of a VM within ACTIVE. Numbers that the core never sets (13, 14, 55, 58) are left out.
    LcmState {
        LcmInit = 0 "LCM_INIT",
        Prolog = 1 "PROLOG",
        Boot = 2 "BOOT",
        Running = 3 "RUNNING",
        Migrate = 4 "MIGRATE",
        SaveStop = 5 "SAVE_STOP",
        SaveSuspend = 6 "SAVE_SUSPEND",
        SaveMigrate = 7 "SAVE_MIGRATE",
        PrologMigrate = 8 "PROLOG_MIGRATE",
        PrologResume = 9 "PROLOG_RESUME",
        EpilogStop = 10 "EPILOG_STOP",
        Epilog = 11 "EPILOG",
        Shutdown = 12 "SHUTDOWN",
        CleanupResubmit = 15 "CLEANUP_RESUBMIT",
        Unknown = 16 "UNKNOWN",
        Hotplug = 17 "HOTPLUG",
        ShutdownPoweroff = 18 "SHUTDOWN_POWEROFF",
        BootUnknown = 19 "BOOT_UNKNOWN",
        BootPoweroff = 20 "BOOT_POWEROFF",
        BootSuspended = 21 "BOOT_SUSPENDED",
        BootStopped = 22 "BOOT_STOPPED",
        CleanupDelete = 23 "CLEANUP_DELETE",
        HotplugSnapshot = 24 "HOTPLUG_SNAPSHOT",
        HotplugNic = 25 "HOTPLUG_NIC",
        HotplugSaveas = 26 "HOTPLUG_SAVEAS",
        HotplugSaveasPoweroff = 27 "HOTPLUG_SAVEAS_POWEROFF",
        HotplugSaveasSuspended = 28 "HOTPLUG_SAVEAS_SUSPENDED",
        ShutdownUndeploy = 29 "SHUTDOWN_UNDEPLOY",
        EpilogUndeploy = 30 "EPILOG_UNDEPLOY",
        PrologUndeploy = 31 "PROLOG_UNDEPLOY",
        BootUndeploy = 32 "BOOT_UNDEPLOY",
        HotplugPrologPoweroff = 33 "HOTPLUG_PROLOG_POWEROFF",
        HotplugEpilogPoweroff = 34 "HOTPLUG_EPILOG_POWEROFF",
        BootMigrate = 35 "BOOT_MIGRATE",
        BootFailure = 36 "BOOT_FAILURE",
        BootMigrateFailure = 37 "BOOT_MIGRATE_FAILURE",
        PrologMigrateFailure = 38 "PROLOG_MIGRATE_FAILURE",
        PrologFailure = 39 "PROLOG_FAILURE",
        EpilogFailure = 40 "EPILOG_FAILURE",
        EpilogStopFailure = 41 "EPILOG_STOP_FAILURE",
        EpilogUndeployFailure = 42 "EPILOG_UNDEPLOY_FAILURE",
        PrologMigratePoweroff = 43 "PROLOG_MIGRATE_POWEROFF",
        PrologMigratePoweroffFailure = 44 "PROLOG_MIGRATE_POWEROFF_FAILURE",
        PrologMigrateSuspend = 45 "PROLOG_MIGRATE_SUSPEND",
        PrologMigrateSuspendFailure = 46 "PROLOG_MIGRATE_SUSPEND_FAILURE",
        BootUndeployFailure = 47 "BOOT_UNDEPLOY_FAILURE",
        BootStoppedFailure = 48 "BOOT_STOPPED_FAILURE",
        PrologResumeFailure = 49 "PROLOG_RESUME_FAILURE",
        PrologUndeployFailure = 50 "PROLOG_UNDEPLOY_FAILURE",
        DiskSnapshotPoweroff = 51 "DISK_SNAPSHOT_POWEROFF",
        DiskSnapshotRevertPoweroff = 52 "DISK_SNAPSHOT_REVERT_POWEROFF",
        DiskSnapshotDeletePoweroff = 53 "DISK_SNAPSHOT_DELETE_POWEROFF",
        DiskSnapshotSuspended = 54 "DISK_SNAPSHOT_SUSPENDED",
        DiskSnapshotDeleteSuspended = 56 "DISK_SNAPSHOT_DELETE_SUSPENDED",
        DiskSnapshot = 57 "DISK_SNAPSHOT",
        DiskSnapshotDelete = 59 "DISK_SNAPSHOT_DELETE",
        PrologMigrateUnknown = 60 "PROLOG_MIGRATE_UNKNOWN",
        PrologMigrateUnknownFailure = 61 "PROLOG_MIGRATE_UNKNOWN_FAILURE",
        DiskResize = 62 "DISK_RESIZE",
        DiskResizePoweroff = 63 "DISK_RESIZE_POWEROFF",
        DiskResizeUndeployed = 64 "DISK_RESIZE_UNDEPLOYED",
        HotplugNicPoweroff = 65 "HOTPLUG_NIC_POWEROFF",
        HotplugResize = 66 "HOTPLUG_RESIZE",
        HotplugSaveasUndeployed = 67 "HOTPLUG_SAVEAS_UNDEPLOYED",
        HotplugSaveasStopped = 68 "HOTPLUG_SAVEAS_STOPPED",
        Backup = 69 "BACKUP",
        BackupPoweroff = 70 "BACKUP_POWEROFF",
        Restore = 71 "RESTORE",
    }
}

/// State and state within ACTIVE. The second is LCM_INIT in every other state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Phase {
    /// The state.
    pub state: VmState,
    /// The state within ACTIVE.
    pub lcm: LcmState,
}

impl Phase {
    /// A state other than ACTIVE.
    #[must_use]
    pub const fn rest(state: VmState) -> Self {
        Self {
            state,
            lcm: LcmState::LcmInit,
        }
    }

    /// ACTIVE and a state within.
    #[must_use]
    pub const fn active(lcm: LcmState) -> Self {
        Self {
            state: VmState::Active,
            lcm,
        }
    }

    /// Every combination that can occur.
    pub fn all() -> impl Iterator<Item = Self> {
        let resting = VmState::ALL
            .iter()
            .copied()
            .filter(|state| *state != VmState::Active)
            .map(Self::rest);
        resting.chain(LcmState::ALL.iter().copied().map(Self::active))
    }

    /// The name that messages use: of the state within ACTIVE when active.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.state {
            VmState::Active => self.lcm.as_str(),
            state => state.as_str(),
        }
    }
}
