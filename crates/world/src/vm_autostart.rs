//! Starting VMs again by themselves.

use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::autostart::{Due, RESTART_TRIES_MAX, Restart};
use plerion_model::host::HostState;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{Phase, VmState};
use plerion_model::{Id, Kind};

use crate::index::members;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_restart::{message_set, restart_anew};
use crate::vm_state::vm_event;

/// What is decided about VMs that are to start again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AutostartCommand {
    /// Start one. It is no action of a user: locks and rights do not matter.
    Start {
        /// VM.
        id: Id,
    },
    /// Say why one is not started yet. Written to the VM only when it differs.
    Wait {
        /// VM.
        id: Id,
        /// Why.
        message: String,
    },
}

/// What was decided is looked at again; what does not hold any more is left.
pub(crate) fn autostart_command(txn: &mut Txn<'_>, command: &AutostartCommand) {
    match command {
        AutostartCommand::Start { id } => start(txn, *id),
        AutostartCommand::Wait { id, message } => wait(txn, *id, message),
    }
}

fn waiting(txn: &Txn<'_>, id: Id) -> Option<(Arc<Vm>, Restart)> {
    let vm = txn.world.vms.get(id)?;
    let restart = vm.restart.filter(|restart| restart.due == Due::Now)?;
    (vm.phase == Phase::rest(VmState::Poweroff)).then(|| (vm.clone(), restart))
}

fn start(txn: &mut Txn<'_>, id: Id) {
    let now = txn.context.now;
    let Some((mut vm, restart)) = waiting(txn, id) else {
        return;
    };
    let host = vm.held_host().and_then(|host| txn.world.hosts.get(host));
    let ready = host.is_some_and(|host| host.state == HostState::Monitored)
        && txn.world.restarts_itself(&vm)
        && restart.next_try().is_some_and(|time| time <= now);
    if !ready {
        return;
    }
    let own = Arc::make_mut(&mut vm);
    own.restart = Some(Restart {
        tries: restart.tries.saturating_add(1),
        tried: now,
        ..restart
    });
    message_set(own, None);
    txn.put(vm);
    let message = format!(
        "started again by itself, try {} of {RESTART_TRIES_MAX}",
        restart.tries.saturating_add(1)
    );
    txn.log(Kind::Vm, id, "autostart", "", "", &message);
    // The phase was just looked at, so this cannot be refused.
    let started = vm_event(txn, id, Event::Resume, &Cause::system(&message));
    debug_assert!(started.is_ok());
}

fn wait(txn: &mut Txn<'_>, id: Id, message: &str) {
    let Some((mut vm, _)) = waiting(txn, id) else {
        return;
    };
    if message_set(Arc::make_mut(&mut vm), Some(message)) {
        txn.log(Kind::Vm, id, "autostart", "", "", message);
        txn.put(vm);
    }
}

/// A host has been restarted: nothing of what ran there runs any more.
pub(crate) fn vms_restarted(txn: &mut Txn<'_>, host: Id) {
    for id in members(&txn.world.index.host_vms, host) {
        let Some(vm) = txn.world.vms.get(id).filter(|vm| vm.held_host() == Some(host)) else {
            continue;
        };
        let rested = vm.phase == Phase::rest(VmState::Poweroff);
        let cause = Cause::system("its host has been restarted");
        // Refused where nothing ran, or where the host is asked again and says how it stands.
        let fell = vm_event(txn, id, Event::HostRestarted, &cause).is_ok();
        if fell || rested {
            restart_anew(txn, id, fell);
        }
    }
}
