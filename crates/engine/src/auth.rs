//! Who a session string belongs to.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use plerion_model::user::User;
use plerion_model::{ApiError, Seconds};
use plerion_world::{Caller, TokenLimit, World};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::back_off::BackOff;
use crate::clock::Clock;
use crate::session_cache::{CredentialDigest, SessionCache};
use crate::token::{hex, token_hash};

/// Passwords hashed at a time; each takes some 20 MiB and tens of milliseconds.
const HASHES_AT_A_TIME: usize = 2;

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

/// Finds out who calls.
pub struct Authenticator {
    clock: Arc<dyn Clock>,
    cache: SessionCache,
    back_off: BackOff,
    /// What waits are counted from.
    began: Instant,
    /// What is hashed for users that do not exist, so that they take as long as wrong passwords.
    nobody: String,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Authenticator {
    /// An authenticator with an empty cache.
    ///
    /// # Errors
    /// When argon2 does not work at all.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, String> {
        let nobody = password_hash(&hex(&clock.random().to_ne_bytes()))?;
        Ok(Self {
            cache: SessionCache::new(clock.random()),
            back_off: BackOff::new(),
            began: Instant::now(),
            clock,
            nobody,
            free: Mutex::new(HASHES_AT_A_TIME),
            freed: Condvar::new(),
        })
    }

    /// The caller of a session string that was found good before; `None` when it takes hashing to tell.
    #[must_use]
    pub fn caller_quick(&self, world: &World, session: &str) -> Option<Caller> {
        let digest = self.cache.digest(session);
        let uid = self.cache.get(&digest, |uid, stored| {
            world
                .users
                .get(uid)
                .is_some_and(|user| user.enabled && user.auth_driver == "core" && user.password == stored)
        })?;
        world.users.get(uid).map(|user| Caller::of(user))
    }

    /// The caller of a session string. Takes tens of milliseconds; not for threads that must not wait.
    ///
    /// # Errors
    /// When user or password are wrong, all in the same words and the same time; when too many were wrong before.
    pub fn caller(&self, world: &World, session: &str, source: IpAddr) -> Result<Caller, ApiError> {
        if let Some(caller) = self.caller_quick(world, session) {
            return Ok(caller);
        }
        let (name, secret) = session.split_once(':').ok_or_else(ApiError::authentication)?;
        let digest = self.cache.digest(session);
        // Who has been in with the same token goes on, whoever else guesses.
        if !self.cache.knows(&digest)
            && let Some(wait) = self.back_off.wait(name, source, self.began.elapsed())
        {
            return Err(ApiError::authentication_later(wait.as_secs().saturating_add(1)));
        }
        let user = world.user_by_name(name).filter(|user| user.enabled).cloned();
        let found = self.caller_slow(user.as_deref(), digest, secret);
        match &found {
            Some(_) => self.back_off.succeeded(name, source),
            None => self.failed(user.as_deref(), name, source),
        }
        found.ok_or_else(ApiError::authentication)
    }

    /// The caller by token or password; for a user that does not exist, the same work for nothing.
    fn caller_slow(&self, user: Option<&User>, digest: CredentialDigest, secret: &str) -> Option<Caller> {
        if let Some(caller) = user.and_then(|user| token_caller(user, secret, self.clock.now())) {
            if !self.cache.knows(&digest) {
                self.cache.put_token(digest);
            }
            return Some(caller);
        }
        let user = user.filter(|user| user.auth_driver == "core");
        let stored = user.map_or(self.nobody.as_str(), |user| &user.password);
        let good = self.verify(stored, secret);
        let user = user.filter(|_| good)?;
        self.cache.put(digest, user.id, &user.password);
        Some(Caller::of(user))
    }

    fn failed(&self, user: Option<&User>, name: &str, source: IpAddr) {
        let Some(wait) = self.back_off.failed(name, source, self.began.elapsed()) else {
            return;
        };
        // What is no user's name may be somebody's password.
        let user = user.map_or("(no such user)", |user| user.name.as_str());
        tracing::warn!(user, %source, ?wait, "too many wrong passwords: none is tried for a while");
    }

    /// Compares a password with a stored one; waits for its turn.
    fn verify(&self, stored: &str, password: &str) -> bool {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        drop(free);
        let good = password_matches(stored, password);
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        good
    }
}

fn password_matches(stored: &str, password: &str) -> bool {
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

fn token_caller(user: &User, secret: &str, now: Seconds) -> Option<Caller> {
    let hash = token_hash(secret);
    let token = user
        .tokens
        .iter()
        .find(|token| bool::from(token.hash.as_bytes().ct_eq(hash.as_bytes())))?;
    let lives = token.expires < 0 || token.expires > now;
    let member = token.egid < 0 || user.groups.contains(&token.egid);
    if !lives || !member {
        return None;
    }
    let mut caller = Caller::of(user);
    caller.token = Some(TokenLimit {
        expires: token.expires,
        egid: token.egid,
    });
    if token.egid >= 0 {
        // That group alone.
        caller.gid = token.egid;
        caller.groups = vec![token.egid];
    }
    Some(caller)
}
