//! What the two ends of a transfer say.
//!
//! From the source: [`Say`] frames in JSON; after [`Say::Data`] the bytes of one block follow bare. From the sink:
//! [`Answer`] frames. Holes and blocks of zeroes are not sent.

use std::io::{Read, Write};

use plerion_protocol::{ActionError, frame_read, frame_write};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{flush, frame_failed};
use crate::fault::{Act, failed};
use crate::storage::MIB;
use crate::storage::copy::BLOCK_BYTES;

/// Largest block of data, in bytes.
pub(crate) const DATA_BYTES_MAX: usize = BLOCK_BYTES * 16;
/// Largest file, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024 * MIB;

/// From the source.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Say {
    /// The next thing, by its path within the tree (empty for what was asked for itself). A file is answered by
    /// [`Answer::Have`].
    Entry { path: String, kind: EntryKind },
    /// A block of the current file; its bytes follow.
    Data {
        offset: u64,
        length: u32,
        sha256: String,
    },
    /// The current file is complete; `sum` is over all blocks sent for it in this session.
    End { sum: String },
    /// Everything was sent.
    Commit,
    /// The source cannot go on.
    Fail(ActionError),
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    /// A file.
    File(FileIdentity),
    /// A directory; what is in it follows.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        text: String,
    },
}

/// Tells whether a file that was sent in part is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    pub(crate) size: u64,
    pub(crate) modified_s: i64,
    pub(crate) modified_ns: i64,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// From the sink.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Bytes of the file just named that are here and verified; go on from there.
    Have(u64),
    /// All is in place and on disk.
    Done,
    /// The sink cannot go on.
    Fail(ActionError),
}

/// The digest over the blocks of a file.
#[derive(Default)]
pub(crate) struct BlockSum {
    state: Sha256,
}

impl BlockSum {
    /// Takes a block's offset and digest.
    pub(crate) fn add(&mut self, offset: u64, sha256: &str) {
        self.state.update(offset.to_be_bytes());
        self.state.update(sha256.as_bytes());
    }

    /// The digest.
    pub(crate) fn finish(self) -> String {
        hex(&self.state.finalize())
    }
}

/// Digest of a block.
pub(crate) fn block_digest(block: &[u8]) -> String {
    hex(&Sha256::digest(block))
}

fn hex(bytes: &[u8]) -> String {
    crate::storage::digest::hex(bytes)
}

/// Writes a message; flushed by the caller.
pub(crate) fn say(writer: &mut impl Write, message: &Say) -> Act<()> {
    // Not through `frame_write`, which would flush every block.
    let json = serde_json::to_vec(message).map_err(|error| failed(format!("a message: {error}")))?;
    let length = u32::try_from(json.len()).map_err(|_| failed("a message of a transfer is too long"))?;
    let lost = |error: std::io::Error| failed(format!("the other end of the transfer was lost: {error}"));
    writer.write_all(&length.to_be_bytes()).map_err(lost)?;
    writer.write_all(&json).map_err(lost)
}

/// Reads what the source says.
pub(crate) fn said(reader: &mut impl Read) -> Act<Say> {
    match frame_read(reader).map_err(|error| frame_failed(&error))? {
        Some(Say::Fail(error)) => Err(error),
        Some(message) => Ok(message),
        None => Err(failed("the other end of the transfer went away")),
    }
}

/// Writes an answer.
pub(crate) fn answer(writer: &mut impl Write, message: &Answer) -> Act<()> {
    frame_write(writer, message).map_err(|error| frame_failed(&error))
}

/// Reads an answer.
pub(crate) fn answered(reader: &mut impl Read) -> Act<Answer> {
    let answer = frame_read(reader).map_err(|error| frame_failed(&error))?;
    answer.ok_or_else(|| failed("the other end of the transfer went away"))
}

/// What a sink that has gone said last, if that was why it cannot go on.
pub(crate) fn reason_pending(reader: &mut impl Read) -> Option<ActionError> {
    loop {
        match frame_read(reader) {
            Ok(Some(Answer::Fail(error))) => return Some(error),
            Ok(Some(Answer::Have(_) | Answer::Done)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Says to whoever listens that this end cannot take part. Both directions name failure alike.
pub(crate) fn refusal_write(writer: &mut impl Write, error: &ActionError) -> Act<()> {
    say(writer, &Say::Fail(error.clone()))?;
    flush(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_understood_by_both_directions() {
        let mut bytes = Vec::new();
        refusal_write(&mut bytes, &failed("no")).expect("written");
        assert_eq!(said(&mut bytes.as_slice()).expect_err("a refusal").text, "no");
        let answer = answered(&mut bytes.as_slice()).expect("an answer");
        assert!(matches!(answer, Answer::Fail(error) if error.text == "no"));
        assert_eq!(
            reason_pending(&mut bytes.as_slice()).expect("a reason").text,
            "no"
        );
    }
}
