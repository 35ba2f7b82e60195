//! `onevm` and `onetemplate`.

use super::shared::{
    self, FILE, FILE_NEEDED, FILTER, GROUP, GROUP_MAYBE, NAME, OCTET, SCHEDULE, USER, number, one, plain,
    some, with,
};
use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind};
use crate::families::{common, port_forward, template, vm, vm_devices, vm_reach, vmgroup, vrouter};
use crate::kind::Kind;

const VM_ONE: ArgDef = one(Kind::Vm, "vmid");
const VM_SOME: ArgDef = some(Kind::Vm, "range|vmid_list");
const DISK: ArgDef = number("diskid");
const NIC: ArgDef = number("nicid");
const SNAPSHOT: ArgDef = number("snapshot_id");
const DISK_SNAPSHOT: ArgDef = number("disk_snapshot_id");
const ACTION: ArgDef = number("sched_id");
const HOST: ArgDef = one(Kind::Host, "hostid");
const DATASTORE_MAYBE: ArgDef = ArgDef::optional(ArgKind::Object(Kind::Datastore), "datastoreid");
const SECGROUP: ArgDef = one(Kind::Secgroup, "sgid");

/// Options that describe a VM.
const DESCRIPTION: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::value(None, "cpu", OptKind::Float, "cpu"),
    OptDef::value(None, "vcpu", OptKind::Number, "vcpu"),
    OptDef::value(None, "memory", OptKind::Memory, "memory"),
    OptDef::value(None, "arch", OptKind::Text, "arch"),
    OptDef::value(None, "boot", OptKind::Text, "device_list"),
    OptDef::value(None, "disk", OptKind::List, "image0,image1"),
    OptDef::value(None, "nic", OptKind::List, "network0,network1"),
    OptDef::value(None, "raw", OptKind::Text, "string"),
    OptDef::flag(None, "vnc"),
    OptDef::value(None, "vnc-password", OptKind::Text, "password"),
    OptDef::value(None, "vnc-listen", OptKind::Text, "ip"),
    OptDef::value(None, "vnc-keymap", OptKind::Text, "keymap"),
    OptDef::flag(None, "spice"),
    OptDef::value(None, "spice-password", OptKind::Text, "password"),
    OptDef::value(None, "spice-listen", OptKind::Text, "ip"),
    OptDef::value(None, "spice-keymap", OptKind::Text, "keymap"),
    OptDef::value(None, "video", OptKind::Text, "type"),
    OptDef::value(None, "video-vram", OptKind::Text, "vram"),
    OptDef::value(None, "video-resolution", OptKind::Text, "resolution"),
    OptDef::flag(None, "video-ats"),
    OptDef::flag(None, "video-iommu"),
    OptDef::value(None, "ssh", OptKind::Maybe, "[file]"),
    OptDef::flag(None, "net_context"),
    OptDef::value(None, "context", OptKind::List, "line1,line2,line3"),
    OptDef::value(None, "files_ds", OptKind::List, "file1,file2"),
    OptDef::value(None, "init", OptKind::List, "script1,script2"),
    OptDef::value(None, "startscript", OptKind::Text, "file"),
    OptDef::flag(None, "report_ready"),
    OptDef::value(None, "user-inputs", OptKind::List, "ui1,ui2,ui3"),
];
const SSH: &[OptDef] = &[
    OptDef::value(None, "nic-id", OptKind::Text, "nic_id"),
    OptDef::value(None, "ssh-options", OptKind::Text, "options"),
    OptDef::value(None, "cmd", OptKind::Text, "cmd"),
];
const NIC_OPTION: &[OptDef] = &[OptDef::value(None, "nic-id", OptKind::Text, "nic_id")];
const VNC: &[OptDef] = &[
    OptDef::value(None, "vnc", OptKind::Text, "vnc"),
    OptDef::flag(None, "web"),
];
const SPICE: &[OptDef] = &[
    OptDef::value(None, "spice", OptKind::Text, "spice"),
    OptDef::flag(None, "web"),
];
const CONSOLE: &[OptDef] = &[OptDef::flag(None, "force"), OptDef::flag(None, "web")];
const HOLD: &[OptDef] = &[OptDef::flag(None, "hold")];
const MULTIPLE: &[OptDef] = &[OptDef::value(Some('m'), "multiple", OptKind::Number, "x")];
const HARD: &[OptDef] = &[OptDef::flag(None, "hard")];
const ENFORCE: &[OptDef] = &[OptDef::flag(Some('e'), "enforce")];
const FILE_OPTION: &[OptDef] = &[OptDef::value(Some('f'), "file", OptKind::Text, "file")];
const MIGRATE: &[OptDef] = &[
    OptDef::flag(None, "live"),
    OptDef::flag(None, "poff"),
    OptDef::flag(None, "poff-hard"),
];
const RECOVER: &[OptDef] = &[
    OptDef::flag(None, "success"),
    OptDef::flag(None, "failure"),
    OptDef::flag(None, "retry"),
    OptDef::flag(None, "delete"),
    OptDef::flag(None, "recreate"),
    OptDef::flag(None, "delete-db"),
];
const WAIT: &[OptDef] = &[
    OptDef::value(None, "state", OptKind::Text, "state"),
    OptDef::value(None, "timeout", OptKind::Number, "seconds"),
];
const CAPACITY: &[OptDef] = &[
    OptDef::value(None, "cpu", OptKind::Float, "cpu"),
    OptDef::value(None, "vcpu", OptKind::Number, "vcpu"),
    OptDef::value(None, "memory", OptKind::Memory, "memory"),
];
const DISK_ATTACH: &[OptDef] = &[
    OptDef::value(Some('i'), "image", OptKind::Object(Kind::Image), "id|name"),
    OptDef::value(Some('t'), "target", OptKind::Text, "target"),
    OptDef::value(None, "prefix", OptKind::Text, "prefix"),
    OptDef::value(None, "cache", OptKind::Text, "cache_mode"),
    OptDef::value(None, "discard", OptKind::Text, "discard_mode"),
];
const DISK_SAVEAS: &[OptDef] = &[
    OptDef::value(Some('t'), "type", OptKind::Text, "type"),
    OptDef::value(Some('s'), "snapshot", OptKind::Text, "snapshot"),
];
const NIC_ATTACH: &[OptDef] = &[
    OptDef::value(Some('n'), "network", OptKind::Object(Kind::Vnet), "id|name"),
    OptDef::value(Some('i'), "ip", OptKind::Text, "ip"),
    OptDef::value(Some('a'), "alias", OptKind::Text, "alias"),
    OptDef::value(None, "nic_name", OptKind::Text, "name"),
];
const PCI: &[OptDef] = &[
    OptDef::value(None, "pci", OptKind::Text, "short_address"),
    OptDef::value(None, "pci_class", OptKind::Text, "class"),
    OptDef::value(None, "pci_device", OptKind::Text, "device"),
    OptDef::value(None, "pci_vendor", OptKind::Text, "vendor"),
];
const BACKUP: &[OptDef] = &[
    OptDef::value(
        Some('d'),
        "datastore",
        OptKind::Object(Kind::Datastore),
        "id|name",
    ),
    OptDef::flag(None, "reset"),
];
const RESTORE: &[OptDef] = &[
    OptDef::value(None, "disk-id", OptKind::Number, "disk_id"),
    OptDef::value(None, "increment", OptKind::Number, "increment_id"),
];
const STDIN: &[OptDef] = &[OptDef::value(None, "stdin", OptKind::Text, "stdin")];
const EXTENDED: &[OptDef] = &[OptDef::flag(None, "extended")];
const SEARCH: &[OptDef] = &[OptDef::value(None, "search", OptKind::Text, "search")];
const ALL: &[OptDef] = &[OptDef::flag(None, "all")];

/// `onevm`.
pub static VM: Command = Command {
    name: "onevm",
    kind: Kind::Vm,
    list: vm::LIST,
    show: vm::SHOW,
    subcommands: &[
        with(
            "create",
            &[FILE],
            &[DESCRIPTION, shared::DRY, HOLD, MULTIPLE],
            vm::create,
        ),
        with(
            "deploy",
            &[VM_SOME, HOST, DATASTORE_MAYBE],
            &[ENFORCE, FILE_OPTION],
            vm::deploy,
        ),
        with(
            "migrate",
            &[VM_SOME, HOST, DATASTORE_MAYBE],
            &[MIGRATE, ENFORCE],
            vm::migrate,
        ),
        with("hold", &[VM_SOME], &[SCHEDULE], vm::hold),
        with("release", &[VM_SOME], &[SCHEDULE], vm::release),
        with("terminate", &[VM_SOME], &[HARD, SCHEDULE], vm::terminate),
        with("undeploy", &[VM_SOME], &[HARD, SCHEDULE], vm::undeploy),
        with("poweroff", &[VM_SOME], &[HARD, SCHEDULE], vm::poweroff),
        with("reboot", &[VM_SOME], &[HARD, SCHEDULE], vm::reboot),
        with("stop", &[VM_SOME], &[SCHEDULE], vm::stop),
        with("suspend", &[VM_SOME], &[SCHEDULE], vm::suspend),
        with("resume", &[VM_SOME], &[SCHEDULE], vm::resume),
        plain("resched", &[VM_SOME], vm::resched),
        plain("unresched", &[VM_SOME], vm::unresched),
        with("recover", &[VM_SOME], &[RECOVER], vm::recover),
        with("wait", &[VM_SOME], &[WAIT], vm::wait),
        with("resize", &[VM_ONE], &[CAPACITY, ENFORCE, FILE_OPTION], vm::resize),
        with("updateconf", &[VM_ONE, FILE], &[shared::APPEND], vm::updateconf),
        with(
            "disk-attach",
            &[VM_ONE],
            &[DISK_ATTACH, FILE_OPTION],
            vm_devices::disk_attach,
        ),
        plain("disk-detach", &[VM_ONE, DISK], vm_devices::disk_detach),
        plain(
            "disk-resize",
            &[VM_ONE, DISK, ArgDef::needed(ArgKind::Text, "size")],
            vm_devices::disk_resize,
        ),
        with(
            "disk-saveas",
            &[VM_ONE, DISK, ArgDef::needed(ArgKind::Text, "img_name")],
            &[DISK_SAVEAS],
            vm_devices::disk_saveas,
        ),
        with(
            "disk-snapshot-create",
            &[VM_ONE, DISK, NAME],
            &[SCHEDULE],
            vm_devices::disk_snapshot_create,
        ),
        with(
            "disk-snapshot-revert",
            &[VM_ONE, DISK, DISK_SNAPSHOT],
            &[SCHEDULE],
            vm_devices::disk_snapshot_revert,
        ),
        with(
            "disk-snapshot-delete",
            &[VM_ONE, DISK, DISK_SNAPSHOT],
            &[SCHEDULE],
            vm_devices::disk_snapshot_delete,
        ),
        plain(
            "disk-snapshot-rename",
            &[VM_ONE, DISK, DISK_SNAPSHOT, NAME],
            vm_devices::disk_snapshot_rename,
        ),
        plain(
            "disk-snapshot-list",
            &[VM_ONE, DISK],
            vm_devices::disk_snapshot_list,
        ),
        with(
            "nic-attach",
            &[VM_ONE],
            &[NIC_ATTACH, PCI, FILE_OPTION],
            vm_devices::nic_attach,
        ),
        plain("nic-detach", &[VM_ONE, NIC], vm_devices::nic_detach),
        with(
            "nic-update",
            &[VM_ONE, NIC, FILE],
            &[shared::APPEND],
            vm_devices::nic_update,
        ),
        plain("sg-attach", &[VM_ONE, NIC, SECGROUP], vm_devices::secgroup_attach),
        plain("sg-detach", &[VM_ONE, NIC, SECGROUP], vm_devices::secgroup_detach),
        with(
            "pci-attach",
            &[VM_ONE],
            &[PCI, FILE_OPTION],
            vm_devices::pci_attach,
        ),
        plain("pci-detach", &[VM_ONE, number("pciid")], vm_devices::pci_detach),
        with(
            "snapshot-create",
            &[VM_SOME, ArgDef::optional(ArgKind::Text, "name")],
            &[SCHEDULE],
            vm_devices::snapshot_create,
        ),
        with(
            "snapshot-revert",
            &[VM_ONE, SNAPSHOT],
            &[SCHEDULE],
            vm_devices::snapshot_revert,
        ),
        with(
            "snapshot-delete",
            &[VM_ONE, SNAPSHOT],
            &[SCHEDULE],
            vm_devices::snapshot_delete,
        ),
        plain("snapshot-list", &[VM_ONE], vm_devices::snapshot_list),
        with("backup", &[VM_ONE], &[BACKUP, SCHEDULE], vm::backup),
        plain("backup-cancel", &[VM_ONE], vm::backup_cancel),
        plain(
            "backupmode",
            &[VM_ONE, ArgDef::needed(ArgKind::Text, "mode")],
            vm::backup_mode,
        ),
        with(
            "restore",
            &[VM_ONE, one(Kind::Image, "imageid")],
            &[RESTORE],
            vm::restore,
        ),
        with(
            "exec",
            &[VM_SOME, ArgDef::needed(ArgKind::Text, "cmd")],
            &[STDIN],
            vm::exec,
        ),
        with(
            "ssh",
            &[VM_ONE, ArgDef::optional(ArgKind::Text, "login")],
            &[SSH],
            vm_reach::ssh,
        ),
        with(
            "port-forward",
            &[VM_ONE, ArgDef::optional(ArgKind::Text, "port")],
            &[NIC_OPTION],
            port_forward::port_forward,
        ),
        with("vnc", &[VM_ONE], &[VNC], vm_reach::vnc),
        with("spice", &[VM_ONE], &[SPICE], vm_reach::spice),
        with("console", &[VM_ONE], &[CONSOLE], vm_reach::console),
        plain("exec-retry", &[VM_SOME], vm::exec_retry),
        plain("exec-cancel", &[VM_SOME], vm::exec_cancel),
        plain("sched-delete", &[VM_ONE, ACTION], vm::schedule_delete),
        plain("sched-update", &[VM_ONE, ACTION, FILE], vm::schedule_update),
        // The actions of a charter are scheduled ones.
        plain("delete-chart", &[VM_ONE, ACTION], vm::schedule_delete),
        plain("update-chart", &[VM_ONE, ACTION, FILE], vm::schedule_update),
        plain(
            "vmgroup-add",
            &[
                VM_ONE,
                one(Kind::VmGroup, "vmgroupid"),
                ArgDef::needed(ArgKind::Text, "role"),
            ],
            vm::vmgroup_add,
        ),
        plain("vmgroup-del", &[VM_ONE], vm::vmgroup_remove),
        shared::chgrp(&[VM_SOME, GROUP]),
        shared::chown(&[VM_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[VM_SOME, OCTET]),
        shared::rename(&[VM_ONE, NAME]),
        shared::update(&[VM_ONE, FILE]),
        shared::lock(&[VM_SOME]),
        shared::unlock(&[VM_SOME]),
        shared::list(
            &[FILTER],
            &[
                shared::LIST,
                shared::DESCRIBE,
                shared::KILOBYTES,
                EXTENDED,
                SEARCH,
            ],
        ),
        shared::top(&[FILTER], &[shared::LIST, shared::KILOBYTES, EXTENDED]),
        shared::show(&[VM_ONE], &[shared::SHOW, shared::DECRYPT, ALL]),
    ],
};

const TEMPLATE_ONE: ArgDef = one(Kind::Template, "templateid");
const TEMPLATE_SOME: ArgDef = some(Kind::Template, "range|templateid_list");
const PERSISTENT: &[OptDef] = &[OptDef::flag(None, "persistent")];

/// `onetemplate`.
pub static TEMPLATE: Command = Command {
    name: "onetemplate",
    kind: Kind::Template,
    list: &template::LIST,
    show: template::show,
    subcommands: &[
        with(
            "create",
            &[FILE],
            &[DESCRIPTION, shared::AS_USER, shared::DRY],
            template::create,
        ),
        with(
            "clone",
            &[TEMPLATE_ONE, NAME],
            &[shared::RECURSIVE],
            template::clone,
        ),
        with("delete", &[TEMPLATE_SOME], &[shared::RECURSIVE], template::delete),
        with(
            "instantiate",
            &[TEMPLATE_ONE, FILE],
            &[DESCRIPTION, shared::AS_USER, HOLD, PERSISTENT, MULTIPLE],
            template::instantiate,
        ),
        shared::chgrp(&[TEMPLATE_SOME, GROUP]),
        shared::chown(&[TEMPLATE_SOME, USER, GROUP_MAYBE]),
        with(
            "chmod",
            &[TEMPLATE_SOME, OCTET],
            &[shared::RECURSIVE],
            common::chmod,
        ),
        shared::update(&[TEMPLATE_ONE, FILE]),
        shared::rename(&[TEMPLATE_ONE, NAME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::top(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[TEMPLATE_ONE], &[shared::SHOW, EXTENDED]),
        shared::lock(&[TEMPLATE_SOME]),
        shared::unlock(&[TEMPLATE_SOME]),
    ],
};

const VMGROUP_ONE: ArgDef = one(Kind::VmGroup, "vmgroupid");
const VMGROUP_SOME: ArgDef = some(Kind::VmGroup, "range|vmgroupid_list");
const ROLE: ArgDef = number("roleid");

/// `onevmgroup`.
pub static VMGROUP: Command = Command {
    name: "onevmgroup",
    kind: Kind::VmGroup,
    list: &vmgroup::LIST,
    show: vmgroup::show,
    subcommands: &[
        plain("create", &[FILE_NEEDED], vmgroup::create),
        shared::delete(&[VMGROUP_SOME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[VMGROUP_ONE], &[shared::SHOW]),
        shared::chgrp(&[VMGROUP_SOME, GROUP]),
        shared::chown(&[VMGROUP_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[VMGROUP_SOME, OCTET]),
        shared::update(&[VMGROUP_ONE, FILE]),
        shared::rename(&[VMGROUP_ONE, NAME]),
        shared::lock(&[VMGROUP_SOME]),
        shared::unlock(&[VMGROUP_SOME]),
        plain("role-add", &[VMGROUP_ONE, FILE], vmgroup::role_add),
        plain("role-delete", &[VMGROUP_ONE, ROLE], vmgroup::role_delete),
        plain("role-update", &[VMGROUP_ONE, ROLE, FILE], vmgroup::role_update),
    ],
};

const VROUTER_ONE: ArgDef = one(Kind::Vrouter, "vrouterid");
const VROUTER_SOME: ArgDef = some(Kind::Vrouter, "range|vrouterid_list");
const ROUTER_NIC: &[OptDef] = &[
    OptDef::value(Some('n'), "network", OptKind::Object(Kind::Vnet), "id|name"),
    OptDef::value(Some('i'), "ip", OptKind::Text, "ip"),
    OptDef::flag(None, "float"),
];

/// `onevrouter`.
pub static VROUTER: Command = Command {
    name: "onevrouter",
    kind: Kind::Vrouter,
    list: &vrouter::LIST,
    show: vrouter::show,
    subcommands: &[
        plain("create", &[FILE], vrouter::create),
        with(
            "instantiate",
            &[VROUTER_ONE, TEMPLATE_ONE, FILE],
            &[DESCRIPTION, shared::AS_USER, HOLD, MULTIPLE],
            vrouter::instantiate,
        ),
        shared::delete(&[VROUTER_SOME]),
        shared::chgrp(&[VROUTER_SOME, GROUP]),
        shared::chown(&[VROUTER_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[VROUTER_SOME, OCTET]),
        shared::update(&[VROUTER_ONE, FILE]),
        shared::rename(&[VROUTER_ONE, NAME]),
        with(
            "nic-attach",
            &[VROUTER_ONE],
            &[ROUTER_NIC, FILE_OPTION],
            vrouter::nic_attach,
        ),
        plain("nic-detach", &[VROUTER_ONE, NIC], vrouter::nic_detach),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[VROUTER_ONE], &[shared::SHOW, ALL]),
        shared::top(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::lock(&[VROUTER_SOME]),
        shared::unlock(&[VROUTER_SOME]),
    ],
};
