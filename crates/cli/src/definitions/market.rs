//! `onemarket` and `onemarketapp`.

use super::shared::{self, FILE, FILTER, GROUP, GROUP_MAYBE, NAME, OCTET, USER, one, plain, some, with};
use crate::definition::{ArgDef, Command, OptDef, OptKind};
use crate::families::{market, marketapp};
use crate::kind::Kind;

const MARKET_ONE: ArgDef = one(Kind::Market, "marketplaceid");
const MARKET_SOME: ArgDef = some(Kind::Market, "range|marketplaceid_list");
const APP_ONE: ArgDef = one(Kind::MarketApp, "appid");
const APP_SOME: ArgDef = some(Kind::MarketApp, "range|appid_list");

const APP_CREATE: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::value(None, "description", OptKind::Text, "description"),
    OptDef::value(None, "image", OptKind::Object(Kind::Image), "id|name"),
    OptDef::value(Some('m'), "marketplace", OptKind::Object(Kind::Market), "id|name"),
    OptDef::flag(None, "dry"),
];

/// `onemarket`.
pub static MARKET: Command = Command {
    name: "onemarket",
    kind: Kind::Market,
    list: &market::LIST,
    show: market::show,
    subcommands: &[
        plain("create", &[FILE], market::create),
        shared::delete(&[MARKET_SOME]),
        shared::chgrp(&[MARKET_SOME, GROUP]),
        shared::chown(&[MARKET_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[MARKET_SOME, OCTET]),
        shared::list(&[], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[MARKET_ONE], &[shared::SHOW]),
        shared::update(&[MARKET_ONE, FILE]),
        shared::rename(&[MARKET_ONE, NAME]),
        plain("enable", &[MARKET_SOME], market::enable),
        plain("disable", &[MARKET_SOME], market::disable),
    ],
};

/// `onemarketapp`.
pub static MARKETAPP: Command = Command {
    name: "onemarketapp",
    kind: Kind::MarketApp,
    list: &marketapp::LIST,
    show: marketapp::show,
    subcommands: &[
        with("create", &[FILE], &[APP_CREATE], marketapp::create),
        shared::delete(&[APP_SOME]),
        shared::chgrp(&[APP_SOME, GROUP]),
        shared::chown(&[APP_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[APP_SOME, OCTET]),
        shared::update(&[APP_ONE, FILE]),
        shared::rename(&[APP_ONE, NAME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[APP_ONE], &[shared::SHOW]),
        plain("enable", &[APP_SOME], marketapp::enable),
        plain("disable", &[APP_SOME], marketapp::disable),
        shared::lock(&[APP_SOME]),
        shared::unlock(&[APP_SOME]),
    ],
};
