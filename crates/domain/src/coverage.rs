//! Which attributes take effect in the description, as a table for documentation and checks.

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// As OpenNebula 7.4 does.
    Same,
    /// It takes effect, with this difference.
    Differs(&'static str),
    /// It takes no effect, for this reason.
    No(&'static str),
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The vector attribute that it is in, `VM` for a single attribute of the VM, `host` for one that the VM
    /// cannot set.
    pub section: &'static str,
    /// The attribute, with the values meant where they matter.
    pub attribute: &'static str,
    /// What becomes of it.
    pub covered: Covered,
}

const fn row(section: &'static str, attribute: &'static str, covered: Covered) -> Row {
    Row {
        section,
        attribute,
        covered,
    }
}

/// Every attribute that has to do with the description of a domain.
pub const COVERAGE: &[Row] = &[
    row("driver", "VM_MAD TYPE", Covered::Same),
    row("VM", "ID", Covered::Same),
    row("VM", "NAME", Covered::Differs("escaped; line ends become blanks")),
    row("OS", "UUID", Covered::Same),
    row("VM", "VCPU", Covered::Same),
    row("VM", "VCPU_MAX", Covered::Same),
    row(
        "VM",
        "CPU",
        Covered::Differs("without a known cgroup version: base 100, clamped to 2..10000"),
    ),
    row("host", "CGROUPS_VERSION", Covered::Same),
    row("host", "EMULATOR_CPUS", Covered::Same),
    row("NUMA_NODE", "CPUS, TOTAL_CPUS", Covered::Same),
    row("VM", "MEMORY", Covered::Same),
    row(
        "VM",
        "MEMORY_MAX + MEMORY_RESIZE_MODE=BALLOONING or empty",
        Covered::Same,
    ),
    row("VM", "MEMORY_MAX + MEMORY_RESIZE_MODE=HOTPLUG", Covered::Same),
    row("VM", "MEMORY_SLOTS", Covered::Same),
    row("OS", "ARCH", Covered::Same),
    row("OS", "MACHINE", Covered::Same),
    row(
        "OS",
        "KERNEL",
        Covered::Differs("KERNEL_DS gives the path in the VM directory"),
    ),
    row(
        "OS",
        "INITRD",
        Covered::Differs("INITRD_DS gives the path in the VM directory"),
    ),
    row("OS", "ROOT", Covered::Same),
    row("OS", "KERNEL_CMD", Covered::Same),
    row(
        "OS",
        "BOOTLOADER",
        Covered::Differs("written outside of os, where libvirt reads it; KVM makes no use of it"),
    ),
    row(
        "OS",
        "BOOT",
        Covered::Differs("OS/BOOT wins over ORDER of the devices"),
    ),
    row("OS", "FIRMWARE=UEFI", Covered::Same),
    row("OS", "FIRMWARE=<path>", Covered::Same),
    row("OS", "FIRMWARE=BIOS or empty", Covered::Same),
    row("OS", "FIRMWARE_SECURE", Covered::Same),
    row("OS", "FIRMWARE_FORMAT", Covered::Same),
    row("OS", "SD_DISK_BUS", Covered::Same),
    row(
        "CPU_MODEL",
        "MODEL",
        Covered::Differs(
            "host-model and maximum are modes too; host-passthrough becomes maximum under emulation",
        ),
    ),
    row("CPU_MODEL", "FEATURES", Covered::Same),
    row("cluster", "EVC_MODE", Covered::Same),
    row(
        "TOPOLOGY",
        "SOCKETS CORES THREADS",
        Covered::Differs("missing ones follow from the number of virtual CPUs"),
    ),
    row("TOPOLOGY", "HUGEPAGE_SIZE", Covered::Same),
    row("TOPOLOGY", "MEMORY_ACCESS", Covered::Same),
    row("NUMA_NODE", "MEMORY, TOTAL_CPUS", Covered::Same),
    row("NUMA_NODE", "MEMORY_NODE_ID", Covered::Same),
    row("NUMA_NODE", "DISTANCE", Covered::Same),
    row(
        "FEATURES",
        "IOTHREADS",
        Covered::Differs("the SCSI controller takes thread 1"),
    ),
    row("VM", "EMULATOR", Covered::Differs("no element when unset")),
    row("DISK", "TYPE=FILE (default)", Covered::Same),
    row("DISK", "TYPE=BLOCK", Covered::Same),
    row("DISK", "TYPE=CDROM", Covered::Same),
    row("DISK", "TYPE=BLOCK_CDROM", Covered::Same),
    row("DISK", "TYPE=RBD / RBD_CDROM or DISK_TYPE=RBD", Covered::Same),
    row("DISK", "CEPH_HOST", Covered::Same),
    row("DISK", "CEPH_USER, CEPH_SECRET", Covered::Same),
    row("DISK", "TYPE=ISCSI", Covered::Same),
    row("DISK", "ISCSI_HOST", Covered::Same),
    row("DISK", "ISCSI_USER, ISCSI_USAGE", Covered::Same),
    row("DISK", "TYPE=GLUSTER", Covered::Same),
    row("DISK", "TYPE=SHEEPDOG", Covered::Same),
    row(
        "DISK",
        "TYPE=FILESYSTEM",
        Covered::Differs("no binary path: libvirt finds virtiofsd"),
    ),
    row("DISK", "UID_MAP, GID_MAP", Covered::Same),
    row(
        "DISK",
        "TARGET",
        Covered::Differs("hd and CD ports move where they would clash with an sd disk"),
    ),
    row("DISK", "LUKS_SECRET", Covered::Same),
    row("DISK", "ORDER", Covered::Same),
    row("DISK", "READONLY=YES", Covered::Same),
    row("DISK", "SHAREABLE=YES", Covered::Same),
    row("DISK", "SERIAL", Covered::Same),
    row(
        "DISK",
        "DRIVER",
        Covered::Differs("FORMAT of the DISK comes before the defaults of host, cluster and file"),
    ),
    row("DISK", "CACHE", Covered::Differs("built-in default none")),
    row(
        "DISK",
        "IO",
        Covered::Differs("a default of native gives way to a CACHE it cannot go with"),
    ),
    row(
        "DISK",
        "DISCARD",
        Covered::Differs("built-in default unmap; not written for CDs"),
    ),
    row("DISK", "IOTHREAD", Covered::Same),
    row("DISK", "VIRTIO_BLK_QUEUES", Covered::Same),
    row("DISK", "TOTAL_BYTES_SEC", Covered::Same),
    row("DISK", "TOTAL_BYTES_SEC_MAX", Covered::Same),
    row("DISK", "TOTAL_BYTES_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "READ_BYTES_SEC", Covered::Same),
    row("DISK", "READ_BYTES_SEC_MAX", Covered::Same),
    row("DISK", "READ_BYTES_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "WRITE_BYTES_SEC", Covered::Same),
    row("DISK", "WRITE_BYTES_SEC_MAX", Covered::Same),
    row("DISK", "WRITE_BYTES_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "TOTAL_IOPS_SEC", Covered::Same),
    row("DISK", "TOTAL_IOPS_SEC_MAX", Covered::Same),
    row("DISK", "TOTAL_IOPS_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "READ_IOPS_SEC", Covered::Same),
    row("DISK", "READ_IOPS_SEC_MAX", Covered::Same),
    row("DISK", "READ_IOPS_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "WRITE_IOPS_SEC", Covered::Same),
    row("DISK", "WRITE_IOPS_SEC_MAX", Covered::Same),
    row("DISK", "WRITE_IOPS_SEC_MAX_LENGTH", Covered::Same),
    row("DISK", "SIZE_IOPS_SEC", Covered::Same),
    row("CONTEXT", "TARGET, DISK_ID", Covered::Same),
    row(
        "FEATURES",
        "VIRTIO_SCSI_QUEUES",
        Covered::Differs("0 leaves the number to QEMU"),
    ),
    row("NIC", "BRIDGE (empty) or NETWORK_MODE=DUMMY", Covered::Same),
    row(
        "NIC",
        "BRIDGE with BRIDGE_TYPE linux/none/empty",
        Covered::Differs("other types of bridge are refused"),
    ),
    row("NIC", "BRIDGE_TYPE=openvswitch", Covered::Same),
    row(
        "NIC",
        "BRIDGE_TYPE=openvswitch_dpdk",
        Covered::Differs("the socket is in the VM directory"),
    ),
    row("NIC", "MAC", Covered::Same),
    row("NIC", "TARGET", Covered::Same),
    row("NIC", "ORDER", Covered::Same),
    row("NIC", "SCRIPT", Covered::Same),
    row("NIC", "MODEL", Covered::Same),
    row(
        "NIC",
        "VIRTIO_QUEUES",
        Covered::Differs("vhost is not named, so that hosts without it work; one queue is not written"),
    ),
    row("NIC", "FILTER", Covered::Same),
    row(
        "NIC",
        "INBOUND_AVG_BW INBOUND_PEAK_BW INBOUND_PEAK_KB",
        Covered::Same,
    ),
    row(
        "NIC",
        "OUTBOUND_AVG_BW OUTBOUND_PEAK_BW OUTBOUND_PEAK_KB",
        Covered::Same,
    ),
    row("NIC_ALIAS", "any", Covered::Same),
    row(
        "GRAPHICS",
        "TYPE",
        Covered::Differs("other values are refused, but none and sdl are skipped"),
    ),
    row(
        "GRAPHICS",
        "LISTEN",
        Covered::Differs("built-in default 127.0.0.1"),
    ),
    row(
        "GRAPHICS",
        "PORT",
        Covered::Differs("autoport where none is assigned"),
    ),
    row(
        "GRAPHICS",
        "PASSWD",
        Covered::Differs("a random one is made by the core; cut at whole characters"),
    ),
    row("GRAPHICS", "KEYMAP", Covered::Same),
    row(
        "VM",
        "SPICE_OPTIONS",
        Covered::Differs("from a VM only elements that touch nothing of the host"),
    ),
    row(
        "VIDEO",
        "TYPE",
        Covered::Differs("auto leaves the card to libvirt"),
    ),
    row("VIDEO", "VRAM", Covered::Same),
    row("VIDEO", "RESOLUTION", Covered::Same),
    row("VIDEO", "IOMMU, ATS", Covered::Same),
    row("INPUT", "TYPE, BUS", Covered::Differs("every INPUT")),
    row(
        "IOMMU",
        "MODEL MODE OPTIONS",
        Covered::Differs("MODE=single; MODE=device is refused"),
    ),
    row("PCI", "DOMAIN BUS SLOT FUNCTION", Covered::Same),
    row("PCI", "UUID with MDEV_MODE empty or legacy", Covered::Same),
    row("PCI", "IOMMUFD", Covered::Same),
    row("PCI", "ACPI_NODES", Covered::Same),
    row("PCI", "VM_BUS_INDEX", Covered::Same),
    row("PCI", "VM_DOMAIN VM_BUS VM_SLOT VM_FUNCTION", Covered::Same),
    row("host", "Q35_ROOT_PORTS", Covered::Same),
    row(
        "host",
        "Q35_NUMA_PCIE",
        Covered::No("expander buses per NUMA node are not made"),
    ),
    row("FEATURES", "PCIHOLE64", Covered::Same),
    row("TPM", "MODEL", Covered::Same),
    row("FEATURES", "PAE", Covered::Same),
    row("FEATURES", "ACPI", Covered::Same),
    row("FEATURES", "APIC", Covered::Same),
    row("FEATURES", "HYPERV", Covered::Same),
    row("VM", "HYPERV_OPTIONS", Covered::Differs("held inside hyperv")),
    row("FEATURES", "GIC", Covered::Same),
    row("FEATURES", "RAS", Covered::Differs("opens features by itself")),
    row("FEATURES", "LOCALTIME", Covered::Same),
    row(
        "VM",
        "HYPERV_TIMERS",
        Covered::Differs("held inside clock, timer elements only"),
    ),
    row(
        "FEATURES",
        "GUEST_AGENT",
        Covered::Differs("in the one devices block"),
    ),
    row("MEMORY_ENCRYPTION", "TYPE=SEV", Covered::Same),
    row(
        "MEMORY_ENCRYPTION",
        "TYPE=SEV-ES",
        Covered::Differs("other types are refused"),
    ),
    row("VM", "MEMORY_TUNE_OFFSET", Covered::Same),
    row(
        "RAW",
        "DATA with TYPE=kvm",
        Covered::Differs(
            "TYPE qemu or none counts too; VALIDATE checks the names of elements in domain and devices",
        ),
    ),
    row("RAW", "RAW of driver", Covered::Same),
    row("core", "-", Covered::Differs("given by the caller")),
    row(
        "host script",
        "vmm deploy",
        Covered::No("done on the host, not in the description"),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::defaults::driver_conf_known;

    #[test]
    fn rows_are_distinct() {
        let rows: BTreeSet<_> = COVERAGE.iter().map(|row| (row.section, row.attribute)).collect();
        assert_eq!(rows.len(), COVERAGE.len());
    }

    /// Rows of the host's levels that take effect are known in the file, so that a checker does not warn of them.
    #[test]
    fn attributes_of_hosts_are_known_in_the_file() {
        for row in COVERAGE.iter().filter(|row| row.section == "host") {
            assert!(driver_conf_known(row.attribute, None), "{}", row.attribute);
        }
        for row in COVERAGE
            .iter()
            .filter(|row| matches!(row.section, "FEATURES" | "VIDEO"))
        {
            for key in row.attribute.split(", ") {
                assert!(driver_conf_known(row.section, Some(key)), "{}/{key}", row.section);
            }
        }
    }
}
