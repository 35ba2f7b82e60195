//! `onevnet`.

use roxmltree::Node;

use super::{common, image};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::kind::Kind;
use crate::list;
use crate::session::{FILTER_ALL, Session};
use crate::sources;
use crate::states;
use crate::table::Column;
use crate::template_build::{Builder, pair};
use crate::xml;

/// The table of networks.
pub static LIST: ListSpec = ListSpec {
    element: "VNET",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the network", "虚拟网络编号"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the network", "虚拟网络名称"),
        Column::left("CLUSTERS", 10).about("Clusters that use it", "所属集群"),
        Column::left("BRIDGE", 8)
            .expanded()
            .about("Bridge on the hosts", "网桥"),
        Column::left("STATE", 6).expanded().about("Its state", "状态"),
        Column::right("LEASES", 6).about("Addresses in use", "已用地址数"),
        Column::right("UPDATED", 4).about("VMs that follow its last change", "已更新的虚拟机数"),
        Column::right("OUTDATED", 4).about("VMs that wait for its last change", "待更新的虚拟机数"),
        Column::right("ERROR", 4).about("VMs that could not follow", "更新失败的虚拟机数"),
    ],
    shown: &[
        "ID", "USER", "GROUP", "NAME", "CLUSTERS", "BRIDGE", "STATE", "LEASES", "OUTDATED", "ERROR",
    ],
    cell,
    fetch: list::fetch_filtered,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, vnet: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" | "BRIDGE" => xml::text(vnet, column),
        "USER" => xml::text(vnet, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(vnet, if context.numeric { "GID" } else { "GNAME" }),
        "CLUSTERS" => xml::ids(vnet, "CLUSTERS").join(","),
        "STATE" => states::vnet_short(xml::number(vnet, "STATE")).to_owned(),
        "LEASES" => xml::text(vnet, "USED_LEASES"),
        _ => xml::ids(vnet, &format!("{column}_VMS")).len().to_string(),
    }
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::create_from_template(session, input, vec![input.number("cluster").unwrap_or(-1).into()])
}

/// Options that describe an address range, and its attributes.
const RANGE_OPTIONS: [(&str, &str); 10] = [
    ("size", "SIZE"),
    ("mac", "MAC"),
    ("ip", "IP"),
    ("ip6", "IP6"),
    ("ip6_global", "GLOBAL_PREFIX"),
    ("ip6_ula", "ULA_PREFIX"),
    ("gateway", "GATEWAY"),
    ("netmask", "NETWORK_MASK"),
    ("vlanid", "VLAN_ID"),
    ("vn_mad", "VN_MAD"),
];

/// `addar`, from a file or from options.
pub fn range_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = if input.text(1).is_empty() {
        range_of(input)?
    } else {
        sources::file_read(input.text(1))?
    };
    session
        .call("one.vn.add_ar", &[input.id(0).into(), template.into()])
        .map(drop)
}

pub(super) fn range_of(input: &Input) -> Result<String, CliError> {
    if !input.has("size") {
        return Err(CliError::text("Address range needs to specify size (-s size)"));
    }
    let has = |names: &[&str]| names.iter().any(|name| input.has(name));
    let kind = match (input.has("ip"), input.has("ip6"), has(&["ip6_global", "ip6_ula"])) {
        (true, true, _) => "IP4_6_STATIC",
        (true, false, true) => "IP4_6",
        (true, false, false) => "IP4",
        (false, true, _) => "IP6_STATIC",
        (false, false, true) => "IP6",
        (false, false, false) => "ETHER",
    };
    let mut pairs = vec![pair("TYPE", kind)];
    for (option, attribute) in RANGE_OPTIONS {
        pairs.extend(input.value(option).map(|value| pair(attribute, value)));
    }
    let mut builder = Builder::default();
    builder.vector("AR", &pairs);
    Ok(builder.into_text())
}

/// `rmar`.
pub fn range_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [input.id(0).into(), input.id(1).into(), input.has("force").into()];
    session.call("one.vn.rm_ar", &params).map(drop)
}

/// `free`: gives a reserved range back.
pub fn range_free(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call("one.vn.free_ar", &[input.id(0).into(), input.id(1).into()])
        .map(drop)
}

/// `updatear`; appended to, the range keeps the attributes that the text does not name.
pub fn range_update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (id, range_id) = (input.id(0), input.id(1));
    let mut old = String::new();
    let text = sources::edited(input.text(2), || {
        old = range_read(session, id, range_id)?;
        Ok(old.clone())
    })?;
    let Some(mut text) = text else {
        return Ok(());
    };
    if input.has("append") {
        if old.is_empty() {
            old = range_read(session, id, range_id)?;
        }
        text = ranges_join(range_id, &text, &old)?;
    }
    session
        .call("one.vn.update_ar", &[id.into(), text.into()])
        .map(drop)
}

fn range_read(session: &mut Session, id: i32, range_id: i32) -> Result<String, CliError> {
    let text = session.info(Kind::Vnet, id)?;
    let document = xml::document_parse(&text)?;
    let wanted = range_id.to_string();
    let range = xml::child(document.root_element(), "AR_POOL")
        .and_then(|pool| xml::children(pool, "AR").find(|range| xml::text(*range, "AR_ID") == wanted))
        .ok_or_else(|| {
            CliError::text(format!(
                "Address Range {range_id} does not exist for Virtual Network {id}"
            ))
        })?;
    let pairs: Vec<String> = xml::elements(range)
        .filter(|node| !xml::is_branch(*node))
        .map(|node| pair(node.tag_name().name(), &xml::text_of(node)))
        .collect();
    let mut builder = Builder::default();
    builder.vector("AR", &pairs);
    Ok(builder.into_text())
}

/// One range of two texts `AR=[…]`. Of an attribute that is there twice the first counts.
fn ranges_join(range_id: i32, new: &str, old: &str) -> Result<String, CliError> {
    let inner = |text: &str| {
        let (_, rest) = text.split_once('[')?;
        let (inner, _) = rest.rsplit_once(']')?;
        Some(inner.trim().to_owned())
    };
    let (Some(new), Some(old)) = (inner(new), inner(old)) else {
        return Err(CliError::text(
            "The address range has to be given as AR=[ NAME=\"value\", … ].",
        ));
    };
    let parts = [pair("AR_ID", &range_id.to_string()), new, old];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut builder = Builder::default();
    builder.vector("AR", &parts);
    Ok(builder.into_text())
}

/// `hold`.
pub fn hold(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call("one.vn.hold", &[input.id(0).into(), lease_of(input)?.into()])
        .map(drop)
}

/// `release`.
pub fn release(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session
        .call("one.vn.release", &[input.id(0).into(), lease_of(input)?.into()])
        .map(drop)
}

/// The template that names one address.
fn lease_of(input: &Input) -> Result<String, CliError> {
    let address = input.text(1);
    let is_mac = address.split(':').count() == 6
        && address
            .split(':')
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let name = if is_mac {
        "MAC"
    } else if address.parse::<std::net::Ipv4Addr>().is_ok() {
        "IP"
    } else if address.parse::<std::net::Ipv6Addr>().is_ok() {
        "IP6"
    } else {
        return Err(CliError::text("Unknown address type"));
    };
    let mut pairs = vec![pair(name, address)];
    pairs.extend(input.value("address_range").map(|id| pair("AR_ID", id)));
    let mut builder = Builder::default();
    builder.vector("LEASES", &pairs);
    Ok(builder.into_text())
}

/// `reserve`: a new network, or more addresses for the one named second.
pub fn reserve(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let Some(size) = input.value("size") else {
        return Err(CliError::text("Specify a size (-s size) for the reservation"));
    };
    let target = input.id_maybe(1);
    let mut builder = Builder::default();
    builder.single("SIZE", size);
    match (target, input.value("name")) {
        (Some(id), _) => builder.single("NETWORK_ID", &id.to_string()),
        (None, Some(name)) => builder.single("NAME", name),
        (None, None) => {
            return Err(CliError::text(
                "The reservation needs a name (-n name) or an existing network.",
            ));
        }
    }
    for (option, attribute) in [
        ("address_range", "AR_ID"),
        ("ip", "IP"),
        ("ip6", "IP6"),
        ("mac", "MAC"),
    ] {
        builder.option(input, option, attribute);
    }
    let id = session.call_id(
        "one.vn.reserve",
        &[input.id(0).into(), builder.into_text().into()],
    )?;
    session.print(&format!("Reservation VNET ID: {id}\n"))
}

/// `recover`.
pub fn recover(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let operation = [("failure", 0), ("success", 1), ("delete", 2), ("retry", 3)]
        .into_iter()
        .find(|(name, _)| input.has(name))
        .map(|(_, number)| number)
        .ok_or_else(|| {
            CliError::text(
                "Say how the network is to be recovered: --success, --failure, --retry or --delete.",
            )
        })?;
    session.each(Kind::Vnet, &input.ids(0), "recovered", |session, id| {
        session
            .call("one.vn.recover", &[id.into(), operation.into()])
            .map(drop)
    })
}

/// `orphans`: networks that no template names.
pub fn orphans(session: &mut Session, _input: &Input) -> Result<(), CliError> {
    let networks = session.pool(Kind::Vnet, FILTER_ALL)?;
    let templates = session.pool(Kind::Template, FILTER_ALL)?;
    let names = ("VNET", "NIC", "NETWORK_ID", "NETWORK", "NETWORK_UNAME");
    let text = image::orphans_find(&networks, &templates, names)?;
    session.print(&text)
}
