//! Tokens of the driver `x509`: what the user's key signed, and the certificate that says whose key that is.
//!
//! The form is that of 7.4: `SIGNED:PEM:PEM…` in Base64, where SIGNED is a token of `ssh` and the user's certificate is the first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::Certificate;
use crate::rsa::RsaPrivate;
use crate::signed_token::{signed_token, signed_token_check};

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A token in the form in which it travels. `end` is in seconds since 1970. `None` when the name is too long for the key.
#[must_use]
pub fn certificate_token(user: &str, end: i64, key: &RsaPrivate, chain: &[Certificate]) -> Option<String> {
    let mut text = signed_token(user, end, key)?;
    for certificate in chain {
        text.push(':');
        text.push_str(&certificate.to_pem());
    }
    Some(STANDARD.encode(text))
}

/// The chain of certificates in a token that the owner of the first one made for a user, and that has not ended. Whether
/// anybody vouches for the chain is another question.
///
/// # Errors
/// When the token is none, or was not made by that owner or for that user, or has ended.
pub fn certificate_token_check(token: &str, user: &str, now: i64) -> Result<Vec<Certificate>, String> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("the token is longer than {TOKEN_BYTES_MAX} bytes"));
    }
    let digits: String = token.split_ascii_whitespace().collect();
    let text = STANDARD
        .decode(digits)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or("the token is not Base64 of what a key signed and of certificates")?;
    let (signed, certificates) = text
        .split_once(':')
        .ok_or("there is no certificate in the token")?;
    let chain = Certificate::chain_parse(certificates.replace(':', "\n").as_bytes())?;
    let key = chain
        .first()
        .and_then(Certificate::public)
        .ok_or("the key of the certificate is no RSA key")?;
    signed_token_check(signed, &key, user, now)?;
    Ok(chain)
}
