//! `onehost`, `onecluster` and `onezone`.

use super::shared::{self, FILE, FILE_NEEDED, NAME, one, plain, some, with};
use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind};
use crate::families::{cluster, host, zone};
use crate::kind::Kind;

const HOST_ONE: ArgDef = one(Kind::Host, "hostid");
const HOST_SOME: ArgDef = some(Kind::Host, "range|hostid_list");

const HOST_CREATE: &[OptDef] = &[
    OptDef::value(Some('i'), "im", OptKind::Text, "im_mad"),
    OptDef::value(Some('v'), "vm", OptKind::Text, "vmm_mad"),
];

/// Two options of 7.4 that change nothing: files are compared by what is in them, and always go over SSH.
const HOST_SYNC: &[OptDef] = &[OptDef::flag(None, "force"), OptDef::flag(None, "ssh")];

/// `onehost`.
pub static HOST: Command = Command {
    name: "onehost",
    kind: Kind::Host,
    list: &host::LIST,
    show: host::show,
    subcommands: &[
        with(
            "create",
            &[ArgDef::needed(ArgKind::Text, "hostname"), FILE],
            &[HOST_CREATE, shared::CLUSTER],
            host::create,
        ),
        shared::delete(&[HOST_SOME]),
        plain("enable", &[HOST_SOME], host::enable),
        plain("disable", &[HOST_SOME], host::disable),
        plain("offline", &[HOST_SOME], host::offline),
        plain("flush", &[HOST_SOME], host::flush),
        with(
            "sync",
            &[ArgDef::optional(
                ArgKind::Objects(Kind::Host),
                "range|hostid_list",
            )],
            &[HOST_SYNC, shared::CLUSTER],
            host::sync,
        ),
        shared::update(&[HOST_ONE, FILE]),
        shared::rename(&[HOST_ONE, NAME]),
        shared::list(
            &[],
            &[
                shared::LIST,
                shared::DESCRIBE,
                shared::KILOBYTES,
                shared::EXTENDED,
            ],
        ),
        shared::top(&[], &[shared::LIST, shared::KILOBYTES, shared::EXTENDED]),
        shared::show(&[HOST_ONE], &[shared::SHOW, shared::DECRYPT]),
    ],
};

const CLUSTER_ONE: ArgDef = one(Kind::Cluster, "clusterid");
const DATASTORE_ONE: ArgDef = one(Kind::Datastore, "datastoreid");
const VNET_ONE: ArgDef = one(Kind::Vnet, "vnetid");

/// `onecluster`.
pub static CLUSTER: Command = Command {
    name: "onecluster",
    kind: Kind::Cluster,
    list: &cluster::LIST,
    show: cluster::show,
    subcommands: &[
        plain("create", &[NAME], cluster::create),
        shared::delete(&[some(Kind::Cluster, "range|clusterid_list")]),
        shared::update(&[CLUSTER_ONE, FILE]),
        shared::rename(&[CLUSTER_ONE, NAME]),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[CLUSTER_ONE], &[shared::SHOW, shared::DECRYPT]),
        plain("addhost", &[CLUSTER_ONE, HOST_ONE], cluster::host_add),
        plain("delhost", &[CLUSTER_ONE, HOST_ONE], cluster::host_remove),
        plain(
            "adddatastore",
            &[CLUSTER_ONE, DATASTORE_ONE],
            cluster::datastore_add,
        ),
        plain(
            "deldatastore",
            &[CLUSTER_ONE, DATASTORE_ONE],
            cluster::datastore_remove,
        ),
        plain("addvnet", &[CLUSTER_ONE, VNET_ONE], cluster::vnet_add),
        plain("delvnet", &[CLUSTER_ONE, VNET_ONE], cluster::vnet_remove),
        plain("optimize", &[CLUSTER_ONE], cluster::optimize),
        plain("planexecute", &[CLUSTER_ONE], cluster::plan_execute),
        plain("plandelete", &[CLUSTER_ONE], cluster::plan_delete),
    ],
};

const ZONE_ONE: ArgDef = one(Kind::Zone, "zoneid");
const ZONE_SOME: ArgDef = some(Kind::Zone, "range|zoneid_list");

/// `onezone`.
pub static ZONE: Command = Command {
    name: "onezone",
    kind: Kind::Zone,
    list: &zone::LIST,
    show: zone::show,
    subcommands: &[
        plain("create", &[FILE_NEEDED], zone::create),
        shared::delete(&[ZONE_SOME]),
        shared::update(&[ZONE_ONE, FILE]),
        shared::rename(&[ZONE_ONE, NAME]),
        plain("enable", &[ZONE_SOME], zone::enable),
        plain("disable", &[ZONE_SOME], zone::disable),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[ZONE_ONE], &[shared::SHOW]),
    ],
};
