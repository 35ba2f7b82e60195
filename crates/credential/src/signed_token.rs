//! Tokens of the drivers `ssh` and `x509`: `USER:END`, signed with the user's private key, in Base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::rsa::{RsaPrivate, RsaPublic};

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8192;

/// A token in the form in which it travels. `end` is in seconds since 1970. `None` when the name is too long for the key.
#[must_use]
pub fn signed_token(user: &str, end: i64, key: &RsaPrivate) -> Option<String> {
    let signed = key.sign(format!("{user}:{end}").as_bytes())?;
    Some(STANDARD.encode(signed))
}

/// Whether a token lets a user in now, the owner of the key.
///
/// # Errors
/// When it does not, and why.
pub fn signed_token_check(token: &str, key: &RsaPublic, user: &str, now: i64) -> Result<(), &'static str> {
    const FORM: &str = "the token was not made with the user's key";
    if token.len() > TOKEN_BYTES_MAX {
        return Err(FORM);
    }
    let digits: String = token.split_ascii_whitespace().collect();
    let signed = STANDARD.decode(digits).map_err(|_| FORM)?;
    let text = key
        .open(&signed)
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or(FORM)?;
    let (name, end) = text.split_once(':').ok_or(FORM)?;
    let end: i64 = end.trim().parse().map_err(|_| FORM)?;
    if name != user {
        return Err("the token was made for another user");
    }
    if now >= end {
        return Err("the token has ended: log in again (oneuser login)");
    }
    Ok(())
}
