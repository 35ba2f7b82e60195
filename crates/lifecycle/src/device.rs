//! Changes of a VM's devices: in which phases they are possible, and through which they pass.

use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::outcome::{Outcome, Refusal};

/// What is done to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceWork {
    /// A NIC or an alias of one comes or goes. Without `cold` that of a VM which is off changes no more than its
    /// template (`COLD_NIC_ATTACH` of the hypervisor driver).
    Nic {
        /// Whether hosts are asked when the VM is off.
        cold: bool,
    },
    /// A disk comes.
    DiskAttach,
    /// A disk goes.
    DiskDetach,
    /// A disk grows.
    DiskResize,
    /// A disk is copied to a new image.
    DiskSaveAs,
    /// A snapshot of a disk is taken.
    DiskSnapshotCreate,
    /// A disk goes back to a snapshot.
    DiskSnapshotRevert,
    /// A snapshot of a disk is deleted.
    DiskSnapshotDelete,
    /// A snapshot of the running machine is taken, or the machine goes back to one.
    Snapshot,
    /// A snapshot of the running machine is deleted.
    SnapshotDelete,
    /// A command is started or ended in the guest.
    GuestCommand,
}

impl DeviceWork {
    /// All there is.
    pub const ALL: [Self; 12] = [
        Self::Nic { cold: false },
        Self::Nic { cold: true },
        Self::DiskAttach,
        Self::DiskDetach,
        Self::DiskResize,
        Self::DiskSaveAs,
        Self::DiskSnapshotCreate,
        Self::DiskSnapshotRevert,
        Self::DiskSnapshotDelete,
        Self::Snapshot,
        Self::SnapshotDelete,
        Self::GuestCommand,
    ];

    /// The phases it passes through from RUNNING, POWEROFF, SUSPENDED, STOPPED and UNDEPLOYED, where it is possible.
    const fn phases(self) -> [Option<LcmState>; 5] {
        use LcmState as L;
        match self {
            Self::Nic { cold: true } => [Some(L::HotplugNic), Some(L::HotplugNicPoweroff), None, None, None],
            Self::Nic { cold: false } => [Some(L::HotplugNic), None, None, None, None],
            Self::DiskAttach => [Some(L::Hotplug), Some(L::HotplugPrologPoweroff), None, None, None],
            Self::DiskDetach => [Some(L::Hotplug), Some(L::HotplugEpilogPoweroff), None, None, None],
            Self::DiskResize => [
                Some(L::DiskResize),
                Some(L::DiskResizePoweroff),
                None,
                None,
                Some(L::DiskResizeUndeployed),
            ],
            Self::DiskSaveAs => [
                Some(L::HotplugSaveas),
                Some(L::HotplugSaveasPoweroff),
                Some(L::HotplugSaveasSuspended),
                Some(L::HotplugSaveasStopped),
                Some(L::HotplugSaveasUndeployed),
            ],
            Self::DiskSnapshotCreate => [
                Some(L::DiskSnapshot),
                Some(L::DiskSnapshotPoweroff),
                Some(L::DiskSnapshotSuspended),
                None,
                None,
            ],
            Self::DiskSnapshotRevert => [None, Some(L::DiskSnapshotRevertPoweroff), None, None, None],
            Self::DiskSnapshotDelete => [
                Some(L::DiskSnapshotDelete),
                Some(L::DiskSnapshotDeletePoweroff),
                Some(L::DiskSnapshotDeleteSuspended),
                None,
                None,
            ],
            Self::Snapshot | Self::SnapshotDelete => [Some(L::HotplugSnapshot), None, None, None, None],
            Self::GuestCommand => [Some(L::Hotplug), None, None, None, None],
        }
    }
}

/// Where a change of a device leads.
pub(crate) fn device(phase: Phase, work: DeviceWork) -> Result<Outcome, Refusal> {
    let [running, poweroff, suspended, stopped, undeployed] = work.phases();
    let through = match phase.state {
        VmState::Active if phase.lcm == LcmState::Running => running,
        VmState::Poweroff if work == (DeviceWork::Nic { cold: false }) => return Ok(Outcome::stay()),
        VmState::Poweroff => poweroff,
        VmState::Suspended => suspended,
        VmState::Stopped => stopped,
        VmState::Undeployed => undeployed,
        VmState::Active
        | VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Done
        | VmState::Cloning
        | VmState::CloningFailure => None,
    };
    through
        .map(|lcm| Outcome::to(Phase::active(lcm)))
        .ok_or(Refusal::State(phase))
}
