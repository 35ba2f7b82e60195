//! `onevdc`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::table::Column;
use crate::template_build::Builder;
use crate::template_text;
use crate::xml;

/// The id that stands for all resources of a zone.
pub const ALL_RESOURCES: i32 = -10;

/// How people write it.
pub const ALL_WORD: &str = "ALL";

/// The resources of a VDC: the element of the list and that of a member.
const RESOURCES: [(&str, &str); 4] = [
    ("CLUSTERS", "CLUSTER"),
    ("HOSTS", "HOST"),
    ("VNETS", "VNET"),
    ("DATASTORES", "DATASTORE"),
];

/// The table of VDCs.
pub static LIST: ListSpec = ListSpec {
    element: "VDC",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the VDC", "VDC 编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the VDC", "VDC 名称"),
        Column::right("GROUPS", 8).about("Groups in it", "用户组数"),
        Column::right("CLUSTERS", 10).about("Clusters in it", "集群数"),
        Column::right("HOSTS", 10).about("Hosts in it", "主机数"),
        Column::right("VNETS", 10).about("Virtual networks in it", "虚拟网络数"),
        Column::right("DATASTORES", 10).about("Datastores in it", "数据存储数"),
    ],
    shown: &["ID", "NAME", "GROUPS", "CLUSTERS", "HOSTS", "VNETS", "DATASTORES"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(_context: &Context, vdc: Node<'_, '_>, column: &str) -> String {
    if column == "GROUPS" {
        return xml::ids(vdc, column).len().to_string();
    }
    let resource = RESOURCES.iter().find(|(list, _)| *list == column);
    let Some((list, member)) = resource else {
        return xml::text(vdc, column);
    };
    let members = members(vdc, list, member);
    if members.iter().any(|(_, id)| id == ALL_WORD) {
        ALL_WORD.to_owned()
    } else {
        members.len().to_string()
    }
}

/// Zone and id of the resources of a kind.
fn members(vdc: Node<'_, '_>, list: &str, member: &'static str) -> Vec<(String, String)> {
    let id_name = format!("{member}_ID");
    let id = |node| {
        let id = xml::text(node, &id_name);
        if id == ALL_RESOURCES.to_string() {
            ALL_WORD.to_owned()
        } else {
            id
        }
    };
    xml::child(vdc, list)
        .map(|list| {
            xml::children(list, member)
                .map(|node| (xml::text(node, "ZONE_ID"), id(node)))
                .collect()
        })
        .unwrap_or_default()
}

/// Renders the VDC.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The VDC.
pub fn render(vdc: Node<'_, '_>) -> String {
    let mut fields = Fields::new(18);
    let id = xml::text(vdc, "ID");
    fields
        .add_head(format!("VDC {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", vdc, "NAME");
    let mut text = fields.into_text() + "\n GROUPS\n";
    for group in xml::ids(vdc, "GROUPS") {
        text.push_str(&format!("{group:>7}\n"));
    }
    text.push('\n');
    for (list, member) in RESOURCES {
        text.push_str(&resource_table(vdc, list, member));
    }
    text + &layout::head("VDC TEMPLATE") + &template_text::template_block(vdc, &[])
}

/// A table with zone and id; nothing where there are none (recorded).
fn resource_table(vdc: Node<'_, '_>, list: &str, member: &'static str) -> String {
    let members = members(vdc, list, member);
    if members.is_empty() {
        return String::new();
    }
    let mut text = layout::head(list) + &format!("{:>7} {member:>9}\n", "ZONE");
    for (zone, id) in members {
        text.push_str(&format!("{zone:>7} {id:>9}\n"));
    }
    text + "\n"
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let mut template = Builder::default();
    template.single("NAME", input.text(0));
    let id = session.call_id("one.vdc.allocate", &[template.into_text().into()])?;
    common::id_print(session, id)
}

/// `addgroup`.
pub fn group_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "addgroup", "group added")
}

/// `delgroup`.
pub fn group_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "delgroup", "group removed")
}

/// `addcluster`.
pub fn cluster_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "addcluster", "cluster added")
}

/// `delcluster`.
pub fn cluster_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "delcluster", "cluster removed")
}

/// `addhost`.
pub fn host_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "addhost", "host added")
}

/// `delhost`.
pub fn host_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "delhost", "host removed")
}

/// `adddatastore`.
pub fn datastore_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "adddatastore", "datastore added")
}

/// `deldatastore`.
pub fn datastore_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "deldatastore", "datastore removed")
}

/// `addvnet`.
pub fn vnet_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "addvnet", "network added")
}

/// `delvnet`.
pub fn vnet_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    relate(session, input, "delvnet", "network removed")
}

/// Calls a method with VDC, zone and resource.
fn relate(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    let kind = input.family.kind;
    session.each(kind, &input.ids(0), done, |session, id| {
        let params = [id.into(), input.id(1).into(), input.id(2).into()];
        session.call(&kind.method(method), &params).map(drop)
    })
}
