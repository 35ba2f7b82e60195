//! `onehost`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roxmltree::{Document, Node};

use super::{host_tables, vm_tables};
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::format::{moment_text, size_text};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::{FILTER_ALL, Session};
use crate::states;
use crate::table::{Column, Table};
use crate::template_text;
use crate::xml;

/// The cluster of a host that names none: the default one.
const CLUSTER_NONE: i32 = -1;

/// The table of hosts.
pub static LIST: ListSpec = ListSpec {
    element: "HOST",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the host", "主机编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the host", "主机名称"),
        Column::left("CLUSTER", 10).about("Its cluster", "所属集群"),
        Column::right("TVM", 3).about("VMs placed on it", "虚拟机总数"),
        Column::right("ZVM", 3).about("VMs on it that nobody manages", "无主虚拟机数"),
        Column::right("TCPU", 4).about("CPU in percent of one core", "CPU 总量"),
        Column::right("FCPU", 4).about("CPU that is idle", "空闲 CPU"),
        Column::right("ACPU", 4).about("CPU not given to VMs", "未分配的 CPU"),
        Column::right("TMEM", 7).about("Memory", "内存总量"),
        Column::right("FMEM", 7).about("Memory that is free", "空闲内存"),
        Column::right("AMEM", 7).about("Memory not given to VMs", "未分配的内存"),
        Column::right("REAL_CPU", 18).about("CPU in use, of all", "实际使用的 CPU"),
        Column::right("ALLOCATED_CPU", 18).about("CPU given to VMs, of all", "已分配的 CPU"),
        Column::right("REAL_MEM", 18).about("Memory in use, of all", "实际使用的内存"),
        Column::right("ALLOCATED_MEM", 18).about("Memory given to VMs, of all", "已分配的内存"),
        Column::right("PROVIDER", 8).about("Provision it came from", "供应来源"),
        Column::left("STAT", 4).about("Its state", "状态"),
    ],
    shown: &[
        "ID",
        "NAME",
        "CLUSTER",
        "TVM",
        "ALLOCATED_CPU",
        "ALLOCATED_MEM",
        "STAT",
    ],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(context: &Context, host: Node<'_, '_>, column: &str) -> String {
    let share = |name: &str| xml::number(host, &format!("HOST_SHARE/{name}"));
    let measured = |name: &str| xml::number(host, &format!("MONITORING/CAPACITY/{name}"));
    match column {
        "ID" | "NAME" | "CLUSTER" => xml::text(host, column),
        "TVM" => share("RUNNING_VMS").to_string(),
        "ZVM" => xml::number(host, "TEMPLATE/TOTAL_ZOMBIES").to_string(),
        "TCPU" => share("MAX_CPU").to_string(),
        "FCPU" => (share("MAX_CPU") - measured("USED_CPU")).to_string(),
        "ACPU" => (share("MAX_CPU") - share("CPU_USAGE")).to_string(),
        "TMEM" => context.size(share("MAX_MEM")),
        "FMEM" => context.size(measured("FREE_MEMORY")),
        "AMEM" => context.size(share("MAX_MEM") - share("MEM_USAGE")),
        "REAL_CPU" => part_text(measured("USED_CPU"), share("MAX_CPU"), |number| {
            number.to_string()
        }),
        "ALLOCATED_CPU" => part_text(share("CPU_USAGE"), share("MAX_CPU"), |number| number.to_string()),
        "REAL_MEM" => part_text(measured("USED_MEMORY"), share("MAX_MEM"), |kib| context.size(kib)),
        "ALLOCATED_MEM" => part_text(share("MEM_USAGE"), share("MAX_MEM"), |kib| context.size(kib)),
        "PROVIDER" => xml::text_or_dash(host, "TEMPLATE/PROVISION/PROVISION_ID"),
        "STAT" => states::host_short(xml::number(host, "STATE")).to_owned(),
        _ => String::new(),
    }
}

/// `40 / 6400 (0%)`, or a dash for a host that has not been measured yet.
fn part_text(used: i64, all: i64, figure: impl Fn(i64) -> String) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    format!(
        "{} / {} ({}%)",
        figure(used),
        figure(all),
        used.saturating_mul(100) / all
    )
}

/// Fetches the VMs of the host and renders it.
pub fn show(session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    let host = document.root_element();
    let vms = vm_table(session, &xml::ids(host, "VMS"))?;
    Ok(render(host) + &vms)
}

/// The table of some VMs, the newest first, below its head.
pub fn vm_table(session: &mut Session, ids: &[String]) -> Result<String, CliError> {
    let head = "\nVIRTUAL MACHINES\n\n";
    let context = Context {
        now: session.now,
        ..Context::default()
    };
    if ids.is_empty() {
        return Ok(head.to_owned() + &list::table_plain(&vm_tables::LIST, &context, &[])?);
    }
    let text = session.call_text("one.vmpool.infoset", &[ids.join(",").into(), false.into()])?;
    let document = xml::document_parse(&text)?;
    let vms: Vec<Node<'_, '_>> = xml::children(document.root_element(), "VM").collect();
    Ok(head.to_owned() + &list::table_plain(&vm_tables::LIST, &context, &vms)?)
}

/// The host, without its VMs.
pub fn render(host: Node<'_, '_>) -> String {
    let share = |name: &str| xml::number(host, &format!("HOST_SHARE/{name}"));
    let measured = |name: &str| xml::number(host, &format!("MONITORING/CAPACITY/{name}"));
    let mut fields = Fields::new(22);
    let id = xml::text(host, "ID");
    fields
        .add_head(format!("HOST {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", host, "NAME")
        .add_text("CLUSTER", host, "CLUSTER")
        .add("STATE", states::host_state(xml::number(host, "STATE")))
        .add_text("IM_MAD", host, "IM_MAD")
        .add_text("VM_MAD", host, "VM_MAD")
        .add(
            "LAST MONITORING TIME",
            moment_text(xml::number(host, "MONITORING/TIMESTAMP")),
        )
        .add_line("")
        .add_head("HOST SHARES")
        .add("RUNNING VMS", share("RUNNING_VMS").to_string())
        .add_head("MEMORY")
        .add("  TOTAL", size_text(share("TOTAL_MEM")))
        .add("  TOTAL +/- RESERVED", size_text(share("MAX_MEM")))
        .add("  USED (REAL)", size_text(measured("USED_MEMORY")))
        .add("  USED (ALLOCATED)", size_text(share("MEM_USAGE")))
        .add_head("CPU")
        .add("  TOTAL", share("TOTAL_CPU").to_string())
        .add("  TOTAL +/- RESERVED", share("MAX_CPU").to_string())
        .add("  USED (REAL)", measured("USED_CPU").to_string())
        .add("  USED (ALLOCATED)", share("CPU_USAGE").to_string())
        .add_line("");
    let template = template_text::template_block(host, &["VM"]);
    let parts = [
        fields.into_text(),
        host_tables::datastores(host),
        layout::head("MONITORING INFORMATION"),
        template,
        host_tables::devices(host),
        host_tables::nodes(host),
        wild_vms(host),
    ];
    parts.concat()
}

/// VMs that run on the host without being managed.
fn wild_vms(host: Node<'_, '_>) -> String {
    let mut table = Table::new(&[
        Column::left("NAME", 30),
        Column::right("DEPLOY_ID", 36),
        Column::right("CPU", 4),
        Column::right("MEMORY", 10),
    ]);
    for vm in xml::child(host, "TEMPLATE")
        .into_iter()
        .flat_map(|node| xml::children(node, "VM").collect::<Vec<_>>())
    {
        table.rows.push(vec![
            xml::text(vm, "VM_NAME"),
            xml::text(vm, "DEPLOY_ID"),
            xml::text(vm, "CPU"),
            xml::text(vm, "MEMORY"),
        ]);
    }
    format!("\nWILD VIRTUAL MACHINES\n\n{}", table.render())
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (Some(im), Some(vm)) = (input.value("im"), input.value("vm")) else {
        return Err(CliError::text(
            "Drivers are mandatory to create a host:\n\t -i information driver\n\t -v hypervisor driver",
        ));
    };
    let cluster = input.number("cluster").unwrap_or(CLUSTER_NONE);
    let params = [input.text(0).into(), im.into(), vm.into(), cluster.into()];
    let id = session.call_id("one.host.allocate", &params)?;
    session.print(&format!("ID: {id}\n"))?;
    if !input.text(1).is_empty() {
        let template = crate::sources::file_read(input.text(1))?;
        let id = i32::try_from(id).map_err(|_| CliError::text(format!("The id {id} is out of range.")))?;
        session.call("one.host.update", &[id.into(), template.into(), 1.into()])?;
    }
    Ok(())
}

/// `enable`.
pub fn enable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    status_set(session, input, 0, "enabled")
}

/// `disable`.
pub fn disable(session: &mut Session, input: &Input) -> Result<(), CliError> {
    status_set(session, input, 1, "disabled")
}

/// `offline`.
pub fn offline(session: &mut Session, input: &Input) -> Result<(), CliError> {
    status_set(session, input, 2, "offline")
}

fn status_set(session: &mut Session, input: &Input, status: i32, done: &str) -> Result<(), CliError> {
    session.each(Kind::Host, &input.ids(0), done, |session, id| {
        session
            .call("one.host.status", &[id.into(), status.into()])
            .map(drop)
    })
}

/// `flush`: disables the host and has its VMs moved to other hosts.
pub fn flush(session: &mut Session, input: &Input) -> Result<(), CliError> {
    disable(session, input)?;
    let pool = session.pool(Kind::Vm, FILTER_ALL)?;
    let document = xml::document_parse(&pool)?;
    let hosts = input.ids(0);
    let moved: Vec<i32> = xml::children(document.root_element(), "VM")
        .filter(|vm| xml::number(*vm, "STATE") == states::VM_ACTIVE)
        .filter(|vm| {
            let host = vm_tables::placement(*vm).and_then(|record| xml::number_at(record, "HID"));
            host.is_some_and(|host| hosts.iter().any(|wanted| i64::from(*wanted) == host))
        })
        .filter_map(|vm| i32::try_from(xml::number(vm, "ID")).ok())
        .collect();
    session.each(Kind::Vm, &moved, "to be moved", |session, id| {
        session
            .call("one.vm.action", &["resched".into(), id.into()])
            .map(drop)
    })
}

/// Time for all hosts to have followed, and the pause between two looks.
const SYNC_TIME_MAX: Duration = Duration::from_secs(60);
const SYNC_PAUSE: Duration = Duration::from_millis(500);
/// States of hosts that have a connection: monitored, and disabled.
const CONNECTED: [i64; 2] = [2, 4];

/// `sync`: brings the administrator's probes to the hosts again. The server, which looks through its directory of scripts every
/// other second, notes the word that is written there; each host tells it back in `PROBES_SYNC` once it has its files.
pub fn sync(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let hosts = sync_hosts(session, input)?;
    let word = sync_word_write(&remotes())?;
    let began = Instant::now();
    let mut waiting = hosts;
    while !waiting.is_empty() {
        let pool = session.pool(Kind::Host, FILTER_ALL)?;
        let document = xml::document_parse(&pool)?;
        let mut done = Vec::new();
        for host in xml::children(document.root_element(), "HOST") {
            let id = xml::number(host, "ID");
            if waiting.contains(&id) && xml::text(host, "TEMPLATE/PROBES_SYNC") == word {
                session.print(&format!("{}: synchronized\n", xml::text(host, "NAME")))?;
                done.push(id);
            }
        }
        waiting.retain(|id| !done.contains(id));
        if waiting.is_empty() {
            break;
        }
        if began.elapsed() >= SYNC_TIME_MAX {
            let waiting: Vec<String> = waiting.iter().map(i64::to_string).collect();
            return Err(CliError::text(format!(
                "Hosts {} have not taken the files within {} s: ERROR of `onehost show`, or the server's log, says why.",
                waiting.join(", "),
                SYNC_TIME_MAX.as_secs()
            )));
        }
        std::thread::sleep(SYNC_PAUSE);
    }
    Ok(())
}

/// The hosts that are waited for: those named, else all of the cluster, else all. Those without a connection get the files when
/// they have one again, which is said of those that were named.
fn sync_hosts(session: &mut Session, input: &Input) -> Result<Vec<i64>, CliError> {
    let named: Vec<i64> = input.ids(0).into_iter().map(i64::from).collect();
    let cluster = input.number("cluster").map(i64::from);
    let pool = session.pool(Kind::Host, FILTER_ALL)?;
    let document = xml::document_parse(&pool)?;
    let mut hosts = Vec::new();
    for host in xml::children(document.root_element(), "HOST") {
        let id = xml::number(host, "ID");
        let wanted = if named.is_empty() {
            cluster.is_none_or(|cluster| xml::number(host, "CLUSTER_ID") == cluster)
        } else {
            named.contains(&id)
        };
        if !wanted || xml::text(host, "IM_MAD") == "dummy" {
            continue;
        }
        if CONNECTED.contains(&xml::number(host, "STATE")) {
            hosts.push(id);
        } else {
            session.print(&format!(
                "{}: not connected; it gets the files when it is\n",
                xml::text(host, "NAME")
            ))?;
        }
    }
    Ok(hosts)
}

/// Where the server has its scripts.
fn remotes() -> PathBuf {
    match std::env::var_os("ONE_LOCATION").filter(|location| !location.is_empty()) {
        Some(location) => PathBuf::from(location).join("var/remotes"),
        None => PathBuf::from("/var/lib/one/remotes"),
    }
}

/// Writes a word that was not there before.
fn sync_word_write(remotes: &Path) -> Result<String, CliError> {
    let path = remotes.join(".update");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let word = since.map_or(0, |since| since.as_nanos()).to_string();
    let part = remotes.join(format!(".update.{}", std::process::id()));
    std::fs::create_dir_all(remotes)
        .and_then(|()| std::fs::write(&part, &word))
        .and_then(|()| std::fs::rename(&part, &path))
        .map_err(|error| {
            CliError::text(format!(
                "{} cannot be written: {error}; `onehost sync` is for the user of the server, on the server's machine.",
                path.display()
            ))
        })?;
    Ok(word)
}
