//! Calls of qemu-img. The format is always said; qemu-img never guesses.

use std::path::Path;
use std::time::Duration;

use plerion_protocol::DiskFormat;
use serde::Deserialize;

use crate::fault::{Act, failed, refused};
use crate::limits::Limits;
use crate::process::Program;
use crate::roots::path_text;

/// Time for a call that only touches metadata.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "virtual-size")]
    virtual_size: u64,
    #[serde(rename = "backing-filename")]
    backing_filename: Option<String>,
    #[serde(rename = "format-specific")]
    format_specific: Option<Specific>,
}

#[derive(Deserialize)]
struct Specific {
    data: Option<SpecificData>,
}

#[derive(Deserialize)]
struct SpecificData {
    #[serde(rename = "data-file")]
    data_file: Option<String>,
}

/// Size of the disk in bytes, as QEMU sees it; refuses an image that refers to other files.
pub(crate) fn virtual_bytes(path: &Path, format: DiskFormat, limits: &Limits) -> Act<u64> {
    let output = Program::new("qemu-img")
        .args(["info", "-f", format.as_str(), "--output=json"])
        .arg(path_text(path)?)
        .run_ok(&limits.at_most(CALL_TIME_MAX))?;
    let info: Info = serde_json::from_slice(&output.stdout).map_err(|error| {
        failed(format!(
            "cannot understand what qemu-img says about {}: {error}",
            path.display()
        ))
    })?;
    let data_file = info
        .format_specific
        .and_then(|specific| specific.data)
        .and_then(|data| data.data_file);
    if let Some(other) = info.backing_filename.or(data_file) {
        return Err(refused(format!(
            "the image refers to another file ({other}): flatten it with `qemu-img convert`"
        )));
    }
    Ok(info.virtual_size)
}

/// Makes an empty QCOW2 image.
pub(crate) fn create(path: &Path, bytes: u64, limits: &Limits) -> Act<()> {
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .args([path_text(path)?, &bytes.to_string()])
        .run_ok(&limits.at_most(CALL_TIME_MAX))
        .map(drop)
}

/// Makes a QCOW2 overlay of `bytes` on `backing`.
pub(crate) fn overlay(
    path: &Path,
    backing: &Path,
    format: DiskFormat,
    bytes: u64,
    limits: &Limits,
) -> Act<()> {
    Program::new("qemu-img")
        .args([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            format.as_str(),
            "-b",
            path_text(backing)?,
        ])
        .args([path_text(path)?, &bytes.to_string()])
        .run_ok(&limits.at_most(CALL_TIME_MAX))
        .map(drop)
}

/// Makes a QCOW2 overlay of `bytes` on the QCOW2 image that is called `backing` from where `path` is. It is not opened: a
/// running domain may have it.
pub(crate) fn overlay_unopened(path: &Path, backing: &Path, bytes: u64, limits: &Limits) -> Act<()> {
    Program::new("qemu-img")
        .args([
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            path_text(backing)?,
        ])
        .args([path_text(path)?, &bytes.to_string()])
        .run_ok(&limits.at_most(CALL_TIME_MAX))
        .map(drop)
}

/// Copies what a QCOW2 image and the files below it show into one QCOW2 image.
pub(crate) fn flatten(source: &Path, destination: &Path, limits: &Limits) -> Act<()> {
    Program::new("qemu-img")
        .args(["convert", "-q", "-f", "qcow2", "-O", "qcow2"])
        .args([path_text(source)?, path_text(destination)?])
        .run_ok(limits)
        .map(drop)
}

/// Writes what a QCOW2 image shows into a raw file, which has holes where the image has none or only zeros.
pub(crate) fn to_raw(source: &Path, destination: &Path, limits: &Limits) -> Act<()> {
    Program::new("qemu-img")
        .args(["convert", "-q", "-f", "qcow2", "-O", "raw"])
        .args([path_text(source)?, path_text(destination)?])
        .run_ok(limits)
        .map(drop)
}

/// Grows a QCOW2 image.
pub(crate) fn grow(path: &Path, bytes: u64, limits: &Limits) -> Act<()> {
    Program::new("qemu-img")
        .args(["resize", "-q", "-f", "qcow2"])
        .args([path_text(path)?, &bytes.to_string()])
        .run_ok(&limits.at_most(CALL_TIME_MAX))
        .map(drop)
}
