//! `vm_step`: events on VMs.

use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::device::{DeviceWork, device};
use crate::outcome::{Outcome, Refusal};
use crate::relocate::{Relocation, arrived, moving_of, relocate, stays_at_home};
use crate::transient::{Ask, failure_of, transient};

/// What can happen to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Placed on a host.
    Deploy,
    /// Keep it from being placed.
    Hold,
    /// Let it be placed.
    Release,
    /// End it.
    Terminate {
        /// Without asking the guest.
        hard: bool,
    },
    /// End the guest and take the files off the host.
    Undeploy {
        /// Without asking the guest.
        hard: bool,
    },
    /// Switch it off; files stay on the host.
    Poweroff {
        /// Without asking the guest.
        hard: bool,
    },
    /// Save its memory and take the files off the host.
    Stop,
    /// Save its memory; files stay on the host.
    Suspend,
    /// Let it run again.
    Resume,
    /// Restart the guest.
    Reboot {
        /// By a reset.
        hard: bool,
    },
    /// Move it to the host of its newest history record.
    Relocate(Relocation),
    /// Change its CPU and memory.
    Resize,
    /// Show it another context while it runs.
    Reconfigure,
    /// Change one of its devices.
    Device(DeviceWork),
    /// Copy its disks to a backup datastore.
    Backup,
    /// Take its disks back to what a backup holds.
    RestoreDisks,
    /// Let the scheduler move it.
    Resched,
    /// Do not.
    Unresched,
    /// What the hosts were asked for is done.
    Done,
    /// It failed.
    Failed,
    /// Its domain was seen running.
    SeenRunning,
    /// Its domain was seen to be gone.
    SeenOff,
    /// Its host does not answer.
    HostLost,
    /// Its host has been restarted: no domain of before runs any more.
    HostRestarted,
    /// How the images stand that it waits for.
    Images(Awaited),
    /// An administrator settles it.
    Recover(Recover),
}

/// How images stand that are being made, and that a new VM waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// All are there.
    Ready {
        /// Whether the VM is to be kept from being placed.
        hold: bool,
    },
    /// Some are still being made.
    Coming,
    /// One could not be made.
    Failed,
}

impl Awaited {
    /// Every way to stand.
    pub const ALL: [Self; 4] = [
        Self::Ready { hold: false },
        Self::Ready { hold: true },
        Self::Coming,
        Self::Failed,
    ];
}

impl Event {
    /// Every event there is, with every flag: for checks that walk the whole table.
    pub fn all() -> Vec<Self> {
        let mut events = vec![
            Self::Deploy,
            Self::Hold,
            Self::Release,
            Self::Stop,
            Self::Suspend,
            Self::Resume,
            Self::Resize,
            Self::Reconfigure,
            Self::Backup,
            Self::RestoreDisks,
            Self::Resched,
            Self::Unresched,
            Self::Done,
            Self::Failed,
            Self::SeenRunning,
            Self::SeenOff,
            Self::HostLost,
            Self::HostRestarted,
        ];
        for hard in [false, true] {
            events.extend([
                Self::Terminate { hard },
                Self::Undeploy { hard },
                Self::Poweroff { hard },
                Self::Reboot { hard },
            ]);
        }
        events.extend(Relocation::ALL.map(Self::Relocate));
        events.extend(DeviceWork::ALL.map(Self::Device));
        events.extend(Awaited::ALL.map(Self::Images));
        events.extend((0..6).filter_map(Recover::from_number).map(Self::Recover));
        events
    }
}

/// Ways to settle a VM, with the numbers of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recover {
    /// As if the running action had failed.
    Failure = 0,
    /// As if it had succeeded.
    Success = 1,
    /// Ask again.
    Retry = 2,
    /// Delete the VM.
    Delete = 3,
    /// Delete it and let it start anew.
    DeleteRecreate = 4,
    /// Forget the VM; hosts are not touched.
    DeleteDb = 5,
}

impl Recover {
    /// The way of a number.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Failure),
            1 => Some(Self::Success),
            2 => Some(Self::Retry),
            3 => Some(Self::Delete),
            4 => Some(Self::DeleteRecreate),
            5 => Some(Self::DeleteDb),
            _ => None,
        }
    }
}

const fn active(lcm: LcmState) -> Phase {
    Phase::active(lcm)
}

const fn rest(state: VmState) -> Phase {
    Phase::rest(state)
}

/// The next phases of a VM. `last` is the action of its last history record (`None` without one).
///
/// # Errors
/// When the event is not possible in the phase.
pub fn vm_step(phase: Phase, last: HistoryAction, event: Event) -> Result<Outcome, Refusal> {
    match event {
        Event::Deploy => deploy(phase, last),
        Event::Hold => only(phase, VmState::Pending, VmState::Hold),
        Event::Release => only(phase, VmState::Hold, VmState::Pending),
        Event::Terminate { hard } => terminate(phase, last, hard),
        Event::Undeploy { hard } => undeploy(phase, hard),
        Event::Poweroff { hard } => poweroff(phase, hard),
        Event::Stop => stop(phase),
        Event::Suspend => running(phase, LcmState::SaveSuspend, HistoryAction::Suspend),
        Event::Resume => resume(phase),
        Event::Reboot { hard } => reboot(phase, hard),
        Event::Resched | Event::Unresched => resched(phase),
        Event::Resize => resize(phase),
        Event::Reconfigure => reconfigure(phase),
        Event::Backup => backup(phase),
        Event::RestoreDisks => restore_disks(phase),
        Event::Device(work) => device(phase, work),
        Event::Relocate(relocation) => relocate(phase, relocation),
        Event::Done => ended(phase, last, true),
        Event::Failed => ended(phase, last, false),
        Event::SeenRunning => seen_running(phase),
        Event::SeenOff => seen_off(phase),
        Event::HostLost => host_lost(phase),
        Event::HostRestarted => host_restarted(phase),
        Event::Images(awaited) => images(phase, awaited),
        Event::Recover(recover) => settle(phase, last, recover),
    }
}

/// A VM that waits for its images is placed when it has all of them.
fn images(phase: Phase, awaited: Awaited) -> Result<Outcome, Refusal> {
    if !matches!(phase.state, VmState::Cloning | VmState::CloningFailure) {
        return Err(Refusal::State(phase));
    }
    let next = rest(match awaited {
        Awaited::Ready { hold: false } => VmState::Pending,
        Awaited::Ready { hold: true } => VmState::Hold,
        Awaited::Coming => VmState::Cloning,
        Awaited::Failed => VmState::CloningFailure,
    });
    Ok(if next == phase {
        Outcome::stay()
    } else {
        Outcome::to(next)
    })
}

fn only(phase: Phase, from: VmState, to: VmState) -> Result<Outcome, Refusal> {
    if phase == rest(from) {
        Ok(Outcome::to(rest(to)))
    } else {
        Err(Refusal::State(phase))
    }
}

/// From RUNNING only.
fn running(phase: Phase, to: LcmState, action: HistoryAction) -> Result<Outcome, Refusal> {
    if phase == active(LcmState::Running) {
        Ok(Outcome::to(active(to)).because(action))
    } else {
        Err(Refusal::State(phase))
    }
}

/// The previous stay's end decides whether there are files on the front-end to bring.
fn deploy(phase: Phase, last: HistoryAction) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Pending | VmState::Hold | VmState::Stopped | VmState::Undeployed => {
            let prolog = match last {
                HistoryAction::Stop => LcmState::PrologResume,
                HistoryAction::Undeploy | HistoryAction::UndeployHard => LcmState::PrologUndeploy,
                _ => LcmState::Prolog,
            };
            Ok(Outcome::to(active(prolog)))
        }
        VmState::Init
        | VmState::Active
        | VmState::Suspended
        | VmState::Done
        | VmState::Poweroff
        | VmState::Cloning
        | VmState::CloningFailure => Err(Refusal::State(phase)),
    }
}

fn is_up(lcm: LcmState) -> bool {
    matches!(lcm, LcmState::Running | LcmState::Unknown)
}

/// Whether a VM that waits for a host has files on the front-end: it was stopped or undeployed, and resumed since.
/// (The reference ends such a VM at once and leaves its files.)
fn left_files(last: HistoryAction) -> bool {
    matches!(
        last,
        HistoryAction::Stop | HistoryAction::Undeploy | HistoryAction::UndeployHard
    )
}

fn terminate(phase: Phase, last: HistoryAction, hard: bool) -> Result<Outcome, Refusal> {
    let action = if hard {
        HistoryAction::TerminateHard
    } else {
        HistoryAction::Terminate
    };
    match phase.state {
        VmState::Active if is_up(phase.lcm) => Ok(Outcome::to(active(LcmState::Shutdown)).because(action)),
        // Asking again without mercy: the same phase, a new step.
        VmState::Active if hard && phase.lcm == LcmState::Shutdown => {
            Ok(Outcome::to(active(LcmState::Shutdown)).because(action))
        }
        VmState::Active if failure_of(phase.lcm).is_some() => {
            Ok(Outcome::to(active(LcmState::CleanupDelete)).because(action))
        }
        VmState::Active => Err(Refusal::State(phase)),
        // Recorded: terminate-hard from POWEROFF is noted as TERMINATE.
        VmState::Suspended | VmState::Poweroff | VmState::Stopped | VmState::Undeployed => {
            Ok(Outcome::to(active(LcmState::Epilog)).because(HistoryAction::Terminate))
        }
        VmState::Pending | VmState::Hold if left_files(last) => {
            Ok(Outcome::to(active(LcmState::Epilog)).because(HistoryAction::Terminate))
        }
        VmState::Init | VmState::Pending | VmState::Hold | VmState::Cloning | VmState::CloningFailure => {
            Ok(Outcome::to(rest(VmState::Done)))
        }
        VmState::Done => Ok(Outcome::stay()),
    }
}

fn undeploy(phase: Phase, hard: bool) -> Result<Outcome, Refusal> {
    let action = if hard {
        HistoryAction::UndeployHard
    } else {
        HistoryAction::Undeploy
    };
    match phase.state {
        VmState::Active if is_up(phase.lcm) || (hard && phase.lcm == LcmState::ShutdownUndeploy) => {
            Ok(Outcome::to(active(LcmState::ShutdownUndeploy)).because(action))
        }
        VmState::Poweroff => Ok(Outcome::to(active(LcmState::EpilogUndeploy)).because(action)),
        VmState::Active
        | VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Stopped
        | VmState::Suspended
        | VmState::Done
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => Err(Refusal::State(phase)),
    }
}

fn poweroff(phase: Phase, hard: bool) -> Result<Outcome, Refusal> {
    let action = if hard {
        HistoryAction::PoweroffHard
    } else {
        HistoryAction::Poweroff
    };
    let up = phase.state == VmState::Active
        && (is_up(phase.lcm) || (hard && phase.lcm == LcmState::ShutdownPoweroff));
    if up {
        Ok(Outcome::to(active(LcmState::ShutdownPoweroff)).because(action))
    } else {
        Err(Refusal::State(phase))
    }
}

fn stop(phase: Phase) -> Result<Outcome, Refusal> {
    if phase == rest(VmState::Suspended) {
        return Ok(Outcome::to(active(LcmState::EpilogStop)).because(HistoryAction::Stop));
    }
    running(phase, LcmState::SaveStop, HistoryAction::Stop)
}

fn resume(phase: Phase) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Stopped | VmState::Undeployed => Ok(Outcome::to(rest(VmState::Pending))),
        VmState::Suspended => Ok(Outcome::to(active(LcmState::BootSuspended))),
        VmState::Poweroff => Ok(Outcome::to(active(LcmState::BootPoweroff))),
        VmState::Active if phase.lcm == LcmState::Unknown => Ok(Outcome::to(active(LcmState::BootUnknown))),
        VmState::Active
        | VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Done
        | VmState::Cloning
        | VmState::CloningFailure => Err(Refusal::State(phase)),
    }
}

/// What is off takes its new size with its next start; what is saved has the old one in its memory.
fn resize(phase: Phase) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Poweroff
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => Ok(Outcome::stay()),
        VmState::Active if phase.lcm == LcmState::Running => Ok(Outcome::to(active(LcmState::HotplugResize))),
        VmState::Active | VmState::Stopped | VmState::Suspended | VmState::Done => Err(Refusal::State(phase)),
    }
}

fn reconfigure(phase: Phase) -> Result<Outcome, Refusal> {
    if phase == active(LcmState::Running) {
        Ok(Outcome::to(active(LcmState::Hotplug)))
    } else {
        Err(Refusal::State(phase))
    }
}

/// Running and switched off VMs alone (recorded).
fn backup(phase: Phase) -> Result<Outcome, Refusal> {
    if phase == active(LcmState::Running) {
        return Ok(Outcome::to(active(LcmState::Backup)));
    }
    if phase == rest(VmState::Poweroff) {
        return Ok(Outcome::to(active(LcmState::BackupPoweroff)));
    }
    Err(Refusal::State(phase))
}

fn restore_disks(phase: Phase) -> Result<Outcome, Refusal> {
    if phase == rest(VmState::Poweroff) {
        Ok(Outcome::to(active(LcmState::Restore)))
    } else {
        Err(Refusal::State(phase))
    }
}

fn reboot(phase: Phase, hard: bool) -> Result<Outcome, Refusal> {
    if phase != active(LcmState::Running) {
        return Err(Refusal::State(phase));
    }
    let ask = if hard { Ask::Reset } else { Ask::Reboot };
    Ok(Outcome {
        ask: Some(ask),
        ..Outcome::stay()
    })
}

fn resched(phase: Phase) -> Result<Outcome, Refusal> {
    let movable = phase == rest(VmState::Poweroff) || (phase.state == VmState::Active && is_up(phase.lcm));
    if movable {
        Ok(Outcome::stay())
    } else {
        Err(Refusal::State(phase))
    }
}

/// A result that comes when nothing was asked for is refused: it belongs to a step that is over.
fn ended(phase: Phase, last: HistoryAction, success: bool) -> Result<Outcome, Refusal> {
    match (phase.state, transient(phase.lcm)) {
        (VmState::Active, Some(row)) if success => Ok(Outcome::to(arrived(phase.lcm, last, row.done))),
        (VmState::Active, Some(row)) if stays_at_home(phase.lcm) => Ok(Outcome::to(row.failed).back()),
        (VmState::Active, Some(row)) => Ok(Outcome::to(row.failed)),
        _ => Err(Refusal::State(phase)),
    }
}

fn seen_running(phase: Phase) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Poweroff | VmState::Suspended => Ok(Outcome::to(active(LcmState::Running))),
        VmState::Active if phase.lcm == LcmState::Unknown => Ok(Outcome::to(active(LcmState::Running))),
        VmState::Active
        | VmState::Init
        | VmState::Pending
        | VmState::Hold
        | VmState::Stopped
        | VmState::Done
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => Err(Refusal::State(phase)),
    }
}

/// The guest switched itself off, or its QEMU died: no host needs to be asked.
fn seen_off(phase: Phase) -> Result<Outcome, Refusal> {
    if phase.state != VmState::Active || !is_up(phase.lcm) {
        return Err(Refusal::State(phase));
    }
    let path = vec![active(LcmState::ShutdownPoweroff), rest(VmState::Poweroff)];
    Ok(Outcome::through(path).because(HistoryAction::Monitor))
}

fn host_lost(phase: Phase) -> Result<Outcome, Refusal> {
    if phase == active(LcmState::Running) {
        Ok(Outcome::to(active(LcmState::Unknown)))
    } else {
        Err(Refusal::State(phase))
    }
}

/// What ran is off, and a change of a running VM has failed. Where a domain was to end, be saved or move, the host is asked
/// again and says how it stands.
fn host_restarted(phase: Phase) -> Result<Outcome, Refusal> {
    let changes = |row: crate::Transient| {
        matches!(row.ask, Ask::Device | Ask::Resize | Ask::Backup) && row.failed == active(LcmState::Running)
    };
    if phase.state == VmState::Active && transient(phase.lcm).is_some_and(changes) {
        let off = seen_off(active(LcmState::Running))?;
        let mut path = vec![active(LcmState::Running)];
        path.extend(off.path);
        return Ok(Outcome::through(path).because(HistoryAction::Monitor));
    }
    seen_off(phase)
}

fn settle(phase: Phase, last: HistoryAction, recover: Recover) -> Result<Outcome, Refusal> {
    match recover {
        Recover::Success | Recover::Failure => settle_result(phase, last, recover == Recover::Success),
        Recover::Retry => settle_retry(phase),
        Recover::Delete => settle_delete(phase, last),
        Recover::DeleteRecreate => settle_recreate(phase),
        Recover::DeleteDb => match phase.state {
            VmState::Done => Err(Refusal::State(phase)),
            _ => Ok(Outcome::to(rest(VmState::Done)).because(HistoryAction::Recover)),
        },
    }
}

fn settle_result(phase: Phase, last: HistoryAction, success: bool) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Active => {}
        // Its images are looked at again; no word can make them.
        VmState::CloningFailure => return Ok(Outcome::stay()),
        _ => return Err(Refusal::State(phase)),
    }
    if transient(phase.lcm).is_some() {
        return ended(phase, last, success);
    }
    if let Some(moving) = moving_of(phase.lcm).filter(|_| !success) {
        // Recorded: files that could not be moved are moved back.
        return Ok(Outcome::to(active(moving)).back());
    }
    // In a failure phase, success means that somebody did by hand what had failed; failure leaves it (recorded).
    match failure_of(phase.lcm).and_then(|lcm| Some((lcm, transient(lcm)?))) {
        Some((lcm, row)) if success => Ok(Outcome::to(arrived(lcm, last, row.done))),
        Some(_) | None => Ok(match phase.lcm {
            // Recorded: UNKNOWN becomes RUNNING, RUNNING stays, both without a word.
            LcmState::Unknown => Outcome::to(active(LcmState::Running)),
            _ => Outcome::stay(),
        }),
    }
}

fn settle_retry(phase: Phase) -> Result<Outcome, Refusal> {
    if phase.state != VmState::Active {
        return Err(Refusal::State(phase));
    }
    // Recorded: what was asked of a VM that stays where it is, is not asked for again, and nothing is said.
    let asks_again = |row: &crate::Transient| {
        !matches!(
            row.ask,
            Ask::Device | Ask::Resize | Ask::Backup | Ask::RestoreDisks
        )
    };
    let own = transient(phase.lcm).filter(asks_again).map(|_| phase.lcm);
    let again = failure_of(phase.lcm).or(own);
    Ok(again.map_or_else(Outcome::stay, |lcm| Outcome::to(active(lcm))))
}

fn settle_delete(phase: Phase, last: HistoryAction) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Done => Ok(Outcome::stay()),
        VmState::Pending | VmState::Hold if left_files(last) => {
            Ok(Outcome::to(active(LcmState::CleanupDelete)).because(HistoryAction::Delete))
        }
        VmState::Init | VmState::Pending | VmState::Hold | VmState::Cloning | VmState::CloningFailure => {
            Ok(Outcome::to(rest(VmState::Done)))
        }
        VmState::Active | VmState::Stopped | VmState::Suspended | VmState::Poweroff | VmState::Undeployed => {
            Ok(Outcome::to(active(LcmState::CleanupDelete)).because(HistoryAction::Delete))
        }
    }
}

fn settle_recreate(phase: Phase) -> Result<Outcome, Refusal> {
    match phase.state {
        VmState::Done => Err(Refusal::State(phase)),
        VmState::Active if phase.lcm == LcmState::CleanupDelete => Err(Refusal::State(phase)),
        VmState::Init | VmState::Pending | VmState::Cloning | VmState::CloningFailure => Ok(Outcome::stay()),
        VmState::Hold => Ok(Outcome::to(rest(VmState::Pending))),
        VmState::Active | VmState::Suspended | VmState::Poweroff | VmState::Stopped | VmState::Undeployed => {
            Ok(Outcome::to(active(LcmState::CleanupResubmit)).because(HistoryAction::DeleteRecreate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_takes_every_event_and_paths_end_where_something_happens() {
        for phase in Phase::all() {
            for event in Event::all() {
                let Ok(outcome) = vm_step(phase, HistoryAction::None, event) else {
                    continue;
                };
                let Some(end) = outcome.path.last() else { continue };
                let waits = end.state == VmState::Active && transient(end.lcm).is_some();
                assert_eq!(waits, outcome.ask.is_some(), "{phase:?} {event:?} -> {end:?}");
            }
        }
    }

    #[test]
    fn every_transient_phase_has_a_way_out_by_result_and_by_an_administrator() {
        for lcm in LcmState::ALL {
            let phase = active(*lcm);
            if transient(*lcm).is_some() {
                for event in [Event::Done, Event::Failed, Event::Recover(Recover::Delete)] {
                    assert!(
                        vm_step(phase, HistoryAction::None, event).is_ok(),
                        "{lcm} {event:?}"
                    );
                }
            }
            if let Some(base) = failure_of(*lcm) {
                let retry =
                    vm_step(phase, HistoryAction::None, Event::Recover(Recover::Retry)).expect("retry");
                assert_eq!(retry.path, [active(base)]);
            }
        }
    }

    #[test]
    fn a_vm_that_is_done_stays_done() {
        for event in Event::all() {
            if let Ok(outcome) = vm_step(rest(VmState::Done), HistoryAction::None, event) {
                assert_eq!(outcome, Outcome::stay(), "{event:?}");
            }
        }
    }

    /// Walks an action to its end with every request answered well.
    fn walk(from: Phase, last: HistoryAction, event: Event) -> String {
        let Ok(mut outcome) = vm_step(from, last, event) else {
            return "refused".into();
        };
        let mut names = Vec::new();
        loop {
            names.extend(outcome.path.iter().map(|phase| phase.as_str()));
            let Some(end) = outcome.path.last().copied().filter(|_| outcome.ask.is_some()) else {
                break;
            };
            outcome = vm_step(end, last, Event::Done).expect("a transient phase takes a result");
        }
        names.join(" > ")
    }

    #[test]
    fn actions_pass_the_recorded_phases() {
        use Event::{
            Backup, Deploy, Poweroff, Recover, Relocate, RestoreDisks, Resume, Stop, Suspend, Terminate,
            Undeploy,
        };
        let up = active(LcmState::Running);
        let none = HistoryAction::None;
        let table: &[(Phase, HistoryAction, Event, &str)] = &[
            (rest(VmState::Pending), none, Deploy, "PROLOG > BOOT > RUNNING"),
            (rest(VmState::Hold), none, Deploy, "PROLOG > BOOT > RUNNING"),
            (
                rest(VmState::Pending),
                HistoryAction::Stop,
                Deploy,
                "PROLOG_RESUME > BOOT_STOPPED > RUNNING",
            ),
            (
                rest(VmState::Undeployed),
                HistoryAction::UndeployHard,
                Deploy,
                "PROLOG_UNDEPLOY > BOOT_UNDEPLOY > RUNNING",
            ),
            (up, none, Poweroff { hard: false }, "SHUTDOWN_POWEROFF > POWEROFF"),
            (up, none, Backup, "BACKUP > RUNNING"),
            (
                rest(VmState::Poweroff),
                none,
                Backup,
                "BACKUP_POWEROFF > POWEROFF",
            ),
            (rest(VmState::Suspended), none, Backup, "refused"),
            (rest(VmState::Poweroff), none, RestoreDisks, "RESTORE > POWEROFF"),
            (up, none, RestoreDisks, "refused"),
            (up, none, Suspend, "SAVE_SUSPEND > SUSPENDED"),
            (up, none, Stop, "SAVE_STOP > EPILOG_STOP > STOPPED"),
            (
                up,
                none,
                Undeploy { hard: true },
                "SHUTDOWN_UNDEPLOY > EPILOG_UNDEPLOY > UNDEPLOYED",
            ),
            (up, none, Terminate { hard: false }, "SHUTDOWN > EPILOG > DONE"),
            (rest(VmState::Poweroff), none, Resume, "BOOT_POWEROFF > RUNNING"),
            (rest(VmState::Poweroff), none, Stop, "refused"),
            (rest(VmState::Suspended), none, Stop, "EPILOG_STOP > STOPPED"),
            (
                rest(VmState::Suspended),
                none,
                Undeploy { hard: false },
                "refused",
            ),
            (rest(VmState::Suspended), none, Resume, "BOOT_SUSPENDED > RUNNING"),
            (rest(VmState::Stopped), none, Resume, "PENDING"),
            (
                rest(VmState::Poweroff),
                none,
                Terminate { hard: true },
                "EPILOG > DONE",
            ),
            (rest(VmState::Hold), none, Terminate { hard: false }, "DONE"),
            (
                rest(VmState::Pending),
                HistoryAction::Stop,
                Terminate { hard: true },
                "EPILOG > DONE",
            ),
            (
                rest(VmState::Hold),
                HistoryAction::Undeploy,
                Recover(super::Recover::Delete),
                "CLEANUP_DELETE > DONE",
            ),
            (up, none, Resume, "refused"),
            (up, none, Relocate(Relocation::Live), "MIGRATE > RUNNING"),
            (
                up,
                HistoryAction::Migrate,
                Relocate(Relocation::Save),
                "SAVE_MIGRATE > PROLOG_MIGRATE > BOOT_MIGRATE > RUNNING",
            ),
            (
                up,
                HistoryAction::PoweroffMigrate,
                Relocate(Relocation::Poweroff),
                "SAVE_MIGRATE > PROLOG_MIGRATE > BOOT > RUNNING",
            ),
            (
                rest(VmState::Suspended),
                HistoryAction::Migrate,
                Relocate(Relocation::Live),
                "PROLOG_MIGRATE_SUSPEND > SUSPENDED",
            ),
            (
                rest(VmState::Poweroff),
                HistoryAction::Migrate,
                Relocate(Relocation::Save),
                "PROLOG_MIGRATE_POWEROFF > POWEROFF",
            ),
            (
                active(LcmState::Unknown),
                HistoryAction::Migrate,
                Relocate(Relocation::Save),
                "PROLOG_MIGRATE_UNKNOWN > BOOT > RUNNING",
            ),
        ];
        for (from, last, event, expect) in table {
            assert_eq!(walk(*from, *last, *event), *expect, "{from:?} {event:?}");
        }
    }
}
