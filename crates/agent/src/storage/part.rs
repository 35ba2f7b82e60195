//! Files that appear under their name only when they are whole.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::fault::{Act, IoContext};
use crate::state::{directory_sync, part_path};

/// Mode of disks and images: the user of the guests reaches them by group.
pub(crate) const DISK_MODE: u32 = 0o660;
/// What follows the name of a raw copy in the name of the QCOW2 file that it is made of.
const TAKEN: &str = ".taken";

/// A file being made at `.NAME.part`; removed when dropped before [`PartFile::commit`].
pub(crate) struct PartFile {
    pub(crate) file: File,
    part: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl PartFile {
    /// Begins the file `path`; makes its directory when missing. A leftover of an earlier try is thrown away.
    pub(crate) fn begin(path: &Path, mode: u32) -> Act<Self> {
        if let Some(directory) = path.parent() {
            directory_make(directory)?;
        }
        let part = part_path(path);
        missing_is_fine(std::fs::remove_file(&part)).at("cannot remove", &part)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&part)
            .at("cannot make", &part)?;
        // The umask does not count: the mode is what other users of the file rely on.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        file.set_permissions(permissions)
            .at("cannot set the mode of", &part)?;
        Ok(Self {
            file,
            part,
            path: path.to_owned(),
            kept: false,
        })
    }

    /// Where it is being written.
    pub(crate) fn part_path(&self) -> &Path {
        &self.part
    }

    /// Puts the file in place, durable when this returns.
    pub(crate) fn commit(mut self) -> Act<()> {
        self.file.sync_all().at("cannot sync", &self.part)?;
        std::fs::rename(&self.part, &self.path).at("cannot put in place", &self.path)?;
        self.kept = true;
        directory_sync(&self.path)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = missing_is_fine(std::fs::remove_file(&self.part))
        {
            tracing::warn!(path = %self.part.display(), %error, "cannot remove an unfinished file");
        }
    }
}

/// Where the QCOW2 file is that becomes a raw copy.
pub(super) fn taken_path(destination: &Path) -> PathBuf {
    let mut path = destination.as_os_str().to_owned();
    path.push(TAKEN);
    path.into()
}

/// Makes a directory with its parents.
pub(crate) fn directory_make(directory: &Path) -> Act<()> {
    std::fs::create_dir_all(directory).at("cannot make the directory", directory)
}

/// Makes `link` a symbolic link with the text `text`, replacing what is there in one step.
pub(crate) fn link_replace(text: &Path, link: &Path) -> Act<()> {
    if let Some(directory) = link.parent() {
        directory_make(directory)?;
    }
    let part = part_path(link);
    missing_is_fine(std::fs::remove_file(&part)).at("cannot remove", &part)?;
    std::os::unix::fs::symlink(text, &part).at("cannot make the link", &part)?;
    std::fs::rename(&part, link).at("cannot put in place the link", link)?;
    directory_sync(link)
}

/// Turns "there is no such file" into success.
pub(crate) fn missing_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
