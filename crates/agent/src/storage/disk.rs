//! Disks of VMs: copies, overlays, links, empty ones; in the layouts of the shared and qcow2 drivers.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plerion_protocol::{ActionOutput, DiskFormat};

use super::copy::file_copy;
use super::header::{HEADER_BYTES, backing_file};
use super::part::{DISK_MODE, PartFile, directory_make, link_replace};
use super::{mib_bytes, qemu_img};
use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::names;
use crate::process::Program;
use crate::roots::Roots;
use crate::roots::path_text;
use crate::state::directory_sync;

/// What to put on a new disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskContent {
    /// Nothing.
    Empty,
    /// A file system.
    FileSystem(String),
    /// Swap space.
    Swap,
}

impl DiskContent {
    /// From the two fields of an action.
    pub(crate) fn of(file_system: Option<&str>, swap: bool) -> Act<Self> {
        match (file_system, swap) {
            (None, false) => Ok(Self::Empty),
            (None, true) => Ok(Self::Swap),
            (Some(name), false) => names::file_system_check(name).map(|()| Self::FileSystem(name.to_owned())),
            (Some(_), true) => Err(refused("a disk is either swap space or holds a file system")),
        }
    }
}

/// See [`plerion_protocol::Action::DiskCopy`]. Where source and destination are the same file it is only grown.
pub(crate) fn disk_copy(
    roots: &Roots,
    source: &str,
    destination: &str,
    format: DiskFormat,
    size_mib: Option<u64>,
    limits: &Limits,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let destination = roots.target(destination)?;
    let (file, real) = roots.source_open(source)?;
    let bytes = size_mib.map(mib_bytes).transpose()?;
    if destination.canonicalize().is_ok_and(|existing| existing == real) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(&real)
            .at("cannot open", &real)?;
        disk_grow(&file, &real, format, bytes, limits)?;
        file.sync_all().at("cannot sync", &real)?;
    } else {
        let part = PartFile::begin(&destination, DISK_MODE)?;
        file_copy(&file, &part.file, limits)?;
        disk_grow(&part.file, part.part_path(), format, bytes, limits)?;
        part.commit()?;
    }
    Ok(ActionOutput {
        copy_us: micros(began),
        ..ActionOutput::default()
    })
}

/// See [`plerion_protocol::Action::DiskFlatten`].
pub(crate) fn disk_flatten(
    roots: &Roots,
    source: &str,
    destination: &str,
    format: DiskFormat,
    limits: &Limits,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let destination = roots.target(destination)?;
    let (file, real) = roots.source_open(source)?;
    if destination.canonicalize().is_ok_and(|existing| existing == real) {
        return match refers_to_others(&file, &real)? {
            true => Err(refused("a disk cannot be flattened onto itself")),
            false => Ok(ActionOutput::default()),
        };
    }
    let part = PartFile::begin(&destination, DISK_MODE)?;
    match format {
        DiskFormat::Raw => file_copy(&file, &part.file, limits)?,
        // qemu-img writes into the existing file, which keeps its mode.
        DiskFormat::Qcow2 => qemu_img::flatten(&real, part.part_path(), limits)?,
    }
    part.commit()?;
    Ok(ActionOutput {
        copy_us: micros(began),
        ..ActionOutput::default()
    })
}

/// Whether the file of a disk is a layer on another one.
fn refers_to_others(file: &File, path: &Path) -> Act<bool> {
    let mut header = [0; HEADER_BYTES];
    let count = file.read_at(&mut header, 0).at("cannot read", path)?;
    Ok(backing_file(header.get(..count).unwrap_or_default()).is_some())
}

/// Grows a disk to `bytes` if that is larger than it is.
fn disk_grow(file: &File, path: &Path, format: DiskFormat, bytes: Option<u64>, limits: &Limits) -> Act<()> {
    let Some(bytes) = bytes else { return Ok(()) };
    if bytes <= virtual_bytes(file, path, format)? {
        return Ok(());
    }
    match format {
        DiskFormat::Raw => file.set_len(bytes).at("cannot grow", path),
        DiskFormat::Qcow2 => qemu_img::grow(path, bytes, limits),
    }
}

/// Size of the disk in a file of a datastore; it may have a backing file, it is one of ours.
pub(super) fn virtual_bytes(file: &File, path: &Path, format: DiskFormat) -> Act<u64> {
    match format {
        DiskFormat::Raw => Ok(file.metadata().at("cannot look at", path)?.len()),
        DiskFormat::Qcow2 => {
            let mut header = [0; HEADER_BYTES];
            let count = file.read_at(&mut header, 0).at("cannot read", path)?;
            let size = header
                .get(24..32)
                .filter(|_| count >= 32 && header.starts_with(b"QFI\xfb"));
            let size = size.and_then(|size| size.try_into().ok()).map(u64::from_be_bytes);
            size.ok_or_else(|| failed(format!("{} is not a QCOW2 image", path.display())))
        }
    }
}

/// See [`plerion_protocol::Action::DiskOverlay`]. The overlay names its backing file by absolute path.
pub(crate) fn disk_overlay(
    roots: &Roots,
    backing: &str,
    backing_format: DiskFormat,
    destination: &str,
    size_mib: Option<u64>,
    limits: &Limits,
) -> Act<ActionOutput> {
    let destination = roots.target(destination)?;
    let (file, _) = roots.source_open(backing)?;
    let backing = Path::new(backing);
    let least = virtual_bytes(&file, backing, backing_format)?;
    let bytes = size_mib.map(mib_bytes).transpose()?.unwrap_or(0).max(least);
    let (directory, name) = snap_directory_make(&destination)?;
    let active = directory.join("0");
    let part = PartFile::begin(&active, DISK_MODE)?;
    qemu_img::overlay(part.part_path(), backing, backing_format, bytes, limits)?;
    part.commit()?;
    link_replace(&Path::new(&format!("{name}.snap")).join("0"), &destination)?;
    Ok(ActionOutput::default())
}

/// See [`plerion_protocol::Action::DiskLink`].
pub(crate) fn disk_link(
    roots: &Roots,
    source: &str,
    destination: &str,
    format: DiskFormat,
) -> Act<ActionOutput> {
    let destination = roots.target(destination)?;
    roots.source(source)?;
    let source = Path::new(source);
    let text = match format {
        DiskFormat::Raw => source.to_owned(),
        DiskFormat::Qcow2 => snap_highest(source)?,
    };
    link_replace(&text, &destination)?;
    Ok(ActionOutput::default())
}

/// Makes `<path>.snap` with the link to itself that lets relative backing names work from either level.
pub(super) fn snap_directory_make(path: &Path) -> Act<(PathBuf, String)> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| refused("a disk without a name"))?;
    let directory = path.with_file_name(format!("{name}.snap"));
    directory_make(&directory)?;
    let own = directory.join(format!("{name}.snap"));
    match std::os::unix::fs::symlink(".", &own) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).at("cannot make the link", &own)?;
        }
        _ => {}
    }
    Ok((directory, name.to_owned()))
}

/// The highest snapshot of a persistent QCOW2 image; on first use `0` becomes a link to the image itself.
fn snap_highest(source: &Path) -> Act<PathBuf> {
    let (directory, _) = snap_directory_make(source)?;
    let mut highest: Option<u64> = None;
    for entry in std::fs::read_dir(&directory).at("cannot read", &directory)? {
        let entry = entry.at("cannot read", &directory)?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        highest = highest.max(number);
    }
    let Some(highest) = highest else {
        let first = directory.join("0");
        std::os::unix::fs::symlink(source, &first).at("cannot make the link", &first)?;
        directory_sync(&first)?;
        return Ok(first);
    };
    Ok(directory.join(highest.to_string()))
}

/// See [`plerion_protocol::Action::DiskMake`].
pub(crate) fn disk_make(
    roots: &Roots,
    destination: &str,
    format: DiskFormat,
    size_mib: u64,
    content: &DiskContent,
    limits: &Limits,
) -> Act<ActionOutput> {
    let destination = roots.target(destination)?;
    let bytes = mib_bytes(size_mib)?;
    if format != DiskFormat::Raw && *content != DiskContent::Empty {
        return Err(refused(
            "a file system or swap space can be made on RAW disks only: set FORMAT=raw",
        ));
    }
    let part = PartFile::begin(&destination, DISK_MODE)?;
    match format {
        DiskFormat::Raw => part.file.set_len(bytes).at("cannot size", part.part_path())?,
        DiskFormat::Qcow2 => {
            // qemu-img writes into the existing file, which keeps its mode.
            qemu_img::create(part.part_path(), bytes, limits)?;
        }
    }
    match content {
        DiskContent::Empty => {}
        DiskContent::Swap => drop(
            Program::new("mkswap")
                .arg(path_text(part.part_path())?)
                .run_ok(limits)?,
        ),
        DiskContent::FileSystem(name) => file_system_make(name, part.part_path(), limits)?,
    }
    part.commit()?;
    Ok(ActionOutput::default())
}

/// Makes an empty disk of a size in bytes.
pub(crate) fn disk_make_empty(path: &Path, format: DiskFormat, bytes: u64, limits: &Limits) -> Act<()> {
    let part = PartFile::begin(path, DISK_MODE)?;
    match format {
        DiskFormat::Raw => part.file.set_len(bytes).at("cannot size", part.part_path())?,
        // qemu-img writes into the existing file, which keeps its mode.
        DiskFormat::Qcow2 => qemu_img::create(part.part_path(), bytes, limits)?,
    }
    part.commit()
}

fn file_system_make(name: &str, path: &Path, limits: &Limits) -> Act<()> {
    // What each program wants to hear before it writes to a plain file without asking.
    let flags: &[&str] = match name {
        "ext2" | "ext3" | "ext4" => &["-F", "-q"],
        "xfs" => &["-f", "-q"],
        "btrfs" => &["-f", "-q"],
        "ntfs" => &["-F", "-Q", "-q"],
        _ => &[],
    };
    Program::new(&format!("mkfs.{name}"))
        .args(flags)
        .arg(path_text(path)?)
        .run_ok(limits)
        .map(drop)
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
