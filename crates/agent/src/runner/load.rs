//! Which actions may run beside which.

use std::collections::HashMap;

use plerion_protocol::{Action, ActionKey, ObjectKind};

use super::{ACTIONS_MAX, COPIES_MAX, WAITS_MAX};

/// What bounds an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Moves data; stopped when a newer step of its object comes.
    Copy,
    /// Waits for a guest to end; runs beside whatever else its object needs.
    Wait,
    /// Anything else. Calls of virsh have a bound of their own where they are made.
    Other,
}

impl Class {
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::DiskCopy { .. }
            | Action::FileReplace { .. }
            | Action::Transfer { .. }
            | Action::ImageRegister { .. }
            | Action::ImageStat { .. } => Self::Copy,
            Action::DomainShutdown { .. } => Self::Wait,
            Action::DiskOverlay { .. }
            | Action::DiskLink { .. }
            | Action::DiskMake { .. }
            | Action::PathDelete { .. }
            | Action::ContextMake { .. }
            | Action::DatastoreStat { .. }
            | Action::DomainStart { .. }
            | Action::DomainRestore { .. }
            | Action::DomainDestroy { .. }
            | Action::DomainSave { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. } => Self::Other,
        }
    }
}

/// What runs now.
#[derive(Default)]
pub(super) struct Load {
    waits: usize,
    copies: usize,
    others: usize,
    /// Steps that run, by object; those that only wait for a guest left out.
    steps: HashMap<(ObjectKind, i32), Vec<u64>>,
}

impl Load {
    /// From the keys and classes of the actions that run.
    pub(super) fn of<'a>(running: impl Iterator<Item = (&'a ActionKey, Class)>) -> Self {
        let mut load = Self::default();
        for (key, class) in running {
            match class {
                Class::Wait => load.waits += 1,
                Class::Copy => load.copies += 1,
                Class::Other => load.others += 1,
            }
            if class != Class::Wait {
                load.steps.entry((key.kind, key.id)).or_default().push(key.step);
            }
        }
        load
    }

    /// Whether another action of the class fits.
    pub(super) fn has_room(&self, class: Class) -> bool {
        let total = self.copies + self.others;
        match class {
            Class::Wait => self.waits < WAITS_MAX,
            Class::Copy => self.copies < COPIES_MAX && total < ACTIONS_MAX,
            Class::Other => total < ACTIONS_MAX,
        }
    }

    /// Whether no other step of the object runs.
    pub(super) fn is_free(&self, key: &ActionKey, class: Class) -> bool {
        let steps = self.steps.get(&(key.kind, key.id));
        class == Class::Wait || steps.is_none_or(|steps| steps.iter().all(|step| *step == key.step))
    }
}
