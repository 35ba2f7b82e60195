//! `onevmgroup`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The table of VM groups.
pub static LIST: ListSpec = ListSpec {
    element: "VM_GROUP",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the VM group", "虚拟机组编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the VM group", "虚拟机组名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::right("VMS", 4).about("Number of VMs in it", "虚拟机数量"),
        Column::left("ROLES", 36).about("Its roles", "角色"),
    ],
    shown: &["ID", "USER", "GROUP", "NAME", "VMS", "ROLES"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, group: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(group, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(group, if context.numeric { "GID" } else { "GNAME" }),
        "VMS" => {
            let count = |role| vms(role).len();
            roles(group).into_iter().map(count).sum::<usize>().to_string()
        }
        "ROLES" => {
            let names = roles(group).into_iter().map(|role| xml::text(role, "NAME"));
            names.collect::<Vec<_>>().join(", ")
        }
        _ => xml::text(group, column),
    }
}

fn roles<'a, 'i>(group: Node<'a, 'i>) -> Vec<Node<'a, 'i>> {
    let list = xml::child(group, "ROLES");
    list.map(|list| xml::children(list, "ROLE").collect())
        .unwrap_or_default()
}

fn vms(role: Node<'_, '_>) -> Vec<String> {
    let text = xml::text(role, "VMS");
    let ids = text.split(',').map(str::trim);
    ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// Renders the VM group.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The VM group.
pub fn render(group: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(group, "ID");
    fields
        .add_head(format!("VM GROUP {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", group, "NAME")
        .add_owner(group)
        .add_lock(group);
    let permissions = fields.permissions(group);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("VM GROUP TEMPLATE"),
        template_text::template_block(group, &[]),
        "\n".to_owned(),
        layout::head("ROLES"),
        role_table(group),
    ]
    .concat()
}

fn role_table(group: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 4),
        Column::left("NAME", 15),
        Column::left("POLICY", 12),
        Column::left("AFFINED HOSTS", 14),
        Column::left("ANTI-AFFINED HOSTS", 18),
        Column::left("VMS", 20),
    ]);
    for role in roles(group) {
        table.rows.push(vec![
            xml::text(role, "ID"),
            xml::text(role, "NAME"),
            xml::text_or_dash(role, "POLICY"),
            xml::text_or_dash(role, "HOST_AFFINED"),
            xml::text_or_dash(role, "HOST_ANTI_AFFINED"),
            vms(role).join(","),
        ]);
    }
    table.render()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, Vec::new())
}

/// `role-add`.
pub fn role_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = sources::required(input.text(1))?;
    session
        .call("one.vmgroup.roleadd", &[input.id(0).into(), template.into()])
        .map(drop)
}

/// `role-delete`.
pub fn role_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call(
            "one.vmgroup.roledelete",
            &[input.id(0).into(), input.id(1).into()],
        )
        .map(drop)
}

/// `role-update`.
pub fn role_update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = sources::required(input.text(2))?;
    let params = [input.id(0).into(), input.id(1).into(), template.into()];
    session.call("one.vmgroup.roleupdate", &params).map(drop)
}
