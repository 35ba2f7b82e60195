//! What agents tell of PCI devices.

use serde::{Deserialize, Serialize};

/// A PCI device of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciFound {
    /// `0000:01:00.0`.
    pub address: String,
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Class and subclass.
    pub class: u16,
    /// NUMA node that it is at, where that is known.
    pub numa_node: Option<u32>,
    /// Name of its network interface; empty where it has none.
    pub interface: String,
    /// Name of the vendor; empty where the host has no list of names.
    pub vendor_name: String,
    /// Name of the device.
    pub device_name: String,
    /// Name of the class.
    pub class_name: String,
}
