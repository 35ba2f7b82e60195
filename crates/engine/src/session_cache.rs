//! Which credentials were found good: hashing a password costs tens of milliseconds, and clients send it with each call.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use plerion_model::Id;
use sha2::{Digest, Sha256};

/// Most credentials that are remembered.
const ENTRIES_MAX: usize = 4096;

/// A digest of a credential under a key of this process.
pub(crate) type CredentialDigest = [u8; 32];

/// Remembers good credentials as keyed digests, each with the stored password it was good for.
pub(crate) struct SessionCache {
    key: [u8; 16],
    entries: RwLock<HashMap<CredentialDigest, (Id, String)>>,
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
        let (uid, password) = entries.get(digest)?;
        stored(*uid, password).then_some(*uid)
    }

    pub(crate) fn put(&self, digest: CredentialDigest, uid: Id, stored: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(digest, (uid, stored.to_owned()));
    }
}
