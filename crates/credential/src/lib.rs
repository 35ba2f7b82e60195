//! Credentials that one program makes and another checks without having talked before: clients and services on one side, the
//! front-end on the other. Bytes in, bytes out: no I/O, no clock, no randomness.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod certificate;
mod certificate_token;
mod der;
mod dn;
mod rsa;
mod service_token;
mod signed_token;
mod trust;

pub use certificate::Certificate;
pub use certificate_token::{certificate_token, certificate_token_check};
pub use dn::{dn_escaped, dn_stored};
pub use rsa::{RsaPrivate, RsaPublic};
pub use service_token::{ServiceToken, TokenError, service_password_stored};
pub use signed_token::{signed_token, signed_token_check};
pub use trust::Trust;
