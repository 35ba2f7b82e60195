//! Which hooks a change calls for, and with which arguments.
//!
//! The executions are part of the change: none is lost, and none comes of a change that was not made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plerion_model::hook::{ExecutionResult, ExecutionState, Hook, HookExecution, HookType, encoded};
use plerion_model::host::Host;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Kind, Seconds};
use plerion_template::{Markup, PlainXml};

use crate::change::LogEntry;
use crate::object::Object;
use crate::view::{Measurements, Snapshot};
use crate::world::World;

/// `LCM_STATE` of a VM that is not ACTIVE.
pub(crate) const LCM_NONE: &str = "LCM_INIT";
/// Executions that are kept of a hook where `HOOK_LOG_CONF` does not say.
const KEPT: u32 = 20;
/// What is shown in the place of a secret.
const MASK: &str = "****";
/// Calls with secrets among their parameters: positions, the session being 1.
const SECRETS: &[(&str, &[usize])] = &[
    ("one.user.allocate", &[3]),
    ("one.user.passwd", &[3]),
    ("one.user.chauth", &[4]),
    ("one.user.login", &[3]),
];

/// A call that a hook names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// Method.
    pub method: String,
    /// Parameters after the session, as texts.
    pub parameters: Vec<String>,
}

/// A hook that is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    pub(crate) hook: Id,
    pub(crate) about: String,
    pub(crate) arguments: String,
    pub(crate) host: Option<String>,
    pub(crate) retry: bool,
}

/// Whether a hook names a call.
#[must_use]
pub fn call_is_hooked(world: &World, method: &str) -> bool {
    world
        .hooks
        .values()
        .any(|hook| hook.kind == HookType::Api && hook.template.get("CALL") == Some(method))
}

/// The hooks of a call that was answered, or refused.
pub(crate) fn call_fired(
    world: &World,
    call: &ApiCall,
    outcome: Result<Option<Id>, &ApiError>,
) -> Vec<Firing> {
    let hooks = world.hooks.values();
    let hooks = hooks
        .filter(|hook| hook.kind == HookType::Api && hook.template.get("CALL") == Some(call.method.as_str()));
    let info = call_info(call, outcome);
    hooks
        .map(|hook| Firing {
            hook: hook.id,
            about: String::new(),
            arguments: arguments(hook, &info, ""),
            host: None,
            retry: false,
        })
        .collect()
}

fn call_info(call: &ApiCall, outcome: Result<Option<Id>, &ApiError>) -> String {
    let secrets = SECRETS
        .iter()
        .find(|(method, _)| *method == call.method)
        .map_or(&[][..], |(_, positions)| positions);
    let mut out = PlainXml::new();
    out.open("CALL_INFO");
    out.number("RESULT", i64::from(outcome.is_ok()));
    out.open("PARAMETERS");
    parameter(&mut out, 1, "IN", MASK);
    for (text, position) in call.parameters.iter().zip(2_usize..) {
        let text = if secrets.contains(&position) { MASK } else { text };
        parameter(&mut out, position, "IN", text);
    }
    let outs = match outcome {
        Ok(id) => vec!["true".to_owned(), id.unwrap_or(0).to_string(), "0".to_owned()],
        Err(error) => vec![
            "false".to_owned(),
            format!("[{}] {}", call.method, error.text),
            (error.code as i32).to_string(),
            "-1".to_owned(),
        ],
    };
    for (text, position) in outs.iter().zip(1_usize..) {
        parameter(&mut out, position, "OUT", text);
    }
    out.close("PARAMETERS");
    out.element("EXTRA", "");
    out.close("CALL_INFO");
    out.into_string()
}

fn parameter(out: &mut PlainXml, position: usize, kind: &'static str, value: &str) {
    out.open("PARAMETER");
    out.number("POSITION", i64::try_from(position).unwrap_or(0));
    out.element("TYPE", kind);
    out.element("VALUE", value);
    out.close("PARAMETER");
}

/// The hooks of the states that objects came into since `before`. VMs pass several at once, which the log names in their
/// order.
pub(crate) fn states_fired<'a>(
    (before, world): (&World, &World),
    puts: &[Object],
    log: impl Iterator<Item = &'a LogEntry>,
) -> Vec<Firing> {
    let mut fired = Vec::new();
    let of_vms =
        log.filter(|entry| entry.kind == Kind::Vm && matches!(entry.operation.as_str(), "state" | "create"));
    for entry in of_vms {
        let newest = puts.iter().rev().find_map(|object| match object {
            Object::Vm(vm) if vm.id == entry.id => Some(vm),
            _ => None,
        });
        let entered = newest.and_then(|vm| vm_entered(vm, &entry.new_state));
        fired.extend(entered.iter().flat_map(|entered| state_fired(world, entered)));
    }
    let mut seen = BTreeSet::new();
    for object in puts.iter().rev() {
        if seen.insert((object.kind(), object.id()))
            && let Some(entered) = entered(before, object)
        {
            fired.extend(state_fired(world, &entered));
        }
    }
    fired
}

/// What an object came into, as hooks name it.
struct Entered {
    resource: &'static str,
    state: &'static str,
    lcm: &'static str,
    host: Option<String>,
    object: Object,
}

fn vm_entered(vm: &Arc<Vm>, name: &str) -> Option<Entered> {
    let phase = if name.is_empty() {
        vm.phase
    } else {
        phase_of(name)?
    };
    let mut vm = vm.clone();
    Arc::make_mut(&mut vm).phase = phase;
    Some(Entered {
        resource: "VM",
        state: phase.state.as_str(),
        lcm: if phase.state == VmState::Active {
            phase.lcm.as_str()
        } else {
            LCM_NONE
        },
        host: vm.last_history().map(|record| record.hostname.clone()),
        object: Object::Vm(vm),
    })
}

/// A host, image or network that has another state than before, or is new.
fn entered(before: &World, object: &Object) -> Option<Entered> {
    let (resource, state, was, host) = match object {
        Object::Host(host) => {
            let was = before.hosts.get(host.id).map(|host| host.state.as_str());
            ("HOST", host.state.as_str(), was, Some(host.name.clone()))
        }
        Object::Image(image) => {
            let was = before.images.get(image.id).map(|image| image.state.as_str());
            ("IMAGE", image.state.as_str(), was, None)
        }
        Object::Vnet(vnet) => {
            let was = before.vnets.get(vnet.id).map(|vnet| vnet.state.as_str());
            ("NET", vnet.state.as_str(), was, None)
        }
        _ => return None,
    };
    (was != Some(state)).then(|| Entered {
        resource,
        state,
        lcm: "",
        host,
        object: object.clone(),
    })
}

/// The phase of a name in the log: the state of a VM, or the inner state of one that is ACTIVE.
fn phase_of(name: &str) -> Option<Phase> {
    match VmState::from_name(name) {
        Some(state) => Some(Phase::rest(state)),
        None => LcmState::from_name(name).map(Phase::active),
    }
}

fn state_fired(world: &World, entered: &Entered) -> Vec<Firing> {
    let hooks = world.hooks.values().filter(|hook| {
        let says = |name: &str, is: &str| {
            let wanted = hook.template.get(name).unwrap_or_default();
            wanted.is_empty() || wanted == is
        };
        hook.kind == HookType::State
            && hook.template.get("RESOURCE") == Some(entered.resource)
            && says("STATE", entered.state)
            && (entered.lcm.is_empty() || says("LCM_STATE", entered.lcm))
    });
    let mut text = None;
    hooks
        .map(|hook| Firing {
            hook: hook.id,
            about: format!("{} {}", entered.resource, entered.object.id()),
            arguments: arguments(
                hook,
                "",
                text.get_or_insert_with(|| object_text(world, &entered.object)),
            ),
            host: entered.host.clone().filter(|_| hook.says("REMOTE")),
            retry: false,
        })
        .collect()
}

/// The execution of a hook that is to fence a host: after its own arguments it is given the host's id and name.
pub(crate) fn fence_firing(world: &World, hook: &Hook, host: &Arc<Host>) -> Firing {
    let given = arguments(hook, "", &object_text(world, &Object::Host(host.clone())));
    let words = [given, host.id.to_string(), host.name.clone()];
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Firing {
        hook: hook.id,
        about: format!("HOST {}", host.id),
        arguments: words.join(" "),
        host: None,
        retry: false,
    }
}

fn object_text(world: &World, object: &Object) -> String {
    let measurements = Measurements::default();
    let view = Snapshot {
        world,
        measurements: &measurements,
    };
    let mut out = PlainXml::new();
    match object {
        Object::Vm(vm) => vm.render(&mut out, &view),
        Object::Host(host) => host.render(&mut out, &view),
        Object::Image(image) => image.render(&mut out, &view),
        Object::Vnet(vnet) => vnet.render_full(&mut out, &view, &|_| true),
        _ => {}
    }
    out.into_string()
}

/// The arguments of a hook, with what stands for the call and for the object as base64 of its XML.
fn arguments(hook: &Hook, call: &str, object: &str) -> String {
    let given = hook.template.get("ARGUMENTS").unwrap_or_default();
    let words = given.split_whitespace().map(|word| match word {
        "$API" => encoded(call),
        "$TEMPLATE" => encoded(object),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What is to be put, or deleted.
pub(crate) enum ExecutionPut {
    Put(Object),
    Delete(Id),
}

/// The executions of firings, and what of older ones is not kept any more.
pub(crate) fn executions_new(world: &World, firings: Vec<Firing>, now: Seconds) -> Vec<ExecutionPut> {
    let last = world.last_ids.get(&Kind::HookExecution).copied().unwrap_or(-1);
    let kept = kept(world);
    let mut hooks: BTreeMap<Id, Hook> = BTreeMap::new();
    let mut out = Vec::new();
    for (firing, offset) in firings.into_iter().zip(1..) {
        let Some(known) = world.hooks.get(firing.hook) else {
            continue;
        };
        let hook = hooks.entry(firing.hook).or_insert_with(|| Hook::clone(known));
        let number = hook.next;
        hook.next = number.saturating_add(1);
        out.push(ExecutionPut::Put(
            HookExecution {
                id: last.saturating_add(offset),
                hook: hook.id,
                number,
                about: firing.about,
                time: now,
                arguments: firing.arguments,
                host: firing.host,
                retry: firing.retry,
                state: ExecutionState::Waiting,
                result: ExecutionResult::default(),
            }
            .into(),
        ));
    }
    for hook in hooks.into_values() {
        let old = world.hook_executions.values().filter(|execution| {
            execution.hook == hook.id
                && execution.state == ExecutionState::Over
                && execution.number.saturating_add(kept) < hook.next
        });
        out.extend(old.map(|execution| ExecutionPut::Delete(execution.id)));
        out.push(ExecutionPut::Put(hook.into()));
    }
    out
}

fn kept(world: &World) -> u32 {
    let setting = world.config.attributes.pair("HOOK_LOG_CONF", "LOG_RETENTION");
    setting
        .and_then(|text| text.trim().parse().ok())
        .filter(|count| *count > 0)
        .unwrap_or(KEPT)
}
