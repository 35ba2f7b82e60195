//! Snapshots of QCOW2 disks, in the layout of the shared and qcow2 drivers: the files of a disk lie numbered in a directory
//! `NAME.snap`, each on the one that it follows from, and `disk.N` is a link to the one that is written to. Taking snapshot
//! `S` leaves what was written in the file `S` and goes on in `S+1`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plerion_protocol::{ActionOutput, DiskFormat, SnapshotWork};

use super::disk::{snap_directory_make, virtual_bytes};
use super::file::entry_delete;
use super::header::{HEADER_BYTES, backing_file};
use super::part::{DISK_MODE, PartFile, link_replace};
use super::qemu_img;
use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::roots::{Roots, path_text, regular_open};
use crate::state::directory_sync;

/// A disk and the files that it is made of.
struct Chain {
    /// `…/disk.N`.
    disk: PathBuf,
    /// `…/NAME.snap`.
    directory: PathBuf,
    /// `NAME.snap`.
    name: String,
    /// The file in the directory that is written to; `None` where the disk is still a file of its own.
    active: Option<String>,
    /// Whether the link names the directory by its absolute path.
    absolute: bool,
}

/// A snapshot of a disk that is open: the domain has to be told to go on in `file`.
pub(crate) struct Taken {
    /// What is written to from now on.
    pub(crate) file: PathBuf,
    chain: Chain,
    snapshot: u32,
    /// Whether it was made by an earlier try, whose traces are not known.
    again: bool,
}

impl Chain {
    fn of(roots: &Roots, path: &str) -> Act<Self> {
        let disk = roots.target(path)?;
        let metadata = disk.symlink_metadata().at("cannot find the disk", &disk)?;
        if !metadata.file_type().is_symlink() {
            let name = format!("{}.snap", name_of(&disk)?);
            let mut chain = Self {
                directory: disk.with_file_name(&name),
                disk,
                name,
                active: None,
                absolute: false,
            };
            chain.active = chain.of_image()?;
            return Ok(chain);
        }
        let link = std::fs::read_link(&disk).at("cannot read the link", &disk)?;
        let parent = disk.parent().unwrap_or(Path::new("/"));
        let file = roots.target(path_text(&parent.join(&link))?)?;
        let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
        let name = name_of(&directory)?;
        if !name.ends_with(".snap") {
            return Err(refused(format!(
                "{} leads to {}, which is no directory for snapshots",
                disk.display(),
                file.display()
            )));
        }
        Ok(Self {
            active: Some(name_of(&file)?),
            absolute: link.is_absolute(),
            disk,
            directory,
            name,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The file that VMs write to of an image that has been persistent: the image itself is the lowest file, which is a link to
    /// it. `None` of a disk that is no such image.
    fn of_image(&self) -> Act<Option<String>> {
        if !self.directory.is_dir() {
            return Ok(None);
        }
        let numbers = self.numbers()?;
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Ok(None);
        };
        let first = self.file(&first.to_string());
        let leads = |path: &Path| path.canonicalize().ok();
        let is_image = first.is_symlink() && leads(&first) == leads(&self.disk);
        Ok(is_image.then(|| last.to_string()))
    }

    /// What a file of the chain is called by those that follow from it; it holds from within the directory and beside it.
    fn backing(&self, snapshot: u32) -> PathBuf {
        Path::new(&self.name).join(snapshot.to_string())
    }

    /// Has the disk's name lead to a file of the directory.
    fn lead_to(&self, file: &str) -> Act<()> {
        let text = if self.absolute {
            self.file(file)
        } else {
            Path::new(&self.name).join(file)
        };
        link_replace(&text, &self.disk)
    }

    /// Makes an empty file on top of a snapshot, in place of what has that name.
    fn overlay(&self, file: &str, snapshot: u32, limits: &Limits) -> Act<()> {
        let below = self.file(&snapshot.to_string());
        let (open, real) = regular_open(&below)?;
        let bytes = virtual_bytes(&open, &real, DiskFormat::Qcow2)?;
        let part = PartFile::begin(&self.file(file), DISK_MODE)?;
        qemu_img::overlay_unopened(part.part_path(), &self.backing(snapshot), bytes, limits)?;
        part.commit()
    }

    /// The number of the snapshot that a file of the directory is on.
    fn follows(&self, file: &str) -> Act<Option<String>> {
        let path = self.file(file);
        let mut header = [0; HEADER_BYTES];
        let (open, real) = regular_open(&path)?;
        let count = std::os::unix::fs::FileExt::read_at(&open, &mut header, 0).at("cannot read", &real)?;
        let backing = backing_file(header.get(..count).unwrap_or_default());
        Ok(backing
            .filter(|backing| {
                backing
                    .parent()
                    .is_some_and(|parent| parent.ends_with(&self.name))
            })
            .and_then(|backing| backing.file_name())
            .and_then(|name| name.to_str())
            .map(str::to_owned))
    }

    /// Numbers of the files in the directory.
    fn numbers(&self) -> Act<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.directory).at("cannot read", &self.directory)? {
            let entry = entry.at("cannot read", &self.directory)?;
            numbers.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u32>().ok()),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Gives what was written the name of the snapshot, beside the name that it has.
    fn name_snapshot(&self, snapshot: u32) -> Act<()> {
        let wanted = snapshot.to_string();
        let current = match &self.active {
            Some(active) if *active == wanted => return Ok(()),
            Some(active) => self.file(active),
            None => self.disk.clone(),
        };
        let file = self.file(&wanted);
        match std::fs::hard_link(&current, &file) {
            Ok(()) => directory_sync(&file),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && same(&current, &file) => {
                Ok(())
            }
            Err(error) => Err(error).at("cannot give the disk the name of the snapshot,", &file),
        }
    }
}

fn name_of(path: &Path) -> Act<String> {
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| refused(format!("{} has no name", path.display())))
}

/// Whether two names are of one file.
fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        path.symlink_metadata()
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

fn next_of(snapshot: u32) -> Act<String> {
    snapshot
        .checked_add(1)
        .map(|next| next.to_string())
        .ok_or_else(|| refused("the number of the snapshot is too large"))
}

/// See [`plerion_protocol::Action::DiskSnapshot`].
pub(crate) fn disk_snapshot(
    roots: &Roots,
    path: &str,
    snapshot: u32,
    work: SnapshotWork,
    limits: &Limits,
) -> Act<ActionOutput> {
    match work {
        SnapshotWork::Take => {
            let taken = snapshot_take(roots, path, snapshot, limits)?;
            // Its other name is not needed: nothing has the file open.
            if let Some(active) = taken.chain.active.filter(|_| !taken.again)
                && active != snapshot.to_string()
            {
                entry_delete(&taken.chain.directory.join(active))?;
            }
        }
        SnapshotWork::Revert => snapshot_revert(&Chain::of(roots, path)?, snapshot, limits)?,
        SnapshotWork::Delete => snapshot_delete(&Chain::of(roots, path)?, snapshot)?,
    }
    Ok(ActionOutput::default())
}

/// Takes a snapshot as far as files go. Until whoever has the disk open goes on in the new file, what it writes to is what
/// the new file shows: nothing is lost if it never does.
pub(crate) fn snapshot_take(roots: &Roots, path: &str, snapshot: u32, limits: &Limits) -> Act<Taken> {
    let chain = Chain::of(roots, path)?;
    let next = next_of(snapshot)?;
    let again = chain.active.as_ref() == Some(&next) && chain.follows(&next)? == Some(snapshot.to_string());
    if !again {
        if chain.active.is_none() {
            snap_directory_make(&chain.disk)?;
        }
        chain.name_snapshot(snapshot)?;
        let made = chain
            .overlay(&next, snapshot, limits)
            .and_then(|()| chain.lead_to(&next));
        if let Err(error) = made {
            return Err(untaken(&chain, snapshot, &next, error));
        }
    }
    Ok(Taken {
        file: chain.file(&next),
        chain,
        snapshot,
        again,
    })
}

/// Removes the names that a try has made which came to nothing.
fn untaken(
    chain: &Chain,
    snapshot: u32,
    next: &str,
    error: plerion_protocol::ActionError,
) -> plerion_protocol::ActionError {
    let mut made = vec![next.to_owned()];
    if chain.active != Some(snapshot.to_string()) {
        made.push(snapshot.to_string());
    }
    for name in made {
        if let Err(error) = entry_delete(&chain.file(&name)) {
            tracing::warn!(%error, "left after a snapshot that was not taken");
        }
    }
    error
}

impl Taken {
    /// The disk has not gone on in the new file: its name leads to what it was before.
    pub(crate) fn undo(self) -> Act<()> {
        let next = next_of(self.snapshot)?;
        if let (Some(active), false) = (&self.chain.active, self.again) {
            self.chain.lead_to(active)?;
            if *active != self.snapshot.to_string() {
                entry_delete(&self.chain.file(&self.snapshot.to_string()))?;
            }
        } else {
            self.chain.lead_to(&self.snapshot.to_string())?;
        }
        entry_delete(&self.chain.file(&next))
    }

    /// Whether the disk was a file of its own, by whose name the domain knows it.
    pub(crate) fn is_first(&self) -> bool {
        self.chain.active.is_none()
    }
}

fn snapshot_revert(chain: &Chain, snapshot: u32, limits: &Limits) -> Act<()> {
    let Some(active) = chain
        .active
        .as_ref()
        .filter(|active| **active != snapshot.to_string())
    else {
        return Err(refused(format!(
            "{} has no snapshot {snapshot}",
            chain.disk.display()
        )));
    };
    if !chain.file(&snapshot.to_string()).exists() {
        return Err(failed(format!(
            "the file of snapshot {snapshot} is missing: {}",
            chain.file(&snapshot.to_string()).display()
        )));
    }
    chain.overlay(active, snapshot, limits)
}

fn snapshot_delete(chain: &Chain, snapshot: u32) -> Act<()> {
    let wanted = snapshot.to_string();
    if !chain.directory.is_dir() || chain.file(&wanted).symlink_metadata().is_err() {
        return Ok(());
    }
    for number in chain.numbers()? {
        let name = number.to_string();
        if name != wanted && chain.follows(&name)?.as_ref() != Some(&wanted) {
            continue;
        }
        let what = match &chain.active {
            Some(active) if *active == name => "the disk as it is now".to_owned(),
            _ if name == wanted => continue,
            _ => format!("snapshot {name}"),
        };
        return Err(refused(format!(
            "snapshot {snapshot} cannot be deleted: {what} follows from it (in {})",
            chain.directory.display()
        )));
    }
    entry_delete(&chain.file(&wanted))?;
    directory_sync(&chain.file(&wanted))
}
