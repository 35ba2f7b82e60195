//! What is measured. Rows that need the same cloud share it.

mod boot;
mod done;
mod engines;
mod read;
mod start;
mod users;
mod write;

use std::time::Duration;

use crate::Result;
use crate::cloud;
use crate::load::Load;
use crate::machine::{self, Process};
use crate::options::Options;
use crate::report::{Report, figure};
use crate::server::Server;
use crate::statistics::Times;

/// VMs of the cloud that most rows are measured in.
const VMS: usize = 10_000;
/// Its hosts.
const HOSTS: usize = 1250;

/// Measures what is wanted.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let wants = |names: &[&str]| names.iter().any(|name| options.wants(name));
    if wants(&[
        "vm.info",
        "vmpool",
        "infoextended",
        "hostpool",
        "instantiate",
        "update",
        "start",
    ]) {
        large_cloud(options, report)?;
    }
    if options.wants("instantiate-full") {
        write::instantiate_full(options, report)?;
    }
    if options.wants("users") {
        users::all(options, report)?;
    }
    if options.wants("done") {
        done::all(options, report)?;
    }
    if options.wants("engines") {
        engines::all(options, report)?;
    }
    if options.wants("running") {
        boot::running(options, report)?;
    }
    if options.wants("memory") {
        boot::memory(options, report)?;
    }
    if options.wants("start") {
        start::others(options, report)?;
    }
    Ok(())
}

/// The rows of the cloud with VMs on hold: those that read first, then a restart, then those that write.
fn large_cloud(options: &Options, report: &mut Report) -> Result<()> {
    let (mut server, _) = Server::new(options)?;
    cloud::hosts_make(&server, options.size(HOSTS))?;
    let made = cloud::vms_make(&server, options.size(VMS), true)?;
    eprintln!(
        "  made {} hosts and {} VMs (one.vm.allocate, 16 callers: {} per s)",
        options.size(HOSTS),
        made.count(),
        figure(made.rate())
    );
    read::all(options, &server, report)?;
    if options.wants("start") {
        start::again(&mut server, options.size(VMS), report)?;
    }
    write::all(options, &server, report)
}

/// A load as long as a row may take: `calls` bounds it too.
fn load(options: &Options, connections: usize, calls: usize) -> Load {
    let time = if options.quick {
        Duration::from_millis(500)
    } else {
        Duration::from_secs(4)
    };
    Load {
        connections,
        calls,
        time,
    }
}

/// What a run cost.
struct Cost {
    /// Processor time of the server per answer, in milliseconds.
    cpu_ms: f64,
    /// Share of all cores that neither the server nor the generator used, 0 to 1: what else ran meanwhile.
    others: f64,
}

impl Cost {
    fn text(&self) -> String {
        format!(
            "server CPU {} ms, others {:.0} %",
            figure(self.cpu_ms),
            self.others * 100.0
        )
    }
}

/// Runs something and tells what it cost.
fn costed(server: &Server, run: impl FnOnce() -> Result<Times>) -> Result<(Times, Cost)> {
    let process = server.process()?;
    let own = Process(std::process::id());
    let (busy, of_server, of_own) = (machine::busy_s()?, process.cpu_s()?, own.cpu_s()?);
    let begun = std::time::Instant::now();
    let times = run()?;
    let elapsed = begun.elapsed().as_secs_f64();
    let of_server = process.cpu_s()? - of_server;
    let others = machine::busy_s()? - busy - of_server - (own.cpu_s()? - of_own);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let cost = Cost {
        cpu_ms: of_server * 1000.0 / times.count() as f64,
        others: (others / (elapsed * cores)).clamp(0.0, 1.0),
    };
    Ok((times, cost))
}
