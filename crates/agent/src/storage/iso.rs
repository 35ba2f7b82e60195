//! The ISO 9660 writer, behind one function.

use std::io::Cursor;

use hadris_iso::joliet::JolietLevel;
use hadris_iso::read::PathSeparator;
use hadris_iso::rrip::RripOptions;
use hadris_iso::write::options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions};
use hadris_iso::write::{InputEntry, InputMetadata, InputTree, IsoImageWriter};

use crate::fault::{Act, failed};

/// Bytes of a sector.
const SECTOR_BYTES: usize = 2048;
/// Sectors for the system area, descriptors, path tables and directories of a flat image.
const OVERHEAD_SECTORS: usize = 256;
/// Sectors that a file may need besides its content: its directory records in two trees, and rounding.
const FILE_SECTORS: usize = 4;

/// Makes an ISO 9660 image with Joliet and Rock Ridge names and the volume label `label`; all files in its root, mode
/// 0644.
pub(crate) fn iso_image(label: &str, files: &[(&str, &[u8])]) -> Act<Vec<u8>> {
    let content: usize = files
        .iter()
        .map(|(_, content)| content.len().div_ceil(SECTOR_BYTES) + FILE_SECTORS)
        .sum();
    let buffer = Cursor::new(vec![0; (content + OVERHEAD_SECTORS) * SECTOR_BYTES]);
    let metadata = InputMetadata {
        mode: Some(0o644),
        uid: Some(0),
        gid: Some(0),
        ..InputMetadata::default()
    };
    let entries = files
        .iter()
        .map(|(name, content)| InputEntry::file(*name, content.to_vec()).with_metadata(metadata));
    let tree = InputTree::new(PathSeparator::ForwardSlash, entries.collect());
    let options = IsoFormatOptions {
        volume_name: label.to_owned(),
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: None,
        sector_size: SECTOR_BYTES,
        path_separator: PathSeparator::ForwardSlash,
        strict_charset: false,
        features: CreationFeatures {
            filenames: BaseIsoLevel::Level1 {
                supports_lowercase: false,
                supports_rrip: true,
            },
            joliet: Some(JolietLevel::Level3),
            rock_ridge: Some(RripOptions::default()),
            ..CreationFeatures::default()
        },
    };
    let image = IsoImageWriter::create(buffer, tree, options)
        .map_err(|error| failed(format!("the CONTEXT disk cannot be made: {error}")))?;
    Ok(image.into_inner())
}
