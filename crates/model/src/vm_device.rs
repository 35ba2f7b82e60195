//! Changes of a VM's devices that are under way.

use serde::{Deserialize, Serialize};

use crate::Id;

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
}
