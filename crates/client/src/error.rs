//! What can go wrong with a call, and what to do about it.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

/// A refusal by the server: it understood the call and said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The error code (0x100 authentication, 0x200 authorization, 0x400 no such object, …).
    pub code: i64,
    /// The server's text, beginning with the method in brackets.
    pub text: String,
    /// The object the error is about, where the server named one.
    pub object: Option<i64>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a call gave no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The endpoint text cannot be used.
    #[error(
        "The endpoint '{endpoint}' cannot be used: {reason}. Give one like http://localhost:2633/RPC2 \
             with --endpoint or in ONE_XMLRPC."
    )]
    Endpoint {
        /// The text given.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No user name and password were found.
    #[error(
        "No credentials: {reason}. Write one line 'user:password' to {path}, name another file in \
             ONE_AUTH, or use --user and --password."
    )]
    Credentials {
        /// The file that was looked at.
        path: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A variable of the environment holds something unusable.
    #[error("{name}={value} cannot be used: {reason}.")]
    Environment {
        /// The variable.
        name: &'static str,
        /// Its text.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No connection to the server.
    #[error(
        "No connection to {address}: {source}. Is the server running there, and does it listen on that \
             address? Another one can be given with --endpoint or in ONE_XMLRPC."
    )]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server and this client do not agree on TLS.
    #[error(
        "No TLS with {address}: {reason}. A certificate that the system does not trust is made trusted by \
             ONE_CERT_DIR (a directory of PEM files); a server without TLS has an endpoint with http://."
    )]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// It is not known which certificates to trust.
    #[error("Servers' certificates cannot be judged: {0}. See ONE_CERT_DIR, SSL_CERT_FILE and SSL_CERT_DIR.")]
    Trust(String),
    /// The server did not answer in time.
    #[error("{address} gave no answer to {method} within {} s. The call may still be carried out: look before \
             repeating it.", .limit.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
        /// The method called.
        method: String,
        /// The time waited.
        limit: Duration,
    },
    /// The connection broke while the call was under way.
    #[error(
        "The connection to {address} broke during {method}: {source}. The call may have been carried out: \
             look before repeating it."
    )]
    Broken {
        /// Host and port.
        address: String,
        /// The method called.
        method: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered with an HTTP error.
    #[error("The server answered with HTTP status {status} ({reason}). Is the path of the endpoint /RPC2?")]
    Http {
        /// The status.
        status: u16,
        /// The text behind it.
        reason: String,
    },
    /// The answer is larger than the client accepts.
    #[error("The answer is larger than {limit} bytes. Ask for less at once (ONE_POOL_PAGE_SIZE).")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// The answer is not what the protocol says.
    #[error("The answer cannot be read: {0}. Is there an XML-RPC server behind the endpoint?")]
    Malformed(String),
    /// The server could not take the call as one (an unknown method, wrong parameters).
    #[error("The server refused the call ({code}): {text}")]
    Fault {
        /// The XML-RPC fault code.
        code: i64,
        /// The server's text.
        text: String,
    },
    /// The server refused what was asked for.
    #[error("{0}")]
    Api(ApiError),
}
