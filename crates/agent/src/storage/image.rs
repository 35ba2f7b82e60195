//! Taking images into a datastore, and looking at them without taking them.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use plerion_protocol::{ActionOutput, DiskFormat, ImageSource};

use super::copy::{block_read, file_copy, stream_write};
use super::digest::Checker;
use super::header::{HEADER_BYTES, compression_of, format_of, format_require};
use super::part::{DISK_MODE, PartFile};
use super::unpack::Unpacked;
use super::{MIB, fetch, mib_bytes, qemu_img};
use crate::fault::{Act, IoContext, failed, refused};
use crate::limits::Limits;
use crate::roots::{Roots, normalized, regular_open};
use crate::state::sibling;

/// Time to look at an image that is in place already.
const LOOK_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes read between two looks at the deadline, when only a digest is computed.
const DIGEST_BYTES: usize = 1024 * 1024;

/// What an image must be to be taken.
pub(crate) struct Wanted<'a> {
    /// Its format; found out when absent.
    pub(crate) format: Option<DiskFormat>,
    /// Digest of what is fetched.
    pub(crate) checksum: Option<&'a str>,
    /// Largest result.
    pub(crate) size_limit_mib: u64,
}

/// See [`plerion_protocol::Action::ImageRegister`].
pub(crate) fn image_register(
    roots: &Roots,
    source: &ImageSource,
    destination: &str,
    wanted: &Wanted<'_>,
    limits: &Limits,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let destination = roots.target(destination)?;
    let bytes_max = mib_bytes(wanted.size_limit_mib)?;
    let checker = wanted.checksum.map(Checker::new).transpose()?;
    let fetched = image_fetch(source, &destination, bytes_max, checker, limits)?;
    let mut part = PartFile::begin(&destination, DISK_MODE)?;
    match compression_of(&header_read(&fetched.file)?) {
        None => {
            let size = fetched
                .file
                .metadata()
                .map_err(|error| failed(format!("the image: {error}")))?
                .len();
            if size > bytes_max {
                return Err(refused(format!(
                    "the image has {} MiB, more than the {} MiB allowed here",
                    size.div_ceil(MIB),
                    wanted.size_limit_mib
                )));
            }
            file_copy(&fetched.file, &part.file, limits)?;
        }
        Some(compression) => {
            let input = fetched
                .file
                .try_clone()
                .map_err(|error| failed(format!("the image: {error}")))?;
            let mut unpacked = Unpacked::begin(input, compression, limits)?;
            stream_write(&mut unpacked, &mut part.file, bytes_max, limits, |_| {})?;
            unpacked.finish()?;
        }
    }
    let output = image_look(&part.file, part.part_path(), wanted.format, limits)?;
    part.commit()?;
    let copy_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(ActionOutput { copy_us, ..output })
}

/// What was fetched; a downloaded one is removed with this.
struct Fetched {
    file: File,
    /// The temporary file of a download, removed at the end.
    _download: Option<PartFile>,
}

fn image_fetch(
    source: &ImageSource,
    destination: &Path,
    bytes_max: u64,
    checker: Option<Checker>,
    limits: &Limits,
) -> Act<Fetched> {
    match source {
        ImageSource::Path { path, safe_dirs } => {
            let mut file = safe_open(path, safe_dirs)?;
            if let Some(checker) = checker {
                file_digest(&mut file, checker, limits)?;
            }
            Ok(Fetched {
                file,
                _download: None,
            })
        }
        ImageSource::Url { url, private_allowed } => {
            let mut download = fetch::download_begin(url, *private_allowed, limits)?;
            if download.length.is_some_and(|length| length > bytes_max) {
                return Err(refused(format!(
                    "{url} is larger than the {} MiB allowed here",
                    bytes_max / MIB
                )));
            }
            let mut checker = checker;
            let mut part = PartFile::begin(&sibling(destination, ".fetch"), 0o600)?;
            stream_write(&mut download.body, &mut part.file, bytes_max, limits, |piece| {
                if let Some(checker) = &mut checker {
                    checker.update(piece);
                }
            })?;
            checker.map_or(Ok(()), Checker::check)?;
            part.file.rewind().at("cannot rewind", part.part_path())?;
            let file = part.file.try_clone().at("cannot open", part.part_path())?;
            Ok(Fetched {
                file,
                _download: Some(part),
            })
        }
    }
}

/// Opens a file of the front-end that users may take images from. The file is asked where it is after it was opened,
/// so a link put in its way changes nothing.
fn safe_open(path: &str, safe_dirs: &[String]) -> Act<File> {
    let path = normalized(path)?;
    let (file, real) = regular_open(&path)?;
    let safe = safe_dirs.iter().any(|safe| {
        let Ok(safe) = normalized(safe) else { return false };
        let real_safe = safe.canonicalize().unwrap_or_else(|_| safe.clone());
        path.starts_with(&safe) && real.starts_with(real_safe)
    });
    if safe {
        return Ok(file);
    }
    Err(refused(format!(
        "{} is not beneath a directory that images may be taken from ({}): move it there, or add its directory to \
         SAFE_DIRS of the datastore",
        real.display(),
        safe_dirs.join(", ")
    )))
}

fn file_digest(file: &mut File, mut checker: Checker, limits: &Limits) -> Act<()> {
    let mut buffer = vec![0; DIGEST_BYTES];
    loop {
        limits.remaining()?;
        let count = block_read(file, &mut buffer)?;
        if count == 0 {
            break;
        }
        checker.update(&buffer[..count]);
    }
    checker.check()?;
    file.rewind()
        .map_err(|error| failed(format!("cannot rewind the image: {error}")))
}

/// See [`plerion_protocol::Action::ImageStat`]. For a compressed image at a URL the size is that of the download, a
/// lower bound: the whole would have to be fetched to know more.
pub(crate) fn image_stat(source: &ImageSource, limits: &Limits) -> Act<ActionOutput> {
    match source {
        ImageSource::Path { path, safe_dirs } => {
            let file = safe_open(path, safe_dirs)?;
            let header = header_read(&file)?;
            match compression_of(&header) {
                None => {
                    let size = file
                        .metadata()
                        .map_err(|error| failed(format!("the image: {error}")))?
                        .len();
                    stat_output(&header, size)
                }
                Some(compression) => {
                    let mut unpacked = Unpacked::begin(file, compression, limits)?;
                    let (header, size) = stream_measure(&mut unpacked, limits)?;
                    unpacked.finish()?;
                    stat_output(&header, size)
                }
            }
        }
        ImageSource::Url { url, private_allowed } => {
            let mut download = fetch::download_begin(url, *private_allowed, limits)?;
            let mut header = vec![0; HEADER_BYTES];
            let count = block_read(&mut download.body, &mut header)?;
            header.truncate(count);
            let length = download.length.ok_or_else(|| {
                failed(format!(
                    "the server does not say how large {url} is: give SIZE yourself"
                ))
            })?;
            if compression_of(&header).is_some() {
                return Ok(ActionOutput {
                    size_mib: Some(length.div_ceil(MIB)),
                    ..ActionOutput::default()
                });
            }
            stat_output(&header, length)
        }
    }
}

fn stat_output(header: &[u8], size: u64) -> Act<ActionOutput> {
    let (format, qcow2) = format_of(header)?;
    let bytes = qcow2.map_or(size, |qcow2| qcow2.virtual_bytes);
    Ok(ActionOutput {
        size_mib: Some(bytes.div_ceil(MIB)),
        format: Some(format),
        ..ActionOutput::default()
    })
}

/// Reads a stream to its end; gives its first bytes and its length.
fn stream_measure(stream: &mut impl Read, limits: &Limits) -> Act<(Vec<u8>, u64)> {
    let mut header = vec![0; HEADER_BYTES];
    let count = block_read(stream, &mut header)?;
    header.truncate(count);
    let mut total = count as u64;
    let mut buffer = vec![0; DIGEST_BYTES];
    loop {
        limits.remaining()?;
        let count = block_read(stream, &mut buffer)?;
        if count == 0 {
            return Ok((header, total));
        }
        total += count as u64;
    }
}

fn header_read(file: &File) -> Act<Vec<u8>> {
    let mut header = vec![0; HEADER_BYTES];
    let mut filled = 0;
    while filled < header.len() {
        let count = file
            .read_at(&mut header[filled..], filled as u64)
            .map_err(|error| failed(format!("cannot read the image: {error}")))?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    header.truncate(filled);
    Ok(header)
}

/// Judges an image by its own header, then asks QEMU for its size.
fn image_look(file: &File, path: &Path, wanted: Option<DiskFormat>, limits: &Limits) -> Act<ActionOutput> {
    let header = header_read(file)?;
    let (format, qcow2) = format_of(&header)?;
    format_require(format, wanted)?;
    let bytes = match qcow2 {
        Some(_) => qemu_img::virtual_bytes(path, format, limits)?,
        None => file.metadata().at("cannot look at", path)?.len(),
    };
    Ok(ActionOutput {
        size_mib: Some(bytes.div_ceil(MIB)),
        format: Some(format),
        ..ActionOutput::default()
    })
}

/// Size and format of an image in its place.
pub(crate) fn image_output(path: &Path) -> Act<ActionOutput> {
    let (file, _) = regular_open(path)?;
    image_look(&file, path, None, &Limits::new(LOOK_TIME_MAX))
}
