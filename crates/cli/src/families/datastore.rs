//! `onedatastore`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::size_text_mib;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::states;
use crate::table::Column;
use crate::template_text;
use crate::xml;

/// The table of datastores.
pub static LIST: ListSpec = ListSpec {
    element: "DATASTORE",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the datastore", "数据存储编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("NAME", 10)
            .expanded()
            .about("Name of the datastore", "数据存储名称"),
        Column::right("SIZE", 6).about("Its size", "总容量"),
        Column::left("AVAIL", 3).about("How much of it is free", "可用比例"),
        Column::left("CLUSTERS", 8).about("Clusters that use it", "所属集群"),
        Column::right("IMAGES", 6).about("Images in it", "镜像数"),
        Column::left("TYPE", 4).about("Its type", "类型"),
        Column::left("DS", 7).about("Datastore driver", "存储驱动"),
        Column::left("TM", 7).about("Transfer driver", "传输驱动"),
        Column::left("STAT", 4).about("Its state", "状态"),
    ],
    shown: &[
        "ID", "NAME", "SIZE", "AVAIL", "CLUSTERS", "IMAGES", "TYPE", "DS", "TM", "STAT",
    ],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, datastore: Node<'_, '_>, column: &str) -> String {
    let total = xml::number(datastore, "TOTAL_MB");
    match column {
        "ID" | "NAME" => xml::text(datastore, column),
        "USER" => xml::text(datastore, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(datastore, if context.numeric { "GID" } else { "GNAME" }),
        "SIZE" | "AVAIL" if total == 0 => "-".to_owned(),
        "SIZE" => context.size_mib(total),
        // Rounded to the nearest.
        "AVAIL" => format!(
            "{}%",
            (xml::number(datastore, "FREE_MB").saturating_mul(200) / total + 1) / 2
        ),
        "CLUSTERS" => xml::ids(datastore, "CLUSTERS").join(","),
        "IMAGES" => xml::ids(datastore, "IMAGES").len().to_string(),
        "TYPE" => states::datastore_type_short(xml::number(datastore, "TYPE")).to_owned(),
        "DS" => xml::text(datastore, "DS_MAD"),
        "TM" => xml::text(datastore, "TM_MAD"),
        "STAT" => states::datastore_short(xml::number(datastore, "STATE")).to_owned(),
        _ => String::new(),
    }
}

/// Renders the datastore.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The datastore.
pub fn render(datastore: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(datastore, "ID");
    let limit = xml::number_at(datastore, "TEMPLATE/LIMIT_MB").map_or_else(|| "-".to_owned(), size_text_mib);
    fields
        .add_head(format!("DATASTORE {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", datastore, "NAME")
        .add_owner(datastore)
        .add("CLUSTERS", xml::ids(datastore, "CLUSTERS").join(","))
        .add("TYPE", states::datastore_type(xml::number(datastore, "TYPE")))
        .add_text("DS_MAD", datastore, "DS_MAD")
        .add_text("TM_MAD", datastore, "TM_MAD")
        .add_text("BASE PATH", datastore, "BASE_PATH")
        .add(
            "DISK_TYPE",
            states::disk_type(xml::number(datastore, "DISK_TYPE")),
        )
        .add("STATE", states::datastore_state(xml::number(datastore, "STATE")))
        .add_line("")
        .add_head("DATASTORE CAPACITY")
        .add("TOTAL:", size_text_mib(xml::number(datastore, "TOTAL_MB")))
        .add("FREE:", size_text_mib(xml::number(datastore, "FREE_MB")))
        .add("USED: ", size_text_mib(xml::number(datastore, "USED_MB")))
        .add("LIMIT:", limit);
    let permissions = fields.permissions(datastore);
    let template = template_text::template_block(datastore, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("DATASTORE TEMPLATE"),
        template,
        "\n".to_owned(),
        layout::id_list("IMAGES", &xml::ids(datastore, "IMAGES")),
    ]
    .concat()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, vec![input.number("cluster").unwrap_or(-1).into()])
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", true, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::switch(session, input, "enable", false, "disabled")
}
