//! `onevnet`, `onesecgroup` and `onevntemplate`.

use super::shared::{
    self, FILE, FILE_NEEDED, FILTER, GROUP, GROUP_MAYBE, NAME, OCTET, USER, number, one, plain, some, with,
};
use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind};
use crate::families::{secgroup, vnet, vnet_show, vntemplate};
use crate::kind::Kind;

const VNET_ONE: ArgDef = one(Kind::Vnet, "vnetid");
const VNET_SOME: ArgDef = some(Kind::Vnet, "range|vnetid_list");
const RANGE: ArgDef = number("ar_id");
const ADDRESS: ArgDef = ArgDef::needed(ArgKind::Text, "ip");

const ADDRESSES: &[OptDef] = &[
    OptDef::value(Some('s'), "size", OptKind::Number, "size"),
    OptDef::value(Some('i'), "ip", OptKind::Text, "ip"),
    OptDef::value(Some('6'), "ip6", OptKind::Text, "ip6"),
    OptDef::value(Some('m'), "mac", OptKind::Text, "mac"),
];
const RANGE_ADD: &[OptDef] = &[
    OptDef::value(Some('g'), "ip6_global", OptKind::Text, "ip6_pref"),
    OptDef::value(Some('u'), "ip6_ula", OptKind::Text, "ip6_pref"),
    OptDef::value(None, "gateway", OptKind::Text, "ip"),
    OptDef::value(None, "netmask", OptKind::Text, "mask"),
    OptDef::value(None, "vlanid", OptKind::Text, "id"),
    OptDef::value(None, "vn_mad", OptKind::Text, "mad"),
];
const RANGE_ID: &[OptDef] = &[OptDef::value(
    Some('a'),
    "address_range",
    OptKind::Number,
    "ar_id",
)];
const RESERVATION: &[OptDef] = &[OptDef::value(Some('n'), "name", OptKind::Text, "name")];
const FORCE: &[OptDef] = &[OptDef::flag(None, "force")];
const SHOW_RANGE: &[OptDef] = &[OptDef::flag(None, "show-ar")];
const RECOVER: &[OptDef] = &[
    OptDef::flag(None, "success"),
    OptDef::flag(None, "failure"),
    OptDef::flag(None, "retry"),
    OptDef::flag(None, "delete"),
];

/// `onevnet`.
pub static VNET: Command = Command {
    name: "onevnet",
    kind: Kind::Vnet,
    list: &vnet::LIST,
    show: vnet_show::show,
    subcommands: &[
        with("create", &[FILE], &[shared::CLUSTER], vnet::create),
        shared::delete(&[VNET_SOME]),
        with(
            "addar",
            &[VNET_ONE, FILE],
            &[ADDRESSES, RANGE_ADD],
            vnet::range_add,
        ),
        with("rmar", &[VNET_ONE, RANGE], &[FORCE], vnet::range_remove),
        plain("free", &[VNET_ONE, RANGE], vnet::range_free),
        with(
            "updatear",
            &[VNET_ONE, RANGE, FILE],
            &[shared::APPEND],
            vnet::range_update,
        ),
        with("hold", &[VNET_ONE, ADDRESS], &[RANGE_ID], vnet::hold),
        with("release", &[VNET_ONE, ADDRESS], &[RANGE_ID], vnet::release),
        with(
            "reserve",
            &[VNET_ONE, ArgDef::optional(ArgKind::Object(Kind::Vnet), "vnetid")],
            &[ADDRESSES, RANGE_ID, RESERVATION],
            vnet::reserve,
        ),
        shared::chgrp(&[VNET_SOME, GROUP]),
        shared::chown(&[VNET_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[VNET_SOME, OCTET]),
        shared::list(
            &[FILTER],
            &[
                shared::LIST,
                shared::DESCRIBE,
                shared::KILOBYTES,
                shared::EXTENDED,
            ],
        ),
        shared::show(&[VNET_ONE], &[shared::SHOW, shared::DECRYPT, SHOW_RANGE]),
        shared::update(&[VNET_ONE, FILE]),
        shared::rename(&[VNET_ONE, NAME]),
        shared::lock(&[VNET_SOME]),
        shared::unlock(&[VNET_SOME]),
        plain("orphans", &[], vnet::orphans),
        with("recover", &[VNET_SOME], &[RECOVER], vnet::recover),
    ],
};

const SECGROUP_ONE: ArgDef = one(Kind::Secgroup, "secgroupid");
const SECGROUP_SOME: ArgDef = some(Kind::Secgroup, "range|secgroupid_list");
const COMMIT: &[OptDef] = &[OptDef::flag(Some('r'), "recover")];

/// `onesecgroup`.
pub static SECGROUP: Command = Command {
    name: "onesecgroup",
    kind: Kind::Secgroup,
    list: &secgroup::LIST,
    show: secgroup::show,
    subcommands: &[
        plain("create", &[FILE_NEEDED], secgroup::create),
        plain("clone", &[SECGROUP_ONE, NAME], secgroup::clone),
        shared::delete(&[SECGROUP_SOME]),
        shared::chgrp(&[SECGROUP_SOME, GROUP]),
        shared::chown(&[SECGROUP_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[SECGROUP_SOME, OCTET]),
        shared::update(&[SECGROUP_ONE, FILE]),
        shared::rename(&[SECGROUP_ONE, NAME]),
        with("commit", &[SECGROUP_ONE], &[COMMIT], secgroup::commit),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[SECGROUP_ONE], &[shared::SHOW]),
    ],
};

const VNTEMPLATE_ONE: ArgDef = one(Kind::VnTemplate, "templateid");
const VNTEMPLATE_SOME: ArgDef = some(Kind::VnTemplate, "range|templateid_list");
const EXTENDED: &[OptDef] = &[OptDef::flag(None, "extended")];
// `-m` is `--mac` in the table of ranges, so that `--multiple` has no letter.
const INSTANTIATE: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::value(None, "multiple", OptKind::Number, "x"),
];

/// `onevntemplate`.
pub static VNTEMPLATE: Command = Command {
    name: "onevntemplate",
    kind: Kind::VnTemplate,
    list: &vntemplate::LIST,
    show: vntemplate::show,
    subcommands: &[
        with("create", &[FILE], &[shared::DRY], vntemplate::create),
        plain("clone", &[VNTEMPLATE_ONE, NAME], vntemplate::clone),
        shared::delete(&[VNTEMPLATE_SOME]),
        with(
            "instantiate",
            &[VNTEMPLATE_ONE, FILE],
            &[INSTANTIATE, shared::AS_USER, ADDRESSES, RANGE_ADD],
            vntemplate::instantiate,
        ),
        shared::chgrp(&[VNTEMPLATE_SOME, GROUP]),
        shared::chown(&[VNTEMPLATE_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[VNTEMPLATE_SOME, OCTET]),
        shared::update(&[VNTEMPLATE_ONE, FILE]),
        shared::rename(&[VNTEMPLATE_ONE, NAME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[VNTEMPLATE_ONE], &[shared::SHOW, EXTENDED]),
        shared::top(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::lock(&[VNTEMPLATE_SOME]),
        shared::unlock(&[VNTEMPLATE_SOME]),
    ],
};
