//! Calls that read, in a cloud of many VMs on hold.

use std::time::Duration;

use super::{costed, load};
use crate::Result;
use crate::cloud::id;
use crate::load::{Load, run};
use crate::machine::mib;
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;
use crate::slow;
use crate::statistics::Times;
use crate::wire::{Endpoint, Value, request};

/// Calls of a pool for one figure.
const POOL_CALLS: usize = 40;
/// Callers that read slowly.
const SLOW_READERS: usize = 16;
/// How long they read.
const SLOW_TIME: Duration = Duration::from_secs(4);
/// Everything, any owner, any state but DONE.
const ALL: [Value<'static>; 5] = [
    Value::Int(-2),
    Value::Int(-1),
    Value::Int(-1),
    Value::Int(-1),
    Value::Text(""),
];

/// The rows of this file.
pub(crate) fn all(options: &Options, server: &Server, report: &mut Report) -> Result<()> {
    if options.wants("infoextended") {
        slow_readers(options, server, report)?;
    }
    if options.wants("vm.info") {
        let count = options.size(super::VMS);
        let ids: Vec<i32> = (0..count).map(id).collect();
        for (connections, aim, reference) in [
            (16, Aim::AtLeast(20_000.0), "967/s"),
            (1, Aim::None, "913/s, p99 2 ms"),
            (64, Aim::None, "543/s, p99 1049 ms"),
        ] {
            let (here, note) = vm_info(options, server, server.endpoint(), &ids, connections)?;
            report.add(Row {
                what: format!(
                    "one.vm.info, {} VMs, {connections} connections",
                    figure(count as f64)
                ),
                unit: "/s",
                aim,
                reference,
                here,
                note,
            });
        }
    }
    let pools = [
        ("vmpool", "one.vmpool.info", super::VMS, 8.0, "84 ms (7.9 MB)"),
        (
            "infoextended",
            "one.vmpool.infoextended",
            super::VMS,
            200.0,
            "1260 ms (118 MB)",
        ),
    ];
    for (name, method, objects, aim, reference) in pools {
        if options.wants(name) {
            let what = format!("{method}, {} VMs", figure(options.size(objects) as f64));
            pool(
                options,
                server,
                report,
                &what,
                &request(server.endpoint(), method, &ALL),
                aim,
                reference,
            )?;
        }
    }
    if options.wants("hostpool") {
        let what = format!(
            "one.hostpool.info, {} hosts",
            figure(options.size(super::HOSTS) as f64)
        );
        let request = request(server.endpoint(), "one.hostpool.info", &[]);
        pool(options, server, report, &what, &request, 2.0, "11 ms (2.2 MB)")?;
    }
    Ok(())
}

/// Calls for single VMs by the user of an endpoint: how many per second, and more about them.
pub(super) fn vm_info(
    options: &Options,
    server: &Server,
    caller: &Endpoint,
    ids: &[i32],
    connections: usize,
) -> Result<(f64, String)> {
    let requests: Vec<Vec<u8>> = ids
        .iter()
        .map(|id| request(caller, "one.vm.info", &[Value::Int(*id), Value::Flag(false)]))
        .collect();
    let (times, cost) = costed(server, || {
        run(
            caller.port,
            load(options, connections, usize::MAX),
            &mut |at, out| {
                // A step that has no factor with the number of VMs: neighbours are not asked for one after another.
                out.extend_from_slice(&requests[at.wrapping_mul(7919) % requests.len()]);
            },
        )
    })?;
    let note = format!(
        "p50 {} p99 {} ms, {:.1} KB, {}",
        figure(times.quantile_ms(0.5)),
        figure(times.quantile_ms(0.99)),
        times.body_mean() / 1000.0,
        cost.text()
    );
    Ok((times.rate(), note))
}

/// One row of calls for a pool, as a request says. Gives the median time in milliseconds.
pub(super) fn pool(
    options: &Options,
    server: &Server,
    report: &mut Report,
    what: &str,
    request: &[u8],
    aim_ms: f64,
    reference: &'static str,
) -> Result<f64> {
    let port = server.endpoint().port;
    let ask = |load: Load| -> Result<Times> { run(port, load, &mut |_, out| out.extend_from_slice(request)) };
    let first = ask(Load {
        calls: 1,
        ..load(options, 1, 1)
    })?;
    let (times, cost) = costed(server, || ask(load(options, 1, POOL_CALLS)))?;
    let here = times.quantile_ms(0.5);
    report.add(Row {
        what: what.to_owned(),
        unit: "ms",
        aim: Aim::AtMost(aim_ms),
        reference,
        here,
        note: format!(
            "{} MB; first {}, p99 {} ms, {}",
            figure(times.body_mean() / 1e6),
            figure(first.quantile_ms(0.5)),
            figure(times.quantile_ms(0.99)),
            cost.text()
        ),
    });
    Ok(here)
}

fn slow_readers(options: &Options, server: &Server, report: &mut Report) -> Result<()> {
    let request = request(server.endpoint(), "one.vmpool.infoextended", &ALL);
    let time = if options.quick { SLOW_TIME / 4 } else { SLOW_TIME };
    let (growth, bytes) = slow::run(
        server.endpoint().port,
        SLOW_READERS,
        &request,
        time,
        &server.process()?,
    )?;
    report.add(Row {
        what: format!("one.vmpool.infoextended, {SLOW_READERS} slow readers: memory they add"),
        unit: "MB",
        aim: Aim::AtMost(64.0),
        reference: "",
        here: mib(growth),
        note: format!(
            "each took {:.1} MB in {} s",
            bytes as f64 / SLOW_READERS as f64 / 1e6,
            time.as_secs_f64()
        ),
    });
    Ok(())
}
