//! What the first bytes of a file say it is. Nothing but these bytes is trusted before an image has passed here:
//! a QCOW2 header can name any other file of the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plerion_protocol::DiskFormat;

use crate::fault::{Act, refused};

/// Bytes from the start of a file that are looked at.
pub(crate) const HEADER_BYTES: usize = 4096;

const QCOW_MAGIC: &[u8] = b"QFI\xfb";
/// Header extension that names an external data file.
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// Incompatible feature: dirty. QEMU repairs it.
const FEATURE_DIRTY: u64 = 1;
/// Incompatible feature: external data file.
const FEATURE_DATA_FILE: u64 = 1 << 2;
/// Incompatible feature: another compression than zlib.
const FEATURE_COMPRESSION: u64 = 1 << 3;
/// Incompatible feature: extended L2 entries.
const FEATURE_EXTENDED_L2: u64 = 1 << 4;

/// Formats that are not taken, by how they begin.
const FOREIGN: [(&str, &[u8]); 9] = [
    ("VMDK", b"KDMV"),
    ("VMDK", b"COWD"),
    ("VMDK", b"# Disk DescriptorFile"),
    ("QED", b"QED\0"),
    ("VHDX", b"vhdxfile"),
    ("VHD", b"conectix"),
    ("Parallels", b"WithoutFreeSpace"),
    ("Parallels", b"WithouFreSpacExt"),
    ("COW", b"OOOM"),
];
/// VDI has its signature after a free text.
const VDI_SIGNATURE: (usize, &[u8]) = (0x40, b"\x7f\x10\xda\xbe");

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

/// A QCOW2 header that refers to no other file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Qcow2Header {
    /// Size of the disk in bytes.
    pub(crate) virtual_bytes: u64,
}

/// How the file is compressed, if it is.
pub(crate) fn compression_of(header: &[u8]) -> Option<Compression> {
    if header.starts_with(&[0x1f, 0x8b, 0x08]) {
        Some(Compression::Gzip)
    } else if header.starts_with(b"\xfd7zXZ\0") {
        Some(Compression::Xz)
    } else if header.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Compression::Zstd)
    } else if header.starts_with(b"BZh") && header.get(4..10) == Some(b"1AY&SY") {
        Some(Compression::Bzip2)
    } else {
        None
    }
}

/// The format of an image by its header; `header` is the first [`HEADER_BYTES`], less only if the file is shorter.
///
/// # Errors
/// For formats that are not taken, and for QCOW2 that refers to other files.
pub(crate) fn format_of(header: &[u8]) -> Act<(DiskFormat, Option<Qcow2Header>)> {
    if header.starts_with(QCOW_MAGIC) {
        return qcow2_read(header).map(|qcow2| (DiskFormat::Qcow2, Some(qcow2)));
    }
    let foreign = FOREIGN
        .iter()
        .find(|(_, magic)| header.starts_with(magic))
        .map(|(name, _)| *name);
    let vdi = header
        .get(VDI_SIGNATURE.0..)
        .is_some_and(|rest| rest.starts_with(VDI_SIGNATURE.1));
    if let Some(name) = foreign.or(vdi.then_some("VDI")) {
        return Err(refused(format!(
            "the image is in the format {name}, not RAW or QCOW2: convert it with `qemu-img convert -O qcow2`"
        )));
    }
    Ok((DiskFormat::Raw, None))
}

/// Checks the image against the format it must have.
pub(crate) fn format_require(found: DiskFormat, wanted: Option<DiskFormat>) -> Act<()> {
    match wanted {
        Some(wanted) if wanted != found => Err(refused(format!(
            "the image was announced as {} but its content is {}: correct FORMAT of the image",
            wanted.as_str(),
            found.as_str()
        ))),
        _ => Ok(()),
    }
}

/// The name of the backing file in a QCOW2 header; `None` for other files, and for QCOW2 without one. Names beyond the
/// bytes that are looked at are taken as far as they go: they name no file of ours.
pub(crate) fn backing_file(header: &[u8]) -> Option<&Path> {
    if !header.starts_with(QCOW_MAGIC) {
        return None;
    }
    let offset = usize::try_from(be64(header, 8)?)
        .ok()
        .filter(|offset| *offset > 0)?;
    let length = usize::try_from(be32(header, 16)?).ok()?;
    let end = offset.saturating_add(length).min(header.len());
    let name = header.get(offset..end)?;
    let name = name.strip_prefix(b"file:").unwrap_or(name);
    Some(Path::new(OsStr::from_bytes(name)))
}

/// A QCOW2 header as it would be without a backing file, for looking at the rest of it.
pub(crate) fn without_backing(header: &[u8]) -> Vec<u8> {
    let mut header = header.to_owned();
    if let Some(named) = header.get_mut(8..20) {
        named.fill(0);
    }
    header
}

/// Reads a QCOW2 header and refuses one that refers to other files.
pub(crate) fn qcow2_read(header: &[u8]) -> Act<Qcow2Header> {
    let damaged = || refused("the QCOW2 header is damaged: check the image with `qemu-img check`");
    let version = be32(header, 4).ok_or_else(damaged)?;
    if version == 1 {
        return Err(refused(
            "the image is QCOW version 1: convert it with `qemu-img convert -O qcow2`",
        ));
    }
    if !(2..=3).contains(&version) {
        return Err(refused(format!(
            "the image is QCOW version {version}, which is not known here"
        )));
    }
    if be64(header, 8).ok_or_else(damaged)? != 0 || be32(header, 16).ok_or_else(damaged)? != 0 {
        return Err(refused(
            "the image has a backing file, which could be any file of the host: flatten it first with \
             `qemu-img convert -O qcow2`",
        ));
    }
    let virtual_bytes = be64(header, 24).ok_or_else(damaged)?;
    let length = if version == 3 {
        be32(header, 100).ok_or_else(damaged)? as usize
    } else {
        72
    };
    if version == 3 {
        features_check(be64(header, 72).ok_or_else(damaged)?)?;
        if length < 104 || length % 8 != 0 {
            return Err(damaged());
        }
    }
    extensions_check(header, length)?;
    Ok(Qcow2Header { virtual_bytes })
}

fn features_check(features: u64) -> Act<()> {
    if features & FEATURE_DATA_FILE != 0 {
        return Err(data_file_refused());
    }
    // Bit 1 says that the image is corrupt.
    let known = FEATURE_DIRTY | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2;
    if features & !known != 0 {
        return Err(refused(format!(
            "the QCOW2 image is marked corrupt or uses features that are not known here ({features:#x}): check it \
             with `qemu-img check`"
        )));
    }
    Ok(())
}

/// Walks the header extensions; they must end within what was read, or one could hide behind it.
fn extensions_check(header: &[u8], begin: usize) -> Act<()> {
    let mut position = begin;
    loop {
        let kind = be32(header, position);
        let length = be32(header, position + 4);
        match (kind, length) {
            (Some(0), _) => return Ok(()),
            (Some(EXTENSION_DATA_FILE), _) => return Err(data_file_refused()),
            (Some(_), Some(length)) => {
                position = position.saturating_add(8 + (length as usize).next_multiple_of(8))
            }
            _ => {
                return Err(refused(
                    "the QCOW2 header does not end where it should: convert the image anew",
                ));
            }
        }
    }
}

fn data_file_refused() -> plerion_protocol::ActionError {
    refused(
        "the image keeps its data in an external file, which could be any file of the host: convert it with \
         `qemu-img convert -O qcow2`",
    )
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(part.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(part.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qcow2(version: u32) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..4].copy_from_slice(QCOW_MAGIC);
        header[4..8].copy_from_slice(&version.to_be_bytes());
        header[24..32].copy_from_slice(&(10_u64 << 20).to_be_bytes());
        if version == 3 {
            header[100..104].copy_from_slice(&104_u32.to_be_bytes());
        }
        header
    }

    #[test]
    fn plain_headers_pass() {
        for version in [2, 3] {
            let (format, header) = format_of(&qcow2(version)).expect("passes");
            assert_eq!(format, DiskFormat::Qcow2);
            assert_eq!(header.expect("a header").virtual_bytes, 10 << 20);
        }
        assert_eq!(format_of(b"").expect("empty is raw").0, DiskFormat::Raw);
        assert_eq!(format_of(&[0; HEADER_BYTES]).expect("raw").0, DiskFormat::Raw);
    }

    #[test]
    fn references_to_other_files_are_refused() {
        let mut backing = qcow2(2);
        backing[8..16].copy_from_slice(&0x200_u64.to_be_bytes());
        let mut data = qcow2(3);
        data[79] = 4;
        let mut extension = qcow2(3);
        extension[104..108].copy_from_slice(&EXTENSION_DATA_FILE.to_be_bytes());
        let mut hidden = qcow2(3);
        hidden[104..108].copy_from_slice(&1_u32.to_be_bytes());
        hidden[108..112].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut unknown = qcow2(3);
        unknown[72] = 1;
        for (name, header) in [
            ("backing", backing),
            ("data", data),
            ("extension", extension),
            ("hidden", hidden),
            ("unknown", unknown),
        ] {
            assert!(format_of(&header).is_err(), "{name}");
        }
        for cut in 4..108 {
            assert!(format_of(&qcow2(3)[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn foreign_formats_are_named() {
        for (name, magic) in FOREIGN {
            assert!(format_of(magic).expect_err("refused").text.contains(name));
        }
        let mut vdi = vec![b' '; 0x40];
        vdi.extend_from_slice(VDI_SIGNATURE.1);
        assert!(format_of(&vdi).expect_err("refused").text.contains("VDI"));
        assert!(
            format_of(&qcow2(1))
                .expect_err("refused")
                .text
                .contains("version 1")
        );
    }

    #[test]
    fn compressions_are_told() {
        assert_eq!(compression_of(&[0x1f, 0x8b, 0x08, 0]), Some(Compression::Gzip));
        assert_eq!(compression_of(b"BZh91AY&SYxx"), Some(Compression::Bzip2));
        assert_eq!(compression_of(b"BZhello"), None);
    }
}
