//! From the start of the process to its first answer. The answer is to a user with a password, whose check is part of it.

use std::time::Duration;

use crate::Result;
use crate::cloud;
use crate::machine::mib;
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;

/// Starts for one figure; the median counts.
const STARTS: usize = 5;
/// VMs of the largest cloud.
const LARGE_VMS: usize = 100_000;

/// Restarts over a cloud of `vms`.
pub(crate) fn again(server: &mut Server, vms: usize, report: &mut Report) -> Result<()> {
    started(server, vms, STARTS, 1.0, "4.9 s", report)
}

/// Starts over an empty database and, if asked for, over a very large one.
pub(crate) fn others(options: &Options, report: &mut Report) -> Result<()> {
    let (mut server, first) = Server::new(options)?;
    report.add(row(
        "start to first answer, first start of all".into(),
        0.3,
        "4.8 s",
        first,
        String::new(),
    ));
    started(&mut server, 0, STARTS, 0.3, "4.8 s", report)?;
    if options.full {
        let vms = options.size(LARGE_VMS);
        cloud::vms_make(&server, vms, true)?;
        started(&mut server, vms, 1, 5.0, "", report)?;
    }
    Ok(())
}

fn started(
    server: &mut Server,
    vms: usize,
    starts: usize,
    aim_s: f64,
    reference: &'static str,
    report: &mut Report,
) -> Result<()> {
    let mut times = Vec::with_capacity(starts);
    for _ in 0..starts {
        server.stop()?;
        times.push(server.start()?);
    }
    times.sort_unstable();
    let median = times[starts / 2];
    let memory = server.process()?.memory()?;
    let note = format!(
        "of {starts}; slowest {} s; then {:.0} MB",
        figure(times[starts - 1].as_secs_f64()),
        mib(memory.resident)
    );
    let what = match vms {
        0 => "start to first answer, empty".to_owned(),
        vms => format!("start to first answer, {} VMs", figure(vms as f64)),
    };
    report.add(row(what, aim_s, reference, median, note));
    Ok(())
}

fn row(what: String, aim_s: f64, reference: &'static str, time: Duration, note: String) -> Row {
    Row {
        what,
        unit: "s",
        aim: Aim::AtMost(aim_s),
        reference,
        here: time.as_secs_f64(),
        note,
    }
}
