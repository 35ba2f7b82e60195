//! Calls on hooks and on the log of their executions.

use std::cell::Cell;
use std::sync::Arc;

use plerion_engine::Engine;
use plerion_model::hook::ExecutionState;
use plerion_model::{ApiError, ErrorCode, Kind, Operation};
use plerion_template::{EscapedXml, Markup};
use plerion_world::{ApiCall, Caller, Command, HookCommand, Secrets};

use crate::decode::{Decoded, template};
use crate::method::{Handler, Method, Right, command, method};
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload, Value};

tokio::task_local! {
    /// The call that is being answered, where a hook names it. Its first order takes it.
    pub(crate) static CALL: Cell<Option<Arc<ApiCall>>>;
}

/// The command of an order, which the hooks of the call come with.
pub(crate) fn called(command: Command) -> Command {
    match CALL.try_with(Cell::take) {
        Ok(Some(call)) => Command::Called {
            call,
            command: Box::new(command),
        },
        // Nobody is told of this call.
        Ok(None) | Err(_) => command,
    }
}

/// A call as its hooks are told of it: what is kept encrypted is so in its parameters, too.
pub(crate) fn call_of(secrets: &Secrets, name: &str, params: &[Value]) -> Arc<ApiCall> {
    let shown = |value: &Value| {
        let text = text(value);
        secrets.text_sealed(&text).unwrap_or(text)
    };
    Arc::new(ApiCall {
        method: name.to_owned(),
        parameters: params.iter().skip(1).map(shown).collect(),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        _ => String::new(),
    }
}

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    vec![
        method(
            "one.hook.allocate".into(),
            "template:string",
            Right::On(Operation::Create, Kind::Hook),
            "makes a hook".into(),
            Handler::HookAllocate,
        ),
        command(
            "one.hook.retry",
            "id:int, execution:int",
            Right::On(Operation::Manage, Kind::Hook),
            "runs an execution of a hook again",
            retry,
        ),
        method(
            "one.hooklog.info".into(),
            "min_time:int, max_time:int, hook:int, result:int (-1 failed, 0 all, 1 succeeded)",
            Right::AdminGroup,
            "lists executions of hooks".into(),
            Handler::Solo(log),
        ),
    ]
}

/// Reads `one.hook.allocate`. Hooks are about calls that change something, which `changes` tells of a name.
pub(crate) fn allocate(params: &mut Params, changes: impl Fn(&str) -> bool) -> Decoded {
    let template = template(&params.string()?)?;
    let is_api = template
        .get("TYPE")
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("api"));
    if is_api
        && let Some(call) = template.get("CALL").filter(|call| !call.is_empty())
        && !changes(call)
    {
        return Err(
            ApiError::internal(format!("API call does not exist or is not supported: {call}")).into(),
        );
    }
    Ok(Command::Hook(HookCommand::Allocate { template }))
}

fn retry(params: &mut Params) -> Decoded {
    Ok(Command::Hook(HookCommand::Retry {
        id: params.int()?,
        number: params.int()?,
    }))
}

/// Answers `one.hooklog.info`.
fn log(engine: &Engine, caller: &Caller, params: &mut Params) -> Result<Payload, Reject> {
    let (from, until) = (params.int()?, params.int()?);
    let (hook, result) = (params.int()?, params.int()?);
    if caller.gid != 0 {
        return Err(ApiError::new(
            ErrorCode::Authorization,
            format!("User [{}] not authorized to perform action on hook.", caller.uid),
        )
        .into());
    }
    let world = engine.snapshot().world;
    let wanted = world.hook_executions.values().filter(|execution| {
        execution.state == ExecutionState::Over
            && (from == -1 || execution.time >= i64::from(from))
            && (until == -1 || execution.time <= i64::from(until))
            && (hook == -1 || execution.hook == hook)
            && match result {
                -1 => execution.result.code != 0,
                1 => execution.result.code == 0,
                _ => true,
            }
    });
    let mut out = EscapedXml::with_capacity(4096);
    out.open("HOOKLOG");
    for execution in wanted {
        execution.render(&mut out);
    }
    out.close("HOOKLOG");
    Ok(Payload::Escaped(out.into_bytes().into()))
}
