//! Login tokens: they are kept as hashes.

use sha2::{Digest, Sha256};

/// The hash under which a token is kept.
#[must_use]
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            text.push_str(&format!("{byte:02x}"));
            text
        })
}
