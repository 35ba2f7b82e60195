//! The method table.

use std::collections::HashMap;
use std::sync::OnceLock;

use plerion_model::{Kind, Operation};

use crate::accounting;
use crate::acl;
use crate::backupjob;
use crate::decode;
use crate::document;
use crate::hook;
use crate::marketplace;
use crate::method::{Handler, Method, PoolForm, Right, method};
use crate::monitoring;
use crate::quota;
use crate::sched_action;
use crate::secgroup;
use crate::showback;
use crate::solo;
use crate::vdc;
use crate::vm_device;
use crate::vmgroup;
use crate::vnet;
use crate::vntemplate;
use crate::vrouter;

/// All methods by name.
pub fn methods() -> &'static HashMap<String, Method> {
    static METHODS: OnceLock<HashMap<String, Method>> = OnceLock::new();
    METHODS.get_or_init(|| {
        table()
            .into_iter()
            .map(|method| (method.name.clone(), method))
            .collect()
    })
}

/// Which of the calls that all kinds have in common a kind has.
struct Family {
    prefix: &'static str,
    kind: Kind,
    pool: &'static str,
    pool_form: PoolForm,
    update: Option<Operation>,
    rename: Option<Operation>,
    delete: Option<Operation>,
    owned: bool,
    lockable: bool,
}

const ADMIN: Option<Operation> = Some(Operation::Admin);
const MANAGE: Option<Operation> = Some(Operation::Manage);

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    Family { prefix: "one.vm", kind: Kind::Vm, pool: "one.vmpool.info", pool_form: PoolForm::VmShort, update: MANAGE, rename: MANAGE, delete: None, owned: true, lockable: true },
    Family { prefix: "one.host", kind: Kind::Host, pool: "one.hostpool.info", pool_form: PoolForm::Whole, update: ADMIN, rename: ADMIN, delete: ADMIN, owned: false, lockable: false },
    Family { prefix: "one.vn", kind: Kind::Vnet, pool: "one.vnpool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.image", kind: Kind::Image, pool: "one.imagepool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.user", kind: Kind::User, pool: "one.userpool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: None, delete: ADMIN, owned: false, lockable: false },
    Family { prefix: "one.template", kind: Kind::Template, pool: "one.templatepool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.group", kind: Kind::Group, pool: "one.grouppool.info", pool_form: PoolForm::Whole, update: ADMIN, rename: None, delete: ADMIN, owned: false, lockable: false },
    Family { prefix: "one.datastore", kind: Kind::Datastore, pool: "one.datastorepool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: false },
    Family { prefix: "one.cluster", kind: Kind::Cluster, pool: "one.clusterpool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: ADMIN, owned: false, lockable: false },
    Family { prefix: "one.document", kind: Kind::Document, pool: "one.documentpool.info", pool_form: PoolForm::Typed, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.zone", kind: Kind::Zone, pool: "one.zonepool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: None, owned: false, lockable: false },
    Family { prefix: "one.vrouter", kind: Kind::Vrouter, pool: "one.vrouterpool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.vmgroup", kind: Kind::VmGroup, pool: "one.vmgrouppool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.vntemplate", kind: Kind::VnTemplate, pool: "one.vntemplatepool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.market", kind: Kind::Marketplace, pool: "one.marketpool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: false },
    Family { prefix: "one.marketapp", kind: Kind::MarketplaceApp, pool: "one.marketapppool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.vdc", kind: Kind::Vdc, pool: "one.vdcpool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: ADMIN, owned: false, lockable: false },
    Family { prefix: "one.hook", kind: Kind::Hook, pool: "one.hookpool.info", pool_form: PoolForm::Whole, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: false, lockable: true },
    Family { prefix: "one.backupjob", kind: Kind::BackupJob, pool: "one.backupjobpool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: true },
    Family { prefix: "one.secgroup", kind: Kind::SecurityGroup, pool: "one.secgrouppool.info", pool_form: PoolForm::Paged, update: MANAGE, rename: MANAGE, delete: MANAGE, owned: true, lockable: false },
];

fn table() -> Vec<Method> {
    let mut table: Vec<Method> = FAMILIES.iter().flat_map(family).collect();
    table.extend(own_methods());
    table.extend(accounting::methods());
    table.extend(showback::methods());
    table.extend(monitoring::methods());
    table.extend(acl::methods());
    table.extend(backupjob::methods());
    table.extend(document::methods());
    table.extend(quota::methods());
    table.extend(hook::methods());
    table.extend(marketplace::methods());
    table.extend(solo::methods());
    table.extend(sched_action::methods());
    table.extend(vdc::methods());
    table.extend(vnet::methods());
    table.extend(vmgroup::methods());
    table.extend(vntemplate::methods());
    table.extend(vrouter::methods());
    table.extend(secgroup::methods());
    table
}

fn with_article(what: &str) -> String {
    let article = if what.starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {what}")
}

fn family(family: &Family) -> Vec<Method> {
    let kind = family.kind;
    let what = with_article(kind.error_name());
    let name = |call: &str| format!("{}.{call}", family.prefix);
    let on = |operation| Right::On(operation, kind);
    let pool_parameters = match family.pool_form {
        PoolForm::Whole => "",
        PoolForm::Paged => "filter:int, start:int, end:int",
        PoolForm::Typed => "filter:int, start:int, end:int, type:int",
        PoolForm::VmShort | PoolForm::VmExtended => {
            "filter:int, start:int, end:int, state:int, search:string(empty)"
        }
        PoolForm::VmSet => "ids:string, extended:bool",
    };
    let mut out = vec![
        method(
            name("info"),
            if kind == Kind::Template {
                "id:int, extended:bool(false), decrypt:bool(false)"
            } else {
                "id:int, decrypt:bool(false)"
            },
            on(Operation::Use),
            format!("shows {what}"),
            Handler::Info(kind),
        ),
        method(
            family.pool.into(),
            pool_parameters,
            Right::Filtered(kind),
            format!("lists every {}", kind.error_name()),
            Handler::Pool(kind, family.pool_form),
        ),
    ];
    let mut generic = |call: &str, parameters, right, summary: String, decode| {
        out.push(method(
            name(call),
            parameters,
            right,
            summary,
            Handler::Generic(kind, decode),
        ));
    };
    if let Some(right) = family.update {
        generic(
            "update",
            "id:int, template:string, append:int(0)",
            on(right),
            format!("changes the template of {what}"),
            decode::update,
        );
    }
    if let Some(right) = family.rename {
        generic(
            "rename",
            "id:int, name:string",
            on(right),
            format!("renames {what}"),
            decode::rename,
        );
    }
    if let Some(right) = family.delete {
        generic(
            "delete",
            "id:int, flag:bool(false)",
            on(right),
            format!("deletes {what}"),
            decode::delete,
        );
    }
    if family.owned {
        generic(
            "chmod",
            if family.kind == Kind::Template {
                "id:int, nine bits:int (1 set, 0 clear, -1 keep), recursive:bool(false)"
            } else {
                "id:int, nine bits:int (1 set, 0 clear, -1 keep)"
            },
            on(Operation::Manage),
            format!("changes the permissions of {what}"),
            decode::chmod,
        );
        generic(
            "chown",
            "id:int, user:int, group:int (-1 keeps)",
            on(Operation::Manage),
            format!("changes the owner of {what}"),
            decode::chown,
        );
    }
    if family.lockable {
        generic(
            "lock",
            "id:int, level:int, test:bool(false)",
            on(Operation::Manage),
            format!("locks {what}"),
            decode::lock,
        );
        generic(
            "unlock",
            "id:int",
            on(Operation::Manage),
            format!("unlocks {what}"),
            decode::unlock,
        );
    }
    out
}

#[rustfmt::skip]
fn own_methods() -> Vec<Method> {
    use Kind::{Cluster, Datastore, Group, Host, Image, SecurityGroup, Template, User, Vm, Vnet};
    use Operation::{Admin, Create, Manage, Use};
    let row = |name: &str, parameters, right, summary: &str, handler| method(name.into(), parameters, right, summary.into(), handler);
    let on = Right::On;
    let command = Handler::Command;
    vec![
        row("one.system.version", "", Right::Login, "version that clients check", Handler::Version),
        row("one.system.config", "", Right::Login, "settings of the front-end", Handler::Config),
        row("one.acl.info", "", on(Manage, Kind::Acl), "lists the access control rules", Handler::AclInfo),
        row("one.user.allocate", "name:string, password:string, driver:string, groups:array(empty)", on(Create, User), "makes a user", Handler::UserAllocate),
        row("one.user.chauth", "id:int, driver:string, password:string", on(Admin, User), "changes how a user is authenticated", Handler::UserChauth),
        row("one.user.passwd", "id:int, password:string", on(Manage, User), "sets a password", Handler::UserPasswd),
        row("one.user.login", "name:string, token:string, valid:int, group:int(-1)", on(Manage, User), "makes or ends a login token", Handler::UserLogin),
        row("one.user.chgrp", "id:int, group:int", on(Manage, User), "sets the primary group", command(decode::user_chgrp)),
        row("one.user.addgroup", "id:int, group:int", on(Manage, User), "puts a user into a group", command(decode::user_addgroup)),
        row("one.user.delgroup", "id:int, group:int", on(Manage, User), "takes a user out of a group", command(decode::user_delgroup)),
        row("one.user.enable", "id:int, enable:bool", on(Admin, User), "lets a user log in or not", command(decode::user_enable)),
        row("one.group.allocate", "name:string", on(Create, Group), "makes a group", command(decode::group_allocate)),
        row("one.cluster.allocate", "name:string", on(Create, Cluster), "makes a cluster", command(decode::cluster_allocate)),
        row("one.cluster.addhost", "id:int, host:int", on(Admin, Cluster), "puts a host into a cluster", command(decode::cluster_addhost)),
        row("one.cluster.delhost", "id:int, host:int", on(Admin, Cluster), "takes a host out of a cluster", command(decode::cluster_delhost)),
        row("one.cluster.adddatastore", "id:int, datastore:int", on(Admin, Cluster), "puts a datastore into a cluster", command(decode::cluster_adddatastore)),
        row("one.cluster.deldatastore", "id:int, datastore:int", on(Admin, Cluster), "takes a datastore out of a cluster", command(decode::cluster_deldatastore)),
        row("one.cluster.addvnet", "id:int, network:int", on(Admin, Cluster), "puts a network into a cluster", command(decode::cluster_addvnet)),
        row("one.cluster.delvnet", "id:int, network:int", on(Admin, Cluster), "takes a network out of a cluster", command(decode::cluster_delvnet)),
        row("one.host.allocate", "name:string, im_mad:string, vm_mad:string, cluster:int", on(Create, Host), "adds a host", command(decode::host_allocate)),
        row("one.host.status", "id:int, status:int", on(Admin, Host), "enables, disables or takes offline", command(decode::host_status)),
        row("one.datastore.allocate", "template:string, cluster:int(-1)", on(Create, Datastore), "makes a datastore", command(decode::datastore_allocate)),
        row("one.datastore.enable", "id:int, enable:bool", on(Manage, Datastore), "lets VMs be placed on a datastore or not", command(decode::datastore_enable)),
        row("one.image.allocate", "template:string, datastore:int, skip_check:bool(false)", on(Create, Image), "makes an image", Handler::ImageAllocate),
        row("one.image.enable", "id:int, enable:bool", on(Manage, Image), "lets an image be used or not", command(decode::image_enable)),
        row("one.image.persistent", "id:int, persistent:bool", on(Manage, Image), "lets VMs write to an image or not", command(decode::image_persistent)),
        row("one.image.chtype", "id:int, type:string", on(Manage, Image), "changes the type", command(decode::image_chtype)),
        row("one.image.snapshotdelete", "id:int, snapshot:int", on(Manage, Image), "deletes a snapshot of an image", command(decode::image_snapshot_delete)),
        row("one.image.snapshotrevert", "id:int, snapshot:int", on(Manage, Image), "makes an image that of a snapshot again", command(decode::image_snapshot_revert)),
        row("one.image.snapshotflatten", "id:int, snapshot:int", on(Manage, Image), "makes an image that of a snapshot and deletes all snapshots", command(decode::image_snapshot_flatten)),
        row("one.image.clone", "id:int, name:string, datastore:int(-1)", on(Create, Image), "copies an image", command(decode::image_clone)),
        row("one.image.restore", "id:int, datastore:int, template:string", on(Use, Image), "makes images and a VM template of a backup", command(decode::image_restore)),
        row("one.vn.allocate", "template:string, cluster:int(-1)", on(Create, Vnet), "makes a network", command(decode::vnet_allocate)),
        row("one.vn.add_ar", "id:int, template:string", on(Admin, Vnet), "adds an address range", command(decode::vnet_add_ar)),
        row("one.vn.rm_ar", "id:int, range:int, force:bool(false)", on(Admin, Vnet), "removes an address range", command(decode::vnet_rm_ar)),
        row("one.vn.hold", "id:int, template:string", on(Manage, Vnet), "holds an address", command(decode::vnet_hold)),
        row("one.vn.release", "id:int, template:string", on(Manage, Vnet), "releases an address on hold", command(decode::vnet_release)),
        row("one.secgroup.allocate", "template:string", on(Create, SecurityGroup), "makes a security group", command(decode::secgroup_allocate)),
        row("one.template.allocate", "template:string", on(Create, Template), "makes a VM template", command(decode::template_allocate)),
        row("one.template.clone", "id:int, name:string, recursive:bool(false)", on(Create, Template), "copies a VM template", command(decode::template_clone)),
        row("one.template.instantiate", "id:int, name:string, hold:bool(false), extra:string(empty), persistent:bool(false)", on(Use, Template), "makes a VM of a template", command(decode::template_instantiate)),
        row("one.vm.allocate", "template:string, hold:bool(false)", on(Create, Vm), "makes a VM", command(decode::vm_allocate)),
        row("one.vm.deploy", "id:int, host:int, enforce:bool(false), datastore:int(-1), nics:string(empty)", on(Admin, Vm), "places a VM", command(decode::vm_deploy)),
        row("one.vm.migrate", "id:int, host:int, live:bool, enforce:bool(false), datastore:int(-1), type:int(0)", on(Admin, Vm), "moves a VM to another host or system datastore", command(decode::vm_migrate)),
        row("one.vm.resize", "id:int, template:string, enforce:bool(true)", on(Manage, Vm), "changes CPU and memory of a VM", command(decode::vm_resize)),
        row("one.vm.updateconf", "id:int, template:string, append:int(0)", on(Manage, Vm), "changes the configuration of a VM", command(decode::vm_updateconf)),
        row("one.vm.attachnic", "id:int, template:string", on(Manage, Vm), "attaches a NIC or an alias of one", command(vm_device::nic_attach)),
        row("one.vm.attachpci", "id:int, template:string", on(Manage, Vm), "gives a VM that is off a PCI device of its host", command(vm_device::pci_attach)),
        row("one.vm.detachpci", "id:int, pci:int", on(Manage, Vm), "takes a PCI device from a VM that is off", command(vm_device::pci_detach)),
        row("one.vm.detachnic", "id:int, nic:int", on(Manage, Vm), "detaches a NIC with its aliases, or an alias", command(vm_device::nic_detach)),
        row("one.vm.updatenic", "id:int, nic:int, template:string, merge:int(0)", on(Manage, Vm), "changes the bounds on a NIC's traffic", command(vm_device::nic_update)),
        row("one.vm.attachsg", "id:int, nic:int, secgroup:int", on(Manage, Vm), "puts a NIC into a security group", command(vm_device::secgroup_attach)),
        row("one.vm.detachsg", "id:int, nic:int, secgroup:int", on(Manage, Vm), "takes a NIC out of a security group", command(vm_device::secgroup_detach)),
        row("one.vm.attach", "id:int, template:string", on(Manage, Vm), "attaches a disk", command(vm_device::disk_attach)),
        row("one.vm.detach", "id:int, disk:int", on(Manage, Vm), "detaches a disk", command(vm_device::disk_detach)),
        row("one.vm.backup", "id:int, datastore:int(-1), reset:bool(false)", on(Admin, Vm), "copies the disks of a VM to a backup datastore", command(decode::vm_backup)),
        row("one.vm.backupcancel", "id:int", on(Admin, Vm), "ends a backup that is being made", command(decode::vm_backup_cancel)),
        row("one.vm.restore", "id:int, image:int, increment:int, disk:int", on(Admin, Vm), "takes the disks of a VM back to what a backup holds", command(decode::vm_restore)),
        row("one.vm.exec", "id:int, command:string, stdin:string(empty)", on(Manage, Vm), "starts a command in the guest, by its guest agent; what comes of it is in `QEMU_GA_EXEC` of the VM", command(decode::vm_exec)),
        row("one.vm.retryexec", "id:int", on(Manage, Vm), "starts the last command again", command(decode::vm_retryexec)),
        row("one.vm.cancelexec", "id:int", on(Manage, Vm), "ends the command that runs", command(decode::vm_cancelexec)),
        row("one.vm.diskresize", "id:int, disk:int, size:string", on(Manage, Vm), "makes a disk larger", command(vm_device::disk_resize)),
        row("one.vm.disksaveas", "id:int, disk:int, name:string, type:string(empty), snapshot:int(-1)", on(Manage, Vm), "makes an image of a disk", command(vm_device::disk_save_as)),
        row("one.vm.disksnapshotcreate", "id:int, disk:int, name:string", on(Manage, Vm), "takes a snapshot of a disk", command(vm_device::disk_snapshot_create)),
        row("one.vm.disksnapshotrevert", "id:int, disk:int, snapshot:int", on(Manage, Vm), "takes a disk back to a snapshot", command(vm_device::disk_snapshot_revert)),
        row("one.vm.disksnapshotdelete", "id:int, disk:int, snapshot:int", on(Manage, Vm), "deletes a snapshot of a disk", command(vm_device::disk_snapshot_delete)),
        row("one.vm.disksnapshotrename", "id:int, disk:int, snapshot:int, name:string", on(Manage, Vm), "renames a snapshot of a disk", command(vm_device::disk_snapshot_rename)),
        row("one.vm.snapshotcreate", "id:int, name:string", on(Manage, Vm), "takes a snapshot of a running VM", command(vm_device::snapshot_create)),
        row("one.vm.snapshotrevert", "id:int, snapshot:int", on(Manage, Vm), "takes a running VM back to a snapshot", command(vm_device::snapshot_revert)),
        row("one.vm.snapshotdelete", "id:int, snapshot:int", on(Manage, Vm), "deletes a snapshot of a running VM", command(vm_device::snapshot_delete)),
        row("one.vm.action", "action:string, id:int", on(Manage, Vm), "does an action on a VM", command(decode::vm_action)),
        row("one.vm.recover", "id:int, operation:int", on(Admin, Vm), "settles a VM", command(decode::vm_recover)),
        row("one.vmpool.infoextended", "filter:int, start:int, end:int, state:int, search:string(empty)", Right::Filtered(Vm), "lists VMs with everything", Handler::Pool(Vm, PoolForm::VmExtended)),
        row("one.vmpool.infoset", "ids:string, extended:bool", Right::Filtered(Vm), "lists the VMs of some ids", Handler::Pool(Vm, PoolForm::VmSet)),
    ]
}
