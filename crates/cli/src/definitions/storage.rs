//! `oneimage` and `onedatastore`.

use super::shared::{
    self, FILE, FILTER, GROUP, GROUP_MAYBE, NAME, OCTET, USER, number, one, plain, some, with,
};
use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind};
use crate::families::{datastore, image};
use crate::kind::Kind;

const IMAGE_ONE: ArgDef = one(Kind::Image, "imageid");
const IMAGE_SOME: ArgDef = some(Kind::Image, "range|imageid_list");
const SNAPSHOT: ArgDef = number("snapshot_id");

const IMAGE_CREATE: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::value(None, "description", OptKind::Text, "description"),
    OptDef::value(None, "type", OptKind::ImageType, "type"),
    OptDef::flag(None, "persistent"),
    OptDef::value(None, "prefix", OptKind::Text, "prefix"),
    OptDef::value(None, "target", OptKind::Text, "target"),
    OptDef::value(None, "path", OptKind::Text, "path"),
    OptDef::value(None, "source", OptKind::Text, "source"),
    OptDef::value(None, "size", OptKind::Memory, "size"),
    OptDef::value(None, "format", OptKind::Text, "format"),
    OptDef::value(None, "fs", OptKind::Text, "filesystem"),
    OptDef::value(None, "disk_type", OptKind::Text, "disk_type"),
    OptDef::flag(None, "no_check_capacity"),
    OptDef::flag(None, "dry"),
];

const RESTORE: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::flag(None, "no_ip"),
    OptDef::flag(None, "no_nic"),
    OptDef::value(None, "disk-id", OptKind::Number, "disk_id"),
    OptDef::value(None, "increment", OptKind::Number, "increment_id"),
];
const FORCE: &[OptDef] = &[OptDef::flag(None, "force")];
const BACKUP: &[OptDef] = &[OptDef::flag(None, "backup")];

/// `oneimage`.
pub static IMAGE: Command = Command {
    name: "oneimage",
    kind: Kind::Image,
    list: &image::LIST,
    show: image::show,
    subcommands: &[
        with(
            "create",
            &[FILE],
            &[IMAGE_CREATE, shared::DATASTORE],
            image::create,
        ),
        with("clone", &[IMAGE_ONE, NAME], &[shared::DATASTORE], image::clone),
        with("delete", &[IMAGE_SOME], &[FORCE], image::delete),
        with(
            "restore",
            &[IMAGE_ONE],
            &[shared::DATASTORE, RESTORE],
            image::restore,
        ),
        plain("persistent", &[IMAGE_SOME], image::persistent),
        plain("nonpersistent", &[IMAGE_SOME], image::nonpersistent),
        shared::update(&[IMAGE_ONE, FILE]),
        plain("enable", &[IMAGE_SOME], image::enable),
        plain("disable", &[IMAGE_SOME], image::disable),
        plain(
            "chtype",
            &[IMAGE_SOME, ArgDef::needed(ArgKind::Text, "type")],
            image::chtype,
        ),
        shared::chgrp(&[IMAGE_SOME, GROUP]),
        shared::chown(&[IMAGE_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[IMAGE_SOME, OCTET]),
        shared::rename(&[IMAGE_ONE, NAME]),
        plain("snapshot-delete", &[IMAGE_ONE, SNAPSHOT], image::snapshot_delete),
        plain("snapshot-revert", &[IMAGE_ONE, SNAPSHOT], image::snapshot_revert),
        plain(
            "snapshot-flatten",
            &[IMAGE_ONE, SNAPSHOT],
            image::snapshot_flatten,
        ),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE, BACKUP]),
        shared::top(&[FILTER], &[shared::LIST, shared::DESCRIBE, BACKUP]),
        shared::show(&[IMAGE_ONE], &[shared::SHOW, shared::DECRYPT]),
        shared::lock(&[IMAGE_SOME]),
        shared::unlock(&[IMAGE_SOME]),
        plain("orphans", &[], image::orphans),
    ],
};

const DATASTORE_ONE: ArgDef = one(Kind::Datastore, "datastoreid");
const DATASTORE_SOME: ArgDef = some(Kind::Datastore, "range|datastoreid_list");

/// `onedatastore`.
pub static DATASTORE: Command = Command {
    name: "onedatastore",
    kind: Kind::Datastore,
    list: &datastore::LIST,
    show: datastore::show,
    subcommands: &[
        with("create", &[FILE], &[shared::CLUSTER], datastore::create),
        shared::delete(&[DATASTORE_SOME]),
        shared::chgrp(&[DATASTORE_SOME, GROUP]),
        shared::chown(&[DATASTORE_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[DATASTORE_SOME, OCTET]),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[DATASTORE_ONE], &[shared::SHOW, shared::DECRYPT]),
        shared::update(&[DATASTORE_ONE, FILE]),
        shared::rename(&[DATASTORE_ONE, NAME]),
        plain("enable", &[DATASTORE_SOME], datastore::enable),
        plain("disable", &[DATASTORE_SOME], datastore::disable),
    ],
};
