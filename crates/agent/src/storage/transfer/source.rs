//! The end of a transfer that reads.

use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::flush;
use super::wire::{
    Answer, BlockSum, EntryKind, FileIdentity, Say, answered, block_digest, reason_pending, refusal_write,
    say,
};
use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::roots::path_text;
use crate::roots::regular_open;
use crate::storage::copy::{BLOCK_BYTES, data_next, is_zero};

/// Directories within directories.
const DEPTH_MAX: usize = 32;
/// Entries of a tree.
const ENTRIES_MAX: usize = 100_000;

struct Source<'a, R, W> {
    reader: &'a mut R,
    writer: &'a mut W,
    limits: &'a Limits,
    entries: usize,
    /// Set when the sink said that it cannot go on.
    refused: bool,
}

/// Sends what is at `root`, whose links have been followed already.
pub(crate) fn source_serve<R: Read, W: Write>(
    root: &Path,
    reader: &mut R,
    writer: &mut W,
    limits: &Limits,
) -> Act<()> {
    let mut source = Source {
        reader,
        writer,
        limits,
        entries: 0,
        refused: false,
    };
    let result = source.run(root);
    match result {
        Err(error) if !source.refused => {
            // When the sink cannot be told, it has gone, and before that it may have said why.
            let lost = refusal_write(source.writer, &error).is_err();
            Err(if lost {
                reason_pending(source.reader).unwrap_or(error)
            } else {
                error
            })
        }
        other => other,
    }
}

impl<R: Read, W: Write> Source<'_, R, W> {
    fn run(&mut self, root: &Path) -> Act<()> {
        self.entry_send(root, "", 0)?;
        say(self.writer, &Say::Commit)?;
        flush(self.writer)?;
        match self.answer_await()? {
            Answer::Done => Ok(()),
            other => Err(failed(format!(
                "the other end answered {other:?} instead of being done"
            ))),
        }
    }

    fn answer_await(&mut self) -> Act<Answer> {
        match answered(self.reader)? {
            Answer::Fail(error) => {
                self.refused = true;
                Err(error)
            }
            other => Ok(other),
        }
    }

    fn entry_send(&mut self, path: &Path, name: &str, depth: usize) -> Act<()> {
        self.limits.remaining()?;
        self.entries += 1;
        if self.entries > ENTRIES_MAX || depth > DEPTH_MAX {
            return Err(refused(format!(
                "{} holds too many or too deep directories",
                path.display()
            )));
        }
        let metadata = path.symlink_metadata().at("cannot look at", path)?;
        let kind = metadata.file_type();
        if kind.is_file() {
            self.file_send(path, name)
        } else if kind.is_dir() {
            self.directory_send(path, name, &metadata, depth)
        } else if kind.is_symlink() {
            let text = std::fs::read_link(path).at("cannot read the link", path)?;
            let text = path_text(&text)?.to_owned();
            say(
                self.writer,
                &Say::Entry {
                    path: name.to_owned(),
                    kind: EntryKind::Link { text },
                },
            )
        } else if name.is_empty() {
            Err(refused(format!(
                "{} is neither a file nor a directory",
                path.display()
            )))
        } else {
            // Sockets and pipes of a guest mean nothing elsewhere.
            tracing::info!(path = %path.display(), "left out of a transfer: neither file, directory nor link");
            Ok(())
        }
    }

    fn directory_send(&mut self, path: &Path, name: &str, metadata: &Metadata, depth: usize) -> Act<()> {
        let kind = EntryKind::Directory {
            mode: metadata.mode() & 0o777,
        };
        say(
            self.writer,
            &Say::Entry {
                path: name.to_owned(),
                kind,
            },
        )?;
        let mut children = Vec::new();
        for entry in std::fs::read_dir(path).at("cannot read", path)? {
            let entry = entry.at("cannot read", path)?;
            let child = entry.file_name();
            children.push(child.to_str().map(str::to_owned).ok_or_else(|| {
                refused(format!("{} holds a name that is not valid UTF-8", path.display()))
            })?);
        }
        children.sort();
        for child in children {
            // What another transfer or copy has not finished is no part of the tree.
            if child.starts_with('.') && (child.ends_with(".part") || child.ends_with(".resume")) {
                continue;
            }
            let below = if name.is_empty() {
                child.clone()
            } else {
                format!("{name}/{child}")
            };
            self.entry_send(&path.join(&child), &below, depth + 1)?;
        }
        Ok(())
    }

    fn file_send(&mut self, path: &Path, name: &str) -> Act<()> {
        let (file, _) = regular_open(path)?;
        let identity = identity_of(&file.metadata().at("cannot look at", path)?);
        say(
            self.writer,
            &Say::Entry {
                path: name.to_owned(),
                kind: EntryKind::File(identity),
            },
        )?;
        flush(self.writer)?;
        let have = match self.answer_await()? {
            Answer::Have(have) => have.min(identity.size),
            other => {
                return Err(failed(format!(
                    "the other end answered {other:?} instead of what it has"
                )));
            }
        };
        let mut sum = BlockSum::default();
        let mut position = have;
        while let Some((begin, end)) = data_next(&file, position, identity.size)? {
            self.range_send(&file, begin, end, &mut sum)?;
            position = end;
        }
        if identity_of(&file.metadata().at("cannot look at", path)?) != identity {
            return Err(failed(format!(
                "{} was changed while it was sent: send it again",
                path.display()
            )));
        }
        say(self.writer, &Say::End { sum: sum.finish() })
    }

    fn range_send(&mut self, file: &File, begin: u64, end: u64, sum: &mut BlockSum) -> Act<()> {
        let mut buffer = vec![0; BLOCK_BYTES];
        let mut position = begin;
        while position < end {
            self.limits.remaining()?;
            let wanted = usize::try_from(end - position)
                .unwrap_or(BLOCK_BYTES)
                .min(BLOCK_BYTES);
            let block = &mut buffer[..wanted];
            file.read_exact_at(block, position)
                .map_err(|error| failed(format!("cannot read the source: {error}")))?;
            if !is_zero(block) {
                let sha256 = block_digest(block);
                sum.add(position, &sha256);
                let length = u32::try_from(wanted).map_err(|_| failed("a block is too long"))?;
                say(
                    self.writer,
                    &Say::Data {
                        offset: position,
                        length,
                        sha256,
                    },
                )?;
                self.writer
                    .write_all(block)
                    .map_err(|error| failed(format!("the other end of the transfer was lost: {error}")))?;
            }
            position += wanted as u64;
        }
        Ok(())
    }
}

fn identity_of(metadata: &Metadata) -> FileIdentity {
    FileIdentity {
        size: metadata.len(),
        modified_s: metadata.mtime(),
        modified_ns: metadata.mtime_nsec(),
        mode: metadata.mode() & 0o777,
    }
}
