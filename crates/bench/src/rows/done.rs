//! VMs that are DONE beside living ones: what they cost in memory and in lists of living VMs.

use std::path::Path;

use plerion_client::Client;
use rusqlite::Connection;

use super::read;
use crate::Result;
use crate::cloud::{self, number};
use crate::machine::mib;
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;
use crate::wire::{Value, request};

/// VMs that are DONE.
const DONE_VMS: usize = 600_000;
/// Living ones beside them.
const LIVING_VMS: usize = 10_000;
/// VMs of a page.
const PAGE: usize = 2000;
/// Ids of the copies begin here, above those of all VMs that were made by calls.
const FIRST_COPY: usize = 1_000_000;
/// Memory that they may take, in MiB: what two starts over the same cloud may differ by.
const GROWTH_MIB: f64 = 8.0;
/// How much slower a list of living VMs may become: what two runs may differ by.
const SLOWER: f64 = 1.1;
/// Filters of pools: VMs of everybody, and those in the state DONE.
const EVERYBODY: i32 = -2;
const ANY_BUT_DONE: i32 = -1;
const DONE: i32 = 6;

/// What is looked at, before and after.
struct Look {
    pool_ms: f64,
    memory_mib: f64,
}

/// The rows of this file.
pub(crate) fn all(options: &Options, report: &mut Report) -> Result<()> {
    let (living, done) = (options.size(LIVING_VMS), options.size(DONE_VMS));
    let (mut server, _) = Server::new(options)?;
    cloud::vms_make(&server, living, true)?;
    let ended = ended_make(&mut server.client()?)?;
    server.stop()?;
    server.start()?;
    let before = look(options, &server, "with one DONE", report)?;
    server.stop()?;
    done_copy(&server.directory().join("var/plerion.db"), ended, done)?;
    let start = server.start()?;
    let after = look(
        options,
        &server,
        &format!("with {} DONE", figure(done as f64)),
        report,
    )?;
    report.add(Row {
        what: format!("{} VMs in DONE: memory they take", figure(done as f64)),
        unit: "MB",
        aim: Aim::AtMost(GROWTH_MIB),
        reference: "",
        here: after.memory_mib - before.memory_mib,
        note: format!(
            "{:.0} MB without, {:.0} MB with them; started in {} s",
            before.memory_mib,
            after.memory_mib,
            figure(start.as_secs_f64())
        ),
    });
    report.add(Row {
        what: "the list of living VMs with them, to the one without".into(),
        unit: "x",
        aim: Aim::AtMost(SLOWER),
        reference: "",
        here: after.pool_ms / before.pool_ms,
        note: String::new(),
    });
    page(options, &server, done, report)
}

/// A VM that is over.
fn ended_make(client: &mut Client) -> Result<i64> {
    let template = "NAME=\"over\"\nCPU=\"0.1\"\nMEMORY=\"128\"\n";
    let vm = number(client, "one.vm.allocate", &[template.into(), true.into()])?;
    let vm_id = i32::try_from(vm).map_err(|error| error.to_string())?;
    number(client, "one.vm.action", &["terminate-hard".into(), vm_id.into()])
}

fn look(options: &Options, server: &Server, with: &str, report: &mut Report) -> Result<Look> {
    let memory_mib = mib(server.process()?.memory()?.resident);
    let what = format!(
        "one.vmpool.info, {} VMs, {with}",
        figure(options.size(LIVING_VMS) as f64)
    );
    let values = [EVERYBODY, -1, -1, ANY_BUT_DONE].map(Value::Int);
    let values = [values.as_slice(), &[Value::Text("")]].concat();
    let request = request(server.endpoint(), "one.vmpool.info", &values);
    let pool_ms = read::pool(options, server, report, &what, &request, 8.0, "")?;
    Ok(Look { pool_ms, memory_mib })
}

fn page(options: &Options, server: &Server, done: usize, report: &mut Report) -> Result<()> {
    let what = format!(
        "a page of {} of {} VMs in DONE",
        figure(PAGE as f64),
        figure(done as f64)
    );
    let values = [EVERYBODY, cloud::id(done / 2), -cloud::id(PAGE), DONE].map(Value::Int);
    let values = [values.as_slice(), &[Value::Text("")]].concat();
    let request = request(server.endpoint(), "one.vmpool.info", &values);
    read::pool(options, server, report, &what, &request, 300.0, "").map(drop)
}

/// Writes `count` copies of the rows of a VM, whose server has ended: as many calls would take an hour.
fn done_copy(database: &Path, vm: i64, count: usize) -> Result<()> {
    let copy = || -> rusqlite::Result<()> {
        let mut connection = Connection::open(database)?;
        let columns = columns_of(&connection)?;
        let picked: Vec<&str> = columns
            .iter()
            .map(|column| match column.as_str() {
                "oid" => "n",
                "body" => "json_set(body, '$.id', n)",
                other => other,
            })
            .collect();
        let last = FIRST_COPY + count - 1;
        let numbers = format!(
            "WITH RECURSIVE copy(n) AS (SELECT {FIRST_COPY} UNION ALL SELECT n + 1 FROM copy WHERE n < {last})"
        );
        let picked = picked.join(", ");
        let transaction = connection.transaction()?;
        transaction.execute_batch(&format!(
            "INSERT INTO vms {numbers} SELECT {picked} FROM copy JOIN vms ON oid = {vm};
             INSERT INTO vm_attributes {numbers} SELECT n, template, user_template FROM copy
                 JOIN vm_attributes ON oid = {vm};
             UPDATE pool_control SET last_oid = {last} WHERE kind = 'VM';"
        ))?;
        transaction.commit()
    };
    copy().map_err(|error| format!("{}: {error}", database.display()))
}

fn columns_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('vms')")?;
    statement.query_map([], |row| row.get(0))?.collect()
}
