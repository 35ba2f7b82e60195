//! What a server says of a user.

use plerion_world::VouchedGroup;

/// What a server made of a user. The reasons are for the log.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is the user.
    Good(Found),
    /// There is no such user.
    Unknown,
    /// There is, who is not let in.
    Refused(String),
    /// It could not be asked.
    Failed(String),
}

/// Who was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The name of the entry.
    pub(super) dn: String,
    /// Groups of the cloud.
    pub(super) groups: Vec<VouchedGroup>,
}
