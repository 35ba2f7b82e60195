//! What to look at on the host to find out how an action ended that the agent did not see the end of.
//!
//! Actions are made so that their result appears under its name only when it is whole; so a new file under that name
//! means that the action was done. The evidence is noted with the intent, before acting.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plerion_protocol::{Action, ActionOutput, DiskTaken, Freeze, Location};
use serde::{Deserialize, Serialize};

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// Nothing would tell.
    Nothing,
    /// Nothing would tell, and it must not be done twice.
    Once,
    /// Another file than before is at the path.
    File {
        /// Where.
        path: String,
        /// What was there before.
        before: Option<FileId>,
        /// Whether the output names its size and format.
        image: bool,
    },
    /// Nothing is at the path.
    Gone {
        /// Where.
        path: String,
    },
    /// The file that was elsewhere is at the path.
    Moved {
        /// What it was.
        file: Option<FileId>,
        /// Where to.
        path: String,
    },
    /// Nothing would tell; a job that copies disks of a running domain must not go on without whoever puts them in place.
    Copies {
        /// UUID.
        uuid: String,
        /// What is copied where to.
        disks: Vec<DiskTaken>,
        /// How the guest is kept from writing, at the beginning.
        #[serde(default)]
        freeze: Freeze,
        /// Whether the copies serve later steps only.
        passing: bool,
    },
    /// The domain runs with that UUID.
    DomainRuns {
        /// Name.
        name: String,
        /// UUID.
        uuid: String,
    },
    /// No such domain runs; if `checkpoint` is named it must be new as well.
    DomainGone {
        /// Name.
        name: String,
        /// File and what was there before.
        checkpoint: Option<(String, Option<FileId>)>,
    },
}

/// How to ask for domains, so that the judgement can be tested without libvirt.
pub(crate) trait DomainLook {
    /// UUID of the running domain of that name; `Err` when libvirt does not answer.
    fn running_uuid(&self, name: &str) -> Result<Option<String>, plerion_protocol::ActionError>;

    /// Ends the job that copies disks of a domain to these files, if there is one, and lets its guest go on.
    fn copies_end(
        &self,
        uuid: &str,
        disks: &[DiskTaken],
        freeze: Freeze,
    ) -> Result<(), plerion_protocol::ActionError>;
}

impl FileId {
    /// Identity of what is at `path` now, links not followed.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = path.symlink_metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        })
    }
}

impl Evidence {
    /// What to note before doing an action.
    pub(crate) fn of(action: &Action) -> Self {
        match action {
            Action::DiskCopy { destination, .. }
            | Action::DiskFlatten { destination, .. }
            | Action::LayersMerge { destination, .. }
            | Action::DiskOverlay { destination, .. }
            | Action::DiskLink { destination, .. }
            | Action::DiskMake { destination, .. }
            | Action::ContextMake { destination, .. } => Self::file(destination, false),
            Action::Transfer {
                destination: Location::Here(destination),
                ..
            } => Self::file(destination, false),
            Action::ImageRegister { destination, .. } => Self::file(destination, true),
            Action::DomainDisksCopy {
                uuid,
                disks,
                freeze,
                passing,
                ..
            } => Self::Copies {
                uuid: uuid.clone(),
                disks: disks.clone(),
                freeze: *freeze,
                passing: *passing,
            },
            Action::PathDelete { path } => Self::Gone { path: path.clone() },
            Action::FileReplace { source, destination } => {
                let real = Path::new(source).canonicalize().ok();
                Self::Moved {
                    file: real.and_then(|real| FileId::at(&real)),
                    path: destination.clone(),
                }
            }
            Action::DomainStart { name, uuid, .. } | Action::DomainRestore { name, uuid, .. } => {
                Self::DomainRuns {
                    name: name.clone(),
                    uuid: uuid.clone(),
                }
            }
            Action::DomainShutdown { name, .. } | Action::DomainDestroy { name, .. } => Self::DomainGone {
                name: name.clone(),
                checkpoint: None,
            },
            Action::DomainSave { name, checkpoint, .. } => Self::DomainGone {
                name: name.clone(),
                checkpoint: Some((checkpoint.clone(), FileId::at(Path::new(checkpoint)))),
            },
            Action::GuestExec { .. } => Self::Once,
            Action::Transfer {
                destination: Location::There(..),
                ..
            }
            | Action::ImageStat { .. }
            | Action::DatastoreStat { .. }
            | Action::DiskSnapshot { .. }
            | Action::DomainDiskSnapshot { .. }
            | Action::DomainAbsent { .. }
            | Action::DomainResize { .. }
            | Action::DomainMedia { .. }
            | Action::DomainReceive { .. }
            | Action::DomainMigrate { .. }
            | Action::DomainChange { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. }
            | Action::GuestAwait { .. }
            | Action::GuestKill { .. }
            | Action::ScriptRun(_) => Self::Nothing,
        }
    }

    /// Whether something is to be deleted once nobody waits for the action any more.
    pub(crate) fn leaves_files(&self) -> bool {
        matches!(self, Self::Copies { .. })
    }

    fn file(path: &str, image: bool) -> Self {
        Self::File {
            path: path.to_owned(),
            before: FileId::at(Path::new(path)),
            image,
        }
    }

    /// Looks. `Some` when the action was done; `None` when that cannot be told or it was not.
    pub(crate) fn examine(&self, domains: &dyn DomainLook) -> Option<ActionOutput> {
        match self {
            Self::Nothing | Self::Once => None,
            Self::Copies {
                uuid, disks, freeze, ..
            } => {
                if let Err(error) = domains.copies_end(uuid, disks, *freeze) {
                    tracing::warn!(uuid, %error, "a backup job that was left may go on");
                }
                None
            }
            Self::File { path, before, image } => {
                let now = FileId::at(Path::new(path))?;
                if Some(now) == *before {
                    return None;
                }
                if *image {
                    crate::storage::image_output(Path::new(path)).ok()
                } else {
                    Some(ActionOutput::default())
                }
            }
            Self::Gone { path } => {
                let gone = Path::new(path).symlink_metadata().is_err()
                    && Path::new(&format!("{path}.snap")).symlink_metadata().is_err();
                gone.then(ActionOutput::default)
            }
            Self::Moved { file, path } => {
                let real = Path::new(path).canonicalize().ok()?;
                (file.is_some() && FileId::at(&real) == *file).then(ActionOutput::default)
            }
            Self::DomainRuns { name, uuid } => {
                let running = domains.running_uuid(name).ok()??;
                (running == *uuid).then(|| ActionOutput {
                    uuid: Some(running),
                    ..ActionOutput::default()
                })
            }
            Self::DomainGone { name, checkpoint } => {
                let saved = checkpoint.as_ref().is_none_or(|(path, before)| {
                    let now = FileId::at(Path::new(path));
                    now.is_some() && now != *before
                });
                let gone = domains.running_uuid(name).ok()?.is_none();
                (gone && saved).then(ActionOutput::default)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    /// Domains as a test wants them.
    pub(crate) struct Domains(pub(crate) Vec<(String, String)>);

    impl DomainLook for Domains {
        fn running_uuid(&self, name: &str) -> Result<Option<String>, plerion_protocol::ActionError> {
            Ok(self
                .0
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, uuid)| uuid.clone()))
        }

        fn copies_end(
            &self,
            _: &str,
            _: &[DiskTaken],
            _: Freeze,
        ) -> Result<(), plerion_protocol::ActionError> {
            Ok(())
        }
    }

    #[test]
    fn files_tell_whether_they_are_new() {
        let scratch = Scratch::new("evidence");
        let path = scratch.path().join("disk.0");
        let none = Domains(Vec::new());
        let action = Action::ContextMake {
            destination: path.to_string_lossy().into_owned(),
            files: Vec::new(),
            copies: Vec::new(),
        };
        let before = Evidence::of(&action);
        assert!(before.examine(&none).is_none(), "nothing there");
        std::fs::write(&path, "one").expect("written");
        assert!(before.examine(&none).is_some(), "there now");
        let later = Evidence::of(&action);
        assert!(later.examine(&none).is_none(), "it was there before");
        crate::state::file_write(&path, b"two", 0o600).expect("replaced");
        assert!(later.examine(&none).is_some(), "another one");
    }

    #[test]
    fn moves_and_domains_are_told() {
        let scratch = Scratch::new("moved");
        let text = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
        std::fs::write(text("a"), "new").expect("written");
        std::fs::write(text("b"), "old").expect("written");
        let moved = Evidence::of(&Action::FileReplace {
            source: text("a"),
            destination: text("b"),
        });
        let domains = Domains(vec![("one-1".to_owned(), "u-1".to_owned())]);
        assert!(moved.examine(&domains).is_none());
        std::fs::rename(text("a"), text("b")).expect("moved");
        assert!(moved.examine(&domains).is_some());
        let destroyed = |name: &str| {
            Evidence::of(&Action::DomainDestroy {
                name: name.to_owned(),
                uuid: String::new(),
            })
        };
        assert!(destroyed("one-1").examine(&domains).is_none());
        assert!(destroyed("one-2").examine(&domains).is_some());
        let runs = |uuid: &str| Evidence::DomainRuns {
            name: "one-1".to_owned(),
            uuid: uuid.to_owned(),
        };
        assert!(runs("u-1").examine(&domains).is_some());
        assert!(runs("u-2").examine(&domains).is_none());
    }
}
