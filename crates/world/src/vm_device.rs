//! Changes of a VM's devices, as far as they are alike: they begin, hosts are asked, they are completed or undone.

use std::sync::Arc;

use plerion_lifecycle::{Ask, DeviceWork, Event, Outcome, Recover, Refusal, transient, vm_step};
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm::vm_require;
use crate::vm_cause::Cause;
use crate::vm_disk_change::{disk_change_end, disk_resize_end};
use crate::vm_disk_save::disk_save_end;
use crate::vm_disk_snapshot::{disk_snapshot_end, snapshots_give, snapshots_take};
use crate::vm_history::history_renew;
use crate::vm_nic_change::nic_change_end;
use crate::vm_snapshot::{snapshot_end, snapshots_drop};
use crate::vm_state::vm_go;

/// The driver of hosts that are none: whatever is asked of them is done.
const DUMMY: &str = "dummy";
/// Transfer drivers that are no scripts.
pub const TRANSFER_BUILT_IN: &[&str] = &["dummy", "ssh", "shared", "qcow2"];

/// Why a change was not made that no host has refused.
const GIVEN_UP: &str = "it was given up before its end";

/// A change that is possible in the VM's phase.
pub(crate) struct Begun {
    vm: Arc<Vm>,
    work: DeviceWork,
    outcome: Outcome,
}

/// Whether a VM is one of a virtual router, whose devices are changed through it.
pub(crate) fn is_router(vm: &Vm) -> bool {
    vm.template.get("VROUTER_ID").is_some_and(|id| !id.is_empty())
}

/// The VM, for one who may change its devices.
pub(crate) fn device_vm(txn: &Txn<'_>, caller: &Caller, id: Id) -> Result<Arc<Vm>, ApiError> {
    vm_require(txn, caller, id, Operation::Manage)?;
    Ok(txn.world.vm(id)?.clone())
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
    /// Refuses what only dummy hosts and the dummy transfer driver do so far, where hosts would be asked.
    pub(crate) fn only_dummy_storage(&self, what: &str) -> Result<(), ApiError> {
        if self.outcome.path.is_empty() {
            return Ok(());
        }
        only_dummy(&self.vm, what)?;
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

/// Refuses what only dummy hosts do so far.
fn only_dummy(vm: &Vm, what: &str) -> Result<(), ApiError> {
    let driver = vm.last_history().map_or(DUMMY, |record| record.vm_mad.as_str());
    if driver == DUMMY {
        return Ok(());
    }
    Err(ApiError::action(format!(
        "{what} is not supported yet on hosts of the driver {driver}{}",
        if vm.phase == Phase::active(LcmState::Running) {
            ": power the VM off first, where that helps"
        } else {
            ""
        }
    )))
}

/// Gives a VM a new template.
pub(crate) fn template_set(vm: &mut Vm, template: &Template) {
    vm.template = PackedTemplate::new(template);
    vm.demand = Arc::new(Demand::read(&vm.template));
}

/// The VM has entered a phase: the change that was under way has ended, unless it is asked for again or its remains are
/// being cleaned up. Until then what comes and what goes both count as held.
pub(crate) fn device_end(
    txn: &mut Txn<'_>,
    vm: &mut Vm,
    (old, new): (Phase, Phase),
    event: Event,
    reason: Option<&str>,
) {
    snapshots_drop(&txn.world.config, vm, old, new, event);
    if new.state == VmState::Done && old == Phase::active(LcmState::Epilog) {
        for disk in vm.template.vectors("DISK") {
            snapshots_give(txn, vm, &disk.to_vector());
        }
    }
    let rests = new.state != VmState::Active || new.lcm == LcmState::Running;
    let Some(change) = vm.device_change.filter(|_| rests) else {
        return;
    };
    vm.device_change = None;
    let asked =
        old.state == VmState::Active && transient(old.lcm).is_some_and(|row| matches!(row.ask, Ask::Device));
    let success = asked && matches!(event, Event::Done | Event::Recover(Recover::Success));
    let result = if success {
        Ok(())
    } else {
        Err(reason.filter(|reason| !reason.is_empty()).unwrap_or(GIVEN_UP))
    };
    change_end(txn, vm, change, result);
}

/// `result`: that it was done, or why not.
fn change_end(txn: &mut Txn<'_>, vm: &mut Vm, change: DeviceChange, result: Result<(), &str>) {
    let success = result.is_ok();
    match change {
        DeviceChange::NicAttach { .. } | DeviceChange::NicDetach { .. } | DeviceChange::NicUpdate { .. } => {
            nic_change_end(txn, vm, change, success);
        }
        DeviceChange::DiskAttach { .. } | DeviceChange::DiskDetach { .. } => {
            disk_change_end(txn, vm, change, success);
        }
        DeviceChange::DiskResize { disk, before_mib } => {
            disk_resize_end(txn, vm, disk, before_mib, success);
        }
        DeviceChange::DiskSaveAs { image, .. } => disk_save_end(txn, image, result),
        DeviceChange::DiskSnapshotCreate { .. }
        | DeviceChange::DiskSnapshotRevert { .. }
        | DeviceChange::DiskSnapshotDelete { .. } => disk_snapshot_end(vm, change, success),
        DeviceChange::SnapshotCreate { .. }
        | DeviceChange::SnapshotRevert { .. }
        | DeviceChange::SnapshotDelete { .. } => snapshot_end(vm, change, success),
    }
}

/// An error about what a device's template says, which the code for new VMs made: an error of an action here.
pub(crate) fn as_action(error: ApiError) -> ApiError {
    if error.code != plerion_model::ErrorCode::Allocate {
        return error;
    }
    let prefix = ApiError::allocate(plerion_model::Kind::Vm, "").text;
    let text = error.text.strip_prefix(&prefix).unwrap_or(&error.text);
    ApiError::action(text)
}
