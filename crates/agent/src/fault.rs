//! Making errors that say what failed, on what, why, and what to do.

use std::io;
use std::path::Path;

use plerion_protocol::{ActionError, ErrorKind};

/// Result of everything that an action does.
pub(crate) type Act<T> = Result<T, ActionError>;

/// A request that breaks the rules; asking again is of no use.
pub(crate) fn refused(text: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Refused, text)
}

/// Something was tried and failed.
pub(crate) fn failed(text: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Failed, text)
}

/// Adds what was done to which path to an I/O error.
pub(crate) trait IoContext<T> {
    /// `what` reads as a phrase before the path: "cannot open".
    fn at(self, what: &str, path: &Path) -> Act<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn at(self, what: &str, path: &Path) -> Act<T> {
        self.map_err(|error| io_failed(what, path, &error.into()))
    }
}

/// The error of a file operation, with advice for the common causes.
pub(crate) fn io_failed(what: &str, path: &Path, error: &io::Error) -> ActionError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull => "; free space there or use another datastore",
        io::ErrorKind::PermissionDenied => "; the files must belong to the user the agent runs as",
        io::ErrorKind::ReadOnlyFilesystem => "; the file system is mounted read-only",
        io::ErrorKind::StaleNetworkFileHandle => "; mount the file system again",
        _ => "",
    };
    failed(format!("{what} {}: {error}{advice}", path.display()))
}
