//! `onemarket`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::size_text_mib;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::table::Column;
use crate::template_text;
use crate::xml;

/// The table of marketplaces.
pub static LIST: ListSpec = ListSpec {
    element: "MARKETPLACE",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the marketplace", "应用市场编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the marketplace", "应用市场名称"),
        Column::right("SIZE", 10).about("Its size", "总容量"),
        Column::left("AVAIL", 10).about("How much of it is free", "可用比例"),
        Column::right("APPS", 6).about("Appliances in it", "应用数"),
        Column::left("MAD", 7).about("Its driver", "驱动"),
        Column::right("ZONE", 4).about("Its zone", "所属区域"),
        Column::left("STAT", 4).about("Its state", "状态"),
    ],
    shown: &["ID", "NAME", "SIZE", "AVAIL", "APPS", "MAD", "ZONE", "STAT"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, market: Node<'_, '_>, column: &str) -> String {
    let total = xml::number(market, "TOTAL_MB");
    match column {
        "USER" => xml::text(market, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(market, if context.numeric { "GID" } else { "GNAME" }),
        "SIZE" => context.size_mib(total),
        "AVAIL" if total == 0 => "-".to_owned(),
        // Rounded to the nearest.
        "AVAIL" => format!(
            "{}%",
            (xml::number(market, "FREE_MB").saturating_mul(200) / total + 1) / 2
        ),
        "APPS" => xml::ids(market, "MARKETPLACEAPPS").len().to_string(),
        "MAD" => xml::text(market, "MARKET_MAD"),
        "ZONE" => xml::text(market, "ZONE_ID"),
        "STAT" => if is_enabled(market) { "on" } else { "off" }.to_owned(),
        _ => xml::text(market, column),
    }
}

fn is_enabled(market: Node<'_, '_>) -> bool {
    xml::number(market, "STATE") == 0
}

/// Renders the marketplace.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The marketplace.
pub fn render(market: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(market, "ID");
    fields
        .add_head(format!("MARKETPLACE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", market, "NAME")
        .add_owner(market)
        .add("STATE", if is_enabled(market) { "ENABLED" } else { "DISABLED" })
        .add_text("MARKET_MAD", market, "MARKET_MAD")
        .add_line("")
        .add_head("MARKETPLACE CAPACITY")
        .add("TOTAL:", size_text_mib(xml::number(market, "TOTAL_MB")))
        .add("FREE:", size_text_mib(xml::number(market, "FREE_MB")))
        .add("USED:", size_text_mib(xml::number(market, "USED_MB")));
    let permissions = fields.permissions(market);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("MARKETPLACE TEMPLATE"),
        template_text::template_block(market, &[]),
        "\n".to_owned(),
        layout::id_list("MARKETAPPS", &xml::ids(market, "MARKETPLACEAPPS")),
    ]
    .concat()
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
