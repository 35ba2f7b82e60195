//! VMs that are placed and run, on hosts whose drivers do nothing.

use std::time::{Duration, Instant};

use crate::Result;
use crate::cloud;
use crate::machine::mib;
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;

/// VMs that are started at once.
const STARTED_VMS: usize = 500;
/// Hosts that they go to.
const STARTED_HOSTS: usize = 50;
/// Between two looks whether all run: what it adds to the figure at most, on average half of it.
const STARTED_PAUSE: Duration = Duration::from_millis(10);
/// The same where time is not measured.
const FILLED_PAUSE: Duration = Duration::from_millis(500);
/// How often the pool is read once all run, to see what reading adds.
const POOLS: usize = 5;

/// From the first call that makes a VM until all of them run.
pub(crate) fn running(options: &Options, report: &mut Report) -> Result<()> {
    let (server, _) = Server::new(options)?;
    let (vms, hosts) = (options.size(STARTED_VMS), options.size(STARTED_HOSTS));
    cloud::hosts_make(&server, hosts)?;
    let begun = Instant::now();
    let made = cloud::vms_make(&server, vms, false)?;
    cloud::running_wait(&server, vms, STARTED_PAUSE)?;
    let time = begun.elapsed();
    report.add(Row {
        what: format!("pending to running, {vms} VMs at once on {hosts} hosts"),
        unit: "s",
        aim: Aim::AtMost(1.0),
        reference: "22.8 s for 100; 500: deadlock",
        here: time.as_secs_f64(),
        note: format!(
            "{} VMs/s, one.vm.allocate within it took {} s",
            figure(vms as f64 / time.as_secs_f64()),
            figure(made.elapsed.as_secs_f64())
        ),
    });
    Ok(())
}

/// Memory of a full cloud.
pub(crate) fn memory(options: &Options, report: &mut Report) -> Result<()> {
    let (server, _) = Server::new(options)?;
    let (vms, hosts) = (options.size(super::VMS), options.size(super::HOSTS));
    cloud::hosts_make(&server, hosts)?;
    let begun = Instant::now();
    cloud::vms_make(&server, vms, false)?;
    let filled = server.process()?.memory()?;
    cloud::running_wait(&server, vms, FILLED_PAUSE)?;
    let time = begun.elapsed();
    let mut client = server.client()?;
    for _ in 0..POOLS {
        let params = [(-2).into(), (-1).into(), (-1).into(), (-1).into(), "".into()];
        for method in ["one.vmpool.info", "one.vmpool.infoextended"] {
            client
                .call(method, &params)
                .map_err(|error| format!("{method}: {error}"))?;
        }
    }
    let memory = server.process()?.memory()?;
    let (vms, hosts) = (figure(vms as f64), figure(hosts as f64));
    report.add(Row {
        what: format!("memory, {vms} running VMs, {hosts} dummy hosts (dummy hosts send no samples)"),
        unit: "MB",
        aim: Aim::AtMost(160.0),
        reference: "137-404 MB (on hold)",
        here: mib(memory.resident),
        note: format!(
            "when all were made {}; all ran after {} s; then {POOLS} pools, short and extended",
            filled.text(),
            figure(time.as_secs_f64())
        ),
    });
    report.add(Row {
        what: "its peak".into(),
        unit: "MB",
        aim: Aim::AtMost(250.0),
        reference: "544 MB",
        here: mib(memory.peak),
        note: String::new(),
    });
    Ok(())
}
