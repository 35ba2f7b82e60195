//! Commands on VMs that exist.

use std::sync::Arc;

use plerion_lifecycle::{Event, Recover, Refusal};
use plerion_model::autostart::DomainEnd;
use plerion_model::host::HostState;
use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Operation};
use plerion_template::PackedTemplate;

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_cloning::cloning_settle;
use crate::vm_require::vm_require;
use crate::vm_restart::restart_fallen;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::vm_event;

/// `one.vm.action`.
pub(crate) fn vm_action(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
    event: Event,
) -> Result<Id, ApiError> {
    let class = VmClass::of_event(event);
    let right = class.map_or(Operation::Admin, |class| vm_right(&txn.world, caller, class));
    vm_require(txn, caller, id, right)?;
    vm_event(txn, id, event, &Cause::user(caller)).map_err(|Refusal::State(phase)| {
        ApiError::action(format!(
            "Error performing action \"{name}\": This action is not available for state {}",
            phase.as_str()
        ))
    })?;
    Ok(id)
}

/// `one.vm.recover`.
pub(crate) fn vm_recover(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    recover: Recover,
) -> Result<Id, ApiError> {
    let class = VmClass::of_recover(recover);
    vm_require(txn, caller, id, vm_right(&txn.world, caller, class))?;
    let mut cause = Cause::user(caller);
    // A host that does not answer cannot clean up, and whoever deletes the VM knows; it is not kept for that.
    let recover = match recover {
        Recover::Delete if host_is_gone(txn, id) => {
            cause.message =
                "its host does not answer: what is left of it there has to be removed by hand".into();
            Recover::DeleteDb
        }
        other => other,
    };
    vm_event(txn, id, Event::Recover(recover), &cause).map_err(|Refusal::State(phase)| {
        ApiError::action(format!(
            "Could not perform a recover operation on VM {id}, wrong state {}.",
            phase.as_str()
        ))
    })?;
    // What an administrator says of images is looked at.
    cloning_settle(txn, id);
    Ok(id)
}

/// Whether the VM's domain or files may be on a host that does not answer.
fn host_is_gone(txn: &Txn<'_>, id: Id) -> bool {
    let Some(vm) = txn.world.vms.get(id).filter(|vm| vm.holds().host) else {
        return false;
    };
    vm.places()
        .filter_map(|place| txn.world.hosts.get(place.host))
        .any(|host| matches!(host.state, HostState::Error | HostState::Offline))
}

/// The scheduler's reason, in the user template where clients look for it: a line, and for each host that was looked at
/// a vector.
pub(crate) fn vm_placement_refused(
    txn: &mut Txn<'_>,
    id: Id,
    message: &str,
    verdicts: &[(Id, String, String)],
) -> Result<(), ApiError> {
    let mut vm = txn.world.vm(id)?.clone();
    let own = Arc::make_mut(&mut vm);
    let mut template = own.user_template.unpack();
    template.set("SCHED_MESSAGE", message);
    template.remove("SCHED_VERDICT");
    for (host, code, reason) in verdicts {
        let host = host.to_string();
        let verdict = [("CODE", code.as_str()), ("HOST_ID", &host), ("REASON", reason)];
        template.add_vector("SCHED_VERDICT", verdict.into_iter().collect());
    }
    let template = PackedTemplate::new(&template);
    if !(own.phase.state == VmState::Pending || own.waits_to_leave()) || own.user_template == template {
        return Ok(());
    }
    own.user_template = template;
    txn.update(vm);
    Ok(())
}

/// A host saw the domain of a VM, or saw it go. Only the host that the VM is on is believed.
pub(crate) fn vm_domain_seen(txn: &mut Txn<'_>, host: Id, id: Id, end: Option<DomainEnd>) {
    let there = txn
        .world
        .vms
        .get(id)
        .is_some_and(|vm| vm.held_host() == Some(host));
    if !there {
        return;
    }
    let (event, message) = end.map_or((Event::SeenRunning, "its domain was seen running"), |end| {
        (Event::SeenOff, end.message())
    });
    // Refused where an action is under way, whose own result counts, or where the phase says the same.
    let moved = vm_event(txn, id, event, &Cause::system(message)).is_ok();
    if let Some(end) = end.filter(|_| moved) {
        restart_fallen(txn, id, end);
    }
}
