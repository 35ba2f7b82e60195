//! Deleting files and trees, and putting a file in the place of another.

use std::path::{Path, PathBuf};
use std::time::Instant;

use plerion_protocol::ActionOutput;

use super::copy::file_copy;
use super::part::{DISK_MODE, PartFile, directory_make, missing_is_fine, taken_path};
use crate::fault::{Act, IoContext, refused};
use crate::limits::Limits;
use crate::roots::{Roots, regular_open};
use crate::state::{directory_sync, part_path, sibling};

/// Suffix of a tree that is being deleted.
const GONE: &str = ".gone";

/// See [`plerion_protocol::Action::PathDelete`].
pub(crate) fn path_delete(roots: &Roots, path: &str) -> Act<ActionOutput> {
    let path = roots.disposable(path)?;
    let mut snap = path.clone().into_os_string();
    snap.push(".snap");
    // Unfinished and resumable leftovers of the same name go with it.
    let leftovers = [
        part_path(&path),
        part_path(&taken_path(&path)),
        sibling(&path, ".resume"),
        sibling(&path, ".fetch"),
        sibling(&path, GONE),
    ];
    // A tree goes as a whole: one that is half deleted must never be taken for the VM's files.
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let gone = sibling(&path, GONE);
        entry_delete(&gone)?;
        std::fs::rename(&path, &gone).at("cannot put away", &path)?;
    }
    for path in [path.clone(), PathBuf::from(snap)].into_iter().chain(leftovers) {
        entry_delete(&path)?;
    }
    if path.parent().is_some_and(Path::exists) {
        directory_sync(&path)?;
    }
    Ok(ActionOutput::default())
}

/// Deletes a file, a link (not what it points to) or a tree (links in it not followed).
pub(crate) fn entry_delete(path: &Path) -> Act<()> {
    let kind = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).at("cannot look at", path),
    };
    let result = if kind.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    missing_is_fine(result).at("cannot delete", path)
}

/// See [`plerion_protocol::Action::FileReplace`]. When the source is gone and the destination is there, it has been
/// done before.
pub(crate) fn file_replace(
    roots: &Roots,
    source: &str,
    destination: &str,
    limits: &Limits,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let destination = roots.disposable(destination)?;
    let named = roots.disposable(source)?;
    if named.symlink_metadata().is_err() && destination.is_file() {
        return Ok(ActionOutput::default());
    }
    let real = roots.source(source)?;
    if !real.is_file() {
        return Err(refused(format!("{} is not a file", real.display())));
    }
    if destination.canonicalize().is_ok_and(|existing| existing == real) {
        return Ok(ActionOutput::default());
    }
    if let Some(directory) = destination.parent() {
        directory_make(directory)?;
    }
    match std::fs::rename(&real, &destination) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            let (file, _) = regular_open(&real)?;
            let part = PartFile::begin(&destination, DISK_MODE)?;
            file_copy(&file, &part.file, limits)?;
            part.commit()?;
            std::fs::remove_file(&real).at("cannot remove", &real)?;
        }
        Err(error) => return Err(error).at("cannot put in place", &destination),
    }
    if named != real {
        // The name was a link to what has just been moved away.
        entry_delete(&named)?;
    }
    directory_sync(&destination)?;
    directory_sync(&named)?;
    let copy_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(ActionOutput {
        copy_us,
        ..ActionOutput::default()
    })
}
