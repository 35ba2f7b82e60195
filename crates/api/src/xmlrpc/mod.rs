//! XML-RPC over HTTP: requests in, answers out. This room knows the wire and nothing of the methods: whoever
//! implements [`Service`] gets a decoded [`Call`] and returns an [`Answer`].
//!
//! * `codec`, `base64`, `params`, `fault`: from the body of a request to typed parameters, or to a fault.
//! * `answer`, `escape`, `stream`: from an answer to the body of a response, as a whole or rendered lazily.
//! * `server`, `connection`, `request`: the listener, one connection's clocks, one HTTP request.
//! * `page`: what is asked by HTTP and is no call, and connections that go on in another protocol.
//! * `tls`, `wire`: certificates that are read again when they change, and a connection with or without TLS.

pub mod answer;
mod base64;
pub mod codec;
mod connection;
mod control;
pub mod escape;
pub mod fault;
pub mod limits;
mod page;
pub mod params;
mod request;
pub mod server;
pub mod service;
mod stream;
pub mod tls;
mod wire;

pub use answer::{Answer, Chunks, Payload};
pub use codec::{Call, Value};
pub use escape::escape_into;
pub use fault::Fault;
pub use limits::Limits;
pub use page::{Page, PageRequest, Session, SwitchedIo};
pub use params::Params;
pub use server::serve;
pub use service::Service;
pub use tls::{Tls, TlsError, TlsSettings};
