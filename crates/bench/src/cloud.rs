//! Filling a cloud with objects, and waiting for its VMs.

use std::time::{Duration, Instant};

use plerion_client::{Client, Param};

use crate::Result;
use crate::load::{self, Load};
use crate::server::Server;
use crate::statistics::Times;
use crate::templates;
use crate::wire::{Endpoint, Value, request_write};

/// Connections that fill a cloud.
pub(crate) const FILLERS: usize = 16;
/// Longest time for all VMs to run.
const RUNNING_MAX: Duration = Duration::from_secs(60);
/// How a running VM shows in the answer of a pool.
const RUNNING: &str = "<LCM_STATE>3</LCM_STATE>";
/// No bound but the number of calls.
const NO_END: Duration = Duration::from_secs(3600);

/// Calls and gives the number that is answered.
pub(crate) fn number(client: &mut Client, method: &str, params: &[Param]) -> Result<i64> {
    client
        .call(method, params)
        .and_then(|answer| answer.number())
        .map_err(|error| format!("{method}: {error}"))
}

/// The number of an object as the API takes it.
pub(crate) fn id(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Makes `count` calls that fill a cloud; `make` writes the request of each.
pub(crate) fn fill(
    server: &Server,
    count: usize,
    make: &mut dyn FnMut(usize, &Endpoint, &mut Vec<u8>),
) -> Result<Times> {
    let endpoint = server.endpoint();
    let load = Load {
        connections: FILLERS,
        calls: count,
        time: NO_END,
    };
    load::run(endpoint.port, load, &mut |at, out| make(at, endpoint, out))
}

/// Makes `count` dummy hosts.
pub(crate) fn hosts_make(server: &Server, count: usize) -> Result<Times> {
    fill(server, count, &mut |at, endpoint, out| {
        let name = format!("host-{at:05}");
        let values = [
            Value::Text(&name),
            Value::Text("dummy"),
            Value::Text("dummy"),
            Value::Int(0),
        ];
        request_write(out, endpoint, "one.host.allocate", &values);
    })
}

/// Makes `count` VMs, each of a template of its own.
pub(crate) fn vms_make(server: &Server, count: usize, hold: bool) -> Result<Times> {
    fill(server, count, &mut |at, endpoint, out| {
        let template = templates::vm(at, &format!("vm-{at:06}"), "");
        request_write(
            out,
            endpoint,
            "one.vm.allocate",
            &[Value::Text(&template), Value::Flag(hold)],
        );
    })
}

/// Waits until `count` VMs run. `pause` is the time between two looks: each look costs the server a pool.
pub(crate) fn running_wait(server: &Server, count: usize, pause: Duration) -> Result<()> {
    let mut client = server.client()?;
    let begun = Instant::now();
    loop {
        let running = running_count(&mut client)?;
        if running >= count {
            return Ok(());
        }
        if begun.elapsed() > RUNNING_MAX {
            return Err(format!("{running} of {count} VMs run after {RUNNING_MAX:?}"));
        }
        std::thread::sleep(pause);
    }
}

fn running_count(client: &mut Client) -> Result<usize> {
    let params = [(-2).into(), (-1).into(), (-1).into(), 3.into(), "".into()];
    let answer = client
        .call("one.vmpool.info", &params)
        .and_then(|answer| answer.into_text());
    Ok(answer
        .map_err(|error| format!("one.vmpool.info: {error}"))?
        .matches(RUNNING)
        .count())
}
