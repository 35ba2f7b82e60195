//! What a command changes: objects, intents for hosts, log entries.

use std::sync::Arc;

use plerion_lifecycle::Ask;
use plerion_model::showback::Showback;
use plerion_model::view::VmSampleView;
use plerion_model::vm::Vm;
use plerion_model::{Id, Kind, Seconds};
use serde::{Deserialize, Serialize};

use crate::object::Object;

/// Where an intent is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// By the front-end's own agent.
    FrontEnd,
    /// For a host (some of its actions may be done by the front-end's agent).
    Host(Id),
}

/// What an image needs done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageAsk {
    /// Take it from its PATH.
    Register,
    /// Make it empty.
    Make,
    /// Copy it from another image.
    Clone,
    /// Delete its file.
    Delete,
    /// Change one of its snapshots.
    Snapshot(ImageSnapshot),
}

/// What becomes of a snapshot of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSnapshot {
    /// It is deleted.
    Delete(Id),
    /// The image is that of the snapshot again.
    Revert(Id),
    /// The image is that of the snapshot from now on, and has none any more.
    Flatten(Id),
}

impl ImageSnapshot {
    /// The snapshot.
    #[must_use]
    pub const fn id(self) -> Id {
        match self {
            Self::Delete(id) | Self::Revert(id) | Self::Flatten(id) => id,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// For a VM.
    Vm(#[serde(with = "ask_name")] Ask),
    /// For an image.
    Image(ImageAsk),
}

/// Identifies an intent: the object, its step, the part of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentKey {
    /// Kind of the object.
    pub kind: Kind,
    /// The object.
    pub id: Id,
    /// Its step.
    pub step: u64,
    /// Part of the step: the disk in a prolog, otherwise 0.
    pub part: u32,
}

/// An action to be done by hosts; a row of the outbox. It stays until its result has been committed, or until the
/// object has gone on without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which.
    pub key: IntentKey,
    /// Where.
    pub site: Site,
    /// What.
    pub task: Task,
    /// When it was asked for.
    pub time: Seconds,
}

/// How a command in a guest ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEnd {
    /// Its exit status.
    pub status: i64,
    /// The beginning of its standard output, in base64.
    pub stdout: String,
    /// The beginning of its standard error, in base64.
    pub stderr: String,
}

/// What an intent that worked gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Name that the hypervisor knows a started VM by.
    pub deploy_id: Option<String>,
    /// Size of an image in MiB.
    pub size_mib: Option<u64>,
    /// Format of an image.
    pub format: Option<String>,
    /// Name that the hypervisor knows a snapshot by.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Where an image was stored.
    pub source: Option<String>,
    /// Process id of a command that was started in a guest.
    #[serde(default)]
    pub guest_pid: Option<i64>,
    /// How a command in a guest ended.
    #[serde(default)]
    pub guest_end: Option<CommandEnd>,
}

/// How an intent ended; the error is for people.
pub type IntentResult = Result<Output, String>;

/// An entry of the change log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Kind of the object.
    pub kind: Kind,
    /// The object.
    pub id: Id,
    /// `create`, `update`, `delete`, `state`.
    pub operation: String,
    /// State before, for state changes.
    pub old_state: String,
    /// State after.
    pub new_state: String,
    /// What happened, for people; empty when there is nothing to say.
    pub message: String,
}

/// A stay on a host that has ended, with the VM as it was then: what accounting shows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StayEnd {
    /// The VM; of its history it has the record that ended.
    pub vm: Arc<Vm>,
    /// Whether the VM is over, too: nothing of it changes any more.
    pub last: bool,
    /// The last measurement of the VM. Whoever commits the change adds it, since worlds know none.
    pub sample: Option<Arc<VmSampleView>>,
}

/// What a command changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Objects made or changed, in order; later ones of the same id win.
    pub puts: Vec<Object>,
    /// Objects deleted.
    pub deletes: Vec<(Kind, Id)>,
    /// Intents added to the outbox.
    pub intents: Vec<Intent>,
    /// Intents that are over.
    pub intents_over: Vec<IntentKey>,
    /// Highest ids handed out, of kinds that got new objects.
    pub last_ids: Vec<(Kind, Id)>,
    /// Entries for the change log.
    pub log: Vec<LogEntry>,
    /// Stays on hosts that ended. They follow from `puts`.
    pub stays: Vec<StayEnd>,
    /// What VMs cost in some months, in the place of what was written of those months. It is in no world.
    pub showback: Vec<Showback>,
}

impl Change {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty()
            && self.deletes.is_empty()
            && self.intents.is_empty()
            && self.intents_over.is_empty()
            && self.log.is_empty()
            && self.showback.is_empty()
    }
}

/// Names of [`Ask`] in stored intents.
mod ask_name {
    use plerion_lifecycle::Ask;
    use serde::{Deserialize, Deserializer, Serializer};

    const NAMES: &[(Ask, &str)] = &[
        (Ask::Prolog, "prolog"),
        (Ask::ToHost, "to_host"),
        (Ask::Boot, "boot"),
        (Ask::Restore, "restore"),
        (Ask::Shutdown, "shutdown"),
        (Ask::Save, "save"),
        (Ask::Epilog, "epilog"),
        (Ask::ToFrontEnd, "to_front_end"),
        (Ask::Cleanup, "cleanup"),
        (Ask::Migrate, "migrate"),
        (Ask::Leave, "leave"),
        (Ask::Move, "move"),
        (Ask::Resize, "resize"),
        (Ask::Device, "device"),
        (Ask::Backup, "backup"),
        (Ask::RestoreDisks, "restore_disks"),
        (Ask::Reboot, "reboot"),
        (Ask::Reset, "reset"),
        (Ask::GuestAwait, "guest_await"),
    ];

    pub(super) fn serialize<S: Serializer>(ask: &Ask, serializer: S) -> Result<S::Ok, S::Error> {
        let name = NAMES
            .iter()
            .find(|(value, _)| value == ask)
            .map_or("", |(_, name)| *name);
        serializer.serialize_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ask, D::Error> {
        let text = String::deserialize(deserializer)?;
        NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(ask, _)| *ask)
            .ok_or_else(|| serde::de::Error::custom(format!("no such action: {text}")))
    }
}
