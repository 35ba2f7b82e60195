//! `onevm show`.

use roxmltree::{Document, Node};

use super::{vm_guest, vm_tables};
use crate::error::CliError;
use crate::family::Input;
use crate::format::{self, fit, moment_text, size_text};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::schedule;
use crate::session::Session;
use crate::states;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// Attributes that have sections of their own and are left out of the template.
const SHOWN_ELSEWHERE: [&str; 9] = [
    "DISK",
    "NIC",
    "NIC_ALIAS",
    "NIC_DEFAULT",
    "SNAPSHOT",
    "SECURITY_GROUP_RULE",
    "SCHED_ACTION",
    "PCI",
    "QEMU_GA_EXEC",
];

/// How a measured figure is written.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// As it came.
    Plain,
    /// KiB.
    Kib,
    /// Bytes.
    Bytes,
}

/// The figures of the monitoring section, in order.
const METRICS: [(&str, Measure); 19] = [
    ("CPU", Measure::Plain),
    ("MEMORY", Measure::Kib),
    ("NETTX", Measure::Bytes),
    ("NETTX_BW", Measure::Bytes),
    ("NETRX", Measure::Bytes),
    ("NETRX_BW", Measure::Bytes),
    ("DISKRDBYTES", Measure::Kib),
    ("DISKRDBYTES_BW", Measure::Kib),
    ("DISKRDIOPS", Measure::Plain),
    ("DISKRDIOPS_BW", Measure::Plain),
    ("DISKWRBYTES", Measure::Kib),
    ("DISKWRBYTES_BW", Measure::Kib),
    ("DISKWRIOPS_BW", Measure::Plain),
    ("DISKWRIOPS", Measure::Plain),
    ("GPU_COUNT", Measure::Plain),
    ("GPU_UTILIZATION", Measure::Plain),
    ("GPU_MEMORY_UTILIZATION", Measure::Plain),
    ("GPU_MEMORY_FREE", Measure::Plain),
    ("GPU_POWER_USAGE", Measure::Plain),
];

/// Fetches what is needed beyond the VM and renders it.
pub fn show(session: &mut Session, input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    let vm = document.root_element();
    let cluster = match vm_tables::placement(vm).and_then(|record| xml::number_at(record, "CID")) {
        Some(id) if id >= 0 => cluster_name(session, id)?,
        _ => String::new(),
    };
    Ok(render(vm, &cluster, session.now, input.has("all")))
}

/// The cluster's name; a caller without rights on it sees a dash.
fn cluster_name(session: &mut Session, id: i64) -> Result<String, CliError> {
    let Ok(id) = i32::try_from(id) else {
        return Ok("-".to_owned());
    };
    match session.info(Kind::Cluster, id) {
        Ok(text) => Ok(xml::text(xml::document_parse(&text)?.root_element(), "NAME")),
        Err(CliError::Client(plerion_client::ClientError::Api(_))) => Ok("-".to_owned()),
        Err(error) => Err(error),
    }
}

/// The whole output; `cluster` is the name of the host's cluster, `all` leaves only system snapshots out of the template.
pub fn render(vm: Node<'_, '_>, cluster: &str, now: i64, all: bool) -> String {
    let fields = information(vm, cluster);
    let permissions = fields.permissions(vm);
    let mut sections = vec![fields.into_text(), monitoring(vm), permissions];
    let more = [
        vm_tables::disks(vm),
        vm_tables::disk_snapshots(vm, None),
        vm_tables::nics(vm),
        vm_tables::aliases(vm),
        security(vm),
        vm_tables::snapshots(vm),
        vm_tables::history(vm, now),
        schedule::section(vm, now),
        template_section("BACKUP CONFIGURATION", xml::at(vm, "BACKUPS/BACKUP_CONFIG"), &[]),
        backups(vm),
        vm_guest::information(vm),
        vm_guest::command(vm),
        template_section("USER TEMPLATE", xml::child(vm, "USER_TEMPLATE"), &[]),
    ];
    sections.extend(
        more.into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| text.trim_end_matches('\n').to_owned() + "\n"),
    );
    let without: &[&str] = if all { &["SNAPSHOT"] } else { &SHOWN_ELSEWHERE };
    let template = xml::child(vm, "TEMPLATE").map(|node| template_text::template_render(node, without));
    sections.push(layout::head("VIRTUAL MACHINE TEMPLATE") + &template.unwrap_or_default());
    sections.join("\n")
}

fn information(vm: Node<'_, '_>, cluster: &str) -> Fields {
    let mut fields = Fields::bare(20);
    let id = xml::text(vm, "ID");
    fields.add_head(format!("VIRTUAL MACHINE {id} INFORMATION"));
    fields
        .add("ID", &id)
        .add_text("NAME", vm, "NAME")
        .add_owner(vm)
        .add("STATE", states::vm_state(xml::number(vm, "STATE")))
        .add("LCM_STATE", states::lcm_state(xml::number(vm, "LCM_STATE")))
        .add_lock(vm)
        .add("RESCHED", layout::yes_no(&xml::text(vm, "RESCHED")));
    if let Some(record) = vm_tables::placement(vm) {
        fields
            .add_text("HOST", record, "HOSTNAME")
            .add_text("CLUSTER ID", record, "CID")
            .add("CLUSTER", cluster);
    }
    fields
        .add("START TIME", moment_text(xml::number(vm, "STIME")))
        .add("END TIME", moment_text(xml::number(vm, "ETIME")))
        .add("DEPLOY ID", xml::text_or_dash(vm, "DEPLOY_ID"));
    if xml::at(vm, "TEMPLATE/VROUTER_ID").is_some() {
        fields.add_text("VIRTUAL ROUTER ID", vm, "TEMPLATE/VROUTER_ID");
    }
    fields
}

fn monitoring(vm: Node<'_, '_>) -> String {
    let taken = format::time_text(xml::number(vm, "MONITORING/TIMESTAMP"), "%a %b %e %H:%M:%S %Y");
    let mut table = Table::new(&[
        Column::left("METRIC", 20),
        Column::left("VALUE", 15),
        Column::left("FORECAST", 15),
        Column::left("FORECAST_FAR", 15),
    ]);
    let value = |name: &str, measure: Measure| {
        let text = xml::text(vm, &format!("MONITORING/{name}"));
        match (text.parse::<f64>(), measure) {
            (Err(_), _) => "-".to_owned(),
            (Ok(_), Measure::Plain) => text,
            #[expect(clippy::cast_possible_truncation, reason = "sizes are whole numbers")]
            (Ok(number), Measure::Kib) => size_text(number as i64),
            #[expect(clippy::cast_possible_truncation, reason = "sizes are whole numbers")]
            (Ok(number), Measure::Bytes) => size_text(number as i64 / 1024),
        }
    };
    for (name, measure) in METRICS {
        table.rows.push(vec![
            name.to_owned(),
            value(name, measure),
            value(&format!("{name}_FORECAST"), measure),
            value(&format!("{name}_FORECAST_FAR"), measure),
        ]);
    }
    format!(
        "{}{}\n",
        layout::head(&format!("VIRTUAL MACHINE MONITORING [{taken}]")),
        table.render()
    )
}

/// Which security groups guard which NIC, and their rules.
fn security(vm: Node<'_, '_>) -> String {
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    let mut nics = Table::new(&[
        Column::right("NIC_ID", 6),
        Column::left("NETWORK", 25),
        Column::left("SECURITY_GROUPS", 47),
    ]);
    for nic in xml::elements(template).filter(|node| node.has_tag_name("NIC")) {
        let groups = xml::text(nic, "SECURITY_GROUPS");
        if !groups.is_empty() {
            nics.rows
                .push(vec![xml::text(nic, "NIC_ID"), xml::text(nic, "NETWORK"), groups]);
        }
    }
    if nics.rows.is_empty() {
        return String::new();
    }
    format!(
        "{}\n{}\n{}",
        layout::head("SECURITY"),
        nics.render(),
        security_rules(template)
    )
}

fn security_rules(template: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::right("ID", 4),
        Column::left("NAME", 11),
        Column::left("", 8),
        Column::left("", 8),
        Column::right("VNET", 4),
        Column::left("START", 17),
        Column::left("SIZE", 6),
        Column::left("", 15),
    ]);
    for rule in xml::elements(template).filter(|node| node.has_tag_name("SECURITY_GROUP_RULE")) {
        let icmp = ["ICMP_TYPE", "ICMPV6_TYPE"].map(|name| xml::text(rule, name));
        let protocol = match icmp.iter().find(|text| !text.is_empty()) {
            Some(number) => format!("{}-{number}", xml::text(rule, "PROTOCOL")),
            None => xml::text(rule, "PROTOCOL"),
        };
        table.rows.push(vec![
            xml::text(rule, "SECURITY_GROUP_ID"),
            xml::text(rule, "SECURITY_GROUP_NAME"),
            xml::text(rule, "RULE_TYPE"),
            protocol,
            xml::text(rule, "NETWORK_ID"),
            xml::text(rule, "IP"),
            xml::text(rule, "SIZE"),
            xml::text(rule, "RANGE"),
        ]);
    }
    let groups = ["SECURITY GROUP", "TYPE", "PROTOCOL", "NETWORK", "RANGE"];
    let widths = [16, 8, 8, 29, 15];
    let above: Vec<String> = groups
        .iter()
        .zip(widths)
        .map(|(name, width)| fit(name, width, false))
        .collect();
    format!("{}\n{}\n{}", above.join(" "), table.head(), table.body())
}

fn backups(vm: Node<'_, '_>) -> String {
    let ids = xml::ids(vm, "BACKUPS/BACKUP_IDS");
    if ids.is_empty() {
        return String::new();
    }
    format!("{}IMAGE IDS: {}\n", layout::head("VM BACKUPS"), ids.join(","))
}

fn template_section(title: &str, template: Option<Node<'_, '_>>, without: &[&str]) -> String {
    let text = template
        .map(|node| template_text::template_render(node, without))
        .unwrap_or_default();
    if text.is_empty() {
        text
    } else {
        layout::head(title) + &text
    }
}
