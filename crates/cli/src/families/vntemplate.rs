//! `onevntemplate`.

use roxmltree::{Document, Node};

use super::{common, template, vnet};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::moment_text;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::Column;
use crate::template_text;
use crate::xml;

/// The table of network templates.
pub static LIST: ListSpec = ListSpec {
    element: "VNTEMPLATE",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the network template", "网络模板编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the network template", "网络模板名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::right("REGTIME", 15).about("When it was registered", "登记时间"),
    ],
    shown: &["ID", "USER", "GROUP", "NAME", "REGTIME"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, template: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(template, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(template, if context.numeric { "GID" } else { "GNAME" }),
        "REGTIME" => moment_text(xml::number(template, "REGTIME")),
        _ => xml::text(template, column),
    }
}

/// Renders the network template.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The network template.
pub fn render(template: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(template, "ID");
    fields
        .add_head(format!("TEMPLATE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", template, "NAME")
        .add_owner(template)
        .add_lock(template)
        .add("REGISTER TIME", moment_text(xml::number(template, "REGTIME")));
    let permissions = fields.permissions(template);
    let body = template_text::template_block(template, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("TEMPLATE CONTENTS"),
        body,
    ]
    .concat()
}

/// `create`, from a file or standard input.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = sources::required(input.text(0))?;
    if input.has("dry") {
        return session.print(&template);
    }
    let id = session.call_id("one.vntemplate.allocate", &[template.into()])?;
    common::id_print(session, id)
}

/// `clone`.
pub fn clone(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = session.call_id(
        "one.vntemplate.clone",
        &[input.id(0).into(), input.text(1).into()],
    )?;
    common::id_print(session, id)
}

/// `instantiate`: one network, or several whose names count up where `%i` stands.
pub fn instantiate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = input.id(0);
    let count = template::multiple(input)?;
    let mut extra = String::new();
    if !input.text(1).is_empty() {
        extra.push_str(&sources::file_read(input.text(1))?);
        extra.push('\n');
    }
    if input.has("size") {
        extra.push_str(&vnet::range_of(input)?);
    }
    for number in 0..count {
        let name = input
            .value("name")
            .unwrap_or_default()
            .replace("%i", &number.to_string());
        let params = [id.into(), name.into(), extra.as_str().into()];
        let vnet = session.call_id("one.vntemplate.instantiate", &params)?;
        session.print(&format!("VN ID: {vnet}\n"))?;
    }
    Ok(())
}
