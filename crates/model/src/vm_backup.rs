//! Backups of a VM: what is under way, and what the next one follows from.

use plerion_template::{Markup, PackedTemplate, Vector};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::{Id, View};

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupMode {
    /// The disks.
    Full,
    /// What has changed since the last increment.
    Increment,
}

impl BackupMode {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Increment => "INCREMENT",
        }
    }
}

/// How a running guest is kept from writing at the moment of its backup (`FS_FREEZE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FsFreeze {
    /// Not at all.
    #[default]
    None,
    /// Its agent freezes its file systems.
    Agent,
    /// It is paused.
    Suspend,
}

impl FsFreeze {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What a backup that was made is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMade {
    /// Where it is stored.
    pub source: String,
    /// Size in MiB.
    pub size_mib: u64,
    /// Format of the disks in it.
    pub format: String,
}

/// A backup that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRun {
    /// Backup datastore.
    pub datastore: Id,
    /// Whether it begins or continues a chain of increments.
    pub mode: BackupMode,
    /// The image that it becomes an increment of; none for a new image.
    pub chain: Option<Id>,
    /// How many backups, or increments, are kept; 0 all.
    pub keep_last: u32,
    /// DISK_IDs.
    pub disks: Vec<Id>,
    /// What happens to a guest that runs.
    #[serde(default, skip_serializing_if = "FsFreeze::is_none")]
    pub freeze: FsFreeze,
    /// The job that asked for it.
    pub job: Option<Id>,
    /// The directory on the front-end that it is put in; empty where the datastore driver chooses by itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What was made, once hosts have said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<BackupMade>,
}

/// A restore that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRun {
    /// Backup image.
    pub image: Id,
    /// Increment; -1 the last one.
    pub increment: Id,
    /// DISK_ID; -1 all disks of the backup.
    pub disk: Id,
}

/// A chain of increments that the next one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupChain {
    /// Backup image.
    pub image: Id,
    /// Its last increment.
    pub last: Id,
}

/// What is known of a VM's backups beyond the images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmBackup {
    /// The backup that is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<BackupRun>,
    /// The restore that is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreRun>,
    /// What the next increment follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<BackupChain>,
}

/// `<BACKUPS>`.
pub(crate) fn backups_render(
    out: &mut impl Markup,
    view: &impl View,
    id: Id,
    template: &PackedTemplate,
    backup: Option<&VmBackup>,
) {
    let config = backup_config(view, id, template, backup);
    out.open("BACKUPS");
    if config.is_empty() {
        out.empty("BACKUP_CONFIG");
    } else {
        out.open("BACKUP_CONFIG");
        for (name, value) in config.iter() {
            out.cdata_element(name, value);
        }
        out.close("BACKUP_CONFIG");
    }
    render_ids(out, "BACKUP_IDS", &view.vm_backups(id));
    out.close("BACKUPS");
}

/// What the VM's template says, and what is known besides, by name (recorded).
fn backup_config(view: &impl View, id: Id, template: &PackedTemplate, backup: Option<&VmBackup>) -> Vector {
    let chain = backup.and_then(|backup| backup.chain);
    let run = backup.and_then(|backup| backup.run.as_ref());
    let given = template.vectors("BACKUP_CONFIG").next();
    let mut pairs: Vec<(String, String)> = given
        .into_iter()
        .flat_map(|given| {
            given
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect();
    let mut put = |name: &str, id: Option<Id>| {
        if let Some(id) = id {
            pairs.push((name.to_owned(), id.to_string()));
        }
    };
    put("BACKUP_JOB_ID", view.vm_backup_job(id));
    put("LAST_DATASTORE_ID", run.map(|run| run.datastore));
    put("INCREMENTAL_BACKUP_ID", chain.map(|chain| chain.image));
    put("LAST_INCREMENT_ID", chain.map(|chain| chain.last));
    pairs.sort();
    let mut config = Vector::new();
    for (name, value) in pairs {
        config.set(&name, value);
    }
    config
}
