//! `onevdc`.

use super::shared::{self, FILE, GROUP, NAME, one, plain, some};
use crate::definition::{ArgDef, ArgKind, Command};
use crate::families::vdc;
use crate::kind::Kind;

const VDC_ONE: ArgDef = one(Kind::Vdc, "vdcid");
const VDC_SOME: ArgDef = some(Kind::Vdc, "range|vdcid_list");
const ZONE: ArgDef = one(Kind::Zone, "zoneid");
const CLUSTER: ArgDef = ArgDef::needed(ArgKind::ObjectOrAll(Kind::Cluster), "clusterid");
const HOST: ArgDef = ArgDef::needed(ArgKind::ObjectOrAll(Kind::Host), "hostid");
const DATASTORE: ArgDef = ArgDef::needed(ArgKind::ObjectOrAll(Kind::Datastore), "datastoreid");
const VNET: ArgDef = ArgDef::needed(ArgKind::ObjectOrAll(Kind::Vnet), "vnetid");

/// `onevdc`.
pub static VDC: Command = Command {
    name: "onevdc",
    kind: Kind::Vdc,
    list: &vdc::LIST,
    show: vdc::show,
    subcommands: &[
        plain("create", &[NAME], vdc::create),
        shared::rename(&[VDC_ONE, NAME]),
        shared::update(&[VDC_ONE, FILE]),
        shared::delete(&[VDC_SOME]),
        plain("addgroup", &[VDC_SOME, GROUP], vdc::group_add),
        plain("delgroup", &[VDC_SOME, GROUP], vdc::group_remove),
        plain("addcluster", &[VDC_SOME, ZONE, CLUSTER], vdc::cluster_add),
        plain("delcluster", &[VDC_SOME, ZONE, CLUSTER], vdc::cluster_remove),
        plain("addhost", &[VDC_SOME, ZONE, HOST], vdc::host_add),
        plain("delhost", &[VDC_SOME, ZONE, HOST], vdc::host_remove),
        plain("adddatastore", &[VDC_SOME, ZONE, DATASTORE], vdc::datastore_add),
        plain(
            "deldatastore",
            &[VDC_SOME, ZONE, DATASTORE],
            vdc::datastore_remove,
        ),
        plain("addvnet", &[VDC_SOME, ZONE, VNET], vdc::vnet_add),
        plain("delvnet", &[VDC_SOME, ZONE, VNET], vdc::vnet_remove),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[VDC_ONE], &[shared::SHOW]),
    ],
};
