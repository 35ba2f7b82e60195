//! Where things are: in one directory (`ONE_LOCATION`), or in those of the system.

use std::path::{Path, PathBuf};

/// Directories of the front-end.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Configuration.
    pub(crate) etc: PathBuf,
    /// State.
    pub(crate) var: PathBuf,
    /// Logs.
    pub(crate) log: PathBuf,
}

impl Places {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        match std::env::var_os("ONE_LOCATION").filter(|location| !location.is_empty()) {
            Some(location) => {
                let location = Path::new(&location);
                let location = std::path::absolute(location).unwrap_or_else(|_| location.to_owned());
                Self {
                    etc: location.join("etc"),
                    var: location.join("var"),
                    log: location.join("var"),
                }
            }
            None => Self {
                etc: "/etc/one".into(),
                var: "/var/lib/one".into(),
                log: "/var/log/one".into(),
            },
        }
    }

    /// Whether all is in one directory.
    pub(crate) fn is_self_contained(&self) -> bool {
        self.log == self.var
    }

    /// The database. Its name differs from the reference's, whose schema is another one.
    pub(crate) fn database(&self) -> PathBuf {
        self.var.join("plerion.db")
    }

    /// Directories that must exist, made if they do not.
    pub(crate) fn make(&self) -> std::io::Result<()> {
        for directory in [&self.var, &self.log, &self.var.join("datastores")] {
            std::fs::create_dir_all(directory).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
            })?;
        }
        Ok(())
    }
}
