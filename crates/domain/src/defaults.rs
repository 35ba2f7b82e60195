//! Built-in defaults, and which attributes `vmm_exec_kvm.conf` may hold.

use std::sync::LazyLock;

use plerion_template::{Template, Value, Vector};

const SINGLES: &[(&str, &str)] = &[
    (
        "HYPERV_OPTIONS",
        "<relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/>",
    ),
    (
        "HYPERV_TIMERS",
        "<timer name='hypervclock' present='yes'/><timer name='rtc' tickpolicy='catchup'/>\
         <timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/>",
    ),
    ("MEMORY_SLOTS", "16"),
    ("MEMORY_TUNE_OFFSET", "256"),
    (
        "OVMF_UEFIS",
        "/usr/share/OVMF/OVMF_CODE.fd /usr/share/OVMF/OVMF_CODE.secboot.fd \
         /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE_4M.secboot.fd \
         /usr/share/edk2/ovmf/OVMF_CODE.fd /usr/share/edk2/ovmf/OVMF_CODE.secboot.fd \
         /usr/share/AAVMF/AAVMF_CODE.fd /usr/share/AAVMF/AAVMF32_CODE.fd",
    ),
    ("Q35_ROOT_PORTS", "16"),
    (
        "SPICE_OPTIONS",
        "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>",
    ),
];

const VECTORS: &[(&str, &[(&str, &str)])] = &[
    (
        "DISK",
        &[
            ("CACHE", "none"),
            ("DISCARD", "unmap"),
            ("DRIVER", "raw"),
            ("GID_MAP", "100000"),
            ("UID_MAP", "100000"),
        ],
    ),
    (
        "FEATURES",
        &[
            ("ACPI", "yes"),
            ("APIC", "no"),
            ("GUEST_AGENT", "yes"),
            ("HYPERV", "no"),
            ("IOTHREADS", "0"),
            ("LOCALTIME", "no"),
            ("PAE", "no"),
            ("RAS", "no"),
            ("VIRTIO_SCSI_QUEUES", "auto"),
        ],
    ),
    ("GRAPHICS", &[("LISTEN", "127.0.0.1")]),
    ("NIC", &[("MODEL", "virtio"), ("VIRTIO_QUEUES", "auto")]),
    (
        "OS",
        &[
            ("FIRMWARE_FORMAT", "raw"),
            ("FIRMWARE_SECURE", "no"),
            ("SD_DISK_BUS", "scsi"),
        ],
    ),
];

/// Single attributes that have a meaning in `vmm_exec_kvm.conf`.
const KNOWN_SINGLES: &[&str] = &[
    "CGROUPS_VERSION",
    "EMULATOR",
    "EMULATOR_CPUS",
    "HYPERV_OPTIONS",
    "HYPERV_TIMERS",
    "MEMORY_SLOTS",
    "MEMORY_TUNE_OFFSET",
    "OVMF_UEFIS",
    "Q35_NUMA_PCIE",
    "Q35_ROOT_PORTS",
    "RAW",
    "SPICE_OPTIONS",
    "VCPU",
    "VCPU_MAX",
];

/// Vectors that have a meaning in `vmm_exec_kvm.conf`, and their keys.
const KNOWN_VECTORS: &[(&str, &[&str])] = &[
    ("CPU_MODEL", &["FEATURES", "MODEL"]),
    (
        "DISK",
        &[
            "CACHE",
            "DISCARD",
            "DRIVER",
            "GID_MAP",
            "IO",
            "READ_BYTES_SEC",
            "READ_BYTES_SEC_MAX",
            "READ_BYTES_SEC_MAX_LENGTH",
            "READ_IOPS_SEC",
            "READ_IOPS_SEC_MAX",
            "READ_IOPS_SEC_MAX_LENGTH",
            "SIZE_IOPS_SEC",
            "TOTAL_BYTES_SEC",
            "TOTAL_BYTES_SEC_MAX",
            "TOTAL_BYTES_SEC_MAX_LENGTH",
            "TOTAL_IOPS_SEC",
            "TOTAL_IOPS_SEC_MAX",
            "TOTAL_IOPS_SEC_MAX_LENGTH",
            "UID_MAP",
            "WRITE_BYTES_SEC",
            "WRITE_BYTES_SEC_MAX",
            "WRITE_BYTES_SEC_MAX_LENGTH",
            "WRITE_IOPS_SEC",
            "WRITE_IOPS_SEC_MAX",
            "WRITE_IOPS_SEC_MAX_LENGTH",
        ],
    ),
    (
        "FEATURES",
        &[
            "ACPI",
            "APIC",
            "GIC",
            "GUEST_AGENT",
            "HYPERV",
            "IOTHREADS",
            "LOCALTIME",
            "PAE",
            "PCIHOLE64",
            "RAS",
            "VIRTIO_BLK_QUEUES",
            "VIRTIO_SCSI_QUEUES",
        ],
    ),
    (
        "GRAPHICS",
        &["KEYMAP", "LISTEN", "PASSWD", "RANDOM_PASSWD", "TYPE"],
    ),
    ("NIC", &["FILTER", "MODEL", "VIRTIO_QUEUES"]),
    (
        "OS",
        &[
            "ARCH",
            "BOOTLOADER",
            "FIRMWARE",
            "FIRMWARE_FORMAT",
            "FIRMWARE_SECURE",
            "INITRD",
            "KERNEL",
            "KERNEL_CMD",
            "MACHINE",
            "ROOT",
            "SD_DISK_BUS",
        ],
    ),
    ("RAW", &["DATA", "TYPE", "VALIDATE"]),
    ("TPM", &["MODEL"]),
    ("VIDEO", &["ATS", "IOMMU", "RESOLUTION", "TYPE", "VRAM"]),
];

static DEFAULTS: LazyLock<Template> = LazyLock::new(|| {
    let mut template = Template::new();
    for (name, value) in SINGLES {
        template.add(name, Value::Single((*value).to_owned()));
    }
    for (name, pairs) in VECTORS {
        template.add_vector(name, pairs.iter().copied().collect::<Vector>());
    }
    template
});

/// What holds where neither VM, host, cluster nor `vmm_exec_kvm.conf` says anything.
///
/// Not in it, because they depend on the host: `OS/ARCH` (the host's own) and `OS/MACHINE` (`q35`, or `virt` on
/// aarch64). `EMULATOR` has no default: libvirt then picks the one that is installed.
#[must_use]
pub fn defaults() -> &'static Template {
    &DEFAULTS
}

/// Whether `name` (upper case), or `key` of the vector `name`, has a meaning in `vmm_exec_kvm.conf`.
#[must_use]
pub fn driver_conf_known(name: &str, key: Option<&str>) -> bool {
    let keys = KNOWN_VECTORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, keys)| *keys);
    match key {
        Some(key) => keys.is_some_and(|keys| keys.contains(&key)),
        None => keys.is_some() || KNOWN_SINGLES.contains(&name),
    }
}

/// The attributes of a `vmm_exec_kvm.conf` that have no meaning, as `NAME` or `NAME/KEY`, in order.
///
/// A vector where a single value is expected (or the other way round) is listed too.
#[must_use]
pub fn driver_conf_unknown(conf: &Template) -> Vec<String> {
    let mut unknown = Vec::new();
    for attribute in conf.iter() {
        let name = attribute.name.as_str();
        match &attribute.value {
            Value::Single(_) if KNOWN_SINGLES.contains(&name) => {}
            Value::Vector(vector) if driver_conf_known(name, None) && !is_single_only(name) => unknown
                .extend(
                    vector
                        .iter()
                        .filter(|(key, _)| !driver_conf_known(name, Some(key)))
                        .map(|(key, _)| format!("{name}/{key}")),
                ),
            Value::Single(_) | Value::Vector(_) => unknown.push(name.to_owned()),
        }
    }
    unknown
}

fn is_single_only(name: &str) -> bool {
    !KNOWN_VECTORS.iter().any(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_set_in_the_file() {
        for attribute in defaults().iter() {
            match &attribute.value {
                Value::Single(_) => assert!(driver_conf_known(&attribute.name, None), "{}", attribute.name),
                Value::Vector(vector) => {
                    for (key, _) in vector.iter() {
                        assert!(
                            driver_conf_known(&attribute.name, Some(key)),
                            "{}/{key}",
                            attribute.name
                        );
                    }
                }
            }
        }
        assert_eq!(driver_conf_unknown(defaults()), Vec::<String>::new());
    }

    #[test]
    fn unknown_attributes_are_named() {
        let mut conf = Template::new();
        conf.set("EMULATOR", "/usr/bin/qemu-system-x86_64");
        conf.set("EMULATR", "x");
        conf.set("DISK", "x");
        conf.add_vector("VCPU", [("X", "1")].into_iter().collect());
        conf.add_vector("NIC", [("MODEL", "e1000"), ("MODLE", "x")].into_iter().collect());
        assert_eq!(
            driver_conf_unknown(&conf),
            ["DISK", "EMULATR", "NIC/MODLE", "VCPU"]
        );
    }
}
