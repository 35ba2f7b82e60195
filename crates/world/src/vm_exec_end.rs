//! What becomes of a command in a guest: it has been started, has ended, or is lost with the guest.
//!
//! A command goes on while the guest does, whatever else is done to the VM; so does the waiting for its end, which stays in
//! the outbox through all phases in which the guest is on its host, and is begun anew where it is on another one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plerion_lifecycle::Ask;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Kind, Seconds};
use plerion_template::Vector;

use crate::change::{Intent, IntentKey, IntentResult, Site, Task};
use crate::txn::Txn;
use crate::vm_template::template_set;

/// The vector with the command and what came of it.
pub(crate) const GUEST_COMMAND: &str = "QEMU_GA_EXEC";
pub(crate) const EXECUTING: &str = "EXECUTING";
const DONE: &str = "DONE";
const ERROR: &str = "ERROR";
const CANCELLED: &str = "CANCELLED";
const AWAIT: Task = Task::Vm(Ask::GuestAwait);

fn status(vm: &Vm) -> Option<&str> {
    vm.template.pair(GUEST_COMMAND, "STATUS")
}

fn note(vm: &mut Vm, change: impl FnOnce(&mut Vector)) {
    let mut template = vm.template.unpack();
    let Some(command) = template.vectors_mut(GUEST_COMMAND).next() else {
        return;
    };
    change(command);
    template_set(vm, &template);
}

fn fail(vm: &mut Vm, reason: &str) {
    note(vm, |command| {
        command.set("STATUS", ERROR);
        command.set("STDERR", STANDARD.encode(reason));
    });
}

/// The guest has begun to run the command.
pub(crate) fn guest_started(vm: &mut Vm, pid: i64) {
    if vm.device_change == Some(DeviceChange::GuestExec) {
        note(vm, |command| command.set("PID", pid.to_string()));
    }
}

/// A command has been started or ended in the guest, or could not be.
pub(crate) fn guest_change_end(vm: &mut Vm, change: DeviceChange, result: Result<(), &str>) {
    match (change, result) {
        (DeviceChange::GuestExec | DeviceChange::GuestCancel, Err(reason)) => fail(vm, reason),
        (DeviceChange::GuestCancel, Ok(())) => note(vm, |command| command.set("STATUS", CANCELLED)),
        _ => {}
    }
}

/// Whether the guest that was there before is still there, on its host.
fn guest_lives(phase: Phase) -> bool {
    phase.state == VmState::Active && !boots(phase)
}

fn boots(phase: Phase) -> bool {
    let boots = [
        LcmState::Boot,
        LcmState::BootPoweroff,
        LcmState::BootUndeploy,
        LcmState::BootUnknown,
    ];
    phase.state == VmState::Active && boots.contains(&phase.lcm)
}

/// The VM enters a phase: with a guest that is gone, what ran in it is.
pub(crate) fn guest_command_pass(vm: &mut Vm, new: Phase) {
    let gone = matches!(
        new.state,
        VmState::Poweroff | VmState::Undeployed | VmState::Pending | VmState::Done
    );
    if (gone || boots(new)) && status(vm) == Some(EXECUTING) {
        fail(
            vm,
            "the guest was switched off or restarted before the command had ended",
        );
    }
}

/// The waiting for the end of a VM's command.
fn awaits(txn: &Txn<'_>, id: Id) -> Vec<Arc<Intent>> {
    let key = |step, part| IntentKey {
        kind: Kind::Vm,
        id,
        step,
        part,
    };
    let range = txn.world.outbox.range(key(0, 0)..=key(u64::MAX, u32::MAX));
    range
        .map(|(_, intent)| intent.clone())
        .filter(|intent| intent.task == AWAIT)
        .collect()
}

/// Nobody waits for the end of an earlier command any more.
pub(crate) fn await_drop(txn: &mut Txn<'_>, id: Id) {
    for intent in awaits(txn, id) {
        txn.intent_over(intent.key);
    }
}

/// What was asked of hosts for a VM is of no interest in the phase that it goes to; but for the command in its guest.
pub(crate) fn intents_leave(txn: &mut Txn<'_>, id: Id, to: Phase) {
    let kept = if guest_lives(to) {
        awaits(txn, id)
    } else {
        Vec::new()
    };
    for key in txn.intents_of(Kind::Vm, id) {
        if !kept.iter().any(|intent| intent.key == key) {
            txn.intent_over(key);
        }
    }
}

/// A VM that runs has its host wait for the end of the command in its guest.
pub(crate) fn guest_await(txn: &mut Txn<'_>, vm: &mut Vm, now: Seconds) {
    let wanted = vm.phase == Phase::active(LcmState::Running)
        && status(vm) == Some(EXECUTING)
        && vm.template.pair(GUEST_COMMAND, "PID").is_some();
    let Some(host) = vm.last_history().map(|record| record.host).filter(|_| wanted) else {
        return;
    };
    let site = Site::Host(host);
    let there = awaits(txn, vm.id);
    if there.iter().any(|intent| intent.site == site) {
        return;
    }
    for intent in there {
        txn.intent_over(intent.key);
    }
    vm.step = vm.step.saturating_add(1);
    let key = IntentKey {
        kind: Kind::Vm,
        id: vm.id,
        step: vm.step,
        part: 0,
    };
    txn.intent(Intent {
        key,
        site,
        task: AWAIT,
        time: now,
    });
}

/// The command has ended, or its end cannot be known. The output of one that was ended before its time is kept as well.
pub(crate) fn guest_command_ended(txn: &mut Txn<'_>, id: Id, result: &IntentResult) {
    let Some(mut vm) = txn.world.vms.get(id).cloned() else {
        return;
    };
    let own = Arc::make_mut(&mut vm);
    let executes = status(own) == Some(EXECUTING);
    match result {
        Ok(output) => {
            let end = output.guest_end.clone().unwrap_or_default();
            note(own, |command| {
                if executes {
                    command.set("STATUS", DONE);
                }
                command.set("RETURN_CODE", end.status.to_string());
                command.set("STDOUT", end.stdout);
                command.set("STDERR", end.stderr);
            });
        }
        // A guest that is leaving its host may come to another: it is looked for where the VM runs next.
        Err(reason) if executes && own.phase == Phase::active(LcmState::Running) => fail(own, reason),
        Err(_) => return,
    }
    txn.put(vm);
}
