//! The key of the cloud, for attributes that are kept encrypted: `.one/one_key` below the state's directory, mode 0600. It
//! is made when there is none.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::auth_file::secret;

/// Fewer letters than this are no key. A 7.4 server makes 64.
const KEY_LETTERS_MIN: usize = 32;
/// Bits of a mode by which others than the owner get at a file.
const OTHERS: u32 = 0o077;

/// Reads the key of the cloud, or makes it.
pub(crate) fn read_or_make(var: &Path) -> Result<String, String> {
    let directory = var.join(".one");
    let path = directory.join("one_key");
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim();
            if key.len() < KEY_LETTERS_MIN {
                return Err(format!(
                    "{shown}: it is the key of encrypted attributes and has {} letters of at least {KEY_LETTERS_MIN}: \
                     put the right file back. If it is lost, delete what is left of it: a new one is made, and what \
                     was encrypted has to be set anew",
                    key.len()
                ));
            }
            mode_check(&path)?;
            Ok(key.to_owned())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(&directory, &path).map_err(|error| format!("{shown}: {error}"))
        }
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn mode_check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let mode = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if mode.permissions().mode() & OTHERS != 0 {
        tracing::warn!("{shown}: others may read the key of encrypted attributes: chmod 600 {shown}");
    }
    Ok(())
}

/// The file is under its name only when it is whole.
fn make(directory: &Path, path: &Path) -> std::io::Result<String> {
    let key = secret().map_err(std::io::Error::other)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let part = directory.join("one_key.part");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    File::open(directory)?.sync_all()?;
    tracing::info!(
        "made {}, the key of encrypted attributes: keep a copy with those of the database",
        path.display()
    );
    Ok(key)
}
