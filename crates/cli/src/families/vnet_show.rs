//! `onevnet show`.

use roxmltree::{Document, Node};

use crate::error::CliError;
use crate::family::Input;
use crate::format::pad;
use crate::layout::{self, Fields};
use crate::session::Session;
use crate::states;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// Rows of the range table of an address range: label, first and last.
const RANGE_ROWS: [(&str, &str, &str); 5] = [
    ("MAC", "MAC", "MAC_END"),
    ("IP", "IP", "IP_END"),
    ("IP6_GLOBAL", "IP6_GLOBAL", "IP6_GLOBAL_END"),
    ("IP6_ULA", "IP6_ULA", "IP6_ULA_END"),
    ("IP6", "IP6", "IP6_END"),
];

/// Renders the network.
pub fn show(_session: &mut Session, input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    Ok(render(document.root_element(), input.has("show-ar")))
}

/// The network; `with_templates` prints the attributes of address ranges, too.
pub fn render(vnet: Node<'_, '_>, with_templates: bool) -> String {
    let fields = information(vnet);
    let permissions = fields.permissions(vnet);
    let template = template_text::template_block(vnet, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        permissions,
        "\n".to_owned(),
        layout::head("VIRTUAL NETWORK TEMPLATE"),
        template,
        "\n".to_owned(),
        layout::head("ADDRESS RANGE POOL"),
        ranges(vnet, with_templates),
        "\n".to_owned(),
        leases(vnet),
        "\n".to_owned(),
        routers(vnet),
        "\n".to_owned(),
        machines(vnet),
    ]
    .concat()
}

fn information(vnet: Node<'_, '_>) -> Fields {
    let mut fields = Fields::new(25);
    let id = xml::text(vnet, "ID");
    fields
        .add_head(format!("VIRTUAL NETWORK {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", vnet, "NAME")
        .add_owner(vnet)
        .add_lock(vnet)
        .add("CLUSTERS", xml::ids(vnet, "CLUSTERS").join(","))
        .add_text("BRIDGE", vnet, "BRIDGE")
        .add("STATE", states::vnet_state(xml::number(vnet, "STATE")))
        .add_text("VN_MAD", vnet, "VN_MAD");
    for (label, name) in [
        ("PHYSICAL DEVICE", "PHYDEV"),
        ("VLAN ID", "VLAN_ID"),
        ("OUTER VLAN ID", "OUTER_VLAN_ID"),
    ] {
        if !xml::text(vnet, name).is_empty() {
            fields.add_text(label, vnet, name);
        }
    }
    let yes_no = |name: &str| if xml::text(vnet, name) == "1" { "YES" } else { "NO" };
    fields
        .add("AUTOMATIC VLAN ID", yes_no("VLAN_ID_AUTOMATIC"))
        .add("AUTOMATIC OUTER VLAN ID", yes_no("OUTER_VLAN_ID_AUTOMATIC"))
        .add_text("USED LEASES", vnet, "USED_LEASES");
    fields
}

fn address_ranges<'a, 'i>(vnet: Node<'a, 'i>) -> Vec<Node<'a, 'i>> {
    let pool = xml::child(vnet, "AR_POOL");
    pool.map(|pool| {
        xml::elements(pool)
            .filter(|node| node.has_tag_name("AR"))
            .collect()
    })
    .unwrap_or_default()
}

fn ranges(vnet: Node<'_, '_>, with_templates: bool) -> String {
    let mut text = String::new();
    for range in address_ranges(vnet) {
        let mut fields = Fields::new(15);
        fields
            .add_head(format!("AR {}", xml::text(range, "AR_ID")))
            .add_text("SIZE", range, "SIZE")
            .add_text("LEASES", range, "USED_LEASES");
        text.push_str(&fields.into_text());
        text.push_str(&format!(
            "\n{} {:>34} {:>34}\n",
            pad("RANGE", 10, false),
            "FIRST",
            "LAST"
        ));
        for (label, first, last) in RANGE_ROWS {
            if !xml::text(range, first).is_empty() {
                let (first, last) = (xml::text(range, first), xml::text(range, last));
                text.push_str(&format!("{label:<10} {first:>34} {last:>34}\n"));
            }
        }
        if with_templates {
            text.push_str(&format!(
                "\n{}",
                template_text::template_render(range, &["LEASES"])
            ));
        }
        text.push('\n');
    }
    text
}

fn leases(vnet: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::left("AR", 3),
        Column::left("OWNER", 10),
        Column::right("MAC", 5).adjusted(),
        Column::right("IP", 5).adjusted(),
        Column::right("PORT_FORWARD", 5).adjusted(),
        Column::right("IP6", 5).adjusted(),
    ]);
    for range in address_ranges(vnet) {
        let Some(list) = xml::child(range, "LEASES") else {
            continue;
        };
        for lease in xml::elements(list).filter(|node| node.has_tag_name("LEASE")) {
            let ip6 = ["IP6_GLOBAL", "IP6", "IP6_ULA", "IP6_LINK"].map(|name| xml::text(lease, name));
            table.rows.push(vec![
                xml::text(range, "AR_ID"),
                owner(lease),
                xml::text(lease, "MAC"),
                xml::text_or_dash(lease, "IP"),
                xml::text_or_dash(lease, "EXTERNAL_PORT_RANGE"),
                ip6.into_iter()
                    .find(|address| !address.is_empty())
                    .unwrap_or_else(|| "-".to_owned()),
            ]);
        }
    }
    format!("{}{}", layout::head("LEASES"), table.render())
}

/// Who holds a lease: a VM (`V:`), a reservation (`N:`) or a virtual router (`R:`).
fn owner(lease: Node<'_, '_>) -> String {
    for (name, letter) in [("VM", 'V'), ("VNET", 'N'), ("VROUTER", 'R')] {
        let id = xml::text(lease, name);
        if !id.is_empty() {
            return format!("{letter}:{id}");
        }
    }
    String::new()
}

fn routers(vnet: Node<'_, '_>) -> String {
    let mut text = "VIRTUAL ROUTERS\n".to_owned();
    for id in xml::ids(vnet, "VROUTERS") {
        text.push_str(&format!("{}\n", pad(&id, 15, false)));
    }
    text
}

fn machines(vnet: Node<'_, '_>) -> String {
    let mut fields = Fields::new(15);
    fields
        .add_head("VIRTUAL MACHINES")
        .add("UPDATED", xml::ids(vnet, "UPDATED_VMS").join(","))
        .add("OUTDATED", xml::ids(vnet, "OUTDATED_VMS").join(","))
        .add("ERROR", xml::ids(vnet, "ERROR_VMS").join(","));
    fields.into_text()
}
