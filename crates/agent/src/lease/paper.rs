//! What is written in a lease.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::fault::{Act, IoContext, failed};
use crate::state::file_write;

/// Directory of the leases beneath that of a datastore.
const DIRECTORY: &str = ".plerion/lease";
/// Longest lease that is read.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Paper {
    /// Kernel of the host.
    pub(super) boot_id: String,
    /// When it was renewed, in milliseconds by the host's own clock.
    pub(super) renewed_ms: u64,
    /// Guests that run there.
    pub(super) guests: Vec<PaperGuest>,
}

/// A guest, as its own host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaperGuest {
    /// UUID of its domain.
    pub(super) uuid: String,
    /// Why the locks on its disks prove nothing; absent where they do.
    pub(super) fault: Option<String>,
}

/// Where the lease of a host is.
pub(super) fn paper_path(datastore: &Path, cloud: &str, host: i32) -> PathBuf {
    datastore.join(DIRECTORY).join(format!("{cloud}-{host}"))
}

impl Paper {
    /// Writes it whole, durable when this returns.
    pub(super) fn write(&self, path: &Path) -> Act<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| failed(format!("cannot put the lease into words: {error}")))?;
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(directory)
                .at("cannot make the directory", directory)?;
        }
        file_write(path, &text, MODE)
    }

    /// Reads one; `None` where there is none.
    pub(super) fn read(path: &Path) -> Act<Option<Self>> {
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or(0);
        let file = match File::options().read(true).custom_flags(flags).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.at("cannot open", path)?,
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX)
            .read_to_end(&mut text)
            .at("cannot read", path)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| failed(format!("{} is no lease: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let place = Scratch::new("lease");
        let path = paper_path(place.path(), "cloud", 3);
        assert_eq!(Paper::read(&path).expect("read"), None);
        let paper = Paper {
            boot_id: "b".into(),
            renewed_ms: 7,
            guests: vec![PaperGuest {
                uuid: "u".into(),
                fault: None,
            }],
        };
        paper.write(&path).expect("written");
        assert_eq!(Paper::read(&path).expect("read"), Some(paper));
        std::fs::write(&path, "{").expect("written");
        assert!(Paper::read(&path).is_err(), "half a lease is none");
    }
}
