//! Which credentials were found good: hashing a password costs tens of milliseconds, and clients send it with each call.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use plerion_model::Id;
use sha2::{Digest, Sha256};

/// Most credentials that are remembered.
const ENTRIES_MAX: usize = 4096;

/// A digest of a credential under a key of this process.
pub(crate) type CredentialDigest = [u8; 32];

/// What a credential was good for.
enum Good {
    /// A user, with this stored password.
    Password(Id, String),
    /// A login token, which is looked up each time.
    Token,
}

/// Remembers good credentials as keyed digests, each with the stored password it was good for.
pub(crate) struct SessionCache {
    key: [u8; 16],
    entries: RwLock<HashMap<CredentialDigest, Good>>,
}

impl SessionCache {
    pub(crate) fn new(key: u128) -> Self {
        Self {
            key: key.to_ne_bytes(),
            entries: RwLock::default(),
        }
    }

    pub(crate) fn digest(&self, credential: &str) -> CredentialDigest {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(credential.as_bytes());
        digest.finalize().into()
    }

    /// The user that a credential was good for, if its stored password is still the same.
    pub(crate) fn get(&self, digest: &CredentialDigest, stored: impl Fn(Id, &str) -> bool) -> Option<Id> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Good::Password(uid, password) = entries.get(digest)? else {
            return None;
        };
        stored(*uid, password).then_some(*uid)
    }

    /// Whether a credential was good before, whatever has become of it since.
    pub(crate) fn knows(&self, digest: &CredentialDigest) -> bool {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(digest)
    }

    /// Remembers a password.
    pub(crate) fn put(&self, digest: CredentialDigest, uid: Id, stored: &str) {
        self.keep(digest, Good::Password(uid, stored.to_owned()));
    }

    /// Remembers a login token.
    pub(crate) fn put_token(&self, digest: CredentialDigest) {
        self.keep(digest, Good::Token);
    }

    fn keep(&self, digest: CredentialDigest, good: Good) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&digest) {
            entries.clear();
        }
        entries.insert(digest, good);
    }
}
