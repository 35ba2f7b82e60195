//! `onesecgroup`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The table of security groups.
pub static LIST: ListSpec = ListSpec {
    element: "SECURITY_GROUP",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the security group", "安全组编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the security group", "安全组名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::right("UPDATED", 8).about("VMs that follow its rules", "已更新的虚拟机数"),
        Column::right("OUTDATED", 8).about("VMs that wait for its new rules", "待更新的虚拟机数"),
        Column::right("ERROR", 8).about("VMs that could not follow", "更新失败的虚拟机数"),
    ],
    shown: &["ID", "USER", "GROUP", "NAME", "UPDATED", "OUTDATED", "ERROR"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, group: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" => xml::text(group, column),
        "USER" => xml::text(group, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(group, if context.numeric { "GID" } else { "GNAME" }),
        _ => xml::ids(group, &format!("{column}_VMS")).len().to_string(),
    }
}

/// Renders the security group.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The security group.
pub fn render(group: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(group, "ID");
    fields
        .add_head(format!("SECURITY GROUP {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", group, "NAME")
        .add_owner(group);
    let permissions = fields.permissions(group);
    let mut machines = Fields::new(15);
    machines
        .add("UPDATED", xml::ids(group, "UPDATED_VMS").join(","))
        .add("OUTDATED", xml::ids(group, "OUTDATED_VMS").join(","))
        .add("ERROR", xml::ids(group, "ERROR_VMS").join(","));
    let template = template_text::template_block(group, &["RULE"]);
    [
        fields.into_text(),
        permissions,
        "\n".to_owned(),
        layout::head("VIRTUAL MACHINES"),
        machines.into_text(),
        "\n".to_owned(),
        layout::head("RULES"),
        rules(group),
        "\n".to_owned(),
        layout::head("TEMPLATE CONTENTS"),
        template,
    ]
    .concat()
}

fn rules(group: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::left("TYPE", 8),
        Column::left("PROTOCOL", 8),
        Column::left("ICMP_TYPE", 9),
        Column::left("ICMVP6_TYPE", 11),
        Column::left("NETWORK", 35),
        Column::left("RANGE", 16),
    ]);
    let Some(template) = xml::child(group, "TEMPLATE") else {
        return String::new();
    };
    for rule in xml::elements(template).filter(|node| node.has_tag_name("RULE")) {
        let network = match (xml::text(rule, "NETWORK_ID"), xml::text(rule, "IP")) {
            (id, _) if !id.is_empty() => format!("VNet {id}"),
            (_, start) if !start.is_empty() => format!("Start: {start}, Size: {}", xml::text(rule, "SIZE")),
            _ => "Any".to_owned(),
        };
        table.rows.push(vec![
            xml::text(rule, "RULE_TYPE").to_uppercase(),
            xml::text(rule, "PROTOCOL"),
            xml::text(rule, "ICMP_TYPE"),
            xml::text(rule, "ICMPV6_TYPE"),
            network,
            xml::text(rule, "RANGE"),
        ]);
    }
    table.render()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, Vec::new())
}

/// `clone`.
pub fn clone(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = session.call_id("one.secgroup.clone", &[input.id(0).into(), input.text(1).into()])?;
    common::id_print(session, id)
}

/// `commit`: has the VMs follow the rules, all of them or only those that failed before.
pub fn commit(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(Kind::Secgroup, &input.ids(0), "committed", |session, id| {
        session
            .call("one.secgroup.commit", &[id.into(), input.has("recover").into()])
            .map(drop)
    })
}
