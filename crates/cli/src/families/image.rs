//! `oneimage`.

use roxmltree::{Document, Node};

use super::{common, host};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::{moment_text, size_text_mib};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::{FILTER_ALL, Session};
use crate::sources;
use crate::states;
use crate::table::{Column, Table};
use crate::template_build::Builder;
use crate::template_text;
use crate::xml;

/// The type number of backups.
const TYPE_BACKUP: i64 = 6;

/// The table of images.
pub static LIST: ListSpec = ListSpec {
    element: "IMAGE",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the image", "镜像编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the image", "镜像名称"),
        Column::left("DATASTORE", 10).about("Datastore it is in", "所在数据存储"),
        Column::right("SIZE", 7).about("Its size", "大小"),
        Column::left("TYPE", 4).about("Its type", "类型"),
        Column::right("REGTIME", 15).about("When it was registered", "登记时间"),
        Column::right("MODTIME", 15).about("When it was last changed", "修改时间"),
        Column::right("PERSISTENT", 3).about("Whether changes are kept", "是否持久"),
        Column::left("STAT", 4).about("Its state", "状态"),
        Column::right("RVMS", 4).about("VMs that use it", "使用它的虚拟机数"),
    ],
    shown: &[
        "ID",
        "USER",
        "GROUP",
        "NAME",
        "DATASTORE",
        "SIZE",
        "TYPE",
        "PERSISTENT",
        "STAT",
        "RVMS",
    ],
    cell,
    fetch,
    prepare: list::prepare_nothing,
};

/// The pool; with `--backup` only the backups of it.
fn fetch(session: &mut Session, input: &Input) -> Result<String, CliError> {
    let pool = list::fetch_filtered(session, input)?;
    if !input.has("backup") {
        return Ok(pool);
    }
    let document = xml::document_parse(&pool)?;
    let backups: String = xml::children(document.root_element(), "IMAGE")
        .filter(|image| xml::number(*image, "TYPE") == TYPE_BACKUP)
        .map(|image| &document.input_text()[image.range()])
        .collect();
    Ok(format!("<IMAGE_POOL>{backups}</IMAGE_POOL>"))
}

fn cell(context: &Context, image: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" | "DATASTORE" => xml::text(image, column),
        "USER" => xml::text(image, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(image, if context.numeric { "GID" } else { "GNAME" }),
        "SIZE" => context.size_mib(xml::number(image, "SIZE")),
        "TYPE" => states::image_type_short(xml::number(image, "TYPE")).to_owned(),
        "REGTIME" | "MODTIME" => moment_text(xml::number(image, column)),
        "PERSISTENT" => layout::yes_no(&xml::text(image, "PERSISTENT")).to_owned(),
        "STAT" => states::image_short(xml::number(image, "STATE")).to_owned(),
        "RVMS" => xml::text(image, "RUNNING_VMS"),
        _ => String::new(),
    }
}

/// Fetches the VMs that use the image and renders it.
pub fn show(session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    let image = document.root_element();
    let users = xml::ids(image, "VMS");
    let is_backup = xml::number(image, "TYPE") == TYPE_BACKUP;
    let vms = if users.is_empty() || is_backup {
        String::new()
    } else {
        host::vm_table(session, &users)?
    };
    Ok(render(image) + &vms)
}

/// The image, without the VMs that use it.
pub fn render(image: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(image, "ID");
    let kind = xml::number(image, "TYPE");
    fields
        .add_head(format!("IMAGE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", image, "NAME")
        .add_owner(image)
        .add_lock(image)
        .add_text("DATASTORE", image, "DATASTORE")
        .add("TYPE", states::image_type(kind))
        .add("REGISTER TIME", moment_text(xml::number(image, "REGTIME")))
        .add("LAST MODIFIED", moment_text(xml::number(image, "MODTIME")))
        .add("PERSISTENT", layout::yes_no(&xml::text(image, "PERSISTENT")))
        .add_text("SOURCE", image, "SOURCE");
    for (label, name) in [("PATH", "PATH"), ("FORMAT", "FORMAT"), ("FS", "FS")] {
        if !xml::text(image, name).is_empty() {
            fields.add_text(label, image, name);
        }
    }
    fields
        .add("SIZE", size_text_mib(xml::number(image, "SIZE")))
        .add("STATE", states::image_short(xml::number(image, "STATE")))
        .add_text("RUNNING_VMS", image, "RUNNING_VMS");
    let permissions = fields.permissions(image);
    let template = template_text::template_block(image, &[]);
    let backup = match (kind == TYPE_BACKUP, template.trim().is_empty()) {
        (false, _) => String::new(),
        (true, true) => backup_section(image),
        (true, false) => format!("\n{}", backup_section(image)),
    };
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        snapshots(image),
        layout::head("IMAGE TEMPLATE"),
        template,
        backup,
    ]
    .concat()
}

fn snapshots(image: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::left("AC", 2),
        Column::right("ID", 3),
        Column::right("PARENT", 6),
        Column::right("DATE", 15),
        Column::left("SIZE", 8),
        Column::left("NAME", 37),
    ]);
    let Some(list) = xml::child(image, "SNAPSHOTS") else {
        return String::new();
    };
    for snapshot in xml::elements(list).filter(|node| node.has_tag_name("SNAPSHOT")) {
        table.rows.push(vec![
            if xml::text(snapshot, "ACTIVE") == "YES" {
                "=>"
            } else {
                ""
            }
            .to_owned(),
            xml::text(snapshot, "ID"),
            xml::text(snapshot, "PARENT"),
            moment_text(xml::number(snapshot, "DATE")),
            size_text_mib(xml::number(snapshot, "SIZE")),
            xml::text(snapshot, "NAME"),
        ]);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    format!("{}{}\n", layout::head("IMAGE SNAPSHOTS"), table.render())
}

fn backup_section(image: Node<'_, '_>) -> String {
    let increments = xml::child(image, "BACKUP_INCREMENTS");
    let has_increments = increments.is_some_and(xml::is_branch);
    let mut fields = Fields::new(15);
    fields
        .add_head("BACKUP INFORMATION")
        .add("VM", xml::ids(image, "VMS").join(","))
        .add("DISK IDS", xml::ids(image, "BACKUP_DISK_IDS").join(","))
        .add("TYPE", if has_increments { "INCREMENTAL" } else { "FULL" });
    fields.into_text()
}

/// `create`, from a file or from options.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = if input.text(0).is_empty() {
        template_of(input)
    } else {
        sources::file_read(input.text(0))?
    };
    if input.has("dry") {
        return session.print(&template);
    }
    let Some(datastore) = input.number("datastore") else {
        return Err(CliError::text(
            "Datastore to save the image is mandatory: \n\t -d datastore_id",
        ));
    };
    let params = [
        template.into(),
        datastore.into(),
        input.has("no_check_capacity").into(),
    ];
    let id = session.call_id("one.image.allocate", &params)?;
    common::id_print(session, id)
}

/// The template the options describe.
fn template_of(input: &Input) -> String {
    let mut builder = Builder::default();
    for (option, attribute) in [
        ("name", "NAME"),
        ("description", "DESCRIPTION"),
        ("type", "TYPE"),
        ("path", "PATH"),
        ("source", "SOURCE"),
        ("size", "SIZE"),
        ("prefix", "DEV_PREFIX"),
        ("target", "TARGET"),
        ("format", "FORMAT"),
        ("fs", "FS"),
        ("disk_type", "DISK_TYPE"),
    ] {
        builder.option(input, option, attribute);
    }
    if input.has("persistent") {
        builder.single("PERSISTENT", "YES");
    }
    builder.into_text()
}

/// `clone`.
pub fn clone(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let datastore = input.number("datastore").unwrap_or(-1);
    let params = [input.id(0).into(), input.text(1).into(), datastore.into()];
    let id = session.call_id("one.image.clone", &params)?;
    common::id_print(session, id)
}

/// `delete`.
pub fn delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(Kind::Image, &input.ids(0), "deleted", |session, id| {
        session
            .call("one.image.delete", &[id.into(), input.has("force").into()])
            .map(drop)
    })
}

/// `restore`: the disks of a backup become images, and its VM a template.
pub fn restore(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let Some(datastore) = input.number("datastore") else {
        return Err(CliError::text(
            "Datastore to restore the backup to is mandatory: \n\t -d datastore_id",
        ));
    };
    let mut builder = Builder::default();
    for (option, attribute) in [
        ("name", "NAME"),
        ("increment", "INCREMENT_ID"),
        ("disk-id", "DISK_ID"),
    ] {
        builder.option(input, option, attribute);
    }
    for (option, attribute) in [("no_ip", "NO_IP"), ("no_nic", "NO_NIC")] {
        if input.has(option) {
            builder.single(attribute, "YES");
        }
    }
    let params = [input.id(0).into(), datastore.into(), builder.into_text().into()];
    let answer = session.call_text("one.image.restore", &params)?;
    let (template, images) = answer.split_once(' ').unwrap_or((&answer, ""));
    if template != "-1" {
        session.print(&format!("VM Template: {template}\n"))?;
    }
    session.print(&format!("Images: {images}\n"))
}

/// `persistent`.
pub fn persistent(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "persistent", true, "made persistent")
}

/// `nonpersistent`.
pub fn nonpersistent(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "persistent", false, "made non persistent")
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", true, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", false, "disabled")
}

/// `chtype`.
pub fn chtype(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let name = input.text(1).to_ascii_uppercase();
    let names: Vec<_> = states::image_type_names().collect();
    if !names.contains(&name.as_str()) {
        return Err(CliError::text(format!(
            "Image type not supported. Must be {}.",
            names.join(", ")
        )));
    }
    session.each(Kind::Image, &input.ids(0), "type changed", |session, id| {
        session
            .call("one.image.chtype", &[id.into(), name.as_str().into()])
            .map(drop)
    })
}

/// `snapshot-delete`, `snapshot-revert` and `snapshot-flatten`.
fn snapshot_call(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    session.each(Kind::Image, &input.ids(0), done, |session, id| {
        session
            .call(&Kind::Image.method(method), &[id.into(), input.id(1).into()])
            .map(drop)
    })
}

/// `snapshot-delete`.
pub fn snapshot_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    snapshot_call(session, input, "snapshotdelete", "snapshot deleted")
}

/// `snapshot-revert`.
pub fn snapshot_revert(session: &mut Session, input: &Input) -> Result<(), CliError> {
    snapshot_call(session, input, "snapshotrevert", "image reverted")
}

/// `snapshot-flatten`.
pub fn snapshot_flatten(session: &mut Session, input: &Input) -> Result<(), CliError> {
    snapshot_call(session, input, "snapshotflatten", "snapshots merged")
}

/// `orphans`: images that no template names.
pub fn orphans(session: &mut Session, _input: &Input) -> Result<(), CliError> {
    let images = session.pool(Kind::Image, FILTER_ALL)?;
    let templates = session.pool(Kind::Template, FILTER_ALL)?;
    let text = orphans_find(
        &images,
        &templates,
        ("IMAGE", "DISK", "IMAGE_ID", "IMAGE", "IMAGE_UNAME"),
    )?;
    session.print(&text)
}

fn is_backup(object: Node<'_, '_>) -> bool {
    object.has_tag_name("IMAGE") && xml::number(object, "TYPE") == TYPE_BACKUP
}

/// Ids of objects in a pool that no template refers to: by id, or by the owner's name for it.
pub fn orphans_find(
    pool: &str,
    templates: &str,
    names: (&'static str, &'static str, &str, &str, &str),
) -> Result<String, CliError> {
    let (element, device, by_id, by_name, by_owner) = names;
    let (pool, templates) = (xml::document_parse(pool)?, xml::document_parse(templates)?);
    let mut used_ids = Vec::new();
    let mut used_names = Vec::new();
    for template in xml::children(templates.root_element(), "VMTEMPLATE") {
        let Some(body) = xml::child(template, "TEMPLATE") else {
            continue;
        };
        for entry in xml::elements(body).filter(|node| node.has_tag_name(device)) {
            used_ids.push(xml::text(entry, by_id));
            let owner = match xml::text(entry, by_owner) {
                named if named.is_empty() => xml::text(template, "UNAME"),
                named => named,
            };
            used_names.push((xml::text(entry, by_name), owner));
        }
    }
    let others = xml::children(pool.root_element(), element).filter(|object| !is_backup(*object));
    let unused = others.filter(|object| {
        let named = (xml::text(*object, "NAME"), xml::text(*object, "UNAME"));
        !used_ids.contains(&xml::text(*object, "ID")) && !used_names.contains(&named)
    });
    Ok(unused.map(|object| xml::text(object, "ID") + "\n").collect())
}
