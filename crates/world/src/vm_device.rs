//! Changes of a VM's devices, as far as they are alike: they begin, hosts are asked, they are completed or undone.

use std::sync::Arc;

use plerion_lifecycle::{DeviceWork, Event, Outcome, Refusal, vm_step};
use plerion_model::ApiError;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_template::Template;

use crate::auth::Caller;
use crate::pairs::TRANSFER_BUILT_IN;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_device_end::change_end;
use crate::vm_disk_snapshot_end::snapshots_take;
use crate::vm_history::history_renew;
use crate::vm_state::vm_go;
use crate::vm_template::template_set;

/// The transfer driver of hosts that are none: whatever is asked of it is done.
const DUMMY: &str = "dummy";
/// A change that is possible in the VM's phase.
pub(crate) struct Begun {
    vm: Arc<Vm>,
    work: DeviceWork,
    outcome: Outcome,
}

/// Begins a change. `what` is what could not be done, for the refusal: `add a new NIC to VM 3`.
pub(crate) fn device_begin(vm: Arc<Vm>, work: DeviceWork, what: &str) -> Result<Begun, ApiError> {
    let outcome =
        vm_step(vm.phase, HistoryAction::None, Event::Device(work)).map_err(|Refusal::State(phase)| {
            ApiError::action(format!("Could not {what}, wrong state {}.", phase.as_str()))
        })?;
    Ok(Begun { vm, work, outcome })
}

impl Begun {
    /// Refuses what of dummy hosts only those with the dummy transfer driver do, where they would be asked.
    pub(crate) fn only_dummy_storage(&self, what: &str) -> Result<(), ApiError> {
        if self.outcome.path.is_empty() {
            return Ok(());
        }
        let driver = self
            .vm
            .last_history()
            .map_or(DUMMY, |record| record.tm_mad.as_str());
        if driver == DUMMY {
            return Ok(());
        }
        Err(driver_refused(what, driver))
    }

    /// Refuses what scripts of transfer drivers are not asked for yet.
    pub(crate) fn only_built_in_storage(&self, what: &str) -> Result<(), ApiError> {
        let driver = self
            .vm
            .last_history()
            .map_or(DUMMY, |record| record.tm_mad.as_str());
        if self.outcome.path.is_empty() || TRANSFER_BUILT_IN.contains(&driver) {
            return Ok(());
        }
        Err(driver_refused(what, driver))
    }

    /// Goes on with the new template; the history record ends with `action` where that is noted.
    pub(crate) fn go(
        self,
        txn: &mut Txn<'_>,
        caller: &Caller,
        template: &Template,
        change: DeviceChange,
        action: Option<HistoryAction>,
    ) {
        let Self {
            mut vm,
            work,
            outcome,
        } = self;
        let own = Arc::make_mut(&mut vm);
        template_set(own, template);
        if matches!(change, DeviceChange::DiskAttach { .. }) {
            snapshots_take(txn, own);
        }
        if let Some(action) = action {
            history_renew(own, action, &Cause::user(caller), txn.context.now);
        }
        if outcome.path.is_empty() {
            change_end(txn, own, change, Ok(()));
            txn.update(vm);
            return;
        }
        own.device_change = Some(change);
        vm_go(txn, vm, &outcome, Event::Device(work), &Cause::user(caller));
    }
}

fn driver_refused(what: &str, driver: &str) -> ApiError {
    ApiError::action(format!(
        "{what} is not supported yet with the transfer driver {driver} of its system datastore"
    ))
}
