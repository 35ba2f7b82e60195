//! History records of a VM that stays on its host.

use std::sync::Arc;

use plerion_model::Seconds;
use plerion_model::vm::Vm;
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::vm_state::VmState;

use crate::vm_state::Cause;

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
        seq: last.seq.saturating_add(1),
        stime: now,
        etime: 0,
        pstime: 0,
        petime: 0,
        rstime: now,
        retime: if runs { 0 } else { now },
        estime: 0,
        eetime: 0,
        action: if runs { HistoryAction::None } else { before },
        uid: -1,
        gid: -1,
        request_id: -1,
        ..last.clone()
    };
    records.push(next);
}
