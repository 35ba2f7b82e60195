//! Calls of a plain user, in a cloud of many users, groups, access rules and limits.

use super::{load, read, write};
use crate::Result;
use crate::cloud::{self, FILLERS, fill, id, number};
use crate::options::Options;
use crate::report::{Aim, Report, Row, figure};
use crate::server::Server;
use crate::statistics::Times;
use crate::templates;
use crate::wire::{Endpoint, Value, request, request_write};

/// Users of the cloud, the measured one among them.
const USERS: usize = 2000;
/// Groups they are in.
const GROUPS: usize = 200;
/// Groups whose VMs the rules let a group use.
const SEEN_GROUPS: usize = 6;
/// VMs, each of a user of the cloud.
const VMS: usize = 10_000;
/// VMs of a page.
const PAGE: usize = 2000;
/// Id of the first group that is made in a cloud.
const FIRST_GROUP: usize = 100;
/// How access rules name a group, the VMs, and the right to use (numbers of the API).
const RULE_GROUP: u64 = 0x2_0000_0000;
const RULE_VM: u64 = 0x10_0000_0000;
const RULE_USE: u64 = 1;
/// The measured user.
const SESSION: &str = "measured:secret";

/// How many there are of each.
struct Sizes {
    users: usize,
    groups: usize,
    vms: usize,
    page: usize,
}

/// The rows of this file.
pub(crate) fn all(options: &Options, report: &mut Report) -> Result<()> {
    let sizes = Sizes {
        users: options.size(USERS),
        groups: options.size(GROUPS),
        vms: options.size(VMS),
        page: options.size(PAGE),
    };
    let (server, _) = Server::new(options)?;
    groups_make(&server, &sizes)?;
    let first_user = users_make(&server, &sizes)?;
    rules_make(&server, &sizes)?;
    limits_make(&server, &sizes, first_user)?;
    cloud::vms_make(&server, sizes.vms, true)?;
    vms_give(&server, &sizes, first_user)?;
    let user = Endpoint {
        port: server.endpoint().port,
        session: SESSION.into(),
    };
    reads(options, &server, &user, &sizes, report)?;
    instantiate(options, &server, &user, first_user, report)
}

/// The id of the group of the user of a number.
fn group_of(user: usize, sizes: &Sizes) -> usize {
    FIRST_GROUP + user % sizes.groups
}

fn groups_make(server: &Server, sizes: &Sizes) -> Result<Times> {
    fill(server, sizes.groups, &mut |at, endpoint, out| {
        let name = format!("group-{at}");
        request_write(out, endpoint, "one.group.allocate", &[Value::Text(&name)]);
    })
}

/// Makes the measured user and the others, who never log in. Gives the id of the first.
fn users_make(server: &Server, sizes: &Sizes) -> Result<usize> {
    let (name, password) = SESSION.split_once(':').unwrap_or_default();
    let group = plerion_client::Param::List(vec![id(group_of(0, sizes)).into()]);
    let user = [name.into(), password.into(), "core".into(), group];
    let first = number(&mut server.client()?, "one.user.allocate", &user)?;
    fill(server, sizes.users - 1, &mut |at, endpoint, out| {
        let name = format!("user-{at}");
        let groups = [id(group_of(at + 1, sizes))];
        // No password is hashed of those who log in by a key.
        let values = [
            Value::Text(&name),
            Value::Text("none"),
            Value::Text("public"),
            Value::Ints(&groups),
        ];
        request_write(out, endpoint, "one.user.allocate", &values);
    })?;
    usize::try_from(first).map_err(|error| error.to_string())
}

/// Each group may use the VMs of the next ones.
fn rules_make(server: &Server, sizes: &Sizes) -> Result<Times> {
    let named = |group: usize| RULE_GROUP | (FIRST_GROUP + group % sizes.groups) as u64;
    fill(server, sizes.groups * SEEN_GROUPS, &mut |at, endpoint, out| {
        let (group, next) = (at % sizes.groups, at / sizes.groups);
        let user = format!("{:x}", named(group));
        let resources = format!("{:x}", RULE_VM | named(group + next));
        let rights = format!("{RULE_USE:x}");
        let values = [Value::Text(&user), Value::Text(&resources), Value::Text(&rights)];
        request_write(out, endpoint, "one.acl.addrule", &values);
    })
}

/// Every user and every group has a limit of VMs.
fn limits_make(server: &Server, sizes: &Sizes, first_user: usize) -> Result<()> {
    let kinds = [
        ("one.user.quota", first_user, sizes.users),
        ("one.group.quota", FIRST_GROUP, sizes.groups),
    ];
    for (method, first, count) in kinds {
        fill(server, count, &mut |at, endpoint, out| {
            let values = [Value::Int(id(first + at)), Value::Text(templates::VM_LIMITS)];
            request_write(out, endpoint, method, &values);
        })?;
    }
    Ok(())
}

fn vms_give(server: &Server, sizes: &Sizes, first_user: usize) -> Result<Times> {
    fill(server, sizes.vms, &mut |at, endpoint, out| {
        let user = at % sizes.users;
        let owners = [id(at), id(first_user + user), id(group_of(user, sizes))];
        request_write(out, endpoint, "one.vm.chown", &owners.map(Value::Int));
    })
}

fn reads(
    options: &Options,
    server: &Server,
    user: &Endpoint,
    sizes: &Sizes,
    report: &mut Report,
) -> Result<()> {
    let cloud = format!(
        "{} users, {} rules",
        figure(sizes.users as f64),
        figure((sizes.groups * SEEN_GROUPS) as f64)
    );
    let seen: Vec<i32> = (0..sizes.vms)
        .filter(|at| at % sizes.users % sizes.groups < SEEN_GROUPS)
        .map(id)
        .collect();
    let (here, note) = read::vm_info(options, server, user, &seen, FILLERS)?;
    report.add(Row {
        what: format!("one.vm.info by a user, {cloud}, {FILLERS} connections"),
        unit: "/s",
        aim: Aim::AtLeast(20_000.0),
        reference: "",
        here,
        note,
    });
    let pool = |start: i32, end: i32| {
        [
            Value::Int(-2),
            Value::Int(start),
            Value::Int(end),
            Value::Int(-1),
            Value::Text(""),
        ]
    };
    let what = format!(
        "one.vmpool.info by a user, who sees {} of {} VMs",
        seen.len(),
        sizes.vms
    );
    let whole = request(user, "one.vmpool.info", &pool(-1, -1));
    read::pool(options, server, report, &what, &whole, 8.0, "")?;
    let what = format!(
        "a page of {} of {} VMs, {cloud}",
        figure(sizes.page as f64),
        figure(sizes.vms as f64)
    );
    let page = pool(id(sizes.vms / 2), -id(sizes.page));
    let page = request(server.endpoint(), "one.vmpool.info", &page);
    read::pool(options, server, report, &what, &page, 3.0, "").map(drop)
}

fn instantiate(
    options: &Options,
    server: &Server,
    user: &Endpoint,
    owner: usize,
    report: &mut Report,
) -> Result<()> {
    let template = write::template_make(server, "of a user", "")?;
    let number_of = |id: i64| i32::try_from(id).map_err(|error| error.to_string());
    let owners = [number_of(template)?.into(), id(owner).into(), (-1).into()];
    number(&mut server.client()?, "one.template.chown", &owners)?;
    let (times, cost) = write::instantiate_as(server, user, template, load(options, FILLERS, usize::MAX))?;
    report.add(Row {
        what: "one.template.instantiate by that user, limits in force, 16 callers".into(),
        unit: "/s",
        aim: Aim::AtLeast(3000.0),
        reference: "",
        here: times.rate(),
        note: write::note(&times, &cost),
    });
    Ok(())
}
