//! Moving a VM to another host or system datastore.

use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase, VmState};

use crate::outcome::{Outcome, Refusal};

/// How a VM is moved. Of a VM that does not run only its files are moved, whatever is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relocation {
    /// While it runs.
    Live,
    /// Its memory is saved and restored.
    Save,
    /// It is switched off and started anew.
    Poweroff,
    /// The same, without asking the guest.
    PoweroffHard,
}

impl Relocation {
    /// Every way there is.
    pub const ALL: [Self; 4] = [Self::Live, Self::Save, Self::Poweroff, Self::PoweroffHard];

    /// The way of the parameters of `one.vm.migrate`: the type counts where it is not live.
    #[must_use]
    pub const fn of_call(live: bool, kind: i32) -> Option<Self> {
        match (kind, live) {
            (0..=2, true) => Some(Self::Live),
            (0, false) => Some(Self::Save),
            (1, false) => Some(Self::Poweroff),
            (2, false) => Some(Self::PoweroffHard),
            _ => None,
        }
    }

    /// What the history calls it.
    #[must_use]
    pub const fn action(self) -> HistoryAction {
        match self {
            Self::Live => HistoryAction::LiveMigrate,
            Self::Save => HistoryAction::Migrate,
            Self::Poweroff => HistoryAction::PoweroffMigrate,
            Self::PoweroffHard => HistoryAction::PoweroffHardMigrate,
        }
    }
}

pub(crate) fn relocate(phase: Phase, relocation: Relocation) -> Result<Outcome, Refusal> {
    let to = |lcm| Outcome::to(Phase::active(lcm));
    match phase.state {
        VmState::Active if phase.lcm == LcmState::Running => {
            let lcm = match relocation {
                Relocation::Live => LcmState::Migrate,
                Relocation::Save | Relocation::Poweroff | Relocation::PoweroffHard => LcmState::SaveMigrate,
            };
            Ok(to(lcm).because(relocation.action()))
        }
        // Nothing runs there, or nobody knows: it is started anew.
        VmState::Active if phase.lcm == LcmState::Unknown => {
            Ok(to(LcmState::PrologMigrateUnknown).because(HistoryAction::Migrate))
        }
        // Recorded: the record that is left keeps the action that had switched the VM off.
        VmState::Poweroff => Ok(to(LcmState::PrologMigratePoweroff)),
        VmState::Suspended => Ok(to(LcmState::PrologMigrateSuspend)),
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

/// Where a VM goes on when its files have arrived: one that was switched off for it boots, it has no checkpoint.
pub(crate) fn arrived(lcm: LcmState, last: HistoryAction, done: Phase) -> Phase {
    let off = matches!(
        last,
        HistoryAction::PoweroffMigrate | HistoryAction::PoweroffHardMigrate
    );
    if lcm == LcmState::PrologMigrate && off {
        Phase::active(LcmState::Boot)
    } else {
        done
    }
}

/// Whether a VM whose step fails in this phase is where it was before it was to be moved.
pub(crate) fn stays_at_home(lcm: LcmState) -> bool {
    matches!(lcm, LcmState::Migrate | LcmState::SaveMigrate)
}

/// The phase in which files are moved, of the phase in which that has failed.
pub(crate) fn moving_of(failure: LcmState) -> Option<LcmState> {
    match failure {
        LcmState::PrologMigrateFailure => Some(LcmState::PrologMigrate),
        LcmState::PrologMigratePoweroffFailure => Some(LcmState::PrologMigratePoweroff),
        LcmState::PrologMigrateSuspendFailure => Some(LcmState::PrologMigrateSuspend),
        LcmState::PrologMigrateUnknownFailure => Some(LcmState::PrologMigrateUnknown),
        _ => None,
    }
}
