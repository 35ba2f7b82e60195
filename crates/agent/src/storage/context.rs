//! The CONTEXT disk.

use std::collections::BTreeSet;
use std::io::Write;

use plerion_protocol::{ActionOutput, ContextFile};

use super::iso::iso_image;
use super::part::PartFile;
use crate::fault::{Act, IoContext, refused};
use crate::names;
use crate::roots::Roots;

/// Volume label by which guests find the disk.
const LABEL: &str = "CONTEXT";
/// Files on one disk.
const FILES_MAX: usize = 1000;
/// Mode of the image: it may hold passwords, and only QEMU, which runs as the agent's user or is given the file by
/// libvirt, has to read it.
const CONTEXT_MODE: u32 = 0o600;

/// See [`plerion_protocol::Action::ContextMake`].
pub(crate) fn context_make(roots: &Roots, destination: &str, files: &[ContextFile]) -> Act<ActionOutput> {
    let destination = roots.target(destination)?;
    if files.len() > FILES_MAX {
        return Err(refused(format!(
            "more than {FILES_MAX} files for the CONTEXT disk"
        )));
    }
    let mut seen = BTreeSet::new();
    for file in files {
        names::file_check(&file.name)?;
        if !seen.insert(file.name.as_str()) {
            return Err(refused(format!(
                "two files named {:?} for the CONTEXT disk",
                file.name
            )));
        }
    }
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_bytes()))
        .collect();
    let image = iso_image(LABEL, &files)?;
    let mut part = PartFile::begin(&destination, CONTEXT_MODE)?;
    part.file.write_all(&image).at("cannot write", &destination)?;
    part.commit()?;
    Ok(ActionOutput::default())
}
