//! What the server asks of its connections.

use std::time::Duration;

/// When connections run out, those make room that have been idle for this long.
pub(super) const IDLE_SPARE: Duration = Duration::from_secs(1);

/// What the server asks of all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Go on. The number grows each time that idle connections are asked to make room.
    Run(u64),
    /// Finish the call in hand, then close.
    Drain,
}
