//! `onevrouter`.

use roxmltree::{Document, Node};

use super::{common, template};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::pad;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::Session;
use crate::sources;
use crate::table::{Column, Table};
use crate::template_build::{Builder, pair, vm_template};
use crate::template_text;
use crate::xml;

/// The table of virtual routers.
pub static LIST: ListSpec = ListSpec {
    element: "VROUTER",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the virtual router", "虚拟路由器编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the virtual router", "虚拟路由器名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
    ],
    shown: &["ID", "USER", "GROUP", "NAME"],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, router: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER" => xml::text(router, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(router, if context.numeric { "GID" } else { "GNAME" }),
        _ => xml::text(router, column),
    }
}

/// Renders the virtual router.
pub fn show(_session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element()))
}

/// The virtual router.
pub fn render(router: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    let id = xml::text(router, "ID");
    fields
        .add_head(format!("VIRTUAL ROUTER {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", router, "NAME")
        .add_owner(router)
        .add_lock(router);
    let permissions = fields.permissions(router);
    let mut machines = "VIRTUAL MACHINES\n".to_owned();
    for vm in xml::ids(router, "VMS") {
        machines.push_str(&format!("{}\n", pad(&vm, 15, false)));
    }
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("VIRTUAL ROUTER NICS"),
        nics(router),
        "\n".to_owned(),
        layout::head("TEMPLATE CONTENTS"),
        template_text::template_block(router, &["NIC"]),
        "\n".to_owned(),
        machines,
    ]
    .concat()
}

fn nics(router: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 3),
        Column::left("NETWORK", 20),
        Column::left("MANAGEMENT", 10),
        Column::left("IP", 15),
    ]);
    let Some(body) = xml::child(router, "TEMPLATE") else {
        return String::new();
    };
    for nic in xml::children(body, "NIC") {
        let management = match xml::text(nic, "VROUTER_MANAGEMENT").as_str() {
            "" => "NO".to_owned(),
            text => text.to_owned(),
        };
        let names = ["IP", "VROUTER_IP", "VROUTER_IP6_GLOBAL", "VROUTER_IP6"];
        let address = names.map(|name| xml::text(nic, name));
        table.rows.push(vec![
            xml::text(nic, "NIC_ID"),
            xml::text(nic, "NETWORK"),
            management,
            address
                .into_iter()
                .find(|address| !address.is_empty())
                .unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, Vec::new())
}

/// `instantiate`: VMs of a VM template for the router.
pub fn instantiate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (id, template_id) = (input.id(0), input.id(1));
    let count = template::multiple(input)?;
    let mut extra = vm_template(input, false)?;
    if input.text(2).is_empty() {
        extra.push_str(&template::user_inputs(session, input, template_id)?);
    } else {
        extra.push_str(&sources::file_read(input.text(2))?);
    }
    let params = [
        id.into(),
        count.into(),
        template_id.into(),
        input.value("name").unwrap_or_default().into(),
        input.has("hold").into(),
        extra.into(),
    ];
    session.call("one.vrouter.instantiate", &params).map(drop)
}

/// `nic-attach`, from a file or from options.
pub fn nic_attach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = match (input.value("file"), input.value("network")) {
        (Some(path), _) => sources::file_read(path)?,
        (None, Some(network)) => {
            let mut pairs = vec![pair("NETWORK_ID", network)];
            pairs.extend(input.value("ip").map(|ip| pair("IP", ip)));
            if input.has("float") {
                pairs.push(pair("FLOATING_IP", "YES"));
            }
            let mut builder = Builder::default();
            builder.vector("NIC", &pairs);
            builder.into_text()
        }
        (None, None) => {
            return Err(CliError::text(
                "Provide a network or a template:\n\t--file    <file>\n\t--network <network>",
            ));
        }
    };
    session
        .call("one.vrouter.attachnic", &[input.id(0).into(), text.into()])
        .map(drop)
}

/// `nic-detach`.
pub fn nic_detach(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call("one.vrouter.detachnic", &[input.id(0).into(), input.id(1).into()])
        .map(drop)
}
