//! The end of a transfer that writes.
//!
//! Everything is built under `.NAME.part` beside its place and moved there at the end. `.NAME.resume` notes how much
//! of which file is here, verified and on disk, so that a transfer that broke goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use super::origin;
use super::wire::{
    Answer, BlockSum, DATA_BYTES_MAX, EntryKind, FILE_BYTES_MAX, FileIdentity, Say, answer, block_digest,
    said,
};
use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::roots::Roots;
use crate::state::{directory_sync, lock_take, part_path, sibling};
use crate::storage::cache::use_note;
use crate::storage::directory_make;
use crate::storage::file::entry_delete;
use crate::storage::part::missing_is_fine;

/// Bytes between two notes of how far a file is.
const NOTE_BYTES: u64 = 64 * 1024 * 1024;
/// Time for another transfer to the same place to end; the source waits a little longer for its answer.
const LOCK_TIME_MAX: Duration = Duration::from_secs(270);
/// Largest resume file, in bytes.
const RESUME_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One line of the resume file; the last one of a path counts.
#[derive(Serialize, Deserialize)]
struct Note {
    path: String,
    identity: FileIdentity,
    verified: u64,
}

struct Sink<'a, R, W> {
    reader: &'a mut R,
    writer: &'a mut W,
    limits: &'a Limits,
    roots: &'a Roots,
    destination: &'a Path,
    part: PathBuf,
    notes_file: File,
    notes: BTreeMap<String, (FileIdentity, u64)>,
    /// Directories made in this transfer: nothing is written anywhere else, and so never through a link.
    directories: BTreeMap<String, u32>,
    entries: BTreeSet<String>,
    /// What the file of a transfer of one file was at the source.
    single: Option<FileIdentity>,
    /// The file is here already, as it is at the source.
    cached: bool,
}

/// Receives one file or tree to `destination`.
pub(crate) fn sink_serve<R: Read, W: Write>(
    destination: &Path,
    roots: &Roots,
    reader: &mut R,
    writer: &mut W,
    limits: &Limits,
) -> Act<()> {
    let result = sink_run(destination, roots, reader, writer, limits);
    if let Err(error) = &result {
        // If the source has gone, nobody needs to hear it.
        drop(answer(writer, &Answer::Fail(error.clone())));
    }
    result
}

fn sink_run<R: Read, W: Write>(
    destination: &Path,
    roots: &Roots,
    reader: &mut R,
    writer: &mut W,
    limits: &Limits,
) -> Act<()> {
    directory_make(destination.parent().unwrap_or(Path::new("/")))?;
    let resume = sibling(destination, ".resume");
    let lock = resume_lock(&resume)?;
    let notes = notes_read(&resume)?;
    let notes_file = OpenOptions::new()
        .append(true)
        .open(&resume)
        .at("cannot open", &resume)?;
    let part = part_path(destination);
    let mut sink = Sink {
        reader,
        writer,
        limits,
        roots,
        destination,
        part,
        notes_file,
        notes,
        directories: BTreeMap::new(),
        entries: BTreeSet::new(),
        single: None,
        cached: false,
    };
    sink.run()?;
    if let Some(identity) = sink
        .single
        .filter(|_| !sink.cached && origin::is_kept(destination))
    {
        origin::write(destination, identity)?;
    }
    missing_is_fine(std::fs::remove_file(&resume)).at("cannot remove", &resume)?;
    drop(lock);
    answer(sink.writer, &Answer::Done)
}

/// Takes the resume file for this transfer alone. Whoever had it before removed it at the end: a lock on a file that
/// has lost its name locks nothing, and the next one is taken.
fn resume_lock(resume: &Path) -> Act<File> {
    let until = Instant::now() + LOCK_TIME_MAX;
    loop {
        let patience = until.saturating_duration_since(Instant::now());
        let lock = lock_take(resume, patience, "another transfer to the same place")?;
        let held = lock.metadata().at("cannot look at", resume)?;
        match resume.symlink_metadata() {
            Ok(named) if named.ino() == held.ino() && named.dev() == held.dev() => return Ok(lock),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("cannot look at", resume),
        }
    }
}

impl<R: Read, W: Write> Sink<'_, R, W> {
    fn run(&mut self) -> Act<()> {
        loop {
            self.limits.remaining()?;
            match said(self.reader)? {
                Say::Entry { path, kind } => self.entry_take(&path, kind)?,
                Say::Commit => return self.commit(),
                other => return Err(refused(format!("the source says {other:?} out of turn"))),
            }
        }
    }

    fn entry_take(&mut self, name: &str, kind: EntryKind) -> Act<()> {
        let path = self.entry_path(name)?;
        match kind {
            EntryKind::Directory { mode } => self.directory_take(name, &path, mode),
            EntryKind::Link { text } => self.link_take(name, &path, &text),
            EntryKind::File(identity) => self.file_take(name, &path, identity),
        }
    }

    /// Where an entry is built; its directory must have come before it.
    fn entry_path(&mut self, name: &str) -> Act<PathBuf> {
        if !self.entries.insert(name.to_owned()) {
            return Err(refused(format!("the source sends {name:?} twice")));
        }
        if name.is_empty() {
            return if self.entries.len() == 1 {
                Ok(self.part.clone())
            } else {
                Err(refused("a second root"))
            };
        }
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !name.split('/').all(plain) || !self.directories.contains_key(parent) {
            return Err(refused(format!("{name:?} is not a path within the tree")));
        }
        Ok(self.part.join(name))
    }

    fn directory_take(&mut self, name: &str, path: &Path, mode: u32) -> Act<()> {
        let existing = path.symlink_metadata().ok();
        if !existing.is_some_and(|metadata| metadata.is_dir()) {
            entry_delete(path)?;
            std::fs::DirBuilder::new()
                .mode(0o700)
                .create(path)
                .at("cannot make the directory", path)?;
        }
        // The final mode comes at the end: until then this end must be able to write.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))
            .at("cannot set the mode of", path)?;
        self.directories.insert(name.to_owned(), mode);
        Ok(())
    }

    fn link_take(&mut self, name: &str, path: &Path, text: &str) -> Act<()> {
        let place = if name.is_empty() {
            self.destination.to_owned()
        } else {
            self.destination.join(name)
        };
        if !self.roots.link_is_inside(&place, Path::new(text)) {
            return Err(refused(format!(
                "the link {} to {text} leads out of the datastores",
                place.display()
            )));
        }
        entry_delete(path)?;
        std::os::unix::fs::symlink(text, path).at("cannot make the link", path)
    }

    fn file_take(&mut self, name: &str, path: &Path, identity: FileIdentity) -> Act<()> {
        if identity.size > FILE_BYTES_MAX {
            return Err(refused(format!("{name:?} is larger than {FILE_BYTES_MAX} bytes")));
        }
        if name.is_empty() {
            self.single = Some(identity);
            if origin::is_kept(self.destination) && origin::holds(self.destination, identity) {
                return self.cached_take(identity);
            }
        }
        let known = self
            .notes
            .get(name)
            .filter(|(known, _)| *known == identity)
            .map(|(_, verified)| *verified);
        let regular = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let have = if regular {
            known.unwrap_or(0).min(identity.size)
        } else {
            0
        };
        if regular {
            // An earlier try may have given it its final mode already.
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
                .at("cannot set the mode of", path)?;
        } else {
            entry_delete(path)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(path)
            .at("cannot make", path)?;
        // What lies beyond the verified part is unknown: cut it off, so that it reads as zeroes.
        file.set_len(have)
            .and_then(|()| file.set_len(identity.size))
            .at("cannot size", path)?;
        answer(self.writer, &Answer::Have(have))?;
        self.blocks_take(name, &file, path, identity)?;
        let permissions = PermissionsExt::from_mode(identity.mode & 0o777);
        file.set_permissions(permissions)
            .at("cannot set the mode of", path)?;
        file.sync_all().at("cannot sync", path)?;
        self.note(name, identity, identity.size)
    }

    /// The file is in the cache: nothing has to come.
    fn cached_take(&mut self, identity: FileIdentity) -> Act<()> {
        self.cached = true;
        use_note(self.destination)?;
        answer(self.writer, &Answer::Have(identity.size))?;
        match said(self.reader)? {
            Say::End { .. } => Ok(()),
            other => Err(refused(format!(
                "the source says {other:?} of a file that is here"
            ))),
        }
    }

    fn blocks_take(&mut self, name: &str, file: &File, path: &Path, identity: FileIdentity) -> Act<()> {
        let mut sum = BlockSum::default();
        let mut buffer = Vec::new();
        let mut noted = 0_u64;
        loop {
            self.limits.remaining()?;
            match said(self.reader)? {
                Say::Data {
                    offset,
                    length,
                    sha256,
                } => {
                    let length = length as usize;
                    let end = offset
                        .checked_add(length as u64)
                        .filter(|end| *end <= identity.size);
                    let Some(end) = end.filter(|_| length <= DATA_BYTES_MAX) else {
                        return Err(refused(format!("a block of {name:?} lies outside of it")));
                    };
                    buffer.resize(length, 0);
                    self.reader.read_exact(&mut buffer).map_err(|error| {
                        failed(format!("the other end of the transfer was lost: {error}"))
                    })?;
                    if block_digest(&buffer) != sha256 {
                        return Err(failed(format!("a block of {name:?} was damaged on the way")));
                    }
                    sum.add(offset, &sha256);
                    file.write_all_at(&buffer, offset).at("cannot write", path)?;
                    if end >= noted + NOTE_BYTES {
                        noted = end;
                        file.sync_data().at("cannot sync", path)?;
                        self.note(name, identity, end)?;
                    }
                }
                Say::End { sum: announced } if announced == sum.finish() => return Ok(()),
                Say::End { .. } => return Err(failed(format!("blocks of {name:?} were lost on the way"))),
                other => return Err(refused(format!("the source says {other:?} within a file"))),
            }
        }
    }

    fn note(&mut self, name: &str, identity: FileIdentity, verified: u64) -> Act<()> {
        let note = Note {
            path: name.to_owned(),
            identity,
            verified,
        };
        let mut line = serde_json::to_vec(&note).map_err(|error| failed(format!("a note: {error}")))?;
        line.push(b'\n');
        let resume = sibling(self.destination, ".resume");
        self.notes_file.write_all(&line).at("cannot write", &resume)?;
        self.notes_file.sync_data().at("cannot sync", &resume)
    }

    /// Everything came: puts it in place, in one step.
    fn commit(&mut self) -> Act<()> {
        if self.entries.is_empty() {
            return Err(refused("the source sent nothing"));
        }
        if self.cached {
            return Ok(());
        }
        self.strays_delete("")?;
        for (name, mode) in self.directories.iter().rev() {
            let path = if name.is_empty() {
                self.part.clone()
            } else {
                self.part.join(name)
            };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode & 0o777))
                .at("cannot set the mode of", &path)?;
            File::open(&path)
                .and_then(|file| file.sync_all())
                .at("cannot sync", &path)?;
        }
        times_now(&self.part)?;
        match std::fs::rename(&self.part, self.destination) {
            Ok(()) => {}
            Err(_) if self.destination.symlink_metadata().is_ok() => {
                // A directory cannot be replaced by renaming: the two change places, and the old one is deleted.
                rustix::fs::renameat_with(CWD, &self.part, CWD, self.destination, RenameFlags::EXCHANGE)
                    .at("cannot put in place", self.destination)?;
                entry_delete(&self.part)?;
            }
            Err(error) => return Err(error).at("cannot put in place", self.destination),
        }
        directory_sync(self.destination)
    }

    /// What an earlier try has left in the tree and this one did not send.
    fn strays_delete(&self, name: &str) -> Act<()> {
        if !self.directories.contains_key(name) {
            return Ok(());
        }
        let path = if name.is_empty() {
            self.part.clone()
        } else {
            self.part.join(name)
        };
        for entry in std::fs::read_dir(&path).at("cannot read", &path)? {
            let entry = entry.at("cannot read", &path)?;
            let child = entry.file_name().to_string_lossy().into_owned();
            let below = if name.is_empty() {
                child
            } else {
                format!("{name}/{child}")
            };
            if self.entries.contains(&below) {
                self.strays_delete(&below)?;
            } else {
                entry_delete(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A file that was complete in an earlier try and is now put in place must look new to whoever compares.
fn times_now(path: &Path) -> Act<()> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).at("cannot set the time of", path)
}

fn notes_read(path: &Path) -> Act<BTreeMap<String, (FileIdentity, u64)>> {
    let mut text = String::new();
    let file = File::open(path).at("cannot open", path)?;
    file.take(RESUME_BYTES_MAX)
        .read_to_string(&mut text)
        .at("cannot read", path)?;
    // A torn or foreign line only means that less is known.
    let notes = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Note>(line).ok());
    Ok(notes
        .map(|note| (note.path, (note.identity, note.verified)))
        .collect())
}
