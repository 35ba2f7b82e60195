//! The CONTEXT disk.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use plerion_protocol::{ActionOutput, ContextCopy, ContextFile};

use super::iso::iso_image;
use super::part::PartFile;
use crate::fault::{Act, IoContext, refused};
use crate::names;
use crate::roots::Roots;

/// Volume label by which guests find the disk.
const LABEL: &str = "CONTEXT";
/// Files on one disk.
const FILES_MAX: usize = 1000;
/// Bytes of the files that are copied to a disk; it is put together in memory.
const COPIES_BYTES_MAX: u64 = 512 << 20;
/// Mode of the image: it may hold passwords, and only QEMU, which runs as the agent's user or is given the file by
/// libvirt, has to read it.
const CONTEXT_MODE: u32 = 0o600;

/// See [`plerion_protocol::Action::ContextMake`].
pub(crate) fn context_make(
    roots: &Roots,
    destination: &str,
    files: &[ContextFile],
    copies: &[ContextCopy],
) -> Act<ActionOutput> {
    let destination = roots.target(destination)?;
    names_check(files, copies)?;
    let copied = copies_read(roots, copies)?;
    let texts = files
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_bytes()));
    let copied = copies
        .iter()
        .zip(&copied)
        .map(|(copy, content)| (copy.name.as_str(), content.as_slice()));
    let files: Vec<(&str, &[u8])> = texts.chain(copied).collect();
    let image = iso_image(LABEL, &files)?;
    let mut part = PartFile::begin(&destination, CONTEXT_MODE)?;
    part.file.write_all(&image).at("cannot write", &destination)?;
    part.commit()?;
    Ok(ActionOutput::default())
}

fn names_check(files: &[ContextFile], copies: &[ContextCopy]) -> Act<()> {
    if files.len().saturating_add(copies.len()) > FILES_MAX {
        return Err(refused(format!(
            "more than {FILES_MAX} files for the CONTEXT disk"
        )));
    }
    let mut seen = BTreeSet::new();
    let names = files.iter().map(|file| &file.name);
    for name in names.chain(copies.iter().map(|copy| &copy.name)) {
        names::file_check(name)?;
        if !seen.insert(name.as_str()) {
            return Err(refused(format!("two files named {name:?} for the CONTEXT disk")));
        }
    }
    Ok(())
}

fn copies_read(roots: &Roots, copies: &[ContextCopy]) -> Act<Vec<Vec<u8>>> {
    let mut left = COPIES_BYTES_MAX;
    let mut contents = Vec::new();
    for copy in copies {
        let (file, path) = roots.source_open(&copy.path)?;
        let mut content = Vec::new();
        file.take(left.saturating_add(1))
            .read_to_end(&mut content)
            .at("cannot read", &path)?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            refused(format!(
                "the files for the CONTEXT disk have more than the {} MiB allowed; put {:?} and what else is large on a \
                 data disk",
                COPIES_BYTES_MAX >> 20,
                copy.name
            ))
        })?;
        contents.push(content);
    }
    Ok(contents)
}
