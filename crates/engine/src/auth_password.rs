//! Passwords that are stored as hashes.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::token::hex;

/// Hashes a password for storing (argon2id).
///
/// # Errors
/// When the password is too long for the algorithm.
pub fn password_hash(password: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| format!("the password cannot be hashed: {error}"))
}

/// Whether a password is the one that is stored.
pub(crate) fn password_matches(stored: &str, password: &str) -> bool {
    if stored.starts_with("$argon2") {
        return PasswordHash::new(stored).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
    }
    // Passwords that were stored by a 7.4.0 server: SHA-256, hexadecimal.
    let digest = hex(&Sha256::digest(password.as_bytes()));
    digest.as_bytes().ct_eq(stored.as_bytes()).into()
}
