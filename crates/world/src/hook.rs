//! Commands on hooks.

use std::sync::Arc;

use plerion_model::hook::{ExecutionResult, ExecutionState, Hook, HookType};
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind, Operation, Owned, Permissions};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::hook_fire::{Firing, LCM_NONE};
use crate::host_failure::fence_ended;
use crate::name::name_check_new;
use crate::txn::Txn;

/// What can be asked of hooks beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum HookCommand {
    /// `one.hook.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
    },
    /// `one.hook.retry`: an execution is run again, as a new one.
    Retry {
        /// Hook.
        id: Id,
        /// Number of the execution.
        number: i32,
    },
    /// An execution is begun, and so never begun again.
    Begun {
        /// Execution.
        id: Id,
    },
    /// An execution is over.
    Ended {
        /// Execution.
        id: Id,
        /// How it ended.
        result: ExecutionResult,
    },
}

/// Carries a command out. Answers the id of the hook; nothing of use for what only executions are about.
pub(crate) fn hook_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &HookCommand,
) -> Result<Id, ApiError> {
    match command {
        HookCommand::Allocate { template } => allocate(txn, caller, template),
        HookCommand::Retry { id, number } => retry(txn, caller, *id, *number),
        HookCommand::Begun { id } => execution_set(txn, *id, ExecutionState::Waiting, |execution| {
            execution.state = ExecutionState::Running;
        }),
        HookCommand::Ended { id, result } => {
            let answer = execution_set(txn, *id, ExecutionState::Running, |execution| {
                execution.state = ExecutionState::Over;
                execution.result.clone_from(result);
            })?;
            if let Some(execution) = txn.world.hook_executions.get(*id).cloned() {
                fence_ended(txn, &execution, result);
            }
            Ok(answer)
        }
    }
}

/// Named states of VMs (`ON`), as `STATE` and `LCM_STATE`.
const NAMED: &[(&str, &str, &str)] = &[
    ("CREATE", "PENDING", LCM_NONE),
    ("PROLOG", "ACTIVE", "PROLOG"),
    ("RUNNING", "ACTIVE", "RUNNING"),
    ("UNKNOWN", "ACTIVE", "UNKNOWN"),
    ("SHUTDOWN", "ACTIVE", "EPILOG"),
    ("STOP", "STOPPED", LCM_NONE),
    ("DONE", "DONE", LCM_NONE),
];
/// What state hooks can be about.
const RESOURCES: &[&str] = &["VM", "HOST", "IMAGE", "NET"];
/// `ON` where the state is named by `STATE` and `LCM_STATE`.
const CUSTOM: &str = "CUSTOM";

fn allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Hook))],
    )?;
    let given = template.get("TYPE").unwrap_or_default();
    // Recorded words, also where no type is given.
    let kind =
        HookType::parse(given).ok_or_else(|| ApiError::internal(format!("Invalid Hook type: {given}")))?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    template.remove("TYPE");
    if name.is_empty() {
        return Err(ApiError::internal("No NAME in template for Hook."));
    }
    check(kind, &mut template)?;
    name_check_new(&txn.world, Kind::Hook, caller.uid, &name)?;
    let id = txn.id_next(Kind::Hook);
    txn.create(Hook {
        id,
        name,
        // Recorded: whoever makes it, it is the administrators'.
        owned: Owned::new(0, 0, Permissions::OWNER),
        kind,
        next: 0,
        template: PackedTemplate::new(&template),
    });
    Ok(id)
}

/// What a template must say; completes what it leaves out. (Which calls there are is looked at where they are known.)
fn check(kind: HookType, template: &mut Template) -> Result<(), ApiError> {
    if template.get("COMMAND").unwrap_or_default().trim().is_empty() {
        return Err(ApiError::internal("No COMMAND in template for Hook."));
    }
    if template.get("REMOTE").is_none() {
        template.set("REMOTE", "NO");
    }
    match kind {
        HookType::Api if template.get("CALL").unwrap_or_default().is_empty() => {
            Err(ApiError::internal("No CALL in template for Hook."))
        }
        HookType::Api => Ok(()),
        HookType::State => state_check(template),
    }
}

fn state_check(template: &mut Template) -> Result<(), ApiError> {
    let resource = template.get("RESOURCE").unwrap_or_default().to_ascii_uppercase();
    if !RESOURCES.contains(&resource.as_str()) {
        return Err(ApiError::internal(format!(
            "Invalid resource type: {resource}. State hooks are about {}.",
            RESOURCES.join(", ")
        )));
    }
    template.set("RESOURCE", resource.as_str());
    let on = template.get("ON").unwrap_or_default().to_ascii_uppercase();
    if resource == "VM" && !on.is_empty() && on != CUSTOM {
        let named = NAMED.iter().find(|(name, ..)| *name == on);
        let (_, state, lcm) =
            named.ok_or_else(|| ApiError::internal(format!("Unkown state condition: {on}")))?;
        template.set("STATE", *state);
        template.set("LCM_STATE", *lcm);
    }
    if resource == "VM"
        && on == CUSTOM
        && (template.get("STATE").is_none() || template.get("LCM_STATE").is_none())
    {
        return Err(ApiError::internal(
            "ON=CUSTOM needs STATE and LCM_STATE, such as STATE=ACTIVE, LCM_STATE=UNKNOWN.",
        ));
    }
    // Recorded: the state that a name stands for takes its place.
    template.remove("ON");
    for name in ["STATE", "LCM_STATE"] {
        if let Some(text) = template.get(name).map(str::to_ascii_uppercase) {
            template.set(name, text.as_str());
        }
    }
    let state = template.get("STATE").unwrap_or_default().to_owned();
    if resource == "HOST" && state == "FENCE" {
        fence_check(template)?;
    }
    if resource == "VM" && !state.is_empty() && VmState::ALL.iter().all(|known| known.as_str() != state) {
        return Err(ApiError::internal(format!("Invalid STATE: {state}.")));
    }
    Ok(())
}

/// Seconds that a program for fencing has where `TIMEOUT` is silent.
const FENCE_TIMEOUT_S: &str = "120";

/// A hook that fences hosts is run on the front-end, and ends in a time that one can wait for.
fn fence_check(template: &mut Template) -> Result<(), ApiError> {
    let remote = template.get("REMOTE").unwrap_or_default().trim();
    if remote.eq_ignore_ascii_case("yes") || remote.eq_ignore_ascii_case("true") {
        return Err(ApiError::internal(
            "A hook with STATE=FENCE cannot have REMOTE=YES: the host that it is to fence does not answer.",
        ));
    }
    template.set_if_missing("TIMEOUT", FENCE_TIMEOUT_S);
    Ok(())
}

/// A template has been changed: it must do for a hook still. What a hook cannot be without stays where it is left out.
pub(crate) fn hook_updated(hook: &mut Hook, old: &Template, mut new: Template) -> Result<(), ApiError> {
    let states = ["ON", "STATE", "LCM_STATE"];
    let same_state = states.iter().all(|name| new.get(name).is_none());
    let kept = ["COMMAND", "CALL", "RESOURCE"]
        .into_iter()
        .chain(states.into_iter().filter(|_| same_state));
    for name in kept {
        if let Some(value) = old.get(name) {
            new.set_if_missing(name, value);
        }
    }
    check(hook.kind, &mut new)?;
    hook.template = PackedTemplate::new(&new);
    Ok(())
}

/// Deletes a hook with its executions. What runs goes on to its end, of which nothing is noted.
pub(crate) fn hook_delete(txn: &mut Txn<'_>, id: Id) {
    let executions = txn.world.hook_executions.values();
    let own: Vec<Id> = executions
        .filter(|execution| execution.hook == id)
        .map(|execution| execution.id)
        .collect();
    for execution in own {
        txn.delete(Kind::HookExecution, execution);
    }
    txn.delete(Kind::Hook, id);
}

fn retry(txn: &mut Txn<'_>, caller: &Caller, id: Id, number: i32) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Manage, Target::of(&txn.world, Kind::Hook, id)?)],
    )?;
    let executions = txn.world.hook_executions.values();
    let found = executions
        .filter(|execution| execution.hook == id)
        .find(|execution| i64::from(execution.number) == i64::from(number))
        // Recorded words.
        .ok_or_else(|| ApiError::internal("Invalid HookLog body. Arguments not found."))?;
    let firing = Firing {
        hook: id,
        about: found.about.clone(),
        arguments: found.arguments.clone(),
        host: found.host.clone(),
        retry: true,
    };
    txn.executions_add(vec![firing]);
    Ok(id)
}

fn execution_set(
    txn: &mut Txn<'_>,
    id: Id,
    from: ExecutionState,
    set: impl FnOnce(&mut plerion_model::hook::HookExecution),
) -> Result<Id, ApiError> {
    let found = txn.world.hook_executions.get(id);
    // Its hook may have been deleted meanwhile.
    let Some(mut execution) = found.filter(|execution| execution.state == from).cloned() else {
        return Err(ApiError::action(format!("Execution {id} is not waited for")));
    };
    set(Arc::make_mut(&mut execution));
    txn.put(execution);
    Ok(id)
}
