//! `one.vm.backup`: copies of a VM's disks in a backup datastore.

use plerion_model::datastore::DatastoreType;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;
use crate::vm::vm_require;
use crate::vm_right::{VmClass, vm_right};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupOrder {
    /// Backup datastore.
    pub(crate) datastore: Id,
    /// Whether a new full backup begins a new chain of increments.
    pub(crate) reset: bool,
    /// The job that asks.
    pub(crate) job: Option<Id>,
}

/// Begins the backup of a VM, for one who may do so.
pub(crate) fn vm_backup_begin(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    order: &BackupOrder,
) -> Result<(), ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Backup))?;
    let target = Target::of(&txn.world, Kind::Datastore, order.datastore)?;
    require(&txn.world, caller, &[(Operation::Use, target)])?;
    let store = txn.world.datastore(order.datastore)?;
    if store.kind != DatastoreType::Backup {
        return Err(ApiError::action(format!(
            "Datastore {} is no backup datastore (TYPE=BACKUP_DS)",
            store.id
        )));
    }
    let vm = txn.world.vm(id)?;
    if !may_backup(vm.phase) {
        // Recorded.
        return Err(ApiError::action(format!(
            "Could not create a new backup for VM {id}, wrong state {}.",
            vm.phase.as_str()
        )));
    }
    Err(ApiError::action(unsupported(vm)))
}

/// Whether a VM can be backed up: while it runs, and while it is off.
fn may_backup(phase: Phase) -> bool {
    phase == Phase::active(LcmState::Running) || phase == Phase::rest(VmState::Poweroff)
}

fn unsupported(vm: &Vm) -> String {
    let driver = vm.last_history().map_or("", |record| record.tm_mad.as_str());
    format!("Backups are not supported yet by the transfer driver {driver}")
}
