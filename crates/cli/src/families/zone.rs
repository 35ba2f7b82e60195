//! `onezone`.

use std::time::Duration;

use plerion_client::{Client, Limits};
use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::states;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// How long another zone is waited for.
const ZONE_TIME: Duration = Duration::from_secs(3);

/// The table of zones.
pub static LIST: ListSpec = ListSpec {
    element: "ZONE",
    columns: &[
        Column::right("CURRENT", 1).about("A star at the zone calls go to", "当前区域"),
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the zone", "区域编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the zone", "区域名称"),
        Column::left("ENDPOINT", 45).about("Where it is reached", "服务地址"),
        Column::left("FED_INDEX", 10).about("How far it has followed the federation", "联邦日志位置"),
        Column::left("STAT", 4).about("Its state", "状态"),
    ],
    shown: &["CURRENT", "ID", "NAME", "ENDPOINT", "FED_INDEX", "STAT"],
    cell,
    fetch: list::fetch_all,
    prepare,
};

/// Asks each zone how far it is; one that does not answer gets a dash.
fn prepare(session: &mut Session, context: &mut Context, columns: &[&'static str]) -> Result<(), CliError> {
    context.extra.insert("endpoint".to_owned(), session.endpoint()?);
    if !columns.contains(&"FED_INDEX") {
        return Ok(());
    }
    let pool = list_pool(session)?;
    let document = xml::document_parse(&pool)?;
    for zone in xml::children(document.root_element(), "ZONE") {
        let settings = session.settings_for(&xml::text(zone, "TEMPLATE/ENDPOINT"))?;
        let limits = Limits {
            connect_time: ZONE_TIME,
            call_time: ZONE_TIME,
            ..Limits::default()
        };
        let status = Client::with_limits(&settings, limits)
            .and_then(|mut client| client.call("one.zone.raftstatus", &[]))
            .and_then(plerion_client::Answer::into_text);
        // Being unreachable is what the dash says.
        let index = match status.as_deref().map(xml::document_parse) {
            Ok(Ok(status)) => xml::text_or_dash(status.root_element(), "FEDLOG_INDEX"),
            _ => "-".to_owned(),
        };
        context
            .extra
            .insert(format!("index {}", xml::text(zone, "ID")), index);
    }
    Ok(())
}

fn list_pool(session: &mut Session) -> Result<String, CliError> {
    session.pool(crate::kind::Kind::Zone, crate::session::FILTER_ALL)
}

fn cell(context: &Context, zone: Node<'_, '_>, column: &str) -> String {
    let endpoint = xml::text(zone, "TEMPLATE/ENDPOINT");
    match column {
        "CURRENT" if context.extra.get("endpoint") == Some(&endpoint) => "*".to_owned(),
        "CURRENT" => String::new(),
        "ENDPOINT" => endpoint,
        "FED_INDEX" => {
            let key = format!("index {}", xml::text(zone, "ID"));
            context.extra.get(&key).cloned().unwrap_or_else(|| "-".to_owned())
        }
        "STAT" => states::zone_short(xml::number(zone, "STATE")).to_owned(),
        _ => xml::text(zone, column),
    }
}

/// Renders the zone.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The zone.
pub fn render(zone: Node<'_, '_>) -> String {
    let mut fields = Fields::new(18);
    let id = xml::text(zone, "ID");
    fields
        .add_head(format!("ZONE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", zone, "NAME")
        .add("STATE", states::zone_state(xml::number(zone, "STATE")));
    let template = template_text::template_block(zone, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        servers(zone),
        "\n".to_owned(),
        layout::head("ZONE TEMPLATE"),
        template,
    ]
    .concat()
}

fn servers(zone: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 2),
        Column::left("NAME", 15),
        Column::left("ENDPOINT", 63),
    ]);
    for server in xml::child(zone, "SERVER_POOL")
        .into_iter()
        .flat_map(|pool| xml::elements(pool).collect::<Vec<_>>())
    {
        table.rows.push(vec![
            xml::text(server, "ID"),
            xml::text(server, "NAME"),
            xml::text(server, "ENDPOINT"),
        ]);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    layout::head("ZONE SERVERS") + &table.render()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, Vec::new())
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", true, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", false, "disabled")
}
