//! What cached images were at their source: a file in the cache that has not been touched since is not sent again.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::wire::FileIdentity;
use crate::fault::{Act, failed};
use crate::state::{file_write, sibling};
use crate::storage::cache::CACHE;

/// Mode of the notes.
const NOTE_MODE: u32 = 0o600;

/// The source's file, and the file here as it was left.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Origin {
    source: FileIdentity,
    inode: u64,
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

/// Whether origins are kept for a destination: it lies in an image cache.
pub(crate) fn is_kept(destination: &Path) -> bool {
    destination
        .parent()
        .and_then(Path::file_name)
        .is_some_and(|name| name == CACHE)
}

/// The origin that the file at `destination` has if it came from `source`.
fn origin_of(destination: &Path, source: FileIdentity) -> Option<Origin> {
    let metadata = destination
        .symlink_metadata()
        .ok()
        .filter(std::fs::Metadata::is_file)?;
    Some(Origin {
        source,
        inode: metadata.ino(),
        size: metadata.size(),
        mtime_s: metadata.mtime(),
        mtime_ns: metadata.mtime_nsec(),
    })
}

/// Whether the file at `destination` is what `source` is, untouched since it came.
pub(crate) fn holds(destination: &Path, source: FileIdentity) -> bool {
    let noted = std::fs::read(sibling(destination, ".origin"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Origin>(&text).ok());
    noted.is_some() && noted == origin_of(destination, source)
}

/// Notes where the file at `destination` came from.
pub(crate) fn write(destination: &Path, source: FileIdentity) -> Act<()> {
    let Some(origin) = origin_of(destination, source) else {
        return Ok(());
    };
    let text = serde_json::to_vec(&origin).map_err(|error| failed(format!("a note: {error}")))?;
    file_write(&sibling(destination, ".origin"), &text, NOTE_MODE)
}
