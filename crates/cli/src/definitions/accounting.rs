//! `oneacct` and `oneshowback`.

use super::shared::with;
use crate::definition::{Command, OptDef, OptKind};
use crate::families::{accounting, vm};
use crate::kind::Kind;

const WHOSE: &[OptDef] = &[
    OptDef::value(Some('s'), "start", OptKind::Text, "TIME"),
    OptDef::value(Some('e'), "end", OptKind::Text, "TIME"),
    OptDef::value(Some('u'), "userfilter", OptKind::Object(Kind::User), "user"),
    OptDef::value(Some('g'), "group", OptKind::Object(Kind::Group), "group"),
];
const FORM: &[OptDef] = &[
    OptDef::flag(None, "csv"),
    OptDef::flag(None, "describe"),
    OptDef::flag(Some('j'), "json"),
    OptDef::value(Some('l'), "list", OptKind::List, "x,y,z"),
    OptDef::flag(Some('x'), "xml"),
];
const ACCOUNT: &[OptDef] = &[
    OptDef::value(Some('t'), "timezone", OptKind::Text, "TZ"),
    OptDef::value(Some('H'), "host", OptKind::Object(Kind::Host), "host"),
    OptDef::value(None, "xpath", OptKind::Text, "XPATH_EXPRESSION"),
    OptDef::flag(None, "split"),
];
const YAML: &[OptDef] = &[OptDef::flag(Some('y'), "yaml")];
const MONTHS: &[OptDef] = &[
    OptDef::value(Some('s'), "start", OptKind::Text, "TIME"),
    OptDef::value(Some('e'), "end", OptKind::Text, "TIME"),
];

/// `oneacct`, which has no subcommands.
pub static ACCOUNTING: Command = Command {
    name: "oneacct",
    kind: Kind::Vm,
    list: &accounting::STAYS,
    show: vm::SHOW,
    subcommands: &[with("", &[], &[WHOSE, ACCOUNT, FORM], accounting::account)],
};

/// `oneshowback`.
pub static SHOWBACK: Command = Command {
    name: "oneshowback",
    kind: Kind::Vm,
    list: &accounting::COSTS,
    show: vm::SHOW,
    subcommands: &[
        with("list", &[], &[WHOSE, FORM, YAML], accounting::showback),
        with("calculate", &[], &[MONTHS], accounting::calculate),
    ],
};
