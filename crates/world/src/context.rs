//! [`Context`]: what a command is given besides itself.

use plerion_model::Seconds;

/// What was drawn for a command before it is applied, so that applying it is a function.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Now.
    pub now: Seconds,
    /// A number unlike any other's, for UUIDs, file names and secrets: 128 random bits.
    pub random: u128,
}
