//! Who answers the calls.

use std::future::Future;
use std::net::SocketAddr;

use http::StatusCode;

use super::answer::Answer;
use super::codec::Call;
use super::page::{Page, PageRequest};

/// Who answers the calls.
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    ///
    /// A peer that goes away does not end the future; a server that has stopped waiting for it at shutdown does. A
    /// panic is answered with the internal error code and harms no other call. Long computation belongs on
    /// a blocking thread, or into [`super::Payload::Stream`].
    fn call(&self, call: Call, peer: SocketAddr) -> impl Future<Output = Answer> + Send;

    /// Answers a request beneath `/console/`. A service without pages need not say so.
    fn page(&self, _request: PageRequest) -> impl Future<Output = Page> + Send {
        std::future::ready(Page::text(StatusCode::NOT_FOUND, "This server has no pages.\n"))
    }
}
