//! Bounds of a server.

use std::time::Duration;

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Most connections at once. Further ones wait in the listener's queue; idle ones make room for them.
    pub connections: usize,
    /// Most answers rendered at the same moment (not: sent), for [`super::Payload::Stream`].
    pub renderers: usize,
    /// A connection without a request is closed after this time.
    pub idle: Duration,
    /// Time for the head of a request, from its first byte.
    pub head: Duration,
    /// Time for the whole body of a request.
    pub body: Duration,
    /// A connection whose peer takes nothing of its answer for this time is closed.
    pub write_stall: Duration,
    /// Time that calls in hand have to finish at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            connections: 1024,
            renderers: std::thread::available_parallelism().map_or(1, usize::from),
            idle: Duration::from_secs(120),
            head: Duration::from_secs(20),
            body: Duration::from_secs(120),
            write_stall: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
