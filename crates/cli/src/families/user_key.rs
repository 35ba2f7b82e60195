//! RSA keys of users who log in by them.

use std::path::{Path, PathBuf};

use plerion_credential::{RsaPrivate, signed_token};

use crate::error::CliError;
use crate::family::Input;
use crate::session::Session;
use crate::sources;

/// The private key of the option, else that of ssh.
fn private(input: &Input) -> Result<RsaPrivate, CliError> {
    private_read(&match input.value("key") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh/id_rsa"),
    })
}

/// The private key in a file.
pub fn private_read(path: &Path) -> Result<RsaPrivate, CliError> {
    let shown = path.display().to_string();
    RsaPrivate::parse(&sources::file_read(&shown)?)
        .map_err(|error| CliError::text(format!("{shown}: {error}. --key names another file.")))
}

/// What is stored for the owner of the key.
pub fn stored(input: &Input) -> Result<String, CliError> {
    Ok(private(input)?.public().to_text())
}

/// `key`: shows what is stored for the owner of a key.
pub fn key(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.print(&format!("{}\n", stored(input)?))
}

/// What proves to the server until a time that the owner of the key calls.
pub fn proof(input: &Input, name: &str, end: i64) -> Result<String, CliError> {
    signed_token(name, end, &private(input)?)
        .ok_or_else(|| CliError::text("The user's name is too long for the key. Use a longer key."))
}
