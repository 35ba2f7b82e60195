//! Why a command failed, and the exit status that goes with it.

use plerion_client::ClientError;
use thiserror::Error;

/// The exit status of a command that failed; scripts of the old command line test for it.
pub const EXIT_FAILURE: u8 = 255;
/// The exit status for a column that does not exist.
pub const EXIT_COLUMN: u8 = 1;
/// The exit status when no token, or no single one, is as asked for.
pub const EXIT_TOKEN: u8 = 1;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// The call failed; the text is the client's.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Anything that needs nothing but its text.
    #[error("{0}")]
    Text(String),
    /// Too few arguments: the usage follows on standard output.
    #[error("{0}")]
    Usage(String),
    /// An unknown column was asked for.
    #[error("{0}")]
    Column(String),
    /// No token, or more than one, is as asked for.
    #[error("{0}")]
    Token(String),
    /// An expression to filter by cannot be read. Old scripts expect success here.
    #[error("{0}")]
    Filter(String),
    /// All has been said already, object by object.
    #[error("")]
    Reported,
    /// Standard output was closed by its reader (`| head`): nothing is wrong.
    #[error("")]
    Closed,
}

impl CliError {
    /// A failure that needs nothing but its text.
    pub fn text(text: impl Into<String>) -> Self {
        CliError::Text(text.into())
    }

    /// The exit status of the process.
    pub fn exit_status(&self) -> u8 {
        match self {
            CliError::Filter(_) | CliError::Closed => 0,
            CliError::Column(_) => EXIT_COLUMN,
            CliError::Token(_) => EXIT_TOKEN,
            _ => EXIT_FAILURE,
        }
    }
}

impl From<roxmltree::Error> for CliError {
    fn from(error: roxmltree::Error) -> Self {
        CliError::Text(format!("The server's XML cannot be read: {error}"))
    }
}
