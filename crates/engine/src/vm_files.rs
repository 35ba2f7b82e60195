//! [`VmFiles`]: what the front-end keeps of each VM as files, for people: its log, domain XML, context.
//!
//! A thread of its own writes them, so that a slow disk holds up neither commits nor hosts. Nothing reads them back.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plerion_model::vm_state::VmState;
use plerion_model::{Id, Kind, Seconds};
use plerion_protocol::ContextFile;
use plerion_world::{Change, LogEntry};

/// What waits to be written.
const QUEUE_MAX: usize = 16_384;
/// Mode of directories: the group may look.
const DIRECTORY_MODE: u32 = 0o750;
/// Mode of files. The XML may hold the password of a console.
const FILE_MODE: u32 = 0o640;

/// Where the files go.
#[derive(Clone, Debug)]
pub struct VmFilesSettings {
    /// The directory of directories of VMs.
    pub vms: PathBuf,
    /// The directory of logs `ID.log`; without one the log is `vm.log` in the directory of the VM.
    pub logs: Option<PathBuf>,
}

enum Item {
    Said(Seconds, Vec<LogEntry>),
    Noted(Seconds, Id, Vec<String>),
    Files(Id, Vec<ContextFile>),
}

/// Takes what is to be written.
#[derive(Clone)]
pub(crate) struct VmFiles {
    sender: SyncSender<Item>,
    /// Whether something had to be left out since the thread last kept up.
    behind: Arc<AtomicBool>,
}

/// Starts the thread; it ends when nobody can give it anything any more.
pub(crate) fn vm_files_start(
    settings: VmFilesSettings,
) -> std::io::Result<(VmFiles, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name("vm-files".into())
        .spawn(move || run(&settings, &receiver))?;
    let behind = Arc::default();
    Ok((VmFiles { sender, behind }, thread))
}

impl VmFiles {
    /// What was committed: its entries about VMs go into their logs.
    pub(crate) fn committed(&self, now: Seconds, changes: &[&Change]) {
        let entries = changes.iter().flat_map(|change| &change.log);
        let told = entries.filter(|entry| entry.kind == Kind::Vm && is_told(entry));
        let told: Vec<LogEntry> = told.cloned().collect();
        if !told.is_empty() {
            self.give(Item::Said(now, told));
        }
    }

    /// What the plan of a VM's step has to say, and the files it brings.
    pub(crate) fn planned(&self, now: Seconds, vm: Id, notes: Vec<String>, files: Vec<ContextFile>) {
        if !notes.is_empty() {
            self.give(Item::Noted(now, vm, notes));
        }
        if !files.is_empty() {
            self.give(Item::Files(vm, files));
        }
    }

    fn give(&self, item: Item) {
        match self.sender.try_send(item) {
            Ok(()) => self.behind.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(_)) => {
                if !self.behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the files of VMs cannot be written fast enough: some lines and files are left out"
                    );
                }
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

fn is_told(entry: &LogEntry) -> bool {
    entry.operation == "state" || !entry.message.is_empty()
}

fn run(settings: &VmFilesSettings, receiver: &Receiver<Item>) {
    let zone = TimeZone::system();
    let mut failed = false;
    while let Ok(item) = receiver.recv() {
        let result = match item {
            Item::Said(now, entries) => entries
                .iter()
                .try_for_each(|entry| lines_append(settings, &zone, now, entry.id, &entry_lines(entry))),
            Item::Noted(now, vm, notes) => {
                let lines: Vec<String> = notes.iter().map(|note| line('W', note)).collect();
                lines_append(settings, &zone, now, vm, &lines)
            }
            Item::Files(vm, files) => files_write(settings, vm, &files),
        };
        if let Err(error) = &result
            && !failed
        {
            tracing::warn!(
                %error,
                directory = %settings.vms.display(),
                "cannot write the files of a VM; said once until it works again"
            );
        }
        failed = result.is_err();
    }
}

fn line(level: char, text: &str) -> String {
    // A message of several lines must not look like several entries.
    format!("[Z0][VM][{level}]: {}", text.trim_end().replace('\n', "\n    "))
}

/// The lines of an entry: the state, the state within the life cycle, what was said about it.
fn entry_lines(entry: &LogEntry) -> Vec<String> {
    let mut lines = Vec::new();
    if entry.operation == "state" {
        let rests = |name: &str| name != "ACTIVE" && VmState::ALL.iter().any(|state| state.as_str() == name);
        if rests(&entry.new_state) {
            lines.push(line('I', &format!("New state is {}", entry.new_state)));
            if !rests(&entry.old_state) {
                lines.push(line('I', "New LCM state is LCM_INIT"));
            }
        } else {
            if rests(&entry.old_state) {
                lines.push(line('I', "New state is ACTIVE"));
            }
            lines.push(line('I', &format!("New LCM state is {}", entry.new_state)));
        }
    }
    if !entry.message.is_empty() {
        let failed = entry.operation == "error" || entry.new_state.ends_with("FAILURE");
        lines.push(line(if failed { 'E' } else { 'I' }, &entry.message));
    }
    lines
}

fn lines_append(
    settings: &VmFilesSettings,
    zone: &TimeZone,
    now: Seconds,
    vm: Id,
    lines: &[String],
) -> std::io::Result<()> {
    let path = match &settings.logs {
        Some(logs) => logs.join(format!("{vm}.log")),
        None => vm_directory(settings, vm)?.join("vm.log"),
    };
    let moment = Timestamp::from_second(now)
        .unwrap_or_default()
        .to_zoned(zone.clone());
    let moment = moment.strftime("%a %b %e %H:%M:%S %Y");
    let text: String = lines.iter().map(|line| format!("{moment} {line}\n")).collect();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| named(&path, &error))?;
    file.write_all(text.as_bytes())
        .map_err(|error| named(&path, &error))
}

fn files_write(settings: &VmFilesSettings, vm: Id, files: &[ContextFile]) -> std::io::Result<()> {
    let directory = vm_directory(settings, vm)?;
    for file in files {
        let path = directory.join(&file.name);
        let part = directory.join(format!(".{}.part", file.name));
        let mut written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&part)
            .map_err(|error| named(&part, &error))?;
        written
            .write_all(file.text.as_bytes())
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

fn vm_directory(settings: &VmFilesSettings, vm: Id) -> std::io::Result<PathBuf> {
    let directory = settings.vms.join(vm.to_string());
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(&directory)
        .map_err(|error| named(&directory, &error))?;
    Ok(directory)
}

fn named(path: &Path, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(operation: &str, old: &str, new: &str, message: &str) -> Vec<String> {
        entry_lines(&LogEntry {
            kind: Kind::Vm,
            id: 1,
            operation: operation.into(),
            old_state: old.into(),
            new_state: new.into(),
            message: message.into(),
        })
    }

    #[test]
    fn states_are_told_as_recorded() {
        for (old, new, expected) in [
            (
                "PENDING",
                "PROLOG",
                &["New state is ACTIVE", "New LCM state is PROLOG"][..],
            ),
            ("PROLOG", "BOOT", &["New LCM state is BOOT"]),
            (
                "EPILOG",
                "DONE",
                &["New state is DONE", "New LCM state is LCM_INIT"],
            ),
            ("PENDING", "HOLD", &["New state is HOLD"]),
        ] {
            let expected: Vec<String> = expected
                .iter()
                .map(|text| format!("[Z0][VM][I]: {text}"))
                .collect();
            assert_eq!(lines("state", old, new, ""), expected, "{old} to {new}");
        }
    }

    #[test]
    fn failures_are_errors_with_their_reason() {
        assert_eq!(
            lines("state", "BOOT", "BOOT_FAILURE", "no bridge\nbr0"),
            [
                "[Z0][VM][I]: New LCM state is BOOT_FAILURE",
                "[Z0][VM][E]: no bridge\n    br0"
            ]
        );
        assert_eq!(lines("error", "", "", "not reset"), ["[Z0][VM][E]: not reset"]);
        assert!(lines("update", "", "", "").is_empty());
    }
}
