//! `onehook`.

use super::shared::{self, FILE, FILE_NEEDED, FILTER, NAME, number, one, plain, some, with};
use crate::definition::{ArgDef, Command, OptDef, OptKind};
use crate::families::hook;
use crate::kind::Kind;

const HOOK_ONE: ArgDef = one(Kind::Hook, "hookid");
const HOOK_SOME: ArgDef = some(Kind::Hook, "range|hookid_list");
const EXECUTION: ArgDef = number("execid");

const SHOWN: &[OptDef] = &[OptDef::value(Some('e'), "execution", OptKind::Text, "exeid")];
const LOG: &[OptDef] = &[
    OptDef::flag(None, "error"),
    OptDef::value(None, "hook-id", OptKind::Number, "id"),
    OptDef::value(None, "since", OptKind::Text, "TIME"),
    OptDef::flag(None, "success"),
    OptDef::value(None, "until", OptKind::Text, "TIME"),
    OptDef::flag(Some('x'), "xml"),
];

/// `onehook`.
pub static HOOK: Command = Command {
    name: "onehook",
    kind: Kind::Hook,
    list: &hook::LIST,
    show: hook::show,
    subcommands: &[
        with("create", &[FILE_NEEDED], &[shared::DRY], hook::create),
        shared::delete(&[HOOK_SOME]),
        shared::update(&[HOOK_ONE, FILE]),
        shared::rename(&[HOOK_ONE, NAME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::top(&[FILTER], &[shared::LIST]),
        shared::show(&[HOOK_ONE], &[shared::SHOW, SHOWN, shared::EXTENDED]),
        shared::lock(&[HOOK_SOME]),
        shared::unlock(&[HOOK_SOME]),
        plain("retry", &[HOOK_ONE, EXECUTION], hook::retry),
        with("log", &[], &[LOG], hook::log),
    ],
};
