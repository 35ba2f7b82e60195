//! `oneacct` and `oneshowback`: what VMs used, and what that cost.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use roxmltree::Node;

use crate::convert;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format;
use crate::list;
use crate::session::{FILTER_ALL, Session};
use crate::states;
use crate::table::Column;
use crate::xml;

/// How wide the line above the records of a user or month is.
const HEAD_WIDTH: usize = 80;

/// The table of stays on hosts.
pub static STAYS: ListSpec = ListSpec {
    element: "HISTORY",
    columns: &[
        Column::right("UID", 4).about("Id of the owner", "所有者编号"),
        Column::right("VID", 4).about("Id of the VM", "虚拟机编号"),
        Column::right("SEQ", 3).about("Number of the stay", "记录序号"),
        Column::left("HOSTNAME", 15).about("Name of the host", "主机名称"),
        Column::left("ACTION", 16).about("What ended the stay", "结束该记录的操作"),
        Column::right("START_TIME", 14).about("Start of the stay", "开始时间"),
        Column::right("END_TIME", 14).about("End of the stay", "结束时间"),
        Column::right("MEMORY", 6).about("Memory of the VM", "内存"),
        Column::right("CPU", 3).about("CPUs of the VM", "CPU 数"),
        Column::right("NETRX", 6).about("Received from the network", "网络接收量"),
        Column::right("NETTX", 6).about("Sent to the network", "网络发送量"),
        Column::right("DISK", 6).about("Disks and their snapshots", "磁盘及快照总大小"),
    ],
    shown: &[
        "VID",
        "HOSTNAME",
        "ACTION",
        "START_TIME",
        "END_TIME",
        "MEMORY",
        "CPU",
        "NETRX",
        "NETTX",
        "DISK",
    ],
    cell: stay_cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

/// The same as separated values, where no line says whose they are.
const STAYS_CSV: &[&str] = &[
    "UID",
    "VID",
    "HOSTNAME",
    "ACTION",
    "START_TIME",
    "END_TIME",
    "MEMORY",
    "CPU",
    "NETRX",
    "NETTX",
    "DISK",
];

/// The table of costs.
pub static COSTS: ListSpec = ListSpec {
    element: "SHOWBACK",
    columns: &[
        Column::right("UID", 4)
            .adjusted()
            .about("Id of the owner", "所有者编号"),
        Column::right("USER_NAME", 8).about("Name of the owner", "所有者名称"),
        Column::right("GID", 4).about("Id of the group", "组编号"),
        Column::right("GROUP_NAME", 8).about("Name of the group", "组名称"),
        Column::right("VM_ID", 6).about("Id of the VM", "虚拟机编号"),
        Column::left("VM_NAME", 15).about("Name of the VM", "虚拟机名称"),
        Column::right("MONTH", 5).about("Month", "月份"),
        Column::right("YEAR", 5).about("Year", "年份"),
        Column::right("HOURS", 6).about("Hours on hosts", "占用主机的小时数"),
        Column::right("RUNNING_HOURS", 7).about("Hours of running", "运行小时数"),
        Column::right("COST", 15).about("Cost", "费用"),
    ],
    shown: &[
        "USER_NAME",
        "GROUP_NAME",
        "VM_ID",
        "VM_NAME",
        "MONTH",
        "YEAR",
        "HOURS",
        "RUNNING_HOURS",
        "COST",
    ],
    cell: cost_cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn stay_cell(_context: &Context, stay: Node<'_, '_>, column: &str) -> String {
    match column {
        "VID" => xml::text(stay, "OID"),
        "ACTION" => states::history_action(xml::number(stay, "ACTION")).to_owned(),
        "START_TIME" => format::moment_text(xml::number(stay, "STIME")),
        "END_TIME" => format::moment_text(xml::number(stay, "ETIME")),
        "MEMORY" => format::size_text_mib(xml::number(stay, "VM/TEMPLATE/MEMORY")),
        "CPU" => xml::text(stay, "VM/TEMPLATE/CPU"),
        "NETRX" | "NETTX" => format::bytes_text(xml::number(stay, &format!("VM/MONITORING/{column}"))),
        "DISK" => format::size_text(disk_mib(stay).saturating_mul(1024)),
        // The owner is that of the VM: the record's own UID is who ended the stay.
        "UID" => xml::text(stay, "VM/UID"),
        _ => xml::text(stay, column),
    }
}

/// What its disks and their snapshots take.
fn disk_mib(stay: Node<'_, '_>) -> i64 {
    let size = |node| xml::number(node, "SIZE");
    let disks = xml::at(stay, "VM/TEMPLATE").map_or(0, |template| {
        xml::children(template, "DISK").map(size).sum::<i64>()
    });
    let snapshots = xml::at(stay, "VM").map_or(0, |vm| {
        xml::children(vm, "SNAPSHOTS")
            .flat_map(|tree| xml::children(tree, "SNAPSHOT"))
            .map(size)
            .sum::<i64>()
    });
    disks.saturating_add(snapshots)
}

fn cost_cell(_context: &Context, row: Node<'_, '_>, column: &str) -> String {
    match column {
        "USER_NAME" => xml::text(row, "UNAME"),
        "GROUP_NAME" => xml::text(row, "GNAME"),
        "VM_ID" => xml::text(row, "VMID"),
        "VM_NAME" => xml::text(row, "VMNAME"),
        "RUNNING_HOURS" => xml::text_or_dash(row, "RHOURS"),
        "COST" => xml::text(row, "TOTAL_COST"),
        _ => xml::text(row, column),
    }
}

/// `oneacct`.
pub fn account(session: &mut Session, input: &Input) -> Result<(), CliError> {
    if input.has("describe") {
        return list::describe_print(session, input);
    }
    if input.has("xpath") {
        return Err(CliError::text(
            "--xpath is not there: print the records with -x and choose among them with a tool for XPath, such as \
             xmllint --xpath, or use --userfilter, --group and --host.",
        ));
    }
    if let Some(name) = input.value("timezone") {
        let zone = TimeZone::get(name).map_err(|_| {
            CliError::text(format!(
                "There is no time zone '{name}'. Use one such as UTC or Asia/Shanghai."
            ))
        })?;
        format::zone_set(zone);
    }
    let start = input
        .value("start")
        .map(|text| time_parse(text, false))
        .transpose()?;
    let end = input
        .value("end")
        .map(|text| time_parse(text, true))
        .transpose()?;
    let params = [
        input.number("userfilter").unwrap_or(FILTER_ALL).into(),
        wire_time(start)?.into(),
        wire_time(end)?.into(),
    ];
    let text = session.call_text("one.vmpool.accounting", &params)?;
    let document = xml::document_parse(&text)?;
    let chosen = stays_choose(input, document.root_element());
    session.print(&account_render(session, input, &text, &chosen, (start, end))?)
}

fn account_render(
    session: &Session,
    input: &Input,
    text: &str,
    chosen: &[Node<'_, '_>],
    (start, end): (Option<i64>, Option<i64>),
) -> Result<String, CliError> {
    if input.has("xml") || input.has("json") {
        return converted(input, "HISTORY_RECORDS", text, chosen);
    }
    let context = Context::new(input, session.now);
    if input.has("csv") {
        return list::rows_render(input, STAYS_CSV, &context, chosen);
    }
    let mut out = String::new();
    if start.is_some() || end.is_some() {
        let bold = |time: Option<i64>| {
            let text = time.map_or_else(
                || "-".to_owned(),
                |time| format::time_text(time, "%Y-%m-%d %H:%M:%S %z"),
            );
            format!("\x1b[1m{text}\x1b[0m")
        };
        out += &format!(
            "Showing active history records from {} to {}\n\n",
            bold(start),
            bold(end)
        );
    }
    for (owner, stays) in grouped(chosen, "VM/UID") {
        out += &head(&format!("# User {owner}"));
        let tables = if input.has("split") {
            grouped(&stays, "OID")
        } else {
            vec![(String::new(), stays)]
        };
        for (_, stays) in tables {
            out += &list::rows_render(input, STAYS.shown, &context, &stays)?;
            out.push('\n');
        }
    }
    Ok(out)
}

/// The records of the group and host that were asked for.
fn stays_choose<'a, 'i>(input: &Input, root: Node<'a, 'i>) -> Vec<Node<'a, 'i>> {
    let matches = |stay: Node<'a, 'i>, option: &str, path: &str| {
        input
            .number(option)
            .is_none_or(|wanted| xml::number(stay, path) == i64::from(wanted))
    };
    xml::elements(root)
        .filter(|stay| matches(*stay, "group", "VM/GID") && matches(*stay, "host", "HID"))
        .collect()
}

/// `oneshowback list`.
pub fn showback(session: &mut Session, input: &Input) -> Result<(), CliError> {
    if input.has("describe") {
        return list::describe_print(session, input);
    }
    let mut params = vec![input.number("userfilter").unwrap_or(FILTER_ALL).into()];
    params.extend(months(input)?.map(Into::into));
    let text = session.call_text("one.vmpool.showback", &params)?;
    let document = xml::document_parse(&text)?;
    let group = input.number("group");
    let chosen: Vec<Node<'_, '_>> = xml::elements(document.root_element())
        .filter(|row| group.is_none_or(|group| xml::number(*row, "GID") == i64::from(group)))
        .collect();
    session.print(&showback_render(session, input, &text, &chosen)?)
}

fn showback_render(
    session: &Session,
    input: &Input,
    text: &str,
    chosen: &[Node<'_, '_>],
) -> Result<String, CliError> {
    if input.has("xml") || input.has("json") || input.has("yaml") {
        return converted(input, "SHOWBACK_RECORDS", text, chosen);
    }
    let context = Context::new(input, session.now);
    if input.has("csv") {
        return list::rows_render(input, COSTS.shown, &context, chosen);
    }
    let mut out = String::new();
    for (year, rows) in grouped(chosen, "YEAR") {
        for (month, rows) in grouped(&rows, "MONTH") {
            out += &head(&format!("# Showback for {month}/{year}"));
            out += &list::rows_render(input, COSTS.shown, &context, &rows)?;
            out.push('\n');
        }
    }
    Ok(out)
}

/// `oneshowback calculate`.
pub fn calculate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = months(input)?.map(Into::into);
    let answer = session.call_text("one.vmpool.calculateshowback", &params)?;
    session.print(&format!("{answer}\n"))
}

/// The document in another form, with the chosen records only.
fn converted(input: &Input, root: &str, text: &str, chosen: &[Node<'_, '_>]) -> Result<String, CliError> {
    let mut document = format!("<{root}>");
    for node in chosen {
        document.push_str(text.get(node.range()).unwrap_or_default());
    }
    document.push_str(&format!("</{root}>"));
    let document = xml::document_parse(&document)?;
    Ok(convert::as_asked(input, &document).unwrap_or_default())
}

/// Records by the text at a path, in the order in which the texts first come.
fn grouped<'a, 'i>(nodes: &[Node<'a, 'i>], path: &str) -> Vec<(String, Vec<Node<'a, 'i>>)> {
    let mut groups: Vec<(String, Vec<Node<'a, 'i>>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for node in nodes {
        let key = xml::text(*node, path);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(*node);
    }
    groups
}

/// A line above records, as the old command line printed it everywhere.
fn head(text: &str) -> String {
    format!(
        "\x1b[1m\x1b[4m{}\n\x1b[0m\n",
        format::pad(text, HEAD_WIDTH, false)
    )
}

/// -1 where a time is open.
pub fn wire_time(time: Option<i64>) -> Result<i32, CliError> {
    let Some(time) = time else { return Ok(-1) };
    i32::try_from(time)
        .ok()
        .filter(|time| *time >= 0)
        .ok_or_else(|| CliError::text("The time is out of range: use one between 1970 and 2038."))
}

/// First month and year, last month and year; -1 where an end is open.
fn months(input: &Input) -> Result<[i32; 4], CliError> {
    let month = |option: &str| {
        let date = input.value(option).map(month_parse).transpose()?;
        Ok::<_, CliError>(date.map_or([-1, -1], |date| [date.month().into(), date.year().into()]))
    };
    let ([start_month, start_year], [end_month, end_year]) = (month("start")?, month("end")?);
    Ok([start_month, start_year, end_month, end_year])
}

/// The first day of a month.
fn month_parse(text: &str) -> Result<Date, CliError> {
    for (form, suffix) in [("%Y-%m-%d", "-1"), ("%Y/%m/%d", "/1"), ("%m/%Y/%d", "/1")] {
        if let Ok(date) = Date::strptime(form, format!("{text}{suffix}")) {
            return Ok(date);
        }
    }
    let time = Timestamp::from_second(time_parse(text, false)?).unwrap_or_default();
    Ok(time.to_zoned(format::zone()).date().first_of_month())
}

/// A date, with or without a time, in the zone of the caller. As an end, a date alone is the end of that day.
pub fn time_parse(text: &str, end: bool) -> Result<i64, CliError> {
    let seconds = |time: DateTime| {
        time.to_zoned(format::zone())
            .map(|time| time.timestamp().as_second())
            .map_err(|error| CliError::text(error.to_string()))
    };
    let text = text.trim();
    for date in ["%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y"] {
        for time in ["%H:%M:%S", "%H:%M"] {
            for between in [" ", "T"] {
                if let Ok(time) = DateTime::strptime(format!("{date}{between}{time}"), text) {
                    return seconds(time);
                }
            }
        }
        if let Ok(day) = Date::strptime(date, text) {
            let day = if end { day.checked_add(1.day()) } else { Ok(day) };
            let day = day.map_err(|error| CliError::text(error.to_string()))?;
            return seconds(day.to_datetime(jiff::civil::Time::midnight()));
        }
    }
    Err(CliError::text(format!(
        "'{text}' is no time. Use YYYY-MM-DD, YYYY-MM-DD HH:MM, YYYY/MM/DD or MM/DD/YYYY."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_months_come_in_many_forms() {
        let noon = 1_795_478_400 + 43_200;
        for text in [
            "2026-11-24 12:00",
            "2026/11/24 12:00:00",
            "11/24/2026 12:00",
            "2026-11-24T12:00",
        ] {
            assert_eq!(time_parse(text, false).expect(text), noon, "{text}");
            assert_eq!(time_parse(text, true).expect(text), noon, "{text}");
        }
        let day = 1_795_478_400;
        assert_eq!(time_parse("2026-11-24", false).expect("a day"), day);
        assert_eq!(time_parse("2026-11-24", true).expect("a day"), day + 86_400);
        assert!(time_parse("soon", false).is_err());
        for text in ["2026-11", "2026/11", "11/2026", "2026-11-24", "11/24/2026 12:00"] {
            assert_eq!(
                month_parse(text).expect(text),
                jiff::civil::date(2026, 11, 1),
                "{text}"
            );
        }
        assert!(month_parse("13/2026").is_err());
    }

    #[test]
    fn times_that_do_not_fit_the_wire_are_refused() {
        assert_eq!(wire_time(None).expect("open"), -1);
        assert_eq!(wire_time(Some(5)).expect("fits"), 5);
        assert!(wire_time(Some(-5)).is_err());
        assert!(wire_time(Some(1 << 40)).is_err());
    }
}
