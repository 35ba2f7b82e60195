//! Commands inside of guests: they are started, started again, and ended before their time.

use std::sync::Arc;

use plerion_lifecycle::DeviceWork;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{ApiError, Id};
use plerion_template::Vector;

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vm_device::device_begin;
use crate::vm_exec_end::{EXECUTING, GUEST_COMMAND, await_drop};
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};

/// Longest command, in bytes. Both go to the guest in one message.
const COMMAND_BYTES_MAX: usize = 16 * 1024;
/// Longest standard input of one, in bytes.
const STDIN_BYTES_MAX: usize = 32 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestCommand {
    /// `one.vm.exec`.
    Run {
        /// What the guest's shell runs.
        command: String,
        /// Its standard input.
        stdin: String,
    },
    /// `one.vm.retryexec`: the last command once more.
    Retry,
    /// `one.vm.cancelexec`.
    Cancel,
}

/// Starts or ends a command, for one who may. Its result comes later, into `TEMPLATE/QEMU_GA_EXEC`.
pub(crate) fn vm_exec(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    command: &GuestCommand,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Exec))?;
    let vm = txn.world.vm(id)?.clone();
    if vm.phase != Phase::active(LcmState::Running) {
        return Err(ApiError::action(
            "Could not execute command, VM must be in running",
        ));
    }
    match command {
        GuestCommand::Run { command, stdin } => {
            run(txn, caller, vm, (command, stdin), HistoryAction::Exec)?;
        }
        GuestCommand::Retry => {
            let noted = |key: &str| {
                vm.template
                    .pair(GUEST_COMMAND, key)
                    .unwrap_or_default()
                    .to_owned()
            };
            let (last, stdin) = (noted("COMMAND"), noted("STDIN"));
            if last.is_empty() {
                return Err(ApiError::action(format!(
                    "There is no command of VM {id} to run again: start one with `onevm exec`"
                )));
            }
            run(txn, caller, vm, (&last, &stdin), HistoryAction::ExecRetry)?;
        }
        GuestCommand::Cancel => cancel(txn, caller, vm)?,
    }
    Ok(id)
}

fn executes(vm: &Vm) -> bool {
    vm.template.pair(GUEST_COMMAND, "STATUS") == Some(EXECUTING)
}

fn run(
    txn: &mut Txn<'_>,
    caller: &Caller,
    vm: Arc<Vm>,
    (command, stdin): (&str, &str),
    action: HistoryAction,
) -> Result<(), ApiError> {
    check(&vm, command, stdin)?;
    let begun = device_begin(vm.clone(), DeviceWork::GuestCommand, "execute command")?;
    let mut template = vm.template.unpack();
    template.remove(GUEST_COMMAND);
    let vector: Vector = [("COMMAND", command), ("STATUS", EXECUTING), ("STDIN", stdin)]
        .into_iter()
        .map(|(key, value)| (key, value.to_owned()))
        .collect();
    template.add_vector(GUEST_COMMAND, vector);
    await_drop(txn, vm.id);
    begun.go(txn, caller, &template, DeviceChange::GuestExec, Some(action));
    Ok(())
}

fn check(vm: &Vm, command: &str, stdin: &str) -> Result<(), ApiError> {
    let id = vm.id;
    if executes(vm) {
        return Err(ApiError::action(format!(
            "Could not execute command: another one is executing in VM {id}. Wait for its end, or end it with \
             `onevm exec-cancel {id}`"
        )));
    }
    if command.trim().is_empty() {
        return Err(ApiError::action("Could not execute command: it is empty"));
    }
    if command.contains('\0') || stdin.contains('\0') {
        return Err(ApiError::action(
            "Could not execute command: there is a zero byte in it; bytes can be sent in base64, and decoded by the command",
        ));
    }
    for (what, text, most) in [
        ("a command", command, COMMAND_BYTES_MAX),
        ("its standard input", stdin, STDIN_BYTES_MAX),
    ] {
        if text.len() > most {
            return Err(ApiError::action(format!(
                "Could not execute command: {what} has {most} bytes at most, this one {}. Copy a file into the guest \
                 and run that",
                text.len()
            )));
        }
    }
    let agent = vm.template.pair("FEATURES", "GUEST_AGENT");
    if agent.is_some_and(|agent| agent.eq_ignore_ascii_case("no")) {
        return Err(ApiError::action(format!(
            "Could not execute command: VM {id} has no channel for a guest agent. Set GUEST_AGENT of FEATURES to YES with \
             `onevm updateconf {id}`, power it off and resume it"
        )));
    }
    Ok(())
}

fn cancel(txn: &mut Txn<'_>, caller: &Caller, vm: Arc<Vm>) -> Result<(), ApiError> {
    if !executes(&vm) {
        return Err(ApiError::action(format!(
            "Could not cancel command: none is executing in VM {}",
            vm.id
        )));
    }
    let begun = device_begin(vm.clone(), DeviceWork::GuestCommand, "cancel command")?;
    let template = vm.template.unpack();
    let action = Some(HistoryAction::ExecCancel);
    begun.go(txn, caller, &template, DeviceChange::GuestCancel, action);
    Ok(())
}
