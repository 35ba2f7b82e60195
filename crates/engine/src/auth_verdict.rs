//! What an authentication driver is asked, and what it answers.

use crate::auth_said::Said;

/// Who wants to get in, and with what.
pub(crate) struct Credential<'a> {
    /// The name.
    pub(crate) name: &'a str,
    /// The stored password; empty for a user who does not exist.
    pub(crate) stored: &'a str,
    /// What came with the call.
    pub(crate) secret: &'a str,
}

/// An answer. The reasons are for the log and hold no secret.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Let in; what is said of the user, if anything.
    Good(Option<Said>),
    /// Refused, and why.
    Bad(String),
    /// Nothing could be found out, and why.
    Broken(String),
}
