//! `onevntemplate`.

use roxmltree::Document;

use super::{common, template, vnet};
use crate::error::CliError;
use crate::family::{Input, ListSpec};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::Column;
use crate::template_build::Builder;

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
    cell: template::cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

/// Renders the network template.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(template::render(document.root_element()))
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
        extra.push('\n');
    }
    let mut builder = Builder::default();
    builder.option(input, "as_gid", "AS_GID");
    builder.option(input, "as_uid", "AS_UID");
    extra.push_str(&builder.into_text());
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
