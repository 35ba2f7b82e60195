//! Backup jobs: VMs that are backed up together, and how far that has come.

use std::collections::BTreeMap;

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::{Id, Kind, Owned, Seconds, View, sched_action};

/// Highest priority of a job.
pub const PRIORITY_MAX: i32 = 99;
/// Highest priority that whoever manages a job may give it.
pub const PRIORITY_MAX_MANAGE: i32 = 49;
/// Priority of a job that says nothing of it.
pub const PRIORITY_DEFAULT: i32 = 50;

/// How far the backup of a VM has come in the last run of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for its turn.
    Outdated,
    /// It is being made.
    BackingUp,
    /// It was made.
    Updated,
    /// It could not be made.
    Error,
}

/// Whether the VMs of a job wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// One after another.
    Sequential,
    /// Together, as far as the limits on backups let them.
    Parallel,
}

/// A backup job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupJob {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// From 0 to [`PRIORITY_MAX`]; jobs of a higher one have their backups made first.
    pub priority: i32,
    /// When the last run began; 0 before the first one.
    pub last_time: Seconds,
    /// How long the last run took that is over, in seconds.
    pub last_duration: Seconds,
    /// How far the VMs have come that the last run took in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub progress: BTreeMap<Id, Progress>,
    /// Attributes: which VMs, where to, and how.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(BackupJob, owned, template);

impl BackupJob {
    /// Its VMs in the order in which they are backed up, each once.
    #[must_use]
    pub fn vms(&self) -> Vec<Id> {
        let mut vms = Vec::new();
        for part in self.template.get("BACKUP_VMS").unwrap_or_default().split(',') {
            if let Ok(vm) = part.trim().parse()
                && !vms.contains(&vm)
            {
                vms.push(vm);
            }
        }
        vms
    }

    /// Whether its VMs wait for each other.
    #[must_use]
    pub fn execution(&self) -> Execution {
        match self.template.get("EXECUTION") {
            Some(text) if text.eq_ignore_ascii_case("PARALLEL") => Execution::Parallel,
            _ => Execution::Sequential,
        }
    }

    /// The VMs that have come so far, ascending.
    #[must_use]
    pub fn vms_in(&self, progress: Progress) -> Vec<Id> {
        let found = self.progress.iter().filter(|(_, own)| **own == progress);
        found.map(|(vm, _)| *vm).collect()
    }

    /// Whether a VM waits for its backup, or for the end of it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.progress
            .values()
            .any(|progress| matches!(progress, Progress::Outdated | Progress::BackingUp))
    }

    /// `<BACKUPJOB>`; `full` shows the scheduled actions in its template, which pools leave out (recorded).
    pub fn render(&self, out: &mut impl Markup, view: &impl View, full: bool) {
        out.open("BACKUPJOB");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.render_lock(out);
        self.owned.permissions.render(out);
        out.number("PRIORITY", i64::from(self.priority));
        out.number("LAST_BACKUP_TIME", self.last_time);
        out.number("LAST_BACKUP_DURATION", self.last_duration);
        let actions = view.sched_actions(Kind::BackupJob, self.id);
        sched_action::render_ids(out, actions.iter().map(|action| &**action));
        for (name, progress) in [
            ("UPDATED_VMS", Progress::Updated),
            ("OUTDATED_VMS", Progress::Outdated),
            ("BACKING_UP_VMS", Progress::BackingUp),
            ("ERROR_VMS", Progress::Error),
        ] {
            render_ids(out, name, &self.vms_in(progress));
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        if full {
            for action in &actions {
                action.render(out);
            }
        }
        out.close("TEMPLATE");
        out.close("BACKUPJOB");
    }
}

#[cfg(test)]
mod tests {
    use plerion_template::Template;

    use super::*;
    use crate::Permissions;

    fn job(text: &str) -> BackupJob {
        BackupJob {
            id: 0,
            name: "nightly".into(),
            owned: Owned::new(0, 0, Permissions(0o600)),
            priority: PRIORITY_DEFAULT,
            last_time: 0,
            last_duration: 0,
            progress: BTreeMap::new(),
            template: PackedTemplate::new(&Template::parse(text).expect("good")),
        }
    }

    #[test]
    fn vms_are_in_the_order_given_and_once() {
        assert_eq!(job("BACKUP_VMS=\"6, 0,6,2\"\n").vms(), [6, 0, 2]);
        assert!(job("BACKUP_VMS=\"\"\n").vms().is_empty());
        assert!(job("A=\"1\"\n").vms().is_empty());
    }

    #[test]
    fn it_runs_while_vms_wait_or_are_backed_up() {
        let mut job = job("BACKUP_VMS=\"1,2\"\n");
        assert!(!job.is_running());
        job.progress = BTreeMap::from([(1, Progress::Updated), (2, Progress::Error)]);
        assert!(!job.is_running());
        job.progress.insert(2, Progress::BackingUp);
        assert!(job.is_running());
        assert_eq!(job.vms_in(Progress::Updated), [1]);
    }
}
