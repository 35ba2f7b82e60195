//! Certificates of users who log in by them.

use std::path::{Path, PathBuf};

use plerion_credential::{Certificate, certificate_token};

use super::user_key::private_read;
use crate::error::CliError;
use crate::family::Input;
use crate::sources;

/// Whether what is stored for users of a driver is the subject of a certificate.
pub fn is_driver(driver: &str) -> bool {
    matches!(driver, "x509" | "server_x509")
}

/// Whether it is to be taken from a certificate.
pub fn is_asked(input: &Input, driver: &str) -> bool {
    is_driver(driver) && (input.has("x509") || input.has("cert"))
}

/// The file that an option names, else a variable.
fn path(input: &Input, option: &str, variable: &str) -> Result<PathBuf, CliError> {
    input
        .value(option)
        .map(PathBuf::from)
        .or_else(|| std::env::var_os(variable).map(PathBuf::from))
        .ok_or_else(|| {
            CliError::text(format!(
                "Name the file: --{option} FILE, or the variable {variable}"
            ))
        })
}

fn chain(input: &Input) -> Result<(Certificate, Vec<Certificate>), CliError> {
    let path = path(input, "cert", "X509_USER_CERT")?;
    let bad = |why: &str| told(&path, why);
    let text = sources::file_read(&path.display().to_string())?;
    let chain = Certificate::chain_parse(text.as_bytes()).map_err(|why| bad(&why))?;
    let first = chain.first().ok_or_else(|| bad("there is no certificate"))?;
    if first.public().is_none() {
        return Err(bad("the key of the certificate is no RSA key, which it must be"));
    }
    Ok((first.clone(), chain))
}

fn told(path: &Path, why: &str) -> CliError {
    CliError::text(format!("{}: {why}. --cert names another file.", path.display()))
}

/// What is stored for the owner of the certificate.
pub fn stored(input: &Input) -> Result<String, CliError> {
    let (first, _) = chain(input)?;
    first.dn().map_err(CliError::text)
}

/// What proves to the server until a time that the owner of the certificate calls.
pub fn proof(input: &Input, name: &str, end: i64) -> Result<String, CliError> {
    let (first, chain) = chain(input)?;
    let key = private_read(&path(input, "key", "X509_USER_KEY")?)?;
    if first.public().as_ref() != Some(key.public()) {
        return Err(CliError::text(
            "The key is not that of the certificate: --key and --cert name files that belong together.",
        ));
    }
    certificate_token(name, end, &key, &chain)
        .ok_or_else(|| CliError::text("The user's name is too long for the key. Use a longer key."))
}
