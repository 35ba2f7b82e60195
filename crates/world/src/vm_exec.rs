//! Commands inside of guests.

use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{ApiError, Id};

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestCommand {
    /// `one.vm.exec`.
    Run,
    /// `one.vm.retryexec`.
    Retry,
    /// `one.vm.cancelexec`.
    Cancel,
}

/// Rights and state are checked; then it is refused: no driver here has a way to the agent of a guest yet.
pub(crate) fn vm_exec(
    txn: &Txn<'_>,
    caller: &Caller,
    id: Id,
    command: &GuestCommand,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Exec))?;
    let vm = txn.world.vm(id)?;
    if vm.phase != Phase::active(LcmState::Running) {
        return Err(ApiError::action(
            "Could not execute command, VM must be in running",
        ));
    }
    let driver = vm.last_history().map_or("", |record| record.vm_mad.as_str());
    Err(ApiError::action(match command {
        GuestCommand::Run => format!(
            "Could not execute command: running commands in guests is not supported yet by the hypervisor driver {driver}. \
             Use SSH, or START_SCRIPT of the context"
        ),
        GuestCommand::Retry | GuestCommand::Cancel => {
            "There is no command of this VM: running commands in guests is not supported yet".into()
        }
    }))
}
