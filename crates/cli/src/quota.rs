//! Quotas: how much is used and how much is allowed.

use roxmltree::Node;

use crate::format::{fit, size_text_mib};
use crate::layout;
use crate::table::{Column, Table};
use crate::xml;

/// The limit that stands for the default quota.
const LIMIT_DEFAULT: &str = "-1";
/// The limit that stands for none.
const LIMIT_NONE: &str = "-2";

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Cpu,
    Mib,
}

/// The limit that holds: the object's own, else the default one, else none.
fn limit(own: Option<Node<'_, '_>>, default: Option<Node<'_, '_>>, name: &str) -> Option<String> {
    let of = |node: Option<Node<'_, '_>>| {
        node.map(|node| xml::text(node, name))
            .filter(|text| !text.is_empty())
    };
    let own = of(own).unwrap_or_else(|| LIMIT_DEFAULT.to_owned());
    let held = if own == LIMIT_DEFAULT { of(default)? } else { own };
    (held != LIMIT_DEFAULT && held != LIMIT_NONE).then_some(held)
}

fn used(own: Option<Node<'_, '_>>, name: &str) -> String {
    let text = own
        .map(|node| xml::text(node, &format!("{name}_USED")))
        .unwrap_or_default();
    if text.is_empty() { "0".to_owned() } else { text }
}

fn figure(text: &str, unit: Unit) -> String {
    match unit {
        Unit::Count => text.to_owned(),
        Unit::Cpu => format!("{:.1}", text.parse::<f64>().unwrap_or(0.0)),
        Unit::Mib => size_text_mib(text.parse().unwrap_or(0)),
    }
}

/// Used and allowed in a table of users or groups; `wide` is the room of the CPU limit.
pub fn usage_text(
    quotas: Option<Node<'_, '_>>,
    defaults: Option<Node<'_, '_>>,
    name: &str,
    wide: usize,
) -> String {
    let own = quotas.and_then(|node| xml::at(node, "VM_QUOTA/VM"));
    let default = defaults.and_then(|node| xml::at(node, "VM_QUOTA/VM"));
    let (quota, unit, left, right) = match name {
        "VMS" => ("VMS", Unit::Count, 3, 3),
        "MEMORY" => ("MEMORY", Unit::Mib, 6, 6),
        "CPU" => ("CPU", Unit::Cpu, 3, wide),
        _ => ("PCI_DEV", Unit::Count, 3, 3),
    };
    let allowed = limit(own, default, quota).map_or_else(|| "-".to_owned(), |text| figure(&text, unit));
    format!("{:>left$} / {allowed:>right$}", figure(&used(own, quota), unit))
}

/// The sections about quotas of a user or group.
pub fn sections(object: Node<'_, '_>, defaults: Option<Node<'_, '_>>) -> String {
    [
        vm_section(object, defaults),
        vm_running_section(object, defaults),
        pool_section(
            "DATASTORE",
            "DATASTORE_QUOTA/DATASTORE",
            object,
            defaults,
            &[("IMAGES", "IMAGES"), ("SIZE", "SIZE")],
        ),
        pool_section(
            "NETWORK",
            "NETWORK_QUOTA/NETWORK",
            object,
            defaults,
            &[("LEASES", "LEASES")],
        ),
        pool_section(
            "IMAGE",
            "IMAGE_QUOTA/IMAGE",
            object,
            defaults,
            &[("RVMS", "RUNNING VMS")],
        ),
    ]
    .concat()
}

/// A figure of the VM sections: name of the quota, its unit and the room on both sides of the slash.
type Figure = (&'static str, Unit, usize);

fn vm_table(
    columns: &[Column],
    figures: &[Figure],
    object: Node<'_, '_>,
    defaults: Option<Node<'_, '_>>,
) -> String {
    let mut table = Table::new(columns);
    let default = defaults.and_then(|node| xml::at(node, "VM_QUOTA/VM"));
    let mut rows: Vec<Option<Node<'_, '_>>> = xml::child(object, "VM_QUOTA")
        .map(|list| xml::children(list, "VM").map(Some).collect())
        .unwrap_or_default();
    if rows.is_empty() {
        rows.push(None);
    }
    for own in rows {
        let mut row = vec![own.map(|node| xml::text(node, "CLUSTER_IDS")).unwrap_or_default()];
        for (name, unit, room) in figures {
            let allowed = limit(own, default, name).map_or_else(
                || "-".to_owned(),
                |text| match unit {
                    Unit::Cpu => format!("{:.2}", text.parse::<f64>().unwrap_or(0.0)),
                    _ => figure(&text, *unit),
                },
            );
            row.push(format!(
                "{:>room$} / {allowed:>room$}",
                figure(&used(own, name), *unit)
            ));
        }
        table.rows.push(row);
    }
    table.render()
}

fn vm_section(object: Node<'_, '_>, defaults: Option<Node<'_, '_>>) -> String {
    let columns = [
        Column::left("CLUSTERS", 8),
        Column::right("VMS", 9),
        Column::right("MEMORY", 15),
        Column::right("CPU", 15),
        Column::right("PCI DEV", 9),
        Column::right("PCI NIC", 9),
        Column::right("DISK SIZE", 15),
    ];
    let figures = [
        ("VMS", Unit::Count, 3),
        ("MEMORY", Unit::Mib, 6),
        ("CPU", Unit::Cpu, 6),
        ("PCI_DEV", Unit::Count, 3),
        ("PCI_NIC", Unit::Count, 3),
        ("SYSTEM_DISK_SIZE", Unit::Mib, 6),
    ];
    format!(
        "{}\n{}\n",
        layout::head("VMS USAGE & QUOTAS"),
        vm_table(&columns, &figures, object, defaults)
    )
}

fn vm_running_section(object: Node<'_, '_>, defaults: Option<Node<'_, '_>>) -> String {
    let columns = [
        Column::left("CLUSTERS", 8),
        Column::right("RUN VMS", 9),
        Column::right("RUN MEMORY", 15),
        Column::right("RUN CPU", 15),
        Column::right("RUN PCI", 12),
        Column::right("RUN PCI NIC", 12),
    ];
    let figures = [
        ("RUNNING_VMS", Unit::Count, 3),
        ("RUNNING_MEMORY", Unit::Mib, 6),
        ("RUNNING_CPU", Unit::Cpu, 6),
        ("RUNNING_PCI_DEV", Unit::Count, 3),
        ("RUNNING_PCI_NIC", Unit::Count, 3),
    ];
    format!(
        "{}\n{}\n",
        layout::head("VMS USAGE & QUOTAS - RUNNING"),
        vm_table(&columns, &figures, object, defaults)
    )
}

fn pool_section(
    title: &str,
    path: &str,
    object: Node<'_, '_>,
    defaults: Option<Node<'_, '_>>,
    figures: &[(&str, &str)],
) -> String {
    let mut text = format!("{}\n", layout::head(&format!("{title} USAGE & QUOTAS")));
    let (list, element) = path.split_once('/').unwrap_or((path, ""));
    let of = |node: Node<'_, '_>| -> Vec<String> {
        let Some(list) = xml::child(node, list) else {
            return Vec::new();
        };
        xml::elements(list)
            .filter(|quota| quota.has_tag_name(element))
            .map(|quota| {
                quota_row(
                    quota,
                    defaults.and_then(|node| xml::child(node, list.tag_name().name())),
                    figures,
                )
            })
            .collect()
    };
    let rows = of(object);
    if rows.is_empty() {
        return text;
    }
    text.push_str(&fit("ID", 12, true));
    for (name, label) in figures {
        text.push_str(&format!(" {}", fit(label, room(name), true)));
    }
    text.push('\n');
    text.push_str(&rows.concat());
    // The last section of all ends without an empty line.
    if title != "IMAGE" {
        text.push('\n');
    }
    text
}

fn room(name: &str) -> usize {
    if name == "SIZE" { 19 } else { 20 }
}

fn quota_row(quota: Node<'_, '_>, defaults: Option<Node<'_, '_>>, figures: &[(&str, &str)]) -> String {
    let id = xml::text(quota, "ID");
    let default = defaults.and_then(|list| xml::elements(list).find(|entry| xml::text(*entry, "ID") == id));
    let mut line = fit(&id, 12, true);
    for (name, _) in figures {
        let unit = if *name == "SIZE" { Unit::Mib } else { Unit::Count };
        let allowed =
            limit(Some(quota), default, name).map_or_else(|| "-".to_owned(), |text| figure(&text, unit));
        let cell = format!("{:>8} / {allowed:>8}", figure(&used(Some(quota), name), unit));
        line.push_str(&format!(" {}", fit(&cell, room(name), true)));
    }
    line.push('\n');
    line
}
