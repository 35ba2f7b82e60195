//! The settings that decisions depend on, read from oned.conf over built-in defaults.

use jiff::tz::TimeZone;
use plerion_lifecycle::Relocation;
use plerion_model::autostart::Autostart;
use plerion_model::host_failure::OnHostFailure;
use plerion_template::{Template, Vector};

use crate::auth_driver::{AuthDrivers, auth_defaults_set};
use crate::secrets::Secrets;

/// Settings of the core. An empty oned.conf gives [`Config::default`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The attributes of oned.conf as given, over the defaults: what `one.system.config` shows.
    pub attributes: Template,
    /// Directory of the datastores.
    pub datastore_location: String,
    /// DEV_PREFIX of images that name none.
    pub device_prefix: String,
    /// DEV_PREFIX of CD-ROM images that name none.
    pub cdrom_device_prefix: String,
    /// TYPE of images that name none.
    pub image_type: String,
    /// First two bytes of generated MAC addresses.
    pub mac_prefix: u16,
    /// Size of address ranges that name none.
    pub network_size: u32,
    /// First console port.
    pub port_start: u16,
    /// Bits that new objects lack.
    pub umask: u16,
    /// How the scheduler moves VMs that are marked for it (`LIVE_RESCHEDS`, `COLD_MIGRATE_MODE`).
    pub resched: Relocation,
    /// Where the days and hours of scheduled actions are counted.
    pub time_zone: TimeZone,
    /// Whether VMs start again by themselves where neither they nor their host and its cluster say (`AUTOSTART`).
    pub autostart: Autostart,
    /// VMs that start at the same time on a host before another one is started by itself there, where neither the host nor
    /// its cluster says (`AUTOSTART_PARALLEL`).
    pub autostart_parallel: u32,
    /// VMs that may be starting at once on a host before another one is placed there; `None` is no bound
    /// (`MAX_ACTIONS_PER_HOST`).
    pub host_starts: Option<usize>,
    /// VMs that may be starting at once on all hosts together; `None` is no bound (`MAX_ACTIONS_PER_CLUSTER`).
    pub starts: Option<usize>,
    /// What becomes of VMs whose host fails where neither they nor their host and its cluster say (`ON_HOST_FAILURE`).
    pub on_host_failure: OnHostFailure,
    /// Seconds that a host must not have answered to count as failed (`HOST_FAILURE_SECONDS`).
    pub host_failure_s: u64,
    /// Metrics of VM quotas beyond the built-in ones (`QUOTA_VM_ATTRIBUTE`).
    pub quota_metrics: Vec<String>,
    /// Authentication drivers (`AUTH_MAD`, `AUTH_MAD_CONF`, `DEFAULT_AUTH`, `SESSION_EXPIRATION_TIME`).
    pub auth: AuthDrivers,
    /// Which attributes are kept encrypted (`*_ENCRYPTED_ATTR`), and the key for them.
    pub secrets: Secrets,
}

/// `HOST_FAILURE_SECONDS` where nothing is said.
const HOST_FAILURE_S: u64 = 60;
/// `AUTOSTART_PARALLEL` where nothing is said.
const AUTOSTART_PARALLEL: u32 = 3;

/// Settings of the built-in transfer drivers: name, and the pairs of TM_MAD_CONF.
const TRANSFER_DRIVERS: &[(&str, &[(&str, &str)])] = &[
    (
        "dummy",
        &[
            ("LN_TARGET", "NONE"),
            ("CLONE_TARGET", "SYSTEM"),
            ("SHARED", "YES"),
            ("DS_MIGRATE", "YES"),
            ("DS_LIVE_MIGRATE", "YES"),
            ("DS_MIGRATE_SNAP", "YES"),
        ],
    ),
    (
        "shared",
        &[
            ("LN_TARGET", "NONE"),
            ("CLONE_TARGET", "SYSTEM"),
            ("SHARED", "YES"),
            ("TM_MAD_SYSTEM", "ssh"),
            ("LN_TARGET_SSH", "SYSTEM"),
            ("CLONE_TARGET_SSH", "SYSTEM"),
            ("DISK_TYPE_SSH", "FILE"),
            ("ALLOW_ORPHANS", "FORMAT"),
            ("DS_MIGRATE", "YES"),
            ("DS_LIVE_MIGRATE", "YES"),
            ("DS_MIGRATE_SNAP", "YES"),
        ],
    ),
    (
        "qcow2",
        &[
            ("LN_TARGET", "NONE"),
            ("CLONE_TARGET", "SYSTEM"),
            ("SHARED", "YES"),
            ("TM_MAD_SYSTEM", "ssh"),
            ("LN_TARGET_SSH", "SYSTEM"),
            ("CLONE_TARGET_SSH", "SYSTEM"),
            ("DISK_TYPE_SSH", "FILE"),
            ("ALLOW_ORPHANS", "FORMAT"),
            ("DRIVER", "qcow2"),
            ("DS_MIGRATE", "YES"),
            ("DS_LIVE_MIGRATE", "YES"),
            ("DS_MIGRATE_SNAP", "YES"),
        ],
    ),
    (
        "ssh",
        &[
            ("LN_TARGET", "SYSTEM"),
            ("CLONE_TARGET", "SYSTEM"),
            ("SHARED", "NO"),
            ("ALLOW_ORPHANS", "FORMAT"),
            ("DS_MIGRATE", "YES"),
            ("DS_LIVE_MIGRATE", "YES"),
            ("DS_MIGRATE_SNAP", "YES"),
        ],
    ),
];

impl Default for Config {
    fn default() -> Self {
        Self::new(Template::new(), "/var/lib/one/datastores")
    }
}

impl Config {
    /// Settings of an oned.conf. `datastore_location` is used where the file names none.
    #[must_use]
    pub fn new(mut attributes: Template, datastore_location: &str) -> Self {
        set_defaults(&mut attributes, datastore_location);
        let text = |name: &str| attributes.get(name).unwrap_or_default().to_owned();
        let bound = |name: &str| {
            let number = attributes
                .get(name)
                .and_then(|text| text.trim().parse::<usize>().ok());
            number.filter(|number| *number > 0)
        };
        Self {
            datastore_location: text("DATASTORE_LOCATION").trim_end_matches('/').to_owned(),
            device_prefix: text("DEFAULT_DEVICE_PREFIX"),
            // Not among the attributes shown unless given (recorded).
            cdrom_device_prefix: attributes
                .get("DEFAULT_CDROM_DEVICE_PREFIX")
                .unwrap_or("hd")
                .to_owned(),
            image_type: text("DEFAULT_IMAGE_TYPE"),
            mac_prefix: mac_prefix(&text("MAC_PREFIX")),
            network_size: text("NETWORK_SIZE").parse().unwrap_or(254),
            port_start: attributes
                .pair("VNC_PORTS", "START")
                .and_then(|text| text.parse().ok())
                .unwrap_or(5900),
            umask: u16::from_str_radix(&text("DEFAULT_UMASK"), 8).unwrap_or(0o177) & 0o777,
            resched: Relocation::of_call(
                text("LIVE_RESCHEDS") == "1",
                text("COLD_MIGRATE_MODE").parse().unwrap_or(0),
            )
            .unwrap_or(Relocation::Save),
            time_zone: TimeZone::UTC,
            autostart: attributes
                .get("AUTOSTART")
                .and_then(Autostart::parse)
                .unwrap_or_default(),
            autostart_parallel: attributes
                .get("AUTOSTART_PARALLEL")
                .and_then(|text| text.trim().parse().ok())
                .filter(|count| *count > 0)
                .unwrap_or(AUTOSTART_PARALLEL),
            host_starts: bound("MAX_ACTIONS_PER_HOST"),
            starts: bound("MAX_ACTIONS_PER_CLUSTER"),
            on_host_failure: attributes
                .get("ON_HOST_FAILURE")
                .and_then(OnHostFailure::parse)
                .unwrap_or_default(),
            host_failure_s: attributes
                .get("HOST_FAILURE_SECONDS")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(HOST_FAILURE_S),
            quota_metrics: quota_metrics(&attributes),
            auth: AuthDrivers::of(&attributes),
            secrets: Secrets::of(&attributes),
            attributes,
        }
    }

    /// Settings of a transfer driver; `None` for one that is not known.
    #[must_use]
    pub fn transfer_driver(&self, name: &str) -> Option<&Vector> {
        self.attributes
            .vectors("TM_MAD_CONF")
            .find(|conf| conf.get("NAME") == Some(name))
    }

    /// Whether a transfer driver is set to do something (`DS_MIGRATE`, …); one that does not say is not.
    #[must_use]
    pub fn transfer_allows(&self, driver: &str, setting: &str) -> bool {
        self.transfer_driver(driver)
            .and_then(|conf| conf.get(setting))
            .is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Whether a hypervisor driver can change CPU and memory of what runs: what `VM_MAD` says (`LIVE_RESIZE`), else
    /// what is built in.
    #[must_use]
    pub fn hypervisor_resizes(&self, driver: &str) -> bool {
        self.attributes
            .vectors("VM_MAD")
            .find(|conf| conf.get("NAME") == Some(driver))
            .and_then(|conf| conf.get("LIVE_RESIZE"))
            .map_or(matches!(driver, "kvm" | "qemu"), |value| {
                value.eq_ignore_ascii_case("yes")
            })
    }

    /// Whether a hypervisor driver keeps snapshots of machines that stop or move: what `VM_MAD` says (`KEEP_SNAPSHOTS`),
    /// else what is built in.
    #[must_use]
    pub fn hypervisor_keeps_snapshots(&self, driver: &str) -> bool {
        self.attributes
            .vectors("VM_MAD")
            .find(|conf| conf.get("NAME") == Some(driver))
            .and_then(|conf| conf.get("KEEP_SNAPSHOTS"))
            .map_or(matches!(driver, "kvm" | "qemu"), |value| {
                value.eq_ignore_ascii_case("yes")
            })
    }

    /// Whether hosts are asked when a NIC of a VM that is off comes or goes: what `VM_MAD` says (`COLD_NIC_ATTACH`), else
    /// no.
    #[must_use]
    pub fn hypervisor_attaches_cold(&self, driver: &str) -> bool {
        self.attributes
            .vectors("VM_MAD")
            .find(|conf| conf.get("NAME") == Some(driver))
            .and_then(|conf| conf.get("COLD_NIC_ATTACH"))
            .is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Whether an attribute of VM templates is for administrators only. `path` is `NAME` or `NAME/KEY`.
    #[must_use]
    pub fn is_restricted(&self, list: &str, path: &str) -> bool {
        self.attributes.all(list).any(
            |value| matches!(value, plerion_template::Value::Single(text) if text.eq_ignore_ascii_case(path)),
        )
    }
}

/// `QUOTA_VM_ATTRIBUTE`, in upper case; those that every installation has are left out.
fn quota_metrics(attributes: &Template) -> Vec<String> {
    let built_in = plerion_model::quota::vm_metric_names(&[]);
    let mut names: Vec<String> = Vec::new();
    for value in attributes.all("QUOTA_VM_ATTRIBUTE") {
        if let plerion_template::Value::Single(text) = value {
            let name = text.trim().to_ascii_uppercase();
            if !name.is_empty() && !built_in.contains(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn mac_prefix(text: &str) -> u16 {
    let mut bytes = text
        .split(':')
        .map(|part| u16::from_str_radix(part, 16).unwrap_or(0) & 0xff);
    let high = bytes.next().unwrap_or(2);
    high << 8 | bytes.next().unwrap_or(0)
}

fn set_defaults(attributes: &mut Template, datastore_location: &str) {
    for (name, value) in [
        ("API_LIST_ORDER", "DESC"),
        ("COLD_MIGRATE_MODE", "0"),
        ("CONTEXT_ALLOW_ETH_UPDATES", "NO"),
        ("CONTEXT_RESTRICTED_DIRS", "/etc"),
        ("CONTEXT_SAFE_DIRS", ""),
        ("DATASTORE_CAPACITY_CHECK", "yes"),
        ("DATASTORE_LOCATION", datastore_location),
        ("DEFAULT_DEVICE_PREFIX", "sd"),
        ("DEFAULT_IMAGE_TYPE", "OS"),
        ("DEFAULT_UMASK", "177"),
        ("ENABLE_OTHER_PERMISSIONS", "YES"),
        ("LISTEN_ADDRESS", "127.0.0.1"),
        ("LIVE_RESCHEDS", "0"),
        ("MAC_PREFIX", "02:00"),
        ("NETWORK_SIZE", "254"),
        ("PORT", "2633"),
    ]
    .into_iter()
    .chain(plerion_model::vdc::RIGHTS_DEFAULT)
    {
        attributes.set_if_missing(name, value);
    }
    if !attributes.contains("VNC_PORTS") {
        attributes.add_vector(
            "VNC_PORTS",
            [("RESERVED", "32768:65536"), ("START", "5900")]
                .into_iter()
                .collect(),
        );
    }
    for (name, pairs) in TRANSFER_DRIVERS {
        let known = attributes
            .vectors("TM_MAD_CONF")
            .any(|conf| conf.get("NAME") == Some(name));
        if !known {
            let mut conf: Vector = pairs.iter().copied().collect();
            conf.set("NAME", *name);
            attributes.add_vector("TM_MAD_CONF", conf);
        }
    }
    auth_defaults_set(attributes);
    set_default_list(attributes, "VM_RESTRICTED_ATTR", VM_RESTRICTED);
    set_default_list(attributes, "IMAGE_RESTRICTED_ATTR", &["SOURCE"]);
    for name in ["USER_RESTRICTED_ATTR", "GROUP_RESTRICTED_ATTR"] {
        set_default_list(attributes, name, RIGHTS_RESTRICTED);
    }
    set_default_list(attributes, "VNET_RESTRICTED_ATTR", VNET_RESTRICTED);
    for (name, values) in ENCRYPTED {
        set_default_list(attributes, name, values);
    }
    set_default_list(attributes, "INHERIT_VNET_ATTR", INHERIT_VNET);
    set_default_list(attributes, "INHERIT_DATASTORE_ATTR", INHERIT_DATASTORE);
    set_default_list(attributes, "INHERIT_IMAGE_ATTR", INHERIT_IMAGE);
}

fn set_default_list(attributes: &mut Template, name: &str, values: &[&str]) {
    if !attributes.contains(name) {
        for value in values {
            attributes.add(name, plerion_template::Value::Single((*value).to_owned()));
        }
    }
}

/// Attributes of VM templates that only administrators may set.
#[rustfmt::skip]
const VM_RESTRICTED: &[&str] = &[
    "CONTEXT/FILES",
    "NIC/MAC",
    "NIC/VLAN_ID",
    "NIC/BRIDGE",
    "NIC/FILTER",
    "NIC/FILTER_IP_SPOOFING",
    "NIC/FILTER_MAC_SPOOFING",
    "NIC/INBOUND_AVG_BW",
    "NIC/INBOUND_PEAK_BW",
    "NIC/INBOUND_PEAK_KB",
    "NIC/OUTBOUND_AVG_BW",
    "NIC/OUTBOUND_PEAK_BW",
    "NIC/OUTBOUND_PEAK_KB",
    "NIC/OPENNEBULA_MANAGED",
    "NIC/EXTERNAL",
    "NIC/VLAN_TAGGED_ID",
    "NIC_ALIAS/MAC",
    "NIC_ALIAS/VLAN_ID",
    "NIC_ALIAS/BRIDGE",
    "NIC_ALIAS/INBOUND_AVG_BW",
    "NIC_ALIAS/INBOUND_PEAK_BW",
    "NIC_ALIAS/INBOUND_PEAK_KB",
    "NIC_ALIAS/OUTBOUND_AVG_BW",
    "NIC_ALIAS/OUTBOUND_PEAK_BW",
    "NIC_ALIAS/OUTBOUND_PEAK_KB",
    "NIC_ALIAS/OPENNEBULA_MANAGED",
    "NIC_DEFAULT/MAC",
    "NIC_DEFAULT/VLAN_ID",
    "NIC_DEFAULT/BRIDGE",
    "NIC_DEFAULT/FILTER",
    "NIC_DEFAULT/EXTERNAL",
    "DISK/TOTAL_BYTES_SEC",
    "DISK/TOTAL_BYTES_SEC_MAX_LENGTH",
    "DISK/TOTAL_BYTES_SEC_MAX",
    "DISK/READ_BYTES_SEC",
    "DISK/READ_BYTES_SEC_MAX_LENGTH",
    "DISK/READ_BYTES_SEC_MAX",
    "DISK/WRITE_BYTES_SEC",
    "DISK/WRITE_BYTES_SEC_MAX_LENGTH",
    "DISK/WRITE_BYTES_SEC_MAX",
    "DISK/TOTAL_IOPS_SEC",
    "DISK/TOTAL_IOPS_SEC_MAX_LENGTH",
    "DISK/TOTAL_IOPS_SEC_MAX",
    "DISK/READ_IOPS_SEC",
    "DISK/READ_IOPS_SEC_MAX_LENGTH",
    "DISK/READ_IOPS_SEC_MAX",
    "DISK/WRITE_IOPS_SEC",
    "DISK/WRITE_IOPS_SEC_MAX_LENGTH",
    "DISK/WRITE_IOPS_SEC_MAX",
    "DISK/SIZE_IOPS_SEC",
    "DISK/OPENNEBULA_MANAGED",
    "DISK/ORIGINAL_SIZE",
    "DISK/SIZE_PREV",
    "DEPLOY_ID",
    "CPU_COST",
    "MEMORY_COST",
    "DISK_COST",
    "PCI",
    "EMULATOR",
    "RAW/DATA",
    "USER_PRIORITY",
    "USER_INPUTS/CPU",
    "USER_INPUTS/MEMORY",
    "USER_INPUTS/VCPU",
    "TOPOLOGY/PIN_POLICY",
    "TOPOLOGY/HUGEPAGE_SIZE",
];

/// Attributes that are kept encrypted.
#[rustfmt::skip]
const ENCRYPTED: &[(&str, &[&str])] = &[
    ("VM_ENCRYPTED_ATTR", &["CONTEXT/PASSWORD", "ONEAPP_ONEKS_CLUSTER_SPEC"]),
    ("DOCUMENT_ENCRYPTED_ATTR", &["PROVISION_BODY"]),
    ("USER_ENCRYPTED_ATTR", &["SSH_PRIVATE_KEY", "SSH_PASSPHRASE"]),
    ("DATASTORE_ENCRYPTED_ATTR", &["RESTIC_PASSWORD", "NETAPP_PASS", "PUREFA_API_TOKEN"]),
];

/// Attributes of users and groups that only administrators may set.
const RIGHTS_RESTRICTED: &[&str] = &["VM_USE_OPERATIONS", "VM_MANAGE_OPERATIONS", "VM_ADMIN_OPERATIONS"];

/// Attributes of networks that only administrators may set.
#[rustfmt::skip]
const VNET_RESTRICTED: &[&str] = &[
    "VN_MAD",
    "PHYDEV",
    "QINQ_TYPE",
    "BRIDGE",
    "CONF",
    "BRIDGE_CONF",
    "OVS_BRIDGE_CONF",
    "IP_LINK_CONF",
    "FILTER",
    "FILTER_IP_SPOOFING",
    "FILTER_MAC_SPOOFING",
    "AR/VN_MAD",
    "AR/PHYDEV",
    "AR/BRIDGE",
    "AR/FILTER",
    "AR/FILTER_IP_SPOOFING",
    "AR/FILTER_MAC_SPOOFING",
    "CLUSTER_IDS",
    "EXTERNAL",
];

/// Attributes that a disk takes from its datastore.
#[rustfmt::skip]
const INHERIT_DATASTORE: &[&str] = &[
    "CEPH_HOST",
    "CEPH_SECRET",
    "CEPH_KEY",
    "CEPH_USER",
    "CEPH_CONF",
    "CEPH_TRASH",
    "POOL_NAME",
    "ISCSI_USER",
    "ISCSI_USAGE",
    "ISCSI_HOST",
    "GLUSTER_HOST",
    "GLUSTER_VOLUME",
    "DISK_TYPE",
    "ALLOW_ORPHANS",
    "QCOW2_STANDALONE",
    "SPARSE",
    "LVM_THIN_ENABLE",
    "PERSISTENT_SNAPSHOTS",
];

/// Attributes that a disk takes from its image.
#[rustfmt::skip]
const INHERIT_IMAGE: &[&str] = &[
    "ISCSI_USER",
    "ISCSI_USAGE",
    "ISCSI_HOST",
    "ISCSI_IQN",
    "LUKS_SECRET",
    "DISK_TYPE",
    "SERIAL",
    "MOUNT_POINT",
    "MOUNT_TAG",
];

/// Attributes that a NIC takes from its network.
#[rustfmt::skip]
const INHERIT_VNET: &[&str] = &[
    "VLAN_TAGGED_ID",
    "FILTER",
    "FILTER_IP_SPOOFING",
    "FILTER_MAC_SPOOFING",
    "MTU",
    "METRIC",
    "IP6_METRIC",
    "METHOD",
    "IP6_METHOD",
    "INBOUND_AVG_BW",
    "INBOUND_PEAK_BW",
    "INBOUND_PEAK_KB",
    "OUTBOUND_AVG_BW",
    "OUTBOUND_PEAK_BW",
    "OUTBOUND_PEAK_KB",
    "CONF",
    "BRIDGE_CONF",
    "OVS_BRIDGE_CONF",
    "IP_LINK_CONF",
    "EXTERNAL_IP",
    "AWS_ALLOCATION_ID",
    "VULTR_IP_ID",
    "GATEWAY",
    "DNS",
    "VXLAN_MODE",
    "VXLAN_TEP",
    "VXLAN_MC",
    "CVLANS",
    "QINQ_TYPE",
    "TRUST",
    "SPOOFCHK",
];
