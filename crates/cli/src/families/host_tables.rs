//! What `onehost show` has in tables: local datastores, PCI devices, NUMA nodes with their cores, memory and huge pages.

use roxmltree::Node;

use crate::format::{size_text, size_text_mib};
use crate::layout::Fields;
use crate::table::{Column, Table};
use crate::xml;

/// How wide the names of fields are.
const LABEL_WIDTH: usize = 22;
/// In place of what was not measured.
const UNKNOWN: &str = "-";
/// Nobody has a CPU or a device.
const NOBODY: &str = "-1";
/// No VM gets a CPU.
const SET_APART: &str = "-2";

/// The elements of a name below a path of the host.
fn listed<'a, 'i: 'a>(host: Node<'a, 'i>, path: &str, name: &'static str) -> Vec<Node<'a, 'i>> {
    xml::at(host, path)
        .into_iter()
        .flat_map(|list| xml::children(list, name))
        .collect()
}

/// The room of the system datastores that are the host's own, a section each.
pub fn datastores(host: Node<'_, '_>) -> String {
    listed(host, "HOST_SHARE/DATASTORES", "DS")
        .into_iter()
        .map(|store| {
            let mut fields = Fields::new(LABEL_WIDTH);
            let size = |name: &str| size_text_mib(xml::number(store, name));
            fields
                .add_head(format!(
                    "LOCAL SYSTEM DATASTORE #{} CAPACITY",
                    xml::text(store, "ID")
                ))
                .add("TOTAL:", size("TOTAL_MB"))
                .add("USED: ", size("USED_MB"))
                .add("FREE:", size("FREE_MB"))
                .add_line("");
            fields.into_text()
        })
        .collect()
}

/// PCI devices and who has them; nothing of a host without.
pub fn devices(host: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("VM", 5),
        Column::left("ADDR", 7),
        Column::left("TYPE", 14),
        Column::left("NAME", 50),
    ]);
    table.rows = listed(host, "HOST_SHARE/PCI_DEVICES", "PCI")
        .into_iter()
        .map(|device| {
            let vm = xml::text(device, "VMID");
            vec![
                if vm == NOBODY { String::new() } else { vm },
                xml::text(device, "SHORT_ADDRESS"),
                xml::text(device, "TYPE"),
                xml::text(device, "DEVICE_NAME"),
            ]
        })
        .collect();
    section("PCI DEVICES", table)
}

/// NUMA nodes: cores, memory, huge pages; nothing of a host of which they are not known.
pub fn nodes(host: Node<'_, '_>) -> String {
    let nodes = listed(host, "HOST_SHARE/NUMA_NODES", "NODE");
    let measured = listed(host, "MONITORING", "NUMA_NODE");
    let measured_of = |node: Node<'_, '_>| {
        let id = xml::text(node, "NODE_ID");
        measured
            .iter()
            .copied()
            .find(|one| xml::text(*one, "NODE_ID") == id)
    };
    let mut cores = Table::new(&[
        Column::right("ID", 4),
        Column::left("CORES", 5).adjusted(),
        Column::left("USED", 4),
        Column::left("FREE", 4),
    ]);
    let mut memory = Table::new(&[
        Column::right("NODE_ID", 8),
        Column::left("TOTAL", 8),
        Column::left("USED_REAL", 20),
        Column::left("USED_ALLOCATED", 20),
        Column::left("FREE", 8),
    ]);
    let mut pages = Table::new(&[
        Column::right("NODE_ID", 8),
        Column::left("SIZE", 8),
        Column::left("TOTAL", 8),
        Column::left("FREE", 8),
        Column::left("USED", 8),
    ]);
    for node in nodes {
        cores.rows.push(cores_row(node));
        memory.rows.extend(memory_row(node, measured_of(node)));
        pages.rows.extend(pages_rows(node, measured_of(node)));
    }
    [
        section("NUMA NODES", cores),
        section("NUMA MEMORY", memory),
        section("NUMA HUGEPAGES", pages),
    ]
    .concat()
}

fn section(title: &str, mut table: Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    format!("\n{title}\n\n{}", table.render())
}

/// A group of letters for each core, a letter for each CPU: `-` free, `I` set apart, `X` taken with all its core, `x` taken.
fn cores_row(node: Node<'_, '_>) -> Vec<String> {
    let (mut used, mut free) = (0, 0);
    let groups: Vec<String> = xml::children(node, "CORE")
        .map(|core| {
            let is_full = xml::text(core, "FREE") == "0";
            let cpus = xml::text(core, "CPUS");
            cpus.split(',')
                .filter_map(|cpu| cpu.split_once(':'))
                .map(|(_, vm)| {
                    *(if vm == NOBODY { &mut free } else { &mut used }) += 1;
                    match vm {
                        NOBODY => '-',
                        SET_APART => 'I',
                        _ if is_full => 'X',
                        _ => 'x',
                    }
                })
                .collect()
        })
        .collect();
    vec![
        xml::text(node, "NODE_ID"),
        groups.join(" "),
        used.to_string(),
        free.to_string(),
    ]
}

fn memory_row(node: Node<'_, '_>, measured: Option<Node<'_, '_>>) -> Option<Vec<String>> {
    let known = |name: &str| size_text(xml::number(node, &format!("MEMORY/{name}")));
    let seen = |name: &str| {
        let kib = measured.and_then(|one| xml::number_at(one, &format!("MEMORY/{name}")));
        kib.map_or_else(|| UNKNOWN.to_owned(), size_text)
    };
    xml::child(node, "MEMORY").map(|_| {
        vec![
            xml::text(node, "NODE_ID"),
            known("TOTAL"),
            seen("USED"),
            known("USAGE"),
            seen("FREE"),
        ]
    })
}

/// A row for each size of pages.
fn pages_rows(node: Node<'_, '_>, measured: Option<Node<'_, '_>>) -> Vec<Vec<String>> {
    xml::children(node, "HUGEPAGE")
        .map(|pages| {
            let size = xml::text(pages, "SIZE");
            let seen = measured
                .into_iter()
                .flat_map(|one| xml::children(one, "HUGEPAGE"))
                .find(|one| xml::text(*one, "SIZE") == size);
            vec![
                xml::text(node, "NODE_ID"),
                size_text(xml::number(pages, "SIZE")),
                xml::text(pages, "PAGES"),
                seen.map_or_else(|| UNKNOWN.to_owned(), |one| xml::text(one, "FREE")),
                xml::text(pages, "USAGE"),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "<HOST><HOST_SHARE><DATASTORES><DISK_USAGE>0</DISK_USAGE><DS><ID>100</ID><TOTAL_MB>4096</TOTAL_MB>\
        <USED_MB>1024</USED_MB><FREE_MB>3072</FREE_MB></DS></DATASTORES>\
        <PCI_DEVICES><PCI><SHORT_ADDRESS>03:00.0</SHORT_ADDRESS><TYPE>10de:1eb8:0302</TYPE><DEVICE_NAME>Tesla T4\
        </DEVICE_NAME><VMID>7</VMID></PCI><PCI><SHORT_ADDRESS>04:00.0</SHORT_ADDRESS><TYPE>8086:1572:0200</TYPE>\
        <DEVICE_NAME>X710</DEVICE_NAME><VMID>-1</VMID></PCI></PCI_DEVICES>\
        <NUMA_NODES><NODE><CORE><CPUS>0:5,2:5</CPUS><FREE>0</FREE></CORE><CORE><CPUS>1:-1,3:6</CPUS><FREE>1</FREE></CORE>\
        <CORE><CPUS>4:-2,5:-1</CPUS><FREE>1</FREE></CORE><HUGEPAGE><PAGES>8</PAGES><SIZE>2048</SIZE><USAGE>3</USAGE></HUGEPAGE>\
        <HUGEPAGE><PAGES>1</PAGES><SIZE>1048576</SIZE><USAGE>0</USAGE></HUGEPAGE><MEMORY><TOTAL>8388608</TOTAL>\
        <USAGE>1048576</USAGE></MEMORY><NODE_ID>0</NODE_ID></NODE></NUMA_NODES></HOST_SHARE>\
        <MONITORING><NUMA_NODE><HUGEPAGE><FREE>5</FREE><SIZE>2048</SIZE></HUGEPAGE><MEMORY><FREE>4194304</FREE>\
        <USED>4194304</USED></MEMORY><NODE_ID>0</NODE_ID></NUMA_NODE></MONITORING></HOST>";

    fn with(show: fn(Node<'_, '_>) -> String, text: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(text).expect("good");
        let shown = show(document.root_element());
        shown.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn devices_and_who_has_them() {
        assert_eq!(
            with(devices, HOST),
            [
                "",
                "PCI DEVICES",
                "",
                "   VM ADDR    TYPE           NAME",
                "    7 03:00.0 10de:1eb8:0302 Tesla T4",
                "      04:00.0 8086:1572:0200 X710",
            ]
        );
    }

    #[test]
    fn nodes_with_cores_memory_and_pages() {
        assert_eq!(
            with(nodes, HOST),
            [
                "",
                "NUMA NODES",
                "",
                "  ID CORES    USED FREE",
                "   0 XX -x I- 4    2",
                "",
                "NUMA MEMORY",
                "",
                " NODE_ID TOTAL    USED_REAL            USED_ALLOCATED       FREE",
                "       0 8G       4G                   1024M                4G",
                "",
                "NUMA HUGEPAGES",
                "",
                " NODE_ID SIZE     TOTAL    FREE     USED",
                "       0 2M       8        5        3",
                "       0 1024M    1        -        0",
            ]
        );
    }

    #[test]
    fn datastores_of_the_host_alone() {
        assert_eq!(
            with(datastores, HOST),
            [
                "LOCAL SYSTEM DATASTORE #100 CAPACITY",
                "TOTAL:                : 4G",
                "USED:                 : 1024M",
                "FREE:                 : 3G",
                "",
            ]
        );
        for show in [devices, nodes, datastores] {
            assert!(with(show, "<HOST><HOST_SHARE/></HOST>").is_empty());
        }
    }
}
