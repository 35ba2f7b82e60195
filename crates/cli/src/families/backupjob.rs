//! `onebackupjob`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format;
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::schedule;
use crate::session::Session;
use crate::sources;
use crate::table::Column;
use crate::template_build::Builder;
use crate::template_text;
use crate::xml;

/// The table of backup jobs.
pub static LIST: ListSpec = ListSpec {
    element: "BACKUPJOB",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the backup job", "备份任务编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("PRIO", 4).about("Its priority", "优先级"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the backup job", "备份任务名称"),
        Column::left("LAST", 15)
            .expanded()
            .about("When it was last run", "上次执行时间"),
        Column::left("VMS", 15)
            .expanded()
            .about("Virtual machines it backs up", "备份的虚拟机"),
    ],
    shown: &["ID", "USER", "GROUP", "PRIO", "NAME", "LAST", "VMS"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, job: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(job, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(job, if context.numeric { "GID" } else { "GNAME" }),
        "PRIO" => xml::text(job, "PRIORITY"),
        "LAST" => last_time(job),
        "VMS" => xml::text(job, "TEMPLATE/BACKUP_VMS"),
        _ => xml::text(job, column),
    }
}

fn last_time(job: Node<'_, '_>) -> String {
    format::moment_text(xml::number(job, "LAST_BACKUP_TIME"))
}

/// Renders the backup job.
pub fn show(session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element(), session.now))
}

/// The backup job.
pub fn render(job: Node<'_, '_>, now: i64) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(job, "ID");
    fields
        .add_head(format!("BACKUP JOB {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", job, "NAME")
        .add_owner(job)
        .add_lock(job);
    let permissions = fields.permissions(job);
    let mut last = Fields::new(15);
    last.add_head("LAST BACKUP JOB EXECUTION INFORMATION")
        .add("TIME", last_time(job))
        .add(
            "DURATION",
            format::period_text(xml::number(job, "LAST_BACKUP_DURATION")),
        );
    let mut vms = Fields::new(15);
    vms.add_head("VIRTUAL MACHINE BACKUP STATUS");
    for (label, list) in [
        ("UPDATED", "UPDATED_VMS"),
        ("OUTDATED", "OUTDATED_VMS"),
        ("ONGOING", "BACKING_UP_VMS"),
        ("ERROR", "ERROR_VMS"),
    ] {
        vms.add(label, xml::ids(job, list).join(","));
    }
    let scheduled = schedule::section(job, now);
    let gap = if scheduled.is_empty() { "" } else { "\n" };
    [
        fields.into_text(),
        permissions,
        "\n".to_owned(),
        last.into_text(),
        "\n".to_owned(),
        vms.into_text(),
        "\n".to_owned(),
        scheduled,
        gap.to_owned(),
        layout::head("TEMPLATE CONTENTS"),
        template_text::template_block(job, &["SCHED_ACTION"]),
    ]
    .concat()
}

/// `create`, from a file, standard input or options.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let options = template_of(input, session.now)?;
    let text = if !input.text(0).is_empty() {
        sources::file_read(input.text(0))? + "\n" + &options
    } else if options.is_empty() {
        sources::required("")?
    } else {
        options
    };
    let id = session.call_id("one.backupjob.allocate", &[text.into()])?;
    common::id_print(session, id)
}

fn template_of(input: &Input, now: i64) -> Result<String, CliError> {
    let mut builder = Builder::default();
    for (option, attribute) in [
        ("name", "NAME"),
        ("description", "DESCRIPTION"),
        ("vms", "BACKUP_VMS"),
        ("keep", "KEEP_LAST"),
    ] {
        builder.option(input, option, attribute);
    }
    if let Some(mode) = input.value("mode") {
        builder.single("MODE", &mode.to_ascii_uppercase());
    }
    if let Some(scheduled) = schedule::from_options(input, "backup", &[], 0, now)? {
        builder.raw(&scheduled.template);
    }
    Ok(builder.into_text())
}

fn each(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    session.each(Kind::BackupJob, &input.ids(0), done, |session, id| {
        session
            .call(&Kind::BackupJob.method(method), &[id.into()])
            .map(drop)
    })
}

/// `backup`, at once or by a schedule.
pub fn backup(session: &mut Session, input: &Input) -> Result<(), CliError> {
    match schedule::from_options(input, "backup", &[], session.now, session.now)? {
        None => each(session, input, "backup", "backup started"),
        Some(scheduled) => session.each(
            Kind::BackupJob,
            &input.ids(0),
            "backup scheduled",
            |session, id| {
                let params = [id.into(), scheduled.template.as_str().into()];
                session.call("one.backupjob.schedadd", &params)?;
                session.print(&format!(
                    "BACKUPJOB {id}: backup scheduled at {}\n",
                    scheduled.when
                ))
            },
        ),
    }
}

/// `cancel`.
pub fn cancel(session: &mut Session, input: &Input) -> Result<(), CliError> {
    each(session, input, "cancel", "backup canceled")
}

/// `retry`.
pub fn retry(session: &mut Session, input: &Input) -> Result<(), CliError> {
    each(session, input, "retry", "backup retried")
}

/// `priority`.
pub fn priority(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(
        Kind::BackupJob,
        &input.ids(0),
        "priority changed",
        |session, id| {
            session
                .call("one.backupjob.priority", &[id.into(), input.id(1).into()])
                .map(drop)
        },
    )
}

/// `sched-delete`.
pub fn sched_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [input.id(0).into(), input.id(1).into()];
    session.call("one.backupjob.scheddelete", &params).map(drop)
}

/// `sched-update`.
pub fn sched_update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = sources::required(input.text(2))?;
    let params = [input.id(0).into(), input.id(1).into(), template.into()];
    session.call("one.backupjob.schedupdate", &params).map(drop)
}
