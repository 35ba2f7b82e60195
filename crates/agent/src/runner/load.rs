//! Which actions may run beside which.

use std::collections::HashMap;

use plerion_protocol::{Action, ActionKey, ObjectKind};

use super::{ACTIONS_MAX, COPIES_MAX, SCRIPTS_MAX, WAITS_MAX};

/// What bounds an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Moves data; stopped when a newer step of its object comes.
    Copy,
    /// Waits for a guest, or a command in it, to end; runs beside whatever else its object needs.
    Wait,
    /// A driver's script, one at a time for an object; stopped when a newer step of its object comes.
    Script,
    /// Anything else. Calls of virsh have a bound of their own where they are made.
    Other,
}

impl Class {
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::DiskCopy { .. }
            | Action::DiskFlatten { .. }
            | Action::LayersMerge { .. }
            | Action::DomainDisksCopy { .. }
            | Action::FileReplace { .. }
            | Action::Transfer { .. }
            | Action::ImageRegister { .. }
            | Action::ImageStat { .. }
            | Action::DomainMigrate { .. } => Self::Copy,
            Action::DomainShutdown { .. } | Action::GuestAwait { .. } => Self::Wait,
            Action::ScriptRun(_) => Self::Script,
            Action::DiskOverlay { .. }
            | Action::DiskSnapshot { .. }
            | Action::DomainDiskSnapshot { .. }
            | Action::DiskLink { .. }
            | Action::DiskMake { .. }
            | Action::PathDelete { .. }
            | Action::ContextMake { .. }
            | Action::DatastoreStat { .. }
            | Action::DomainStart { .. }
            | Action::DomainRestore { .. }
            | Action::DomainAbsent { .. }
            | Action::DomainDestroy { .. }
            | Action::DomainSave { .. }
            | Action::DomainResize { .. }
            | Action::DomainMedia { .. }
            | Action::DomainReceive { .. }
            | Action::DomainChange { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. }
            | Action::GuestExec { .. }
            | Action::GuestKill { .. } => Self::Other,
        }
    }

    /// Whether it is stopped when nobody wants its result any more.
    pub(super) fn is_stoppable(self) -> bool {
        matches!(self, Self::Copy | Self::Script)
    }
}

/// What runs now.
#[derive(Default)]
pub(super) struct Load {
    waits: usize,
    copies: usize,
    scripts: usize,
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
                Class::Script => load.scripts += 1,
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
        let total = self.copies + self.scripts + self.others;
        match class {
            Class::Wait => self.waits < WAITS_MAX,
            Class::Copy => self.copies < COPIES_MAX && total < ACTIONS_MAX,
            Class::Script => self.scripts < SCRIPTS_MAX && total < ACTIONS_MAX,
            Class::Other => total < ACTIONS_MAX,
        }
    }

    /// Whether no other step of the object runs; for a script, no other part either: drivers are written for the
    /// parts of one object coming one after another.
    pub(super) fn is_free(&self, key: &ActionKey, class: Class) -> bool {
        let steps = self.steps.get(&(key.kind, key.id));
        match class {
            Class::Wait => true,
            Class::Script => steps.is_none(),
            Class::Copy | Class::Other => {
                steps.is_none_or(|steps| steps.iter().all(|step| *step == key.step))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i32, step: u64, part: u32) -> ActionKey {
        ActionKey {
            kind: ObjectKind::Vm,
            id,
            step,
            part,
        }
    }

    #[test]
    fn scripts_of_one_object_run_one_after_another() {
        let load = Load::of([(&key(1, 3, 0), Class::Script)].into_iter());
        assert!(!load.is_free(&key(1, 3, 1), Class::Script), "another part");
        assert!(!load.is_free(&key(1, 4, 0), Class::Script), "another step");
        assert!(load.is_free(&key(2, 1, 0), Class::Script), "another object");
        assert!(load.is_free(&key(1, 3, 1), Class::Copy), "no script");
        let many: Vec<ActionKey> = (0..i32::try_from(SCRIPTS_MAX).expect("few"))
            .map(|id| key(id, 1, 0))
            .collect();
        let load = Load::of(many.iter().map(|key| (key, Class::Script)));
        assert!(!load.has_room(Class::Script));
        assert!(load.has_room(Class::Copy));
    }
}
