//! Methods for clouds of several zones or front-ends, as a front-end alone answers them; and what is refused everywhere.

use plerion_engine::Engine;
use plerion_model::{ApiError, ErrorCode, Kind, Operation, zone};
use plerion_world::{Caller, Target, require_right};

use crate::decode;
use crate::method::{Handler, Method, Right, Solo, command, method};
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Raft of a front-end alone (recorded).
const RAFT: &str = "<RAFT><SERVER_ID>-1</SERVER_ID><STATE>0</STATE><TERM>0</TERM><VOTEDFOR>-1</VOTEDFOR>\
                    <COMMIT>0</COMMIT><LOG_INDEX>-1</LOG_INDEX><LOG_TERM>-1</LOG_TERM><FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>";

#[rustfmt::skip]
pub(crate) fn methods() -> Vec<Method> {
    use Operation::{Admin, Create};
    let row = |name: &str, parameters, right, summary: &str, solo: Solo| method(name.into(), parameters, right, summary.into(), Handler::Solo(solo));
    let zone = |right| Right::On(right, Kind::Zone);
    let cluster = Right::On(Admin, Kind::Cluster);
    vec![
        command("one.zone.enable", "id:int, enable:bool", zone(Admin), "lets a zone change or not", decode::zone_enable),
        row("one.zone.raftstatus", "", zone(Admin), "state of the front-ends among themselves", raft_status),
        row("one.zone.allocate", "template:string", zone(Create), "makes a zone; refused without a federation", zone_allocate),
        row("one.zone.delete", "id:int", zone(Admin), "deletes a zone; refused without a federation", zone_delete),
        row("one.zone.addserver", "id:int, template:string", zone(Admin), "adds a front-end; refused by one alone", server_add_refuse),
        row("one.zone.delserver", "id:int, server:int", zone(Admin), "removes a front-end; refused by one alone", server_refuse),
        row("one.zone.resetserver", "id:int, server:int", zone(Admin), "resets a front-end; refused by one alone", server_refuse),
        row("one.zone.replicate", "leader:int, commit:int, term:int, index:int, last_term:int, previous:int, previous_term:int, federated:int, sql:string", Right::Oneadmin, "between front-ends; refused by one alone", replicate_refuse),
        row("one.zone.fedreplicate", "index:int, previous:int, sql:string", Right::Oneadmin, "between zones; refused by one alone", federation_refuse),
        row("one.zone.voterequest", "term:int, candidate:int, index:int, last_term:int", Right::Oneadmin, "between front-ends; refused by one alone", vote_refuse),
        row("one.zone.updatedb", "id:int, xml:string", Right::Oneadmin, "between zones; refused by one alone", zone_put_refuse),
        row("one.market.allocatedb", "ignored:int, xml:string", Right::Oneadmin, "between zones; refused by one alone", put_new_refuse),
        row("one.market.updatedb", "id:int, xml:string", Right::Oneadmin, "between zones; refused by one alone", market_put_refuse),
        row("one.marketapp.allocatedb", "ignored:int, xml:string", Right::Oneadmin, "between zones; refused by one alone", put_new_refuse),
        row("one.marketapp.updatedb", "id:int, xml:string", Right::Oneadmin, "between zones; refused by one alone", app_put_refuse),
        row("one.marketapp.dropdb", "id:int", Right::Oneadmin, "between zones; refused by one alone", app_drop_refuse),
        method("one.system.sqlquery".into(), "sql:string", Right::Oneadmin, "reads the database".into(), Handler::SqlQuery),
        row("one.system.sql", "sql:string, federated:bool", Right::Oneadmin, "writes to the database; always refused", sql_refuse),
        row("one.cluster.optimize", "id:int", cluster, "plans to spread VMs anew; refused without a driver for it", optimize_refuse),
        row("one.cluster.planexecute", "id:int", cluster, "carries a plan out; there is none without a driver for it", plan_refuse),
        row("one.cluster.plandelete", "id:int", cluster, "deletes a plan; there is none without a driver for it", plan_refuse),
    ]
}

fn allowed(engine: &Engine, caller: &Caller, right: Operation, kind: Kind, id: i32) -> Result<(), Reject> {
    let world = engine.snapshot().world;
    Ok(require_right(
        &world,
        caller,
        right,
        &Target::of(&world, kind, id)?,
    )?)
}

fn oneadmin(caller: &Caller) -> Result<(), Reject> {
    if caller.uid == 0 {
        return Ok(());
    }
    Err(ApiError::authorization(caller.uid, "Action reserved for oneadmin").into())
}

fn raft_status(engine: &Engine, caller: &Caller, _: &mut Params) -> Result<Payload, Reject> {
    allowed(engine, caller, Operation::Admin, Kind::Zone, zone::LOCAL)?;
    Ok(Payload::Text(RAFT.to_owned()))
}

fn zone_allocate(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    params.string()?;
    let world = engine.snapshot().world;
    require_right(&world, caller, Operation::Create, &Target::new_of(Kind::Zone))?;
    Err(ApiError::allocate(
        Kind::Zone,
        "This front-end is in no federation, and only the master of one can make zones.",
    )
    .into())
}

fn zone_delete(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    allowed(engine, caller, Operation::Admin, Kind::Zone, params.int()?)?;
    Err(ApiError::action("Cannot delete zone: it is the one of this front-end").into())
}

fn server_add_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    params.string()?;
    server_refused(engine, caller, id)
}

fn server_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    params.int()?;
    server_refused(engine, caller, id)
}

fn server_refused(engine: &Engine, caller: &Caller, id: i32) -> Result<Payload, Reject> {
    allowed(engine, caller, Operation::Admin, Kind::Zone, id)?;
    Err(ApiError::action("Cannot change the servers of the zone: its front-end is alone").into())
}

fn replicate_refuse(_: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    const NUMBERS: usize = 8;
    numbers(params, NUMBERS)?;
    params.string()?;
    internal_refuse(caller)
}

fn federation_refuse(_: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    const NUMBERS: usize = 2;
    numbers(params, NUMBERS)?;
    params.string()?;
    internal_refuse(caller)
}

fn vote_refuse(_: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    const NUMBERS: usize = 4;
    numbers(params, NUMBERS)?;
    internal_refuse(caller)
}

fn zone_put_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    put_refuse(engine, caller, params, Kind::Zone)
}

fn market_put_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    put_refuse(engine, caller, params, Kind::Marketplace)
}

fn app_put_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    put_refuse(engine, caller, params, Kind::MarketplaceApp)
}

/// A zone writes a body to another one's database.
fn put_refuse(engine: &Engine, caller: &Caller, params: &mut Params, kind: Kind) -> Result<Payload, Reject> {
    let id = params.int()?;
    params.string()?;
    Target::of(&engine.snapshot().world, kind, id)?;
    internal_refuse(caller)
}

/// The same, of a body that is new.
fn put_new_refuse(_: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    params.int()?;
    params.string()?;
    internal_refuse(caller)
}

fn app_drop_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    Target::of(&engine.snapshot().world, Kind::MarketplaceApp, id)?;
    internal_refuse(caller)
}

fn numbers(params: &mut Params, count: usize) -> Result<(), Reject> {
    for _ in 0..count {
        params.long()?;
    }
    Ok(())
}

fn internal_refuse(caller: &Caller) -> Result<Payload, Reject> {
    oneadmin(caller)?;
    Err(ApiError::new(
        ErrorCode::Internal,
        "The call is one between front-ends of a federation, and this front-end is in none",
    )
    .into())
}

fn sql_refuse(_: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    params.string()?;
    params.bool()?;
    oneadmin(caller)?;
    Err(ApiError::action(
        "The state is held in memory, so a change of the database behind it would be lost or break it. Change objects by \
         their own calls (one.vm.recover, one.*.update); to look at the database, use one.system.sqlquery",
    )
    .into())
}

fn optimize_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    allowed(engine, caller, Operation::Admin, Kind::Cluster, id)?;
    Err(ApiError::action(format!(
        "Cannot optimize cluster {id}: there is no driver that makes plans. To empty a host use onehost flush"
    ))
    .into())
}

fn plan_refuse(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let id = params.int()?;
    allowed(engine, caller, Operation::Admin, Kind::Cluster, id)?;
    Err(ApiError::action(format!("Cluster {id} has no plan")).into())
}
