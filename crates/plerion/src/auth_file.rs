//! The file that holds oneadmin's credentials: read at the first start, made when there is none.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Name and password for user 0.
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// 64 hexadecimal digits that nobody can guess.
pub(crate) fn secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn path() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("ONE_AUTH").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map(|home| PathBuf::from(home).join(".one/one_auth"))
        .ok_or_else(|| {
            "neither ONE_AUTH nor HOME is set: set ONE_AUTH to a file for user:password of oneadmin".into()
        })
}

/// Reads the credentials, or makes them and writes the file (mode 0600).
pub(crate) fn read_or_make() -> Result<Credentials, String> {
    let path = path()?;
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let line = text.lines().next().unwrap_or_default().trim();
            let (name, password) = line
                .split_once(':')
                .filter(|(name, password)| !name.is_empty() && !password.is_empty())
                .ok_or_else(|| format!("{shown}: the first line must be user:password"))?;
            Ok(Credentials {
                name: name.to_owned(),
                password: password.to_owned(),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let credentials = Credentials {
                name: "oneadmin".into(),
                password: secret()?,
            };
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| format!("{shown}: {error}"))?;
            writeln!(file, "{}:{}", credentials.name, credentials.password)
                .and_then(|()| file.sync_all())
                .map_err(|error| format!("{shown}: {error}"))?;
            tracing::info!("made {shown} with a random password for oneadmin");
            Ok(credentials)
        }
        Err(error) => Err(format!("{shown}: {error}")),
    }
}
