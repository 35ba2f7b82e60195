//! What was begun and how it ended, on disk: an intent is durable before acting, a result before it is reported.
//!
//! One file of lines, each a checksum and a JSON record. A torn last line (the host lost power while writing) is cut
//! off; damage before that means that the disk lies, and the agent refuses to start on it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use plerion_protocol::{ActionError, ActionKey, ActionOutput};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::evidence::Evidence;
use crate::fault::{Act, IoContext, failed};
use crate::state;

/// Entries that are kept at once. The front-end forgets what it has committed, so this many mean that it does not.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// Below this size a journal is never rewritten, in bytes.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;
/// It is rewritten when it is this many times larger than what is alive in it.
const COMPACT_FACTOR: u64 = 4;
/// Largest journal that is read, in bytes.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Hexadecimal digits of the checksum before each record.
const CHECKSUM_DIGITS: usize = 16;

/// How an action ended.
pub(crate) type Outcome = Result<ActionOutput, ActionError>;

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The attempt it was begun for.
    pub(crate) attempt: u32,
    /// Epoch of the front-end that asked.
    pub(crate) epoch: u64,
    /// The boot in which it was begun.
    pub(crate) boot_id: String,
    /// What to look at if its end was not seen.
    pub(crate) evidence: Evidence,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Entry {
        key: ActionKey,
        entry: Entry,
    },
    Done {
        key: ActionKey,
        attempt: u32,
        outcome: Outcome,
    },
    Forget {
        keys: Vec<ActionKey>,
    },
}

/// The journal of one cloud.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Size after the last rewrite, in bytes.
    bytes_compacted: u64,
    entries: BTreeMap<ActionKey, Entry>,
    /// Set by a failed write: what is on disk is unknown, so nothing more is begun.
    broken: Option<String>,
}

impl Journal {
    /// Opens the file `journal` in `directory`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged before its last line.
    pub(crate) fn open(directory: &Path) -> Act<Self> {
        let path = directory.join("journal");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .at("cannot open", &path)?;
        let size = file.metadata().at("cannot look at", &path)?.len();
        if size > JOURNAL_BYTES_MAX {
            return Err(failed(format!(
                "{} is larger than {JOURNAL_BYTES_MAX} bytes",
                path.display()
            )));
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).at("cannot read", &path)?;
        let (entries, whole) = entries_read(&content, &path)?;
        if whole < content.len() {
            tracing::warn!(path = %path.display(), lost = content.len() - whole, "the journal's torn end is cut off");
            file.set_len(whole as u64).at("cannot cut", &path)?;
            file.seek(SeekFrom::End(0)).at("cannot read", &path)?;
            file.sync_all().at("cannot sync", &path)?;
        }
        state::directory_sync(&path)?;
        let mut journal = Self {
            path,
            file,
            bytes: whole as u64,
            bytes_compacted: 0,
            entries,
            broken: None,
        };
        journal.compact()?;
        Ok(journal)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &ActionKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The keys of all entries without an outcome.
    pub(crate) fn open_keys(&self) -> Vec<ActionKey> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.outcome.is_none())
            .map(|(key, _)| *key)
            .collect()
    }

    /// The keys of all entries with an outcome.
    pub(crate) fn settled_keys(&self) -> Vec<ActionKey> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.outcome.is_some())
            .map(|(key, _)| *key)
            .collect()
    }

    /// Notes that an action is begun; durable when this returns.
    pub(crate) fn begin(&mut self, key: ActionKey, entry: Entry) -> Act<()> {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
            return Err(failed(format!(
                "the journal {} holds {ENTRIES_MAX} actions that the front-end has not confirmed: restart the \
                 front-end, or look into its log",
                self.path.display()
            )));
        }
        self.append(&Record::Entry {
            key,
            entry: entry.clone(),
        })?;
        self.entries.insert(key, entry);
        Ok(())
    }

    /// Notes how an action ended; durable when this returns.
    pub(crate) fn end(&mut self, key: ActionKey, attempt: u32, outcome: Outcome) -> Act<()> {
        let Some(entry) = self.entries.get_mut(&key) else {
            return Ok(());
        };
        entry.outcome = Some(outcome.clone());
        entry.attempt = attempt;
        self.append(&Record::Done {
            key,
            attempt,
            outcome,
        })?;
        self.compact_when_due()
    }

    /// Drops the entries of these keys that have ended.
    pub(crate) fn forget(&mut self, keys: &[ActionKey]) -> Act<()> {
        let ended = |key: &&ActionKey| {
            self.entries
                .get(*key)
                .is_some_and(|entry| entry.outcome.is_some())
        };
        let keys: Vec<ActionKey> = keys.iter().filter(ended).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        for key in &keys {
            self.entries.remove(key);
        }
        self.append(&Record::Forget { keys })?;
        self.compact_when_due()
    }

    fn append(&mut self, record: &Record) -> Act<()> {
        if let Some(reason) = &self.broken {
            return Err(failed(reason.clone()));
        }
        let line = line_make(record)?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let reason = format!(
                "{} cannot be written ({error}): nothing is begun on this host until the cause is mended and the \
                 agent restarted",
                self.path.display()
            );
            tracing::error!("{reason}");
            self.broken = Some(reason.clone());
            return Err(failed(reason));
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn compact_when_due(&mut self) -> Act<()> {
        if self.bytes > COMPACT_BYTES_MIN.max(self.bytes_compacted * COMPACT_FACTOR) {
            self.compact()
        } else {
            Ok(())
        }
    }

    /// Rewrites the journal with what is alive.
    fn compact(&mut self) -> Act<()> {
        let mut content = Vec::new();
        for (key, entry) in &self.entries {
            content.extend(line_make(&Record::Entry {
                key: *key,
                entry: entry.clone(),
            })?);
        }
        state::file_write(&self.path, &content, 0o600)?;
        self.file = OpenOptions::new()
            .append(true)
            .open(&self.path)
            .at("cannot open", &self.path)?;
        self.bytes = content.len() as u64;
        self.bytes_compacted = self.bytes;
        Ok(())
    }
}

fn line_make(record: &Record) -> Act<Vec<u8>> {
    let json = serde_json::to_string(record).map_err(|error| failed(format!("a journal record: {error}")))?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())).into_bytes())
}

fn checksum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .take(CHECKSUM_DIGITS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Replays a journal; gives the living entries and how many bytes are whole.
fn entries_read(content: &[u8], path: &Path) -> Act<(BTreeMap<ActionKey, Entry>, usize)> {
    let mut entries = BTreeMap::new();
    let mut position = 0;
    while position < content.len() {
        let rest = &content[position..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let record = end.and_then(|end| record_read(&rest[..end]));
        match (record, end) {
            (Some(record), Some(end)) => {
                record_apply(&mut entries, record);
                position += end + 1;
            }
            _ if record_follows(rest) => {
                return Err(failed(format!(
                    "{} is damaged at byte {position}, before its end: the disk or somebody has changed it. Check the \
                     disk, then move the file away; what the actions in it did must be checked by hand",
                    path.display()
                )));
            }
            _ => break,
        }
    }
    Ok((entries, position))
}

/// Whether a whole record follows later in what begins with a bad one; also where the end of a line was damaged.
fn record_follows(rest: &[u8]) -> bool {
    rest.split(|byte| *byte == b'\n')
        .enumerate()
        .any(|(number, line)| {
            let begins = line
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair == b" {")
                .map(|(at, _)| at);
            let mut begins = begins.filter_map(|at| at.checked_sub(CHECKSUM_DIGITS));
            begins.any(|at| (number > 0 || at > 0) && record_read(&line[at..]).is_some())
        })
}

fn record_read(line: &[u8]) -> Option<Record> {
    let (sum, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn record_apply(entries: &mut BTreeMap<ActionKey, Entry>, record: Record) {
    match record {
        Record::Entry { key, entry } => {
            entries.insert(key, entry);
        }
        Record::Done {
            key,
            attempt,
            outcome,
        } => {
            if let Some(entry) = entries.get_mut(&key) {
                entry.attempt = attempt;
                entry.outcome = Some(outcome);
            }
        }
        Record::Forget { keys } => {
            for key in keys {
                entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;
    use plerion_protocol::ObjectKind;

    fn key(step: u64) -> ActionKey {
        ActionKey {
            kind: ObjectKind::Vm,
            id: 7,
            step,
            part: 0,
        }
    }

    fn entry() -> Entry {
        Entry {
            attempt: 1,
            epoch: 1,
            boot_id: "b".to_owned(),
            evidence: Evidence::Nothing,
            outcome: None,
        }
    }

    #[test]
    fn entries_survive_and_go() {
        let scratch = Scratch::new("journal");
        let mut journal = Journal::open(scratch.path()).expect("new");
        journal.begin(key(1), entry()).expect("begun");
        journal.begin(key(2), entry()).expect("begun");
        journal
            .end(key(1), 1, Ok(ActionOutput::default()))
            .expect("ended");
        journal.forget(&[key(2)]).expect("an open one stays");
        drop(journal);
        let mut journal = Journal::open(scratch.path()).expect("again");
        assert_eq!(journal.open_keys(), [key(2)]);
        assert!(journal.get(&key(1)).expect("kept").outcome.is_some());
        journal.forget(&[key(1)]).expect("forgotten");
        drop(journal);
        let journal = Journal::open(scratch.path()).expect("again");
        assert!(journal.get(&key(1)).is_none());
    }

    #[test]
    fn a_torn_end_is_cut_at_every_length_and_a_damaged_middle_is_refused() {
        let scratch = Scratch::new("torn");
        let mut journal = Journal::open(scratch.path()).expect("new");
        journal.begin(key(1), entry()).expect("begun");
        let first = journal.bytes as usize;
        journal.begin(key(2), entry()).expect("begun");
        drop(journal);
        let path = scratch.path().join("journal");
        let whole = std::fs::read(&path).expect("read");
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            let journal = Journal::open(scratch.path()).expect("a torn end is fine");
            assert_eq!(journal.open_keys(), [key(1)], "cut at {cut}");
        }
        for position in 0..first {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            std::fs::write(&path, &damaged).expect("damaged");
            let error = Journal::open(scratch.path()).err().expect("damage is refused");
            assert!(error.text.contains("damaged"), "{}", error.text);
        }
    }

    #[test]
    fn the_file_stays_small() {
        let scratch = Scratch::new("small");
        let mut journal = Journal::open(scratch.path()).expect("new");
        let text = "x".repeat(20_000);
        for step in 0..200 {
            journal
                .begin(
                    key(step),
                    Entry {
                        boot_id: text.clone(),
                        ..entry()
                    },
                )
                .expect("begun");
            journal
                .end(key(step), 1, Ok(ActionOutput::default()))
                .expect("ended");
            journal.forget(&[key(step)]).expect("forgotten");
        }
        let size = scratch.path().join("journal").metadata().expect("there").len();
        assert!(size < 2 * COMPACT_BYTES_MIN, "{size} bytes");
    }
}
