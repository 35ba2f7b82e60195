//! Who answers the calls.

use std::future::Future;
use std::net::SocketAddr;

use super::answer::Answer;
use super::codec::Call;

/// Who answers the calls.
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    ///
    /// A peer that goes away does not end the future; a server that has stopped waiting for it at shutdown does. A
    /// panic is answered with the internal error code and harms no other call. Long computation belongs on
    /// a blocking thread, or into [`super::Payload::Stream`].
    fn call(&self, call: Call, peer: SocketAddr) -> impl Future<Output = Answer> + Send;
}
