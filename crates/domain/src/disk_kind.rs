//! What a disk is, as far as its neighbours and all parts of its element must know.

use plerion_template::Vector;

use crate::lookup::{device_name, filled};

/// How a disk is connected to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    Ide,
    Sata,
    Scsi,
    Virtio,
}

impl Bus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Virtio => "virtio",
        }
    }
}

/// The first letters of a TARGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Hd,
    Sd,
    Vd,
}

/// A DISK with all that its neighbours must know about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk<'a> {
    pub(crate) vector: &'a Vector,
    pub(crate) id: u64,
    pub(crate) target: &'a str,
    pub(crate) prefix: Prefix,
    /// 0 for a, 25 for z, 26 for aa.
    pub(crate) index: u64,
    pub(crate) bus: Bus,
    pub(crate) is_cdrom: bool,
    /// The context CD: its vector is CONTEXT.
    pub(crate) is_context: bool,
}

impl Disk<'_> {
    /// The disk in messages.
    pub(crate) fn name(&self) -> String {
        if self.is_context {
            "CONTEXT".to_owned()
        } else {
            device_name("DISK", "DISK_ID", self.vector)
        }
    }
}

/// Upper-case TYPE of a DISK.
pub(crate) fn disk_type(vector: &Vector) -> String {
    filled(vector.get("TYPE")).unwrap_or("FILE").to_ascii_uppercase()
}
