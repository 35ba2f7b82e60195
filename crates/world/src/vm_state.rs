//! A VM goes on: phases, history records, intents.

use std::sync::Arc;

use plerion_lifecycle::{Ask, Awaited, Event, Outcome, Recover, Refusal, vm_step};
use plerion_model::vm::Vm;
use plerion_model::vm_history::{History, HistoryAction};
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Kind, Seconds};

use crate::change::{Intent, IntentKey, IntentResult, Site, Task};
use crate::host_failure::failure_pass;
use crate::sched_action::sched_forget;
use crate::txn::Txn;
use crate::vm_backup_end::{backup_end, backup_made};
use crate::vm_cause::Cause;
use crate::vm_device_end::device_end;
use crate::vm_exec_end::{guest_await, guest_command_pass, guest_started, intents_leave};
use crate::vm_history::{history_note, history_open_again};
use crate::vm_migrate_end::{has_arrived, history_back, history_left, store_return};
use crate::vm_numa::numa_return;
use crate::vm_pci::pci_return;
use crate::vm_resize_end::resize_end;
use crate::vm_restart::restart_pass;
use crate::vm_snapshot_end::snapshot_named;

/// Moves a VM by an event.
pub(crate) fn vm_event(txn: &mut Txn<'_>, id: Id, event: Event, cause: &Cause) -> Result<(), Refusal> {
    let Some(vm) = txn.world.vms.get(id).cloned() else {
        return Ok(());
    };
    let last = vm
        .last_history()
        .map_or(HistoryAction::None, |record| record.action);
    let outcome = vm_step(vm.phase, last, event)?;
    vm_go(txn, vm, &outcome, event, cause);
    Ok(())
}

/// Carries an outcome out.
pub(crate) fn vm_go(txn: &mut Txn<'_>, mut vm: Arc<Vm>, outcome: &Outcome, event: Event, cause: &Cause) {
    let now = txn.context.now;
    let own = Arc::make_mut(&mut vm);
    if outcome.path.is_empty() && outcome.ask.is_none() {
        match event {
            Event::Resched => own.resched = true,
            Event::Unresched => own.resched = false,
            _ => return,
        }
        txn.put(vm);
        return;
    }
    if let Some(action) = outcome.action {
        history_note(own, action, cause);
    }
    if !outcome.path.is_empty() {
        // What was asked for in the phase that is left is of no interest any more.
        own.parts.clear();
    }
    if let Some(to) = outcome.path.last() {
        intents_leave(txn, own.id, *to);
    }
    if !outcome.path.is_empty() {
        let left = own.phase;
        history_left(own, left, now);
    }
    if outcome.back {
        history_back(own, now);
        store_return(&txn.world, own);
        pci_return(&txn.world, own);
        numa_return(&txn.world, own);
    }
    for phase in &outcome.path {
        phase_enter(txn, own, *phase, event, now, &cause.message);
    }
    if let Some(ask) = outcome.ask {
        ask_hosts(txn, own, ask, now);
    }
    guest_await(txn, own, now);
    txn.put(vm);
}

fn phase_enter(txn: &mut Txn<'_>, vm: &mut Vm, phase: Phase, event: Event, now: Seconds, message: &str) {
    let old = vm.phase;
    txn.log(Kind::Vm, vm.id, "state", old.as_str(), phase.as_str(), message);
    history_open_again(vm, old, phase, now);
    times_note(vm, old, phase, now);
    files_note(vm, old, phase);
    // A failure phase is entered with its reason, so that it is seen where the VM is looked at.
    let failed = matches!(event, Event::Failed | Event::Images(Awaited::Failed)) && !message.is_empty();
    error_note(vm, phase, failed.then_some(message));
    if phase.state == VmState::Pending && old.lcm == LcmState::CleanupResubmit {
        vm.deploy_id.clear();
    }
    if phase.state == VmState::Done {
        sched_forget(txn, Kind::Vm, vm.id);
        vm.etime = now;
    }
    vm.resched = vm.resched && phase.state == VmState::Active;
    if old == Phase::active(LcmState::HotplugResize) {
        resize_end(
            vm,
            matches!(event, Event::Done | Event::Recover(Recover::Success)),
        );
    }
    device_end(txn, vm, (old, phase), event, failed.then_some(message));
    backup_end(txn, vm, (old, phase), event, message);
    guest_command_pass(vm, phase);
    if has_arrived(phase) {
        vm.moving_from = None;
        vm.numa_left = None;
    }
    restart_pass(vm, phase);
    failure_pass(vm, phase);
    vm.prev_phase = phase;
    vm.phase = phase;
}

fn is_prolog(phase: Phase) -> bool {
    phase.state == VmState::Active
        && matches!(
            phase.lcm,
            LcmState::Prolog
                | LcmState::PrologResume
                | LcmState::PrologUndeploy
                | LcmState::PrologMigrate
                | LcmState::PrologMigratePoweroff
                | LcmState::PrologMigrateSuspend
                | LcmState::PrologMigrateUnknown
        )
}

fn is_epilog(phase: Phase) -> bool {
    phase.state == VmState::Active
        && matches!(
            phase.lcm,
            LcmState::Epilog | LcmState::EpilogStop | LcmState::EpilogUndeploy
        )
}

/// Times of prolog, running and epilog in the last record.
fn times_note(vm: &mut Vm, old: Phase, new: Phase, now: Seconds) {
    let Some(record) = Arc::make_mut(&mut vm.history).last_mut() else {
        return;
    };
    if is_prolog(new) {
        record.pstime = now;
    }
    if is_prolog(old) && !is_prolog(new) {
        record.petime = now;
        if new.state == VmState::Active && !is_prolog_failure(new.lcm) {
            record.rstime = now;
        } else if new.state != VmState::Active {
            // Recorded for a VM whose files were moved while it was off.
            record.retime = now;
        }
    }
    running_note(record, new, now);
    let rests = new.state != VmState::Active;
    if record.rstime > 0 && record.retime == 0 && (is_epilog(new) || rests) {
        record.retime = now;
    }
    if is_epilog(new) {
        record.estime = now;
    }
    if is_epilog(old) && !is_epilog(new) {
        record.eetime = now;
    }
    let leaves_host = matches!(
        new.state,
        VmState::Done | VmState::Stopped | VmState::Undeployed | VmState::Pending
    );
    if leaves_host && record.etime == 0 {
        record.etime = now;
    }
}

fn is_prolog_failure(lcm: LcmState) -> bool {
    matches!(
        lcm,
        LcmState::PrologFailure
            | LcmState::PrologMigrateFailure
            | LcmState::PrologMigratePoweroffFailure
            | LcmState::PrologMigrateSuspendFailure
            | LcmState::PrologMigrateUnknownFailure
    )
}

/// A VM that runs has a start and no end, and what was asked of it is over, done or not (recorded).
fn running_note(record: &mut History, new: Phase, now: Seconds) {
    if new == Phase::active(LcmState::BootMigrateFailure) && record.retime == 0 {
        record.retime = now;
    }
    if new != Phase::active(LcmState::Running) {
        return;
    }
    if record.rstime == 0 {
        record.rstime = now;
    }
    record.retime = 0;
    record.action = HistoryAction::None;
    record.uid = -1;
    record.gid = -1;
    record.request_id = -1;
}

fn files_note(vm: &mut Vm, old: Phase, new: Phase) {
    if matches!(new.state, VmState::Stopped | VmState::Undeployed) {
        vm.files_at_front_end = true;
        vm.home_datastore = vm.last_history().map(|record| record.datastore);
    } else if is_prolog(old) && !is_prolog(new) && new.state == VmState::Active {
        let failed = matches!(
            new.lcm,
            LcmState::PrologResumeFailure | LcmState::PrologUndeployFailure
        );
        vm.files_at_front_end = vm.files_at_front_end && failed;
    } else if new.state == VmState::Pending && old.lcm == LcmState::CleanupResubmit {
        vm.files_at_front_end = false;
    }
}

/// Puts the reason of a failure into the user template, or takes an old one away once the VM runs.
fn error_note(vm: &mut Vm, new: Phase, reason: Option<&str>) {
    let runs = new == Phase::active(LcmState::Running);
    match reason {
        Some(reason) => vm.user_template.note("ERROR", Some(reason)),
        None if runs && vm.user_template.get("ERROR").is_some() => vm.user_template.note("ERROR", None),
        None => {}
    }
}

/// Opens a step: one intent, or one a disk in a prolog.
fn ask_hosts(txn: &mut Txn<'_>, vm: &mut Vm, ask: Ask, now: Seconds) {
    vm.step = vm.step.saturating_add(1);
    let leaves = matches!(ask, Ask::Migrate | Ask::Leave);
    let host = vm
        .moving_from
        .filter(|_| leaves)
        .map(|place| place.host)
        .or(vm.last_history().map(|record| record.host));
    let site = host.map_or(Site::FrontEnd, Site::Host);
    let parts: Vec<u32> = match ask {
        Ask::Prolog => vm
            .demand
            .disks
            .iter()
            .filter_map(|disk| u32::try_from(disk.disk).ok())
            .collect(),
        _ => vec![0],
    };
    // A VM without disks has a prolog, too: what is made sure of before files are put there.
    let parts = if parts.is_empty() { vec![0] } else { parts };
    for part in &parts {
        let key = IntentKey {
            kind: Kind::Vm,
            id: vm.id,
            step: vm.step,
            part: *part,
        };
        txn.intent(Intent {
            key,
            site,
            task: Task::Vm(ask),
            time: now,
        });
    }
    vm.parts = parts;
}

/// A part of a VM's step ended; the last one, or one that failed, ends the step.
pub(crate) fn vm_part_ended(txn: &mut Txn<'_>, key: IntentKey, result: &IntentResult) {
    let Some(mut vm) = txn
        .world
        .vms
        .get(key.id)
        .filter(|vm| vm.step == key.step)
        .cloned()
    else {
        return;
    };
    let own = Arc::make_mut(&mut vm);
    own.parts.retain(|part| *part != key.part);
    let runs = own.phase == Phase::active(LcmState::Running);
    let (event, message) = match result {
        Ok(output) => {
            if let Some(deploy_id) = &output.deploy_id {
                deploy_id.clone_into(&mut own.deploy_id);
            }
            backup_made(own, output);
            if let Some(name) = &output.snapshot {
                snapshot_named(own, name);
            }
            if let Some(pid) = output.guest_pid {
                guest_started(own, pid);
            }
            (Event::Done, String::new())
        }
        Err(reason) => (Event::Failed, reason.clone()),
    };
    let over = own.parts.is_empty() || result.is_err();
    if runs {
        // A restart of the guest: its result is only said (recorded).
        txn.log(
            Kind::Vm,
            key.id,
            if result.is_ok() { "info" } else { "error" },
            "",
            "",
            &message,
        );
        txn.put(vm);
        return;
    }
    txn.put(vm);
    if over {
        // Refused only where nothing was asked for, and then there is nothing to do.
        let _ = vm_event(txn, key.id, event, &Cause::system(&message));
    }
}
