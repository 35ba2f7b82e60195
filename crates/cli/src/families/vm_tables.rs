//! The table of VMs, and the tables inside `onevm show`: disks, snapshots, NICs, rules, history.

use roxmltree::Node;

use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::{self, moment_text, size_text_mib};
use crate::kind::Kind;
use crate::layout;
use crate::session::{STATE_NOT_DONE, Session};
use crate::states;
use crate::table::{Column, Table};
use crate::xml;

/// The table of VMs.
pub static LIST: ListSpec = ListSpec {
    element: "VM",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the VM", "虚拟机编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the VM", "虚拟机名称"),
        Column::left("USER", 8).about("Its owner", "所有者"),
        Column::left("GROUP", 8).about("Its group", "所属组"),
        Column::right("STAT", 4).about("What it does at the moment", "当前状态"),
        Column::right("CPU", 4).about("CPUs it is given", "分配的 CPU"),
        Column::right("MEM", 7).about("Memory it is given", "分配的内存"),
        Column::left("HOST", 10)
            .expanded()
            .about("Host it runs on", "所在主机"),
        Column::left("CLUSTER", 10).about("Cluster of that host", "所在集群"),
        Column::right("TIME", 10).about("Time since it was created", "创建至今的时间"),
        Column::left("IP", 15).about("Addresses of its NICs", "网卡地址"),
    ],
    shown: &[
        "ID", "USER", "GROUP", "NAME", "STAT", "CPU", "MEM", "HOST", "TIME",
    ],
    cell,
    fetch,
    prepare,
};

fn fetch(session: &mut Session, input: &Input) -> Result<String, CliError> {
    let filter = session.filter_resolve(input.text(0))?;
    let mut extra = vec![STATE_NOT_DONE.into()];
    if let Some(query) = input.value("search") {
        extra.push(query.into());
    }
    let method = if input.has("extended") {
        "one.vmpool.infoextended"
    } else {
        "one.vmpool.info"
    };
    Ok(session.client()?.pool(&plerion_client::PoolQuery {
        method,
        filter,
        extra,
    })?)
}

/// Names of clusters are fetched only when their column is shown.
fn prepare(session: &mut Session, context: &mut Context, columns: &[&'static str]) -> Result<(), CliError> {
    if columns.contains(&"CLUSTER") {
        let pool = session.pool(Kind::Cluster, crate::session::FILTER_ALL)?;
        let document = xml::document_parse(&pool)?;
        for cluster in xml::children(document.root_element(), "CLUSTER") {
            context
                .extra
                .insert(xml::text(cluster, "ID"), xml::text(cluster, "NAME"));
        }
    }
    Ok(())
}

fn cell(context: &Context, vm: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" => xml::text(vm, column),
        "USER" => xml::text(vm, if context.numeric { "UID" } else { "UNAME" }),
        "GROUP" => xml::text(vm, if context.numeric { "GID" } else { "GNAME" }),
        "STAT" => states::vm_short(xml::number(vm, "STATE"), xml::number(vm, "LCM_STATE")).to_owned(),
        "CPU" => xml::text(vm, "TEMPLATE/CPU"),
        "MEM" => context.size_mib(xml::number(vm, "TEMPLATE/MEMORY")),
        "HOST" => placement(vm)
            .map(|record| xml::text(record, "HOSTNAME"))
            .unwrap_or_default(),
        "CLUSTER" => placement(vm)
            .and_then(|record| context.extra.get(&xml::text(record, "CID")).cloned())
            .unwrap_or_default(),
        "TIME" => {
            let end = xml::number(vm, "ETIME");
            let end = if end == 0 { context.now } else { end };
            format::duration_text(end - xml::number(vm, "STIME"))
        }
        "IP" => addresses(vm).join(","),
        _ => String::new(),
    }
}

/// The last history record of a VM that sits on a host.
pub fn placement<'a, 'i>(vm: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    let state = xml::number(vm, "STATE");
    let on_host = matches!(
        state,
        states::VM_ACTIVE | states::VM_SUSPENDED | states::VM_POWEROFF
    );
    if !on_host {
        return None;
    }
    xml::child(vm, "HISTORY_RECORDS")?
        .children()
        .rfind(|record| record.has_tag_name("HISTORY"))
}

fn addresses(vm: Node<'_, '_>) -> Vec<String> {
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return Vec::new();
    };
    xml::elements(template)
        .filter(|node| node.has_tag_name("NIC") || node.has_tag_name("NIC_ALIAS"))
        .flat_map(|nic| ["IP", "IP6_GLOBAL", "IP6_ULA", "IP6"].map(|name| xml::text(nic, name)))
        .filter(|address| !address.is_empty())
        .collect()
}

/// The section about disks; nothing when there is none.
pub fn disks(vm: Node<'_, '_>) -> String {
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    let mut table = Table::new(&[
        Column::right("ID", 3),
        Column::left("DATASTORE", 10),
        Column::left("TARGET", 6),
        Column::left("IMAGE", 35),
        Column::left("SIZE", 9),
        Column::left("TYPE", 4),
        Column::right("SAVE", 4),
    ]);
    for disk in xml::children(template, "DISK") {
        let id = xml::text(disk, "DISK_ID");
        let image = match xml::text(disk, "IMAGE") {
            name if name.is_empty() => volatile_name(disk),
            name => name,
        };
        let size = xml::number_at(disk, "SIZE").map_or_else(|| "-".to_owned(), size_text_mib);
        table.rows.push(vec![
            id.clone(),
            xml::text_or_dash(disk, "DATASTORE"),
            xml::text(disk, "TARGET"),
            image,
            format!("{}/{size}", disk_used(vm, &id)),
            xml::text(disk, "TYPE").to_lowercase(),
            if xml::text(disk, "SAVE") == "YES" {
                "YES"
            } else {
                "NO"
            }
            .to_owned(),
        ]);
    }
    if let Some(context) =
        xml::child(template, "CONTEXT").filter(|node| xml::child(*node, "DISK_ID").is_some())
    {
        table.rows.push(vec![
            xml::text(context, "DISK_ID"),
            "-".to_owned(),
            xml::text(context, "TARGET"),
            "CONTEXT".to_owned(),
            "-/-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ]);
    }
    section("VM DISKS", &mut table)
}

fn volatile_name(disk: Node<'_, '_>) -> String {
    let format = xml::text(disk, "FORMAT");
    let kind = if format.is_empty() {
        xml::text(disk, "TYPE")
    } else {
        format
    };
    format!("{kind} - {}", size_text_mib(xml::number(disk, "SIZE")))
}

/// How much of a disk is used, as last measured.
fn disk_used(vm: Node<'_, '_>, id: &str) -> String {
    xml::child(vm, "MONITORING")
        .and_then(|monitoring| {
            xml::children(monitoring, "DISK_SIZE").find(|measured| xml::text(*measured, "ID") == id)
        })
        .and_then(|measured| xml::number_at(measured, "SIZE"))
        .map_or_else(|| "-".to_owned(), size_text_mib)
}

/// The section about disk snapshots.
pub fn disk_snapshots(vm: Node<'_, '_>, disk_id: Option<&str>) -> String {
    let mut table = Table::new(&[
        Column::left("AC", 2),
        Column::right("ID", 3),
        Column::right("DISK", 4),
        Column::right("PARENT", 6),
        Column::right("DATE", 15),
        Column::left("SIZE", 12),
        Column::left("NAME", 32),
    ]);
    for list in xml::elements(vm).filter(|node| node.has_tag_name("SNAPSHOTS")) {
        let disk = xml::text(list, "DISK_ID");
        if disk_id.is_some_and(|wanted| wanted != disk) {
            continue;
        }
        for snapshot in xml::elements(list).filter(|node| node.has_tag_name("SNAPSHOT")) {
            let used = xml::number_at(snapshot, "MONITOR_SIZE").map_or_else(|| "-".to_owned(), size_text_mib);
            table.rows.push(vec![
                if xml::text(snapshot, "ACTIVE") == "YES" {
                    "=>"
                } else {
                    ""
                }
                .to_owned(),
                xml::text(snapshot, "ID"),
                disk.clone(),
                xml::text(snapshot, "PARENT"),
                moment_text(xml::number(snapshot, "DATE")),
                format!("{used}/{}", size_text_mib(xml::number(snapshot, "SIZE"))),
                xml::text(snapshot, "NAME"),
            ]);
        }
    }
    section("VM DISK SNAPSHOTS", &mut table)
}

/// The section about NICs: further addresses of a NIC stand below its first.
pub fn nics(vm: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 3),
        Column::left("NETWORK", 20),
        Column::left("BRIDGE", 12),
        Column::left("IP", 15).adjusted(),
        Column::left("MAC", 17),
        Column::left("PCI_ID", 8),
    ]);
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    let nics = xml::elements(template).filter(|node| {
        node.has_tag_name("NIC") || (node.has_tag_name("PCI") && xml::child(*node, "NIC_ID").is_some())
    });
    for nic in nics {
        let mut addresses = nic_addresses(nic).into_iter();
        table.rows.push(vec![
            xml::text(nic, "NIC_ID"),
            xml::text(nic, "NETWORK"),
            xml::text(nic, "BRIDGE"),
            addresses.next().unwrap_or_default(),
            xml::text(nic, "MAC"),
            xml::text(nic, "PCI_ID"),
        ]);
        for address in addresses {
            let blank = String::new;
            table
                .rows
                .push(vec![blank(), blank(), blank(), address, blank(), blank()]);
        }
    }
    section("VM NICS", &mut table)
}

fn nic_addresses(nic: Node<'_, '_>) -> Vec<String> {
    let mut addresses = vec![xml::text(nic, "IP")];
    for name in ["IP6_LINK", "IP6_ULA", "IP6_GLOBAL", "IP6", "EXTERNAL_IP"] {
        addresses.push(xml::text(nic, name));
    }
    for name in [
        "VROUTER_IP",
        "VROUTER_IP6_LINK",
        "VROUTER_IP6_ULA",
        "VROUTER_IP6_GLOBAL",
    ] {
        let address = xml::text(nic, name);
        if !address.is_empty() {
            addresses.push(format!("{address} (VRouter)"));
        }
    }
    let first = addresses.remove(0);
    addresses.retain(|address| !address.is_empty());
    // A NIC with IPv6 alone has its first address on its own line.
    if !first.is_empty() || addresses.is_empty() {
        addresses.insert(0, first);
    }
    addresses
}

/// The section about aliases of NICs.
pub fn aliases(vm: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 3),
        Column::left("NETWORK", 20),
        Column::left("BRIDGE", 12),
        Column::left("IP", 15).adjusted(),
        Column::left("MAC", 17),
    ]);
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    for alias in xml::elements(template).filter(|node| node.has_tag_name("NIC_ALIAS")) {
        table.rows.push(vec![
            xml::text(alias, "NIC_ID"),
            xml::text(alias, "NETWORK"),
            xml::text(alias, "BRIDGE"),
            nic_addresses(alias).into_iter().next().unwrap_or_default(),
            xml::text(alias, "MAC"),
        ]);
    }
    section("VM ALIAS", &mut table)
}

/// The section about system snapshots.
pub fn snapshots(vm: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 4),
        Column::right("TIME", 12),
        Column::left("NAME", 46),
        Column::left("HYPERVISOR_ID", 15),
    ]);
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    for snapshot in xml::elements(template).filter(|node| node.has_tag_name("SNAPSHOT")) {
        table.rows.push(vec![
            xml::text(snapshot, "SNAPSHOT_ID"),
            format::time_text(xml::number(snapshot, "TIME"), "%m/%d %H:%M"),
            xml::text(snapshot, "NAME"),
            xml::text(snapshot, "HYPERVISOR_ID"),
        ]);
    }
    section("SNAPSHOTS", &mut table)
}

/// The section about what happened to the VM and where.
pub fn history(vm: Node<'_, '_>, now: i64) -> String {
    let mut table = Table::new(&[
        Column::right("SEQ", 3),
        Column::left("UID", 4),
        Column::left("REQ", 5),
        Column::left("HOST", 12),
        Column::left("ACTION", 10),
        Column::right("DS", 4),
        Column::right("START", 15),
        Column::right("TIME", 11),
        Column::right("PROLOG", 10),
    ]);
    let or_dash = |text: String| {
        if text.is_empty() || text == "-1" {
            "-".to_owned()
        } else {
            text
        }
    };
    let Some(records) = xml::child(vm, "HISTORY_RECORDS") else {
        return String::new();
    };
    for record in xml::elements(records).filter(|node| node.has_tag_name("HISTORY")) {
        table.rows.push(vec![
            xml::text(record, "SEQ"),
            or_dash(xml::text(record, "UID")),
            or_dash(xml::text(record, "REQUEST_ID")),
            xml::text(record, "HOSTNAME"),
            states::history_action(xml::number(record, "ACTION")).to_owned(),
            xml::text(record, "DS_ID"),
            moment_text(xml::number(record, "STIME")),
            format::duration_text(span(record, "STIME", "ETIME", now)),
            format::clock_text(span(record, "PSTIME", "PETIME", now)),
        ]);
    }
    section("VIRTUAL MACHINE HISTORY", &mut table)
}

/// The seconds between two times of a record; the end may not have come yet.
fn span(record: Node<'_, '_>, start: &str, end: &str, now: i64) -> i64 {
    match (xml::number(record, start), xml::number(record, end)) {
        (0, _) => 0,
        (start, 0) => now - start,
        (start, end) => end - start,
    }
}

/// A head and a table below it, or nothing when the table is empty.
pub fn section(title: &str, table: &mut Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    format!("{}{}\n", layout::head(title), table.render())
}
