//! Arguments and groups of options that several families share, and subcommands all of them have.

use crate::definition::{ArgDef, ArgKind, OptDef, OptKind, Run, Subcommand};
use crate::families::common;
use crate::kind::Kind;
use crate::list;

/// A file that may be left out.
pub const FILE: ArgDef = ArgDef::optional(ArgKind::File, "file");
/// A file that must be there.
pub const FILE_NEEDED: ArgDef = ArgDef::needed(ArgKind::File, "file");
/// A new name.
pub const NAME: ArgDef = ArgDef::needed(ArgKind::Text, "name");
/// Whose objects are listed.
pub const FILTER: ArgDef = ArgDef::optional(ArgKind::Text, "filterflag");
/// A user.
pub const USER: ArgDef = ArgDef::needed(ArgKind::Object(Kind::User), "userid");
/// A group.
pub const GROUP: ArgDef = ArgDef::needed(ArgKind::Object(Kind::Group), "groupid");
/// A group that may be left out.
pub const GROUP_MAYBE: ArgDef = ArgDef::optional(ArgKind::Object(Kind::Group), "groupid");
/// Permissions.
pub const OCTET: ArgDef = ArgDef::needed(ArgKind::Text, "octet");

/// One object of a kind.
pub const fn one(kind: Kind, label: &'static str) -> ArgDef {
    ArgDef::needed(ArgKind::Object(kind), label)
}

/// Some objects of a kind.
pub const fn some(kind: Kind, label: &'static str) -> ArgDef {
    ArgDef::needed(ArgKind::Objects(kind), label)
}

/// A number.
pub const fn number(label: &'static str) -> ArgDef {
    ArgDef::needed(ArgKind::Number, label)
}

/// Options of every list.
pub const LIST: &[OptDef] = &[
    OptDef::value(None, "adjust", OptKind::List, "x,y,z"),
    OptDef::flag(None, "csv"),
    OptDef::value(None, "csv-del", OptKind::Text, "del"),
    OptDef::value(Some('d'), "delay", OptKind::Number, "x"),
    OptDef::value(None, "expand", OptKind::Maybe, "[x=prop,y=prop]"),
    OptDef::value(Some('f'), "filter", OptKind::List, "x,y,z"),
    OptDef::flag(Some('j'), "json"),
    OptDef::value(Some('l'), "list", OptKind::List, "x,y,z"),
    OptDef::flag(None, "no-expand"),
    OptDef::flag(None, "no-header"),
    OptDef::flag(None, "no-pager"),
    OptDef::flag(Some('n'), "numeric"),
    OptDef::value(None, "operator", OptKind::Text, "operator"),
    OptDef::value(Some('s'), "size", OptKind::List, "x=size,y=size"),
    OptDef::flag(Some('x'), "xml"),
    OptDef::flag(Some('y'), "yaml"),
];

/// The option that explains the columns.
pub const DESCRIBE: &[OptDef] = &[OptDef::flag(None, "describe")];
/// Sizes without units.
pub const KILOBYTES: &[OptDef] = &[OptDef::flag(Some('k'), "kilobytes")];
/// Options of every show.
pub const SHOW: &[OptDef] = &[
    OptDef::flag(Some('j'), "json"),
    OptDef::flag(Some('x'), "xml"),
    OptDef::flag(Some('y'), "yaml"),
];
/// The option that shows the template instead of sending it.
pub const DRY: &[OptDef] = &[OptDef::flag(None, "dry")];
/// The option that asks for secrets in clear.
pub const DECRYPT: &[OptDef] = &[OptDef::flag(None, "decrypt")];
/// The option that asks for all there is, which is shown anyway.
pub const EXTENDED: &[OptDef] = &[OptDef::flag(None, "extended")];
/// The option that adds to a template.
pub const APPEND: &[OptDef] = &[OptDef::flag(Some('a'), "append")];
/// What a lock forbids.
pub const LOCK: &[OptDef] = &[
    OptDef::flag(None, "admin"),
    OptDef::flag(None, "all"),
    OptDef::flag(None, "manage"),
    OptDef::flag(None, "use"),
];
/// The option that includes images.
pub const RECURSIVE: &[OptDef] = &[OptDef::flag(Some('R'), "recursive")];
/// On whose behalf.
pub const AS_USER: &[OptDef] = &[
    OptDef::value(None, "as_gid", OptKind::Number, "gid"),
    OptDef::value(None, "as_uid", OptKind::Number, "uid"),
];
/// The cluster a new object belongs to.
pub const CLUSTER: &[OptDef] = &[OptDef::value(
    Some('c'),
    "cluster",
    OptKind::Object(Kind::Cluster),
    "id|name",
)];
/// The datastore of a new image.
pub const DATASTORE: &[OptDef] = &[OptDef::value(
    Some('d'),
    "datastore",
    OptKind::Object(Kind::Datastore),
    "id|name",
)];

/// When an action is done, and how often.
pub const SCHEDULE: &[OptDef] = &[
    OptDef::value(None, "schedule", OptKind::Text, "TIME"),
    OptDef::value(None, "hourly", OptKind::Number, "hour"),
    OptDef::value(None, "weekly", OptKind::Text, "days"),
    OptDef::value(None, "monthly", OptKind::Text, "days"),
    OptDef::value(None, "yearly", OptKind::Text, "days"),
    OptDef::value(None, "end", OptKind::Text, "number|TIME"),
];

/// A subcommand without options.
pub const fn plain(name: &'static str, args: &'static [ArgDef], run: Run) -> Subcommand {
    Subcommand {
        name,
        args,
        options: &[],
        run,
    }
}

/// A subcommand with options.
pub const fn with(
    name: &'static str,
    args: &'static [ArgDef],
    options: &'static [&'static [OptDef]],
    run: Run,
) -> Subcommand {
    Subcommand {
        name,
        args,
        options,
        run,
    }
}

/// `list`.
pub const fn list(args: &'static [ArgDef], options: &'static [&'static [OptDef]]) -> Subcommand {
    with("list", args, options, list::run)
}

/// `top`.
pub const fn top(args: &'static [ArgDef], options: &'static [&'static [OptDef]]) -> Subcommand {
    with("top", args, options, list::run_top)
}

/// `show`.
pub const fn show(args: &'static [ArgDef], options: &'static [&'static [OptDef]]) -> Subcommand {
    with("show", args, options, common::show)
}

/// `update`.
pub const fn update(args: &'static [ArgDef]) -> Subcommand {
    with("update", args, &[APPEND], common::update)
}

/// `rename`.
pub const fn rename(args: &'static [ArgDef]) -> Subcommand {
    plain("rename", args, common::rename)
}

/// `delete`.
pub const fn delete(args: &'static [ArgDef]) -> Subcommand {
    plain("delete", args, common::delete)
}

/// `chown`.
pub const fn chown(args: &'static [ArgDef]) -> Subcommand {
    plain("chown", args, common::chown)
}

/// `chgrp`.
pub const fn chgrp(args: &'static [ArgDef]) -> Subcommand {
    plain("chgrp", args, common::chgrp)
}

/// `chmod`.
pub const fn chmod(args: &'static [ArgDef]) -> Subcommand {
    plain("chmod", args, common::chmod)
}

/// `lock`.
pub const fn lock(args: &'static [ArgDef]) -> Subcommand {
    with("lock", args, &[LOCK], common::lock)
}

/// `unlock`.
pub const fn unlock(args: &'static [ArgDef]) -> Subcommand {
    plain("unlock", args, common::unlock)
}
