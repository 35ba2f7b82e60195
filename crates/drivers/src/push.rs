//! The program as it is pushed to hosts: named by its content, so that a host never runs another one than meant.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Directory on hosts for pushed programs. (The reference keeps its scripts there.)
pub(crate) const REMOTE_DIRECTORY: &str = "/var/tmp/one";

/// This program: its file and the first 16 hexadecimal digits of its SHA-256.
///
/// # Errors
/// When its own file cannot be read.
pub fn program_identity() -> std::io::Result<(PathBuf, String)> {
    // /proc/self/exe still opens after the file has been replaced by an upgrade; its path would not.
    let path = Path::new("/proc/self/exe");
    let mut file = std::fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.update(buffer.get(..count).unwrap_or_default());
    }
    let hex: String = digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((path.to_owned(), hex))
}

/// Path of the pushed program.
pub(crate) fn remote_program(identity: &str) -> String {
    format!("{REMOTE_DIRECTORY}/plerion-{identity}")
}
