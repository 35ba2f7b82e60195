//! The files by which services on the front-end speak for users: `serveradmin:password` in each.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use plerion_credential::service_password_stored;

use crate::auth_file::secret;

/// The user of the services.
const SERVICE_USER: &str = "serveradmin";
/// The services' files, as other programs look for them.
const FILES: [&str; 5] = [
    "sunstone_auth",
    "oneflow_auth",
    "onegate_auth",
    "oneform_auth",
    "oneks_auth",
];

/// Name and stored password of the services' user at the first start: the password is the one of files that are there already, else a
/// random one. Files that are missing are written (mode 0600).
///
/// # Errors
/// When a file cannot be read or written, or is of another form, or two hold different passwords.
pub(crate) fn make(directory: &Path) -> Result<(String, String), String> {
    let mut found: Option<(String, String)> = None;
    for file in FILES {
        let Some(password) = read(&directory.join(file))? else {
            continue;
        };
        match &found {
            Some((first, other)) if *other != password => {
                return Err(format!(
                    "{first} and {file} in {} hold different passwords of {SERVICE_USER}: keep one of them",
                    directory.display()
                ));
            }
            Some(_) => {}
            None => found = Some((file.to_owned(), password)),
        }
    }
    let password = match found {
        Some((_, password)) => password,
        None => secret()?,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    for file in FILES {
        write(&directory.join(file), &password)?;
    }
    tracing::info!(
        "the services' files with the password of {SERVICE_USER} are in {}",
        directory.display()
    );
    Ok((SERVICE_USER.to_owned(), service_password_stored(&password)))
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let line = text.lines().next().unwrap_or_default().trim();
    line.split_once(':')
        .filter(|(user, password)| *user == SERVICE_USER && !password.is_empty())
        .map(|(_, password)| Some(password.to_owned()))
        .ok_or_else(|| {
            format!(
                "{}: the first line must be {SERVICE_USER}:password; without the file, one is made",
                path.display()
            )
        })
}

fn write(path: &Path, password: &str) -> Result<(), String> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    writeln!(file, "{SERVICE_USER}:{password}")
        .and_then(|()| file.sync_all())
        .map_err(|error| format!("{}: {error}", path.display()))
}
