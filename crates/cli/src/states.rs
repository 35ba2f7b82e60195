//! Names of states and types, long and short.

/// Short names of VM states, by number; an active VM shows its life cycle state instead.
const VM_SHORT: [&str; 12] = [
    "init", "pend", "hold", "actv", "stop", "susp", "done", "fail", "poff", "unde", "clon", "fail",
];

/// Names of VM states, by number.
const VM_STATES: [&str; 12] = [
    "INIT",
    "PENDING",
    "HOLD",
    "ACTIVE",
    "STOPPED",
    "SUSPENDED",
    "DONE",
    "FAILED",
    "POWEROFF",
    "UNDEPLOYED",
    "CLONING",
    "CLONING_FAILURE",
];

/// Names and short names of the life cycle states of a VM, by number.
const LCM_STATES: [(&str, &str); 72] = [
    ("LCM_INIT", "init"),
    ("PROLOG", "prol"),
    ("BOOT", "boot"),
    ("RUNNING", "runn"),
    ("MIGRATE", "migr"),
    ("SAVE_STOP", "save"),
    ("SAVE_SUSPEND", "save"),
    ("SAVE_MIGRATE", "save"),
    ("PROLOG_MIGRATE", "migr"),
    ("PROLOG_RESUME", "prol"),
    ("EPILOG_STOP", "epil"),
    ("EPILOG", "epil"),
    ("SHUTDOWN", "shut"),
    ("CANCEL", "shut"),
    ("FAILURE", "fail"),
    ("CLEANUP_RESUBMIT", "clea"),
    ("UNKNOWN", "unkn"),
    ("HOTPLUG", "hotp"),
    ("SHUTDOWN_POWEROFF", "shut"),
    ("BOOT_UNKNOWN", "boot"),
    ("BOOT_POWEROFF", "boot"),
    ("BOOT_SUSPENDED", "boot"),
    ("BOOT_STOPPED", "boot"),
    ("CLEANUP_DELETE", "clea"),
    ("HOTPLUG_SNAPSHOT", "snap"),
    ("HOTPLUG_NIC", "hotp"),
    ("HOTPLUG_SAVEAS", "hotp"),
    ("HOTPLUG_SAVEAS_POWEROFF", "hotp"),
    ("HOTPLUG_SAVEAS_SUSPENDED", "hotp"),
    ("SHUTDOWN_UNDEPLOY", "shut"),
    ("EPILOG_UNDEPLOY", "epil"),
    ("PROLOG_UNDEPLOY", "prol"),
    ("BOOT_UNDEPLOY", "boot"),
    ("HOTPLUG_PROLOG_POWEROFF", "hotp"),
    ("HOTPLUG_EPILOG_POWEROFF", "hotp"),
    ("BOOT_MIGRATE", "boot"),
    ("BOOT_FAILURE", "fail"),
    ("BOOT_MIGRATE_FAILURE", "fail"),
    ("PROLOG_MIGRATE_FAILURE", "fail"),
    ("PROLOG_FAILURE", "fail"),
    ("EPILOG_FAILURE", "fail"),
    ("EPILOG_STOP_FAILURE", "fail"),
    ("EPILOG_UNDEPLOY_FAILURE", "fail"),
    ("PROLOG_MIGRATE_POWEROFF", "migr"),
    ("PROLOG_MIGRATE_POWEROFF_FAILURE", "fail"),
    ("PROLOG_MIGRATE_SUSPEND", "migr"),
    ("PROLOG_MIGRATE_SUSPEND_FAILURE", "fail"),
    ("BOOT_UNDEPLOY_FAILURE", "fail"),
    ("BOOT_STOPPED_FAILURE", "fail"),
    ("PROLOG_RESUME_FAILURE", "fail"),
    ("PROLOG_UNDEPLOY_FAILURE", "fail"),
    ("DISK_SNAPSHOT_POWEROFF", "snap"),
    ("DISK_SNAPSHOT_REVERT_POWEROFF", "snap"),
    ("DISK_SNAPSHOT_DELETE_POWEROFF", "snap"),
    ("DISK_SNAPSHOT_SUSPENDED", "snap"),
    ("DISK_SNAPSHOT_REVERT_SUSPENDED", "snap"),
    ("DISK_SNAPSHOT_DELETE_SUSPENDED", "snap"),
    ("DISK_SNAPSHOT", "snap"),
    ("DISK_SNAPSHOT_REVERT", "-"),
    ("DISK_SNAPSHOT_DELETE", "snap"),
    ("PROLOG_MIGRATE_UNKNOWN", "migr"),
    ("PROLOG_MIGRATE_UNKNOWN_FAILURE", "fail"),
    ("DISK_RESIZE", "drsz"),
    ("DISK_RESIZE_POWEROFF", "drsz"),
    ("DISK_RESIZE_UNDEPLOYED", "drsz"),
    ("HOTPLUG_NIC_POWEROFF", "hotp"),
    ("HOTPLUG_RESIZE", "hotp"),
    ("HOTPLUG_SAVEAS_UNDEPLOYED", "hotp"),
    ("HOTPLUG_SAVEAS_STOPPED", "hotp"),
    ("BACKUP", "back"),
    ("BACKUP_POWEROFF", "back"),
    ("RESTORE", "rest"),
];

/// The state number that stands for an active VM.
pub const VM_ACTIVE: i64 = 3;
/// The state number of a suspended VM.
pub const VM_SUSPENDED: i64 = 5;
/// The state number of a VM that is switched off.
pub const VM_POWEROFF: i64 = 8;

const HOST_STATES: [(&str, &str); 9] = [
    ("INIT", "init"),
    ("MONITORING_MONITORED", "update"),
    ("MONITORED", "on"),
    ("ERROR", "err"),
    ("DISABLED", "dsbl"),
    ("MONITORING_ERROR", "retry"),
    ("MONITORING_INIT", "init"),
    ("MONITORING_DISABLED", "dsbl"),
    ("OFFLINE", "off"),
];

const IMAGE_SHORT: [&str; 11] = [
    "init", "rdy", "used", "disa", "lock", "err", "clon", "dele", "used", "lock", "lock",
];

const IMAGE_TYPES: [(&str, &str); 8] = [
    ("OS", "OS"),
    ("CDROM", "CD"),
    ("DATABLOCK", "DB"),
    ("KERNEL", "KL"),
    ("RAMDISK", "RD"),
    ("CONTEXT", "CX"),
    ("BACKUP", "BK"),
    ("FILESYSTEM", "FS"),
];

const DATASTORE_TYPES: [(&str, &str); 4] = [
    ("IMAGE", "img"),
    ("SYSTEM", "sys"),
    ("FILE", "fil"),
    ("BACKUP", "bck"),
];

const DATASTORE_STATES: [(&str, &str); 2] = [("READY", "on"), ("DISABLED", "off")];

const DISK_TYPES: [&str; 11] = [
    "FILE",
    "CD_ROM",
    "BLOCK",
    "RBD",
    "RBD_CDROM",
    "GLUSTER",
    "GLUSTER_CDROM",
    "SHEEPDOG",
    "SHEEPDOG_CDROM",
    "ISCSI",
    "FILE_SYSTEM",
];

const VNET_STATES: [(&str, &str); 7] = [
    ("INIT", "init"),
    ("READY", "rdy"),
    ("LOCK_CREATE", "lock"),
    ("LOCK_DELETE", "lock"),
    ("DONE", "done"),
    ("ERROR", "err"),
    ("UPDATE_FAILURE", "fail"),
];

const ZONE_STATES: [(&str, &str); 2] = [("ENABLED", "on"), ("DISABLED", "off")];

const LOCK_LEVELS: [&str; 5] = ["None", "Use", "Manage", "Admin", "All"];

const HISTORY_ACTIONS: [&str; 66] = [
    "none",
    "migrate",
    "live-migrate",
    "shutdown",
    "shutdown-hard",
    "undeploy",
    "undeploy-hard",
    "hold",
    "release",
    "stop",
    "suspend",
    "resume",
    "boot",
    "delete",
    "delete-recreate",
    "reboot",
    "reboot-hard",
    "resched",
    "unresched",
    "poweroff",
    "poweroff-hard",
    "disk-attach",
    "disk-detach",
    "nic-attach",
    "nic-detach",
    "disk-snapshot-create",
    "disk-snapshot-delete",
    "terminate",
    "terminate-hard",
    "disk-resize",
    "deploy",
    "chown",
    "chmod",
    "updateconf",
    "rename",
    "resize",
    "update",
    "snapshot-create",
    "snapshot-delete",
    "snapshot-revert",
    "disk-saveas",
    "disk-snapshot-revert",
    "recover",
    "retry",
    "monitor",
    "disk-snapshot-rename",
    "alias-attach",
    "alias-detach",
    "poweroff-migrate",
    "poweroff-hard-migrate",
    "backup",
    "nic-update",
    "backup-cancel",
    "sched-add",
    "sched-update",
    "sched-delete",
    "sg-attach",
    "sg-detach",
    "pci-attach",
    "pci-detach",
    "restore",
    "exec",
    "exec-retry",
    "exec-cancel",
    "vmgroup-add",
    "vmgroup-del",
];

fn pick<T: Copy>(table: &[T], number: i64) -> Option<T> {
    usize::try_from(number)
        .ok()
        .and_then(|index| table.get(index))
        .copied()
}

fn long(table: &[(&'static str, &'static str)], number: i64) -> &'static str {
    pick(table, number).map_or("-", |entry| entry.0)
}

fn short(table: &[(&'static str, &'static str)], number: i64) -> &'static str {
    pick(table, number).map_or("-", |entry| entry.1)
}

/// The short name of what a VM does: its life cycle state while it is active.
pub fn vm_short(state: i64, lcm_state: i64) -> &'static str {
    if state == VM_ACTIVE {
        short(&LCM_STATES, lcm_state)
    } else {
        pick(&VM_SHORT, state).unwrap_or("-")
    }
}

/// The name of a VM's state.
pub fn vm_state(state: i64) -> &'static str {
    pick(&VM_STATES, state).unwrap_or("-")
}

/// The name of a VM's life cycle state.
pub fn lcm_state(state: i64) -> &'static str {
    long(&LCM_STATES, state)
}

/// The name of a host's state.
pub fn host_state(state: i64) -> &'static str {
    long(&HOST_STATES, state)
}

/// The short name of a host's state.
pub fn host_short(state: i64) -> &'static str {
    short(&HOST_STATES, state)
}

/// The short name of an image's state.
pub fn image_short(state: i64) -> &'static str {
    pick(&IMAGE_SHORT, state).unwrap_or("-")
}

/// The name of an image's type.
pub fn image_type(number: i64) -> &'static str {
    long(&IMAGE_TYPES, number)
}

/// The two letters of an image's type.
pub fn image_type_short(number: i64) -> &'static str {
    short(&IMAGE_TYPES, number)
}

/// All names of image types, in the order of their numbers.
pub fn image_type_names() -> impl Iterator<Item = &'static str> {
    IMAGE_TYPES.iter().map(|entry| entry.0)
}

/// The name of a datastore's type.
pub fn datastore_type(number: i64) -> &'static str {
    long(&DATASTORE_TYPES, number)
}

/// The short name of a datastore's type.
pub fn datastore_type_short(number: i64) -> &'static str {
    short(&DATASTORE_TYPES, number)
}

/// The name of a datastore's state.
pub fn datastore_state(number: i64) -> &'static str {
    long(&DATASTORE_STATES, number)
}

/// The short name of a datastore's state.
pub fn datastore_short(number: i64) -> &'static str {
    short(&DATASTORE_STATES, number)
}

/// The name of a kind of disk.
pub fn disk_type(number: i64) -> &'static str {
    pick(&DISK_TYPES, number).unwrap_or("-")
}

/// The name of a network's state.
pub fn vnet_state(number: i64) -> &'static str {
    long(&VNET_STATES, number)
}

/// The short name of a network's state.
pub fn vnet_short(number: i64) -> &'static str {
    short(&VNET_STATES, number)
}

/// The name of a zone's state.
pub fn zone_state(number: i64) -> &'static str {
    long(&ZONE_STATES, number)
}

/// The short name of a zone's state.
pub fn zone_short(number: i64) -> &'static str {
    short(&ZONE_STATES, number)
}

/// What a lock forbids.
pub fn lock_level(number: i64) -> &'static str {
    pick(&LOCK_LEVELS, number).unwrap_or("-")
}

/// The name of the action that ended a history record.
pub fn history_action(number: i64) -> &'static str {
    pick(&HISTORY_ACTIONS, number).unwrap_or("-")
}
