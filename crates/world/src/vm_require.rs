//! The right to do something with a VM.

use std::sync::Arc;

use plerion_model::vm::Vm;
use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, allows_unlocked, require};
use crate::txn::Txn;

/// Refuses without the right, and says of a lock that it is one. (Recorded: `VM is locked.`)
pub(crate) fn vm_require(txn: &Txn<'_>, caller: &Caller, id: Id, right: Operation) -> Result<(), ApiError> {
    vm_unlocked(txn, caller, id, right)?;
    require(
        &txn.world,
        caller,
        &[(right, Target::of(&txn.world, Kind::Vm, id)?)],
    )
}

/// Refuses where nothing but a lock is in the way.
pub(crate) fn vm_unlocked(txn: &Txn<'_>, caller: &Caller, id: Id, right: Operation) -> Result<(), ApiError> {
    let target = Target::of(&txn.world, Kind::Vm, id)?;
    let lock = txn.world.vm(id)?.owned.lock.as_ref();
    if lock.is_some_and(|lock| lock.level.blocks(right))
        && allows_unlocked(&txn.world, caller, right, &target)
    {
        return Err(ApiError::new(
            plerion_model::ErrorCode::Authorization,
            format!("User [{}] : VM is locked. [{id}].", caller.uid),
        ));
    }
    Ok(())
}

/// The VM, for one who may change its devices.
pub(crate) fn device_vm(txn: &Txn<'_>, caller: &Caller, id: Id) -> Result<Arc<Vm>, ApiError> {
    vm_require(txn, caller, id, Operation::Manage)?;
    Ok(txn.world.vm(id)?.clone())
}
