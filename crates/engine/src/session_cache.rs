//! Which credentials were found good: hashing a password costs tens of milliseconds, asking a driver more, and clients send
//! theirs with each call.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use plerion_model::Id;
use plerion_model::user::User;
use plerion_world::{CORE, World};
use sha2::{Digest, Sha256};

/// Most credentials that are remembered.
const ENTRIES_MAX: usize = 4096;

/// A digest of a credential under a key of this process.
pub(crate) type CredentialDigest = [u8; 32];

/// What a credential was good for.
enum Good {
    /// A user, as long as driver and stored password are these.
    User {
        id: Id,
        driver: String,
        stored: String,
        /// When it is no longer good, since the process began; a password of the core has no end.
        until: Option<Duration>,
    },
    /// A token, which is looked at each time.
    Token,
}

/// Remembers good credentials as keyed digests, each with what it was good for.
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

    /// The user that a credential was good for, if it still is.
    pub(crate) fn get<'w>(
        &self,
        digest: &CredentialDigest,
        world: &'w World,
        now: Duration,
    ) -> Option<&'w User> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Good::User {
            id,
            driver,
            stored,
            until,
        } = entries.get(digest)?
        else {
            return None;
        };
        let lives = until.is_none_or(|until| now < until);
        world.users.get(*id).map(AsRef::as_ref).filter(|user| {
            let same = user.auth_driver == *driver && user.password == *stored;
            let offered = *driver == CORE || world.config.auth.offers(driver);
            lives && same && offered && user.enabled
        })
    }

    /// Whether a credential was good before, whatever has become of it since.
    pub(crate) fn knows(&self, digest: &CredentialDigest) -> bool {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(digest)
    }

    /// Remembers that a credential was a user's, for ever or until a time.
    pub(crate) fn put(&self, digest: CredentialDigest, user: &User, until: Option<Duration>) {
        let good = Good::User {
            id: user.id,
            driver: user.auth_driver.clone(),
            stored: user.password.clone(),
            until,
        };
        self.keep(digest, good);
    }

    /// Remembers that a token was good once.
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
