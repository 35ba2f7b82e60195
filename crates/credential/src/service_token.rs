//! Tokens of services that speak for any user: `SERVICE:USER:END`, sealed. The session string is `SERVICE:USER:TOKEN`.
//!
//! The forms are those of 7.4. For the driver `server_cipher`, with which both sides share a password: encrypted with AES-256 in CBC
//! mode under the first 32 hexadecimal digits of the password's SHA-256 as they are, from a block of zeros, in Base64. For
//! `server_x509`: signed with the service's RSA key as a token of `ssh` is, in Base64, and that in Base64 once more.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::{Digest, Sha256};

use crate::rsa::{RsaPrivate, RsaPublic};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What the first block is combined with.
const IV: [u8; 16] = [0; 16];
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Why a token is good for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// What is stored for the service is too short for a key.
    Key,
    /// It was not made with this key, or is no token.
    Form,
    /// It was made for another service or user.
    Names,
    /// It has ended.
    Ended,
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Key => {
                "what is stored for it is no SHA-256 of a password: set it with oneuser passwd --sha256, or chauth"
            }
            Self::Form => "the token was not made with the password or key of the service",
            Self::Names => "the token was made for another service or user",
            Self::Ended => "the token has ended",
        })
    }
}

/// The form in which the password of a service is stored, which is what its key is made of: SHA-256, hexadecimal.
#[must_use]
pub fn service_password_stored(password: &str) -> String {
    Sha256::digest(password.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceToken {
    /// The service that speaks.
    pub service: String,
    /// The user for whom it does.
    pub user: String,
    /// When it ends, in seconds since 1970.
    pub end: i64,
}

impl ServiceToken {
    /// The token in the form in which it travels. `stored` is the service's password as it is stored.
    ///
    /// # Errors
    /// When that is no key.
    pub fn seal(&self, stored: &str) -> Result<String, TokenError> {
        let text = format!("{}:{}:{}", self.service, self.user, self.end);
        let cipher = cbc::Encryptor::<Aes256>::new(&key(stored)?.into(), &IV.into());
        Ok(STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes())))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// When it was not made with this password.
    pub fn open(token: &str, stored: &str) -> Result<Self, TokenError> {
        let bytes = decoded(token)?;
        let cipher = cbc::Decryptor::<Aes256>::new(&key(stored)?.into(), &IV.into());
        let plain = cipher
            .decrypt_padded_vec::<Pkcs7>(&bytes)
            .map_err(|_| TokenError::Form)?;
        Self::parse(plain)
    }

    /// The token as a service with an RSA key signs it; `None` when the names are too long for the key.
    #[must_use]
    pub fn sign(&self, key: &RsaPrivate) -> Option<String> {
        let signed = key.sign(format!("{}:{}:{}", self.service, self.user, self.end).as_bytes())?;
        Some(STANDARD.encode(STANDARD.encode(signed)))
    }

    /// Reads a token that was signed.
    ///
    /// # Errors
    /// When it was not signed with this key.
    pub fn open_signed(token: &str, key: &RsaPublic) -> Result<Self, TokenError> {
        let inner = String::from_utf8(decoded(token)?).map_err(|_| TokenError::Form)?;
        let text = key.open(&decoded(&inner)?).ok_or(TokenError::Form)?;
        Self::parse(text)
    }

    fn parse(plain: Vec<u8>) -> Result<Self, TokenError> {
        let text = String::from_utf8(plain).map_err(|_| TokenError::Form)?;
        let mut parts = text.split(':');
        let (Some(service), Some(user), Some(end), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        Ok(Self {
            service: service.to_owned(),
            user: user.to_owned(),
            end: end.trim().parse().map_err(|_| TokenError::Form)?,
        })
    }

    /// Whether it lets a service speak for a user now.
    ///
    /// # Errors
    /// When it was made for others, or has ended.
    pub fn check(&self, service: &str, user: &str, now: i64) -> Result<(), TokenError> {
        if self.service != service || self.user != user {
            return Err(TokenError::Names);
        }
        if now >= self.end {
            return Err(TokenError::Ended);
        }
        Ok(())
    }
}

fn decoded(token: &str) -> Result<Vec<u8>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Form);
    }
    // Some clients break lines.
    let digits: String = token.split_ascii_whitespace().collect();
    STANDARD.decode(digits).map_err(|_| TokenError::Form)
}

/// The digits themselves are the key, not what they stand for.
fn key(stored: &str) -> Result<[u8; KEY_BYTES], TokenError> {
    stored
        .as_bytes()
        .first_chunk::<KEY_BYTES>()
        .copied()
        .ok_or(TokenError::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> ServiceToken {
        ServiceToken {
            service: "serveradmin".into(),
            user: "ann".into(),
            end: 2000,
        }
    }

    /// Made by another program:
    /// `openssl enc -aes-256-cbc -K "$(printf %s "$(printf secret | sha256sum | head -c 32)" | xxd -p -c 99)" -iv 0…0 -base64 -A`.
    #[test]
    fn a_token_made_by_openssl_is_read() {
        let stored = service_password_stored("secret");
        assert_eq!(ServiceToken::open(OPENSSL, &stored), Ok(token()));
        assert_eq!(token().seal(&stored).as_deref(), Ok(OPENSSL));
    }

    const OPENSSL: &str = "Vplu4R4tw95ZZKoglPw2LTELIA1r5Awn+2zYyFr2pVY=";

    #[test]
    fn what_was_changed_or_made_with_another_password_is_not() {
        let stored = service_password_stored("secret");
        let sealed = token().seal(&stored).expect("a token");
        assert_eq!(
            ServiceToken::open(&sealed, &service_password_stored("other")),
            Err(TokenError::Form)
        );
        for broken in [
            "",
            "====",
            "AAAA",
            sealed.get(1..).expect("ASCII"),
            &"A".repeat(8000),
        ] {
            assert_eq!(
                ServiceToken::open(broken, &stored),
                Err(TokenError::Form),
                "{broken}"
            );
        }
        assert_eq!(ServiceToken::open(&sealed, "short"), Err(TokenError::Key));
    }

    #[test]
    fn it_is_good_for_its_user_until_its_end() {
        let token = token();
        assert_eq!(token.check("serveradmin", "ann", 1999), Ok(()));
        assert_eq!(token.check("serveradmin", "ann", 2000), Err(TokenError::Ended));
        assert_eq!(token.check("serveradmin", "oneadmin", 1), Err(TokenError::Names));
        assert_eq!(token.check("ann", "ann", 1), Err(TokenError::Names));
    }
}
