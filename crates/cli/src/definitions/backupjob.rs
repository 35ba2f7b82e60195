//! `onebackupjob`.

use super::shared::{
    self, FILE, FILTER, GROUP, GROUP_MAYBE, NAME, OCTET, SCHEDULE, USER, number, one, plain, some, with,
};
use crate::definition::{ArgDef, Command, OptDef, OptKind};
use crate::families::backupjob;
use crate::kind::Kind;

const JOB_ONE: ArgDef = one(Kind::BackupJob, "backupjobid");
const JOB_SOME: ArgDef = some(Kind::BackupJob, "range|backupjobid_list");
const ACTION: ArgDef = number("schedid");
const PRIORITY: ArgDef = number("priority");
const DESCRIPTION: &[OptDef] = &[
    OptDef::value(None, "name", OptKind::Text, "name"),
    OptDef::value(None, "description", OptKind::Text, "description"),
    OptDef::value(None, "vms", OptKind::Text, "\"vm_id1,vm_id2...\""),
    OptDef::value(None, "mode", OptKind::Text, "<increment|full>"),
    OptDef::value(None, "keep", OptKind::Text, "N"),
];

/// `onebackupjob`.
pub static BACKUPJOB: Command = Command {
    name: "onebackupjob",
    kind: Kind::BackupJob,
    list: &backupjob::LIST,
    show: backupjob::show,
    subcommands: &[
        with("create", &[FILE], &[DESCRIPTION, SCHEDULE], backupjob::create),
        shared::delete(&[JOB_SOME]),
        shared::update(&[JOB_ONE, FILE]),
        shared::chgrp(&[JOB_SOME, GROUP]),
        shared::chown(&[JOB_SOME, USER, GROUP_MAYBE]),
        shared::chmod(&[JOB_SOME, OCTET]),
        shared::rename(&[JOB_ONE, NAME]),
        shared::list(&[FILTER], &[shared::LIST, shared::DESCRIBE]),
        shared::show(&[JOB_ONE], &[shared::SHOW]),
        shared::lock(&[JOB_SOME]),
        shared::unlock(&[JOB_SOME]),
        with("backup", &[JOB_SOME], &[SCHEDULE], backupjob::backup),
        plain("cancel", &[JOB_SOME], backupjob::cancel),
        plain("retry", &[JOB_SOME], backupjob::retry),
        plain("priority", &[JOB_SOME, PRIORITY], backupjob::priority),
        plain("sched-delete", &[JOB_ONE, ACTION], backupjob::sched_delete),
        plain("sched-update", &[JOB_ONE, ACTION, FILE], backupjob::sched_update),
    ],
};
