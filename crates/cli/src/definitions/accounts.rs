//! `oneuser`, `onegroup` and `oneacl`.

use super::shared::{self, FILE, GROUP, USER, plain, some, with};
use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind};
use crate::families::{acl, group, user, user_key, user_token};
use crate::kind::Kind;

const USER_SOME: ArgDef = some(Kind::User, "range|userid_list");
const PASSWORD: ArgDef = ArgDef::optional(ArgKind::Text, "password");

const DRIVER: &[OptDef] = &[
    OptDef::value(None, "driver", OptKind::Text, "driver"),
    OptDef::flag(Some('r'), "read-file"),
    OptDef::flag(None, "sha256"),
    OptDef::flag(None, "ssh"),
    OptDef::flag(None, "x509"),
];
const KEY: &[OptDef] = &[OptDef::value(
    Some('k'),
    "key",
    OptKind::Text,
    "path_to_private_key_pem",
)];
const CERTIFICATE: &[OptDef] = &[OptDef::value(
    Some('c'),
    "cert",
    OptKind::Text,
    "path_to_user_cert_pem",
)];
/// How the caller proves who he is, and what becomes of the token. (A group is looked up as that caller.)
const LOGIN: &[OptDef] = &[
    OptDef::flag(None, "ssh"),
    OptDef::flag(None, "x509"),
    OptDef::flag(None, "stdin_password"),
    OptDef::flag(None, "force"),
    OptDef::value(None, "group", OptKind::Text, "id|name"),
];
const TOKEN_SET: &[OptDef] = &[
    OptDef::value(None, "token", OptKind::Text, "token_hint"),
    OptDef::flag(None, "global"),
];
const USER_NAME: ArgDef = ArgDef::optional(ArgKind::Text, "username");
const GROUP_OPTION: &[OptDef] = &[OptDef::value(
    None,
    "group",
    OptKind::Object(Kind::Group),
    "id|name",
)];
const TIME: &[OptDef] = &[OptDef::value(None, "time", OptKind::Number, "x")];

const SEARCH: &[OptDef] = &[OptDef::flag(None, "csv"), OptDef::flag(Some('x'), "xml")];

/// `oneuser`.
pub static USERS: Command = Command {
    name: "oneuser",
    kind: Kind::User,
    list: &user::LIST,
    show: user::show,
    subcommands: &[
        with(
            "create",
            &[ArgDef::needed(ArgKind::Text, "username"), PASSWORD],
            &[DRIVER, KEY, CERTIFICATE, GROUP_OPTION],
            user::create,
        ),
        shared::update(&[USER, FILE]),
        plain("quota", &[USER, FILE], user::quota),
        plain("batchquota", &[USER_SOME, FILE], user::quota_set),
        plain("defaultquota", &[FILE], user::quota_default),
        plain(
            "umask",
            &[USER_SOME, ArgDef::optional(ArgKind::Text, "mask")],
            user::umask,
        ),
        with(
            "login",
            &[USER_NAME],
            &[TIME, LOGIN, KEY, CERTIFICATE],
            user_token::create,
        ),
        with(
            "token-create",
            &[USER_NAME],
            &[TIME, LOGIN, KEY, CERTIFICATE],
            user_token::create,
        ),
        with(
            "token-set",
            &[USER_NAME],
            &[TIME, LOGIN, KEY, CERTIFICATE, TOKEN_SET],
            user_token::set,
        ),
        with(
            "token-delete",
            &[
                ArgDef::needed(ArgKind::Text, "username"),
                ArgDef::optional(ArgKind::Text, "token"),
            ],
            &[TIME, LOGIN, KEY, CERTIFICATE],
            user_token::delete,
        ),
        with(
            "token-delete-all",
            &[ArgDef::needed(ArgKind::Text, "username")],
            &[TIME, LOGIN, KEY, CERTIFICATE],
            user_token::delete_all,
        ),
        plain(
            "encode",
            &[ArgDef::needed(ArgKind::Text, "username"), PASSWORD],
            user::encode,
        ),
        with(
            "passwdsearch",
            &[
                ArgDef::needed(ArgKind::Text, "driver"),
                ArgDef::needed(ArgKind::Text, "password"),
            ],
            &[SEARCH],
            user::password_search,
        ),
        shared::delete(&[USER_SOME]),
        with(
            "passwd",
            &[USER, PASSWORD],
            &[DRIVER, KEY, CERTIFICATE],
            user::passwd,
        ),
        plain("chgrp", &[USER_SOME, GROUP], user::chgrp),
        plain("addgroup", &[USER_SOME, GROUP], user::group_add),
        plain("delgroup", &[USER_SOME, GROUP], user::group_remove),
        with(
            "chauth",
            &[USER, ArgDef::optional(ArgKind::Text, "auth"), PASSWORD],
            &[DRIVER, KEY, CERTIFICATE],
            user::chauth,
        ),
        with("key", &[], &[KEY], user_key::key),
        plain("enable", &[USER_SOME], user::enable),
        plain("disable", &[USER_SOME], user::disable),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(
            &[ArgDef::optional(ArgKind::Object(Kind::User), "userid")],
            &[shared::SHOW, shared::DECRYPT],
        ),
    ],
};

const GROUP_SOME: ArgDef = some(Kind::Group, "range|groupid_list");
const GROUP_CREATE: &[OptDef] = &[
    OptDef::value(Some('n'), "name", OptKind::Text, "name"),
    OptDef::value(Some('u'), "admin_user", OptKind::Text, "name"),
    OptDef::value(Some('p'), "admin_password", OptKind::Text, "pass"),
    OptDef::value(Some('d'), "admin_driver", OptKind::Text, "driver"),
    OptDef::value(Some('r'), "resources", OptKind::Text, "res_str"),
];

/// `onegroup`.
pub static GROUPS: Command = Command {
    name: "onegroup",
    kind: Kind::Group,
    list: &group::LIST,
    show: group::show,
    subcommands: &[
        with(
            "create",
            &[ArgDef::optional(ArgKind::Text, "group_name")],
            &[GROUP_CREATE],
            group::create,
        ),
        shared::update(&[GROUP, FILE]),
        shared::delete(&[GROUP_SOME]),
        plain("addadmin", &[GROUP_SOME, USER], group::admin_add),
        plain("deladmin", &[GROUP_SOME, USER], group::admin_remove),
        plain("quota", &[GROUP, FILE], user::quota_set),
        plain("batchquota", &[GROUP_SOME, FILE], user::quota_set),
        plain("defaultquota", &[FILE], user::quota_default),
        plain("vlan", &[GROUP, FILE], group::vlan),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(
            &[ArgDef::optional(ArgKind::Object(Kind::Group), "groupid")],
            &[shared::SHOW],
        ),
    ],
};

/// `oneacl`.
pub static RULES: Command = Command {
    name: "oneacl",
    kind: Kind::Acl,
    list: &acl::LIST,
    show: acl::show,
    subcommands: &[
        plain(
            "create",
            &[
                ArgDef::needed(ArgKind::Text, "user|rulestr"),
                ArgDef::optional(ArgKind::Text, "resource"),
                ArgDef::optional(ArgKind::Text, "rights"),
            ],
            acl::create,
        ),
        plain("delete", &[some(Kind::Acl, "range|aclid_list")], acl::delete),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
    ],
};
