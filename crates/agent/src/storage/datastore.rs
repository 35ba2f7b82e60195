//! The space of a datastore.

use std::path::Path;

use plerion_protocol::{ActionOutput, DatastoreSample};

use super::MIB;
use super::part::directory_make;
use crate::fault::{Act, IoContext};
use crate::roots::Roots;

/// See [`plerion_protocol::Action::DatastoreStat`].
pub(crate) fn datastore_stat(roots: &Roots, path: &str) -> Act<ActionOutput> {
    let path = roots.target(path)?;
    directory_make(&path)?;
    let space = datastore_space(-1, &path)?;
    Ok(ActionOutput {
        space: Some(space),
        ..ActionOutput::default()
    })
}

/// The space of the file system that holds `path`. What is reserved for root counts neither as used nor as free.
pub(crate) fn datastore_space(id: i32, path: &Path) -> Act<DatastoreSample> {
    let space = rustix::fs::statvfs(path).at("cannot measure", path)?;
    let mib = |blocks: u64| blocks.saturating_mul(space.f_frsize) / MIB;
    Ok(DatastoreSample {
        id,
        total_mib: mib(space.f_blocks),
        used_mib: mib(space.f_blocks.saturating_sub(space.f_bfree)),
        free_mib: mib(space.f_bavail),
    })
}
