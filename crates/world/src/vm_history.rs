//! History records of a VM that stays on its host.

use std::sync::Arc;

use plerion_model::Seconds;
use plerion_model::vm::Vm;
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::vm_cause::Cause;

/// Ends the newest record with an action, and opens one on the same host. (Recorded for changes of a VM that runs or is
/// powered off: the new record of one that is off says how it was switched off.)
pub(crate) fn history_renew(vm: &mut Vm, action: HistoryAction, cause: &Cause, now: Seconds) {
    let runs = vm.phase.state == VmState::Active;
    let records = Arc::make_mut(&mut vm.history);
    let Some(last) = records.last_mut() else { return };
    let before = last.action;
    last.action = action;
    last.uid = cause.uid;
    last.gid = cause.gid;
    last.etime = now;
    if last.rstime > 0 && last.retime == 0 {
        last.retime = now;
    }
    let next = History {
        rstime: now,
        retime: if runs { 0 } else { now },
        action: if runs { HistoryAction::None } else { before },
        ..last.next(now)
    };
    records.push(next);
}

/// Says how the newest record ends.
pub(crate) fn history_note(vm: &mut Vm, action: HistoryAction, cause: &Cause) {
    if let Some(record) = Arc::make_mut(&mut vm.history).last_mut() {
        record.action = action;
        record.uid = cause.uid;
        record.gid = cause.gid;
    }
}

/// A VM that boots from rest on its host opens a new record. (Recorded: resume does, with the same host.)
pub(crate) fn history_open_again(vm: &mut Vm, old: Phase, new: Phase, now: Seconds) {
    let boots = matches!(old.state, VmState::Poweroff | VmState::Suspended)
        && new.state == VmState::Active
        && matches!(
            new.lcm,
            LcmState::BootPoweroff | LcmState::BootSuspended | LcmState::Running
        );
    if !boots {
        return;
    }
    let Some(last) = vm.last_history().cloned() else {
        return;
    };
    let records = Arc::make_mut(&mut vm.history);
    if let Some(record) = records.last_mut() {
        record.etime = now;
    }
    records.push(History {
        rstime: now,
        ..last.next(now)
    });
}
