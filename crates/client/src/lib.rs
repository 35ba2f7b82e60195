//! A small typed client of the XML-RPC interface: one connection, one caller, no async runtime.
//!
//! [`Client`] sends calls and reads typed answers, [`Settings`] finds endpoint and credentials the way
//! command line users expect (`ONE_AUTH`, `ONE_XMLRPC`), [`Client::pool`] reads a pool page by page.

mod client;
mod codec;
mod error;
mod http;
mod pool;
mod settings;
mod stream;
mod trust;
mod value;

pub use client::{Client, Limits};
pub use error::{ApiError, ClientError};
pub use pool::PoolQuery;
pub use settings::{ENDPOINT_DEFAULT, Overrides, PAGE_SIZE_DEFAULT, Settings, auth_path};
pub use value::{Answer, Param};
