//! The transfer drivers, and which of them a disk is in the hands of.

use plerion_protocol::DiskFormat;
use plerion_template::Vector;
use plerion_world::TRANSFER_BUILT_IN;

use crate::plan::Stay;

/// A transfer driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer<'a> {
    /// Nothing happens.
    Dummy,
    /// Files are copied to the host.
    Ssh,
    /// All see the same files.
    Shared,
    /// Scripts of the driver of that name.
    Script(&'a str),
}

impl<'a> Transfer<'a> {
    /// The driver of a VM's stay.
    pub(crate) fn of(stay: &'a Stay<'_>) -> Self {
        Self::named(stay, &stay.system.tm_mad)
    }

    /// The driver of one disk: that of its image's datastore where one of the two has scripts, else that of the system
    /// datastore, for which the built-in drivers fit themselves.
    pub(crate) fn of_disk(stay: &'a Stay<'_>, disk: &'a Vector) -> Self {
        let system = Self::of(stay);
        let driver = disk.get("TM_MAD").filter(|driver| !driver.is_empty());
        let (false, Some(driver)) = (is_volatile(disk), driver) else {
            return system;
        };
        match (Self::named(stay, driver), system) {
            (own @ Self::Script(_), _) | (own, Self::Script(_)) => own,
            _ => system,
        }
    }

    /// A dummy host has no files for the built-in drivers; scripts are run for it like for others.
    fn named(stay: &Stay<'_>, driver: &'a str) -> Self {
        if !TRANSFER_BUILT_IN.contains(&driver) {
            return Self::Script(driver);
        }
        match driver {
            _ if stay.host.im_mad == "dummy" => Self::Dummy,
            "ssh" => Self::Ssh,
            "shared" | "qcow2" => Self::Shared,
            _ => Self::Dummy,
        }
    }
}

/// Whether a disk lives only as long as the VM.
pub(crate) fn is_volatile(disk: &Vector) -> bool {
    disk.get("IMAGE_ID").is_none()
}

/// The format of a disk.
pub(crate) fn disk_format(disk: &Vector) -> Result<DiskFormat, String> {
    match disk.get("FORMAT").or_else(|| disk.get("DRIVER")).unwrap_or("raw") {
        "raw" | "" => Ok(DiskFormat::Raw),
        "qcow2" => Ok(DiskFormat::Qcow2),
        other => Err(format!(
            "disks of format {other} are not supported; use raw or qcow2"
        )),
    }
}
