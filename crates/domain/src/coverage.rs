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

/// How it is known that an attribute takes its effect. Each one that takes one is in a description that is compared as a
/// whole and that libvirt's schema accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Real guests boot with it in the lab, too.
    Lab,
    /// In the description only.
    Golden,
    /// In the description only: guests with it need hardware that machines for tests lack.
    Hardware,
    /// It takes no effect in the description.
    Nowhere,
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
    /// How that is known.
    pub seen: Seen,
}

const fn lab(section: &'static str, attribute: &'static str, covered: Covered) -> Row {
    row(section, attribute, covered, Seen::Lab)
}

const fn golden(section: &'static str, attribute: &'static str, covered: Covered) -> Row {
    row(section, attribute, covered, Seen::Golden)
}

const fn hardware(section: &'static str, attribute: &'static str, covered: Covered) -> Row {
    row(section, attribute, covered, Seen::Hardware)
}

const fn unseen(section: &'static str, attribute: &'static str, covered: Covered) -> Row {
    row(section, attribute, covered, Seen::Nowhere)
}

const fn row(section: &'static str, attribute: &'static str, covered: Covered, seen: Seen) -> Row {
    Row {
        section,
        attribute,
        covered,
        seen,
    }
}

/// Every attribute that has to do with the description of a domain.
pub const COVERAGE: &[Row] = &[
    golden("driver", "VM_MAD TYPE", Covered::Same),
    lab("VM", "ID", Covered::Same),
    lab("VM", "NAME", Covered::Differs("escaped; line ends become blanks")),
    lab("OS", "UUID", Covered::Same),
    lab("VM", "VCPU", Covered::Same),
    golden("VM", "VCPU_MAX", Covered::Same),
    golden(
        "VM",
        "CPU",
        Covered::Differs("without a known cgroup version: base 100, clamped to 2..10000"),
    ),
    golden("host", "CGROUPS_VERSION", Covered::Same),
    golden("host", "EMULATOR_CPUS", Covered::Same),
    lab("NUMA_NODE", "CPUS, TOTAL_CPUS", Covered::Same),
    lab("VM", "MEMORY", Covered::Same),
    golden(
        "VM",
        "MEMORY_MAX + MEMORY_RESIZE_MODE=BALLOONING or empty",
        Covered::Same,
    ),
    golden("VM", "MEMORY_MAX + MEMORY_RESIZE_MODE=HOTPLUG", Covered::Same),
    golden("VM", "MEMORY_SLOTS", Covered::Same),
    golden("OS", "ARCH", Covered::Same),
    lab("OS", "MACHINE", Covered::Same),
    lab(
        "OS",
        "KERNEL",
        Covered::Differs("KERNEL_DS gives the path in the VM directory"),
    ),
    lab(
        "OS",
        "INITRD",
        Covered::Differs("INITRD_DS gives the path in the VM directory"),
    ),
    golden("OS", "ROOT", Covered::Same),
    lab("OS", "KERNEL_CMD", Covered::Same),
    golden(
        "OS",
        "BOOTLOADER",
        Covered::Differs("written outside of os, where libvirt reads it; KVM makes no use of it"),
    ),
    lab(
        "OS",
        "BOOT",
        Covered::Differs("OS/BOOT wins over ORDER of the devices"),
    ),
    golden("OS", "FIRMWARE=UEFI", Covered::Same),
    golden("OS", "FIRMWARE=<path>", Covered::Same),
    golden("OS", "FIRMWARE=BIOS or empty", Covered::Same),
    golden("OS", "FIRMWARE_SECURE", Covered::Same),
    golden("OS", "FIRMWARE_FORMAT", Covered::Same),
    golden("OS", "SD_DISK_BUS", Covered::Same),
    lab(
        "CPU_MODEL",
        "MODEL",
        Covered::Differs(
            "host-model and maximum are modes too; host-passthrough becomes maximum under emulation",
        ),
    ),
    lab("CPU_MODEL", "FEATURES", Covered::Same),
    golden("cluster", "EVC_MODE", Covered::Same),
    lab(
        "TOPOLOGY",
        "SOCKETS CORES THREADS",
        Covered::Differs("missing ones follow from the number of virtual CPUs"),
    ),
    golden("TOPOLOGY", "HUGEPAGE_SIZE", Covered::Same),
    golden("TOPOLOGY", "MEMORY_ACCESS", Covered::Same),
    golden("NUMA_NODE", "MEMORY, TOTAL_CPUS", Covered::Same),
    golden("NUMA_NODE", "MEMORY_NODE_ID", Covered::Same),
    golden("NUMA_NODE", "DISTANCE", Covered::Same),
    lab(
        "FEATURES",
        "IOTHREADS",
        Covered::Differs("the SCSI controller takes thread 1"),
    ),
    golden("VM", "EMULATOR", Covered::Differs("no element when unset")),
    lab("DISK", "TYPE=FILE (default)", Covered::Same),
    golden("DISK", "TYPE=BLOCK", Covered::Same),
    golden("DISK", "TYPE=CDROM", Covered::Same),
    golden("DISK", "TYPE=BLOCK_CDROM", Covered::Same),
    golden("DISK", "TYPE=RBD / RBD_CDROM or DISK_TYPE=RBD", Covered::Same),
    golden("DISK", "CEPH_HOST", Covered::Same),
    golden("DISK", "CEPH_USER, CEPH_SECRET", Covered::Same),
    golden("DISK", "TYPE=ISCSI", Covered::Same),
    golden("DISK", "ISCSI_HOST", Covered::Same),
    golden("DISK", "ISCSI_USER, ISCSI_USAGE", Covered::Same),
    golden("DISK", "TYPE=GLUSTER", Covered::Same),
    golden("DISK", "TYPE=SHEEPDOG", Covered::Same),
    golden(
        "DISK",
        "TYPE=FILESYSTEM",
        Covered::Differs("no binary path: libvirt finds virtiofsd"),
    ),
    golden("DISK", "UID_MAP, GID_MAP", Covered::Same),
    lab(
        "DISK",
        "TARGET",
        Covered::Differs("hd and CD ports move where they would clash with an sd disk"),
    ),
    golden("DISK", "LUKS_SECRET", Covered::Same),
    lab("DISK", "ORDER", Covered::Same),
    golden("DISK", "READONLY=YES", Covered::Same),
    golden("DISK", "SHAREABLE=YES", Covered::Same),
    lab("DISK", "SERIAL", Covered::Same),
    golden(
        "DISK",
        "DRIVER",
        Covered::Differs("FORMAT of the DISK comes before the defaults of host, cluster and file"),
    ),
    lab("DISK", "CACHE", Covered::Differs("built-in default none")),
    lab(
        "DISK",
        "IO",
        Covered::Differs("a default of native gives way to a CACHE it cannot go with"),
    ),
    lab(
        "DISK",
        "DISCARD",
        Covered::Differs("built-in default unmap; not written for CDs"),
    ),
    lab("DISK", "IOTHREAD", Covered::Same),
    lab("DISK", "VIRTIO_BLK_QUEUES", Covered::Same),
    lab("DISK", "TOTAL_BYTES_SEC", Covered::Same),
    golden("DISK", "TOTAL_BYTES_SEC_MAX", Covered::Same),
    golden("DISK", "TOTAL_BYTES_SEC_MAX_LENGTH", Covered::Same),
    lab("DISK", "READ_BYTES_SEC", Covered::Same),
    lab("DISK", "READ_BYTES_SEC_MAX", Covered::Same),
    lab("DISK", "READ_BYTES_SEC_MAX_LENGTH", Covered::Same),
    golden("DISK", "WRITE_BYTES_SEC", Covered::Same),
    golden("DISK", "WRITE_BYTES_SEC_MAX", Covered::Same),
    golden("DISK", "WRITE_BYTES_SEC_MAX_LENGTH", Covered::Same),
    lab("DISK", "TOTAL_IOPS_SEC", Covered::Same),
    golden("DISK", "TOTAL_IOPS_SEC_MAX", Covered::Same),
    golden("DISK", "TOTAL_IOPS_SEC_MAX_LENGTH", Covered::Same),
    golden("DISK", "READ_IOPS_SEC", Covered::Same),
    golden("DISK", "READ_IOPS_SEC_MAX", Covered::Same),
    golden("DISK", "READ_IOPS_SEC_MAX_LENGTH", Covered::Same),
    lab("DISK", "WRITE_IOPS_SEC", Covered::Same),
    lab("DISK", "WRITE_IOPS_SEC_MAX", Covered::Same),
    lab("DISK", "WRITE_IOPS_SEC_MAX_LENGTH", Covered::Same),
    lab("DISK", "SIZE_IOPS_SEC", Covered::Same),
    lab("CONTEXT", "TARGET, DISK_ID", Covered::Same),
    lab(
        "FEATURES",
        "VIRTIO_SCSI_QUEUES",
        Covered::Differs("0 leaves the number to QEMU"),
    ),
    golden("NIC", "BRIDGE (empty) or NETWORK_MODE=DUMMY", Covered::Same),
    lab(
        "NIC",
        "BRIDGE with BRIDGE_TYPE linux/none/empty",
        Covered::Differs("other types of bridge are refused"),
    ),
    golden("NIC", "BRIDGE_TYPE=openvswitch", Covered::Same),
    hardware(
        "NIC",
        "BRIDGE_TYPE=openvswitch_dpdk",
        Covered::Differs("the socket is in the VM directory"),
    ),
    lab("NIC", "MAC", Covered::Same),
    golden("NIC", "TARGET", Covered::Same),
    golden("NIC", "ORDER", Covered::Same),
    golden("NIC", "SCRIPT", Covered::Same),
    lab("NIC", "MODEL", Covered::Same),
    lab(
        "NIC",
        "VIRTIO_QUEUES",
        Covered::Differs("vhost is not named, so that hosts without it work; one queue is not written"),
    ),
    golden("NIC", "FILTER", Covered::Same),
    golden(
        "NIC",
        "INBOUND_AVG_BW INBOUND_PEAK_BW INBOUND_PEAK_KB",
        Covered::Same,
    ),
    golden(
        "NIC",
        "OUTBOUND_AVG_BW OUTBOUND_PEAK_BW OUTBOUND_PEAK_KB",
        Covered::Same,
    ),
    golden("NIC_ALIAS", "any", Covered::Same),
    lab(
        "GRAPHICS",
        "TYPE",
        Covered::Differs("other values are refused, but none and sdl are skipped"),
    ),
    lab(
        "GRAPHICS",
        "LISTEN",
        Covered::Differs("built-in default 127.0.0.1"),
    ),
    golden(
        "GRAPHICS",
        "PORT",
        Covered::Differs("autoport where none is assigned"),
    ),
    lab(
        "GRAPHICS",
        "PASSWD",
        Covered::Differs("a random one is made by the core; cut at whole characters"),
    ),
    lab("GRAPHICS", "KEYMAP", Covered::Same),
    golden(
        "VM",
        "SPICE_OPTIONS",
        Covered::Differs("from a VM only elements that touch nothing of the host"),
    ),
    lab(
        "VIDEO",
        "TYPE",
        Covered::Differs("auto leaves the card to libvirt"),
    ),
    lab("VIDEO", "VRAM", Covered::Same),
    golden("VIDEO", "RESOLUTION", Covered::Same),
    golden("VIDEO", "IOMMU, ATS", Covered::Same),
    lab("INPUT", "TYPE, BUS", Covered::Differs("every INPUT")),
    golden(
        "IOMMU",
        "MODEL MODE OPTIONS",
        Covered::Differs("MODE=single; MODE=device is refused"),
    ),
    hardware("PCI", "DOMAIN BUS SLOT FUNCTION", Covered::Same),
    hardware("PCI", "UUID with MDEV_MODE empty or legacy", Covered::Same),
    hardware("PCI", "IOMMUFD", Covered::Same),
    hardware("PCI", "ACPI_NODES", Covered::Same),
    hardware("PCI", "VM_BUS_INDEX", Covered::Same),
    hardware("PCI", "VM_DOMAIN VM_BUS VM_SLOT VM_FUNCTION", Covered::Same),
    golden("host", "Q35_ROOT_PORTS", Covered::Same),
    unseen(
        "host",
        "Q35_NUMA_PCIE",
        Covered::No("expander buses per NUMA node are not made"),
    ),
    golden("FEATURES", "PCIHOLE64", Covered::Same),
    golden("TPM", "MODEL", Covered::Same),
    lab("FEATURES", "PAE", Covered::Same),
    lab("FEATURES", "ACPI", Covered::Same),
    lab("FEATURES", "APIC", Covered::Same),
    golden("FEATURES", "HYPERV", Covered::Same),
    golden("VM", "HYPERV_OPTIONS", Covered::Differs("held inside hyperv")),
    hardware("FEATURES", "GIC", Covered::Same),
    hardware("FEATURES", "RAS", Covered::Differs("opens features by itself")),
    lab("FEATURES", "LOCALTIME", Covered::Same),
    golden(
        "VM",
        "HYPERV_TIMERS",
        Covered::Differs("held inside clock, timer elements only"),
    ),
    lab(
        "FEATURES",
        "GUEST_AGENT",
        Covered::Differs("in the one devices block"),
    ),
    hardware("MEMORY_ENCRYPTION", "TYPE=SEV", Covered::Same),
    hardware(
        "MEMORY_ENCRYPTION",
        "TYPE=SEV-ES",
        Covered::Differs("other types are refused"),
    ),
    golden("VM", "MEMORY_TUNE_OFFSET", Covered::Same),
    lab(
        "RAW",
        "DATA with TYPE=kvm",
        Covered::Differs(
            "TYPE qemu or none counts too; VALIDATE checks the names of elements in domain and devices",
        ),
    ),
    golden("RAW", "RAW of driver", Covered::Same),
    unseen("core", "-", Covered::Differs("given by the caller")),
    unseen(
        "host script",
        "vmm deploy",
        Covered::No("done on the host, not in the description"),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::defaults::driver_conf_known;

    #[test]
    fn rows_are_distinct() {
        let rows: BTreeSet<_> = COVERAGE.iter().map(|row| (row.section, row.attribute)).collect();
        assert_eq!(rows.len(), COVERAGE.len());
    }

    /// What is said to be seen in the lab is named there.
    #[test]
    fn attributes_of_the_lab_are_in_its_files() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab");
        let files = std::fs::read_dir(directory)
            .expect("the lab")
            .map(|entry| entry.expect("a file").path());
        let texts: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|end| end == "py"))
            .map(|path| std::fs::read_to_string(path).expect("a text"))
            .collect();
        let words: BTreeSet<&str> = texts
            .iter()
            .flat_map(|text| text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')))
            .collect();
        for row in COVERAGE.iter().filter(|row| row.seen == Seen::Lab) {
            let name = row.attribute.split([',', ' ', '=']).next().unwrap_or_default();
            // KERNEL_DS stands for KERNEL.
            assert!(
                words.iter().any(|word| word.starts_with(name)),
                "{}/{name}",
                row.section
            );
        }
    }

    #[test]
    fn what_takes_effect_is_seen_somewhere() {
        for row in COVERAGE {
            let effect = !matches!(row.covered, Covered::No(_)) && row.section != "core";
            assert_eq!(
                effect,
                row.seen != Seen::Nowhere,
                "{}/{}",
                row.section,
                row.attribute
            );
        }
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
