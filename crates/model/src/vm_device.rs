//! Changes of a VM's devices that are under way.

use serde::{Deserialize, Serialize};

use crate::Id;

/// What a change that was noted before snapshots could be saved has meant.
const fn no_snapshot() -> Id {
    -1
}

/// A change that hosts were asked for: what is to be completed when it works, and undone when it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChange {
    /// A NIC or an alias is in the template already and goes again if it cannot be attached.
    NicAttach {
        /// Its NIC_ID.
        nic: Id,
    },
    /// A NIC or an alias leaves the template once it is detached.
    NicDetach {
        /// Its NIC_ID.
        nic: Id,
    },
    /// A NIC has its new attributes already, and keeps them (recorded).
    NicUpdate {
        /// Its NIC_ID.
        nic: Id,
    },
    /// A disk is in the template already and goes again if it cannot be attached.
    DiskAttach {
        /// Its DISK_ID.
        disk: Id,
    },
    /// A disk leaves the template once it is detached.
    DiskDetach {
        /// Its DISK_ID.
        disk: Id,
    },
    /// A disk has its new size already, and gets the old one back if it cannot grow.
    DiskResize {
        /// Its DISK_ID.
        disk: Id,
        /// Size before, in MiB.
        before_mib: u64,
    },
    /// A disk is being copied to an image, which is in error if that fails.
    DiskSaveAs {
        /// Its DISK_ID.
        disk: Id,
        /// The image.
        image: Id,
        /// The snapshot whose contents are copied; -1 for what the disk is now.
        #[serde(default = "no_snapshot")]
        snapshot: Id,
    },
    /// A snapshot of a disk is listed already, and goes again if it cannot be taken.
    DiskSnapshotCreate {
        /// DISK_ID.
        disk: Id,
        /// The snapshot.
        snapshot: Id,
        /// The snapshot that was the active one before.
        active: Id,
    },
    /// A disk is that of a snapshot once it went back to it.
    DiskSnapshotRevert {
        /// DISK_ID.
        disk: Id,
        /// The snapshot.
        snapshot: Id,
    },
    /// A snapshot of a disk goes once it is deleted.
    DiskSnapshotDelete {
        /// DISK_ID.
        disk: Id,
        /// The snapshot.
        snapshot: Id,
    },
    /// A snapshot of the running machine is listed already, and goes again if it cannot be taken.
    SnapshotCreate {
        /// The snapshot.
        snapshot: Id,
    },
    /// The machine goes back to a snapshot.
    SnapshotRevert {
        /// The snapshot.
        snapshot: Id,
    },
    /// A snapshot of the machine goes once it is deleted.
    SnapshotDelete {
        /// The snapshot.
        snapshot: Id,
    },
    /// The command that the template names is started in the guest.
    GuestExec,
    /// It is ended.
    GuestCancel,
}
