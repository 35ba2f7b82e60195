//! Stays on hosts that end, with the VM as it was: what accounting bills.

use std::collections::BTreeMap;
use std::sync::Arc;

use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vm_state::VmState;

use crate::change::StayEnd;
use crate::object::Object;
use crate::world::World;

/// The stays that ended between a world and the VMs that were put since. What was changed with the end of a stay counts
/// for the next one: a resize closes the record of the old size.
pub(crate) fn stays_ended(before: &World, puts: &[Object]) -> Vec<StayEnd> {
    let mut last: BTreeMap<Id, &Arc<Vm>> = BTreeMap::new();
    for object in puts {
        if let Object::Vm(vm) = object {
            last.insert(vm.id, vm);
        }
    }
    last.into_values()
        .flat_map(|vm| stays_of(before.vms.get(vm.id), vm))
        .collect()
}

fn stays_of(before: Option<&Arc<Vm>>, vm: &Arc<Vm>) -> Vec<StayEnd> {
    if before.is_some_and(|old| Arc::ptr_eq(&old.history, &vm.history)) {
        return Vec::new();
    }
    let over = vm.phase.state == VmState::Done;
    let newest = vm.last_history().map(|record| record.seq);
    let mut stays = Vec::new();
    // The newest records are the ones that change: what had ended before had done so with all before it.
    for record in vm.history.iter().rev() {
        let earlier = before.and_then(|old| {
            let mut records = old.history.iter().rev();
            records
                .find(|other| other.seq == record.seq)
                .map(|other| (old, other))
        });
        if earlier.is_some_and(|(_, other)| other.etime > 0) {
            break;
        }
        if record.etime == 0 {
            continue;
        }
        let mut as_was = earlier.map_or_else(|| Vm::clone(vm), |(old, _)| Vm::clone(old));
        as_was.phase = vm.phase;
        as_was.prev_phase = vm.prev_phase;
        as_was.history = Arc::new(vec![record.clone()]);
        stays.push(StayEnd {
            vm: Arc::new(as_was),
            last: over && newest == Some(record.seq),
            sample: None,
        });
    }
    stays.reverse();
    stays
}
