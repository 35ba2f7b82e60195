//! Calls that write: each is durable when it is answered.

use std::time::Duration;

use super::{Cost, costed, load};
use plerion_client::{Client, Param};

use crate::Result;
use crate::cloud::{FILLERS, number};
use crate::load::{Load, run};
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;
use crate::statistics::{Times, median};
use crate::templates;
use crate::wire::{Endpoint, Value, request, request_write};
use crate::yardstick::Yardstick;

/// How long a turn of the bare commit loop takes, and one of the calls that it is the yardstick of.
const YARDSTICK_TURN: Duration = Duration::from_millis(300);
/// Turns of each.
const YARDSTICK_ROUNDS: usize = 11;
/// VMs with disk, network card and security groups.
const FULL_VMS: usize = 20_000;
/// How many of the first and of the last of them are compared.
const FULL_PART: usize = 1000;
/// Share of the plain rate that those must reach.
const FULL_SHARE: f64 = 0.7;
/// Share of the bare loop that a single caller must reach.
const SINGLE_SHARE: f64 = 0.75;

/// The rows of this file that are measured in the cloud of many VMs.
pub(crate) fn all(options: &Options, server: &Server, report: &mut Report) -> Result<()> {
    if options.wants("instantiate") {
        let template = template_make(server, "plain", "")?;
        single_caller(options, server, report, template)?;
        let (times, cost) = instantiate(server, template, load(options, FILLERS, usize::MAX))?;
        report.add(Row {
            what: "one.template.instantiate on hold, 16 callers".into(),
            unit: "/s",
            aim: Aim::AtLeast(3000.0),
            reference: "212/s",
            here: times.rate(),
            note: note(&times, &cost),
        });
    }
    if options.wants("update") {
        update(options, server, report)?;
    }
    Ok(())
}

pub(super) fn note(times: &Times, cost: &Cost) -> String {
    format!(
        "p50 {} p99 {} ms, {}",
        figure(times.quantile_ms(0.5)),
        figure(times.quantile_ms(0.99)),
        cost.text()
    )
}

/// Makes a VM template; `devices` are further attributes.
pub(super) fn template_make(server: &Server, name: &str, devices: &str) -> Result<i64> {
    let text = templates::vm(0, name, devices);
    number(&mut server.client()?, "one.template.allocate", &[text.into()])
}

pub(super) fn instantiate(server: &Server, template: i64, load: Load) -> Result<(Times, Cost)> {
    instantiate_as(server, server.endpoint(), template, load)
}

/// The same by the user of an endpoint.
pub(super) fn instantiate_as(
    server: &Server,
    endpoint: &Endpoint,
    template: i64,
    load: Load,
) -> Result<(Times, Cost)> {
    let id = i32::try_from(template).map_err(|error| error.to_string())?;
    let values = [
        Value::Int(id),
        Value::Text(""),
        Value::Flag(true),
        Value::Text(""),
        Value::Flag(false),
    ];
    let request = request(endpoint, "one.template.instantiate", &values);
    costed(server, || {
        run(endpoint.port, load, &mut |_, out| out.extend_from_slice(&request))
    })
}

/// Turns of the bare loop and of the calls alternate, as the speed of disks changes from second to second.
fn single_caller(options: &Options, server: &Server, report: &mut Report, template: i64) -> Result<()> {
    let rounds = options.size(YARDSTICK_ROUNDS);
    let mut bare = Yardstick::new(&server.directory().join("bare.db"))?;
    let turn = Load {
        connections: 1,
        calls: usize::MAX,
        time: YARDSTICK_TURN,
    };
    let (mut bare_rates, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..rounds {
        let bare_rate = bare.commits_per_s(YARDSTICK_TURN)?;
        let (times, cost) = instantiate(server, template, turn)?;
        ratios.push(times.rate() / bare_rate);
        bare_rates.push(bare_rate);
        rates.push(times.rate());
        last = Some((times, cost));
    }
    let Some((times, cost)) = last else {
        return Err("no round of the bare commit loop".into());
    };
    report.add(Row {
        what: "one.template.instantiate on hold, 1 caller, to a bare commit loop".into(),
        unit: "x",
        aim: Aim::AtLeast(SINGLE_SHARE),
        reference: "199/s",
        here: median(&mut ratios),
        note: format!(
            "{}/s, bare loop {}/s, medians of {rounds} turns each; last turn {}",
            figure(median(&mut rates)),
            figure(median(&mut bare_rates)),
            note(&times, &cost)
        ),
    });
    Ok(())
}

fn update(options: &Options, server: &Server, report: &mut Report) -> Result<()> {
    let (times, cost) = update_calls(options, server, options.size(super::VMS))?;
    report.add(Row {
        what: "one.vm.update (append), 16 callers".into(),
        unit: "/s",
        aim: Aim::AtLeast(4000.0),
        reference: "374/s",
        here: times.rate(),
        note: note(&times, &cost),
    });
    Ok(())
}

/// Changes of the first `count` VMs, in an order in which neighbours do not follow one another.
pub(super) fn update_calls(options: &Options, server: &Server, count: usize) -> Result<(Times, Cost)> {
    let endpoint = server.endpoint();
    costed(server, || {
        run(
            endpoint.port,
            load(options, FILLERS, usize::MAX),
            &mut |at, out| {
                let id = i32::try_from(at.wrapping_mul(7919) % count).unwrap_or_default();
                let text = format!("NOTE_1=\"changed for the {at}th time\"");
                let values = [Value::Int(id), Value::Text(&text), Value::Int(1)];
                request_write(out, endpoint, "one.vm.update", &values);
            },
        )
    })
}

/// VMs with an image disk, a network card and security groups in a cloud of their own; plain ones beside them, so that
/// both rates are of the same minute.
pub(crate) fn instantiate_full(options: &Options, report: &mut Report) -> Result<()> {
    let (server, _) = Server::new(options)?;
    let count = options.size(FULL_VMS);
    let part = options.size(FULL_PART);
    let plain = template_make(&server, "plain", "")?;
    let limited = Endpoint {
        port: server.endpoint().port,
        session: "limited:secret".into(),
    };
    let full = full_template(&server, count)?;
    let calls = |calls: usize| Load {
        connections: FILLERS,
        calls,
        time: Duration::MAX,
    };
    let (plain, _) = instantiate(&server, plain, calls(part * 4))?;
    let (first, _) = instantiate_as(&server, &limited, full, calls(part))?;
    let (middle, cost) = instantiate_as(&server, &limited, full, calls(count.saturating_sub(part * 2)))?;
    let (last, last_cost) = instantiate_as(&server, &limited, full, calls(part))?;
    report.add(Row {
        what: "the same with disk, NIC, security groups and quotas".into(),
        unit: "/s",
        aim: Aim::AtLeast(plain.rate() * FULL_SHARE),
        reference: "",
        here: middle.rate(),
        note: format!(
            "plain beside it {}/s, {}",
            figure(plain.rate()),
            note(&middle, &cost)
        ),
    });
    report.add(Row {
        what: format!("the last {} of {}", figure(part as f64), figure(count as f64)),
        unit: "/s",
        // A run of a second varies by some percent.
        aim: Aim::AtLeast(first.rate() * 0.95),
        reference: "",
        here: last.rate(),
        note: format!(
            "the first: {}/s; {}",
            figure(first.rate()),
            note(&last, &last_cost)
        ),
    });
    Ok(())
}

fn full_template(server: &Server, vms: usize) -> Result<i64> {
    let mut client = server.client()?;
    let store = number(
        &mut client,
        "one.datastore.allocate",
        &[templates::IMAGE_DATASTORE.into(), (-1).into()],
    )?;
    let store = i32::try_from(store).map_err(|error| error.to_string())?;
    let image = number(
        &mut client,
        "one.image.allocate",
        &[templates::IMAGE.into(), store.into(), true.into()],
    )?;
    let group = number(
        &mut client,
        "one.secgroup.allocate",
        &[templates::SECURITY_GROUP.into()],
    )?;
    let network = templates::network(vms + FULL_PART, group);
    let network = number(&mut client, "one.vn.allocate", &[network.into(), (-1).into()])?;
    let template = template_make(server, "full", &templates::devices(image, network))?;
    limited_user(&mut client, [store.into(), image, network, template])?;
    Ok(template)
}

/// A user, and a group, with a limit of every kind, who may use the image and owns the template.
fn limited_user(client: &mut Client, [store, image, network, template]: [i64; 4]) -> Result<()> {
    let param = |id: i64| {
        i32::try_from(id)
            .map(Param::from)
            .map_err(|error| error.to_string())
    };
    let group = number(client, "one.group.allocate", &["limited".into()])?;
    let groups = Param::List(vec![param(group)?]);
    let user = ["limited".into(), "secret".into(), "core".into(), groups];
    let user = number(client, "one.user.allocate", &user)?;
    let limits = templates::quotas(store, image, network);
    number(client, "one.user.quota", &[param(user)?, limits.as_str().into()])?;
    number(
        client,
        "one.group.quota",
        &[param(group)?, limits.as_str().into()],
    )?;
    number(
        client,
        "one.template.chown",
        &[param(template)?, param(user)?, param(group)?],
    )?;
    number(
        client,
        "one.image.chown",
        &[param(image)?, param(user)?, param(group)?],
    )?;
    Ok(())
}
