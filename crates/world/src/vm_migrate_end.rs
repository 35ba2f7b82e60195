//! What a move leaves in the history of a VM.

use std::sync::Arc;

use plerion_model::Seconds;
use plerion_model::vm::Vm;
use plerion_model::vm_history::History;
use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::vm_system_store::system_take;
use crate::world::World;

/// The VM's domain has left its old host, or will not: the record of the stay there ends (recorded: in both cases).
pub(crate) fn history_left(vm: &mut Vm, old: Phase, now: Seconds) {
    if old.state != VmState::Active || !matches!(old.lcm, LcmState::Migrate | LcmState::SaveMigrate) {
        return;
    }
    if let Some(record) = Arc::make_mut(&mut vm.history).iter_mut().nth_back(1) {
        record_close(record, now);
    }
}

/// A record of where the VM was before: it is (or goes) back there. Recorded: the record of the host that it could not go
/// to stays, closed, so that three stand for a move that failed.
pub(crate) fn history_back(vm: &mut Vm, now: Seconds) {
    let Some(before) = vm.history.iter().nth_back(1).cloned() else {
        return;
    };
    let records = Arc::make_mut(&mut vm.history);
    let Some(last) = records.last_mut() else { return };
    if last.etime == 0 {
        last.etime = now;
    }
    // Taken over, so that it is known what it is to do once its files are back.
    let (action, uid, gid) = (last.action, last.uid, last.gid);
    let seq = last.seq.saturating_add(1);
    records.push(History {
        seq,
        action,
        uid,
        gid,
        ..before.next(now)
    });
}

/// The system datastore that a VM is back on is that of its volatile disks again.
pub(crate) fn store_return(world: &World, vm: &mut Vm) {
    let mut stays = vm.history.iter().rev().map(|record| record.datastore);
    let (Some(back), Some(failed)) = (stays.next(), stays.next()) else {
        return;
    };
    if let Some(system) = world.datastores.get(back).filter(|_| back != failed) {
        system_take(vm, system);
    }
}

/// A phase in which a VM is where its newest record says.
pub(crate) fn has_arrived(phase: Phase) -> bool {
    match phase.state {
        VmState::Active => matches!(
            phase.lcm,
            LcmState::Running | LcmState::Boot | LcmState::BootMigrate
        ),
        VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Stopped
        | VmState::Suspended
        | VmState::Done
        | VmState::Poweroff
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => true,
    }
}

pub(crate) fn record_close(record: &mut History, now: Seconds) {
    if record.rstime > 0 && record.retime == 0 {
        record.retime = now;
    }
    if record.etime == 0 {
        record.etime = now;
    }
}
