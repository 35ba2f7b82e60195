//! [`Tokens`]: what opens a console once, for a short time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use plerion_model::Id;
use plerion_world::Caller;
use sha2::{Digest as _, Sha256};

use super::request::Wanted;

/// A token that nobody has used ends after this time.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(30);
/// Random bytes of a token; it is written in twice as many hexadecimal digits.
const TOKEN_BYTES: usize = 32;
/// Tokens of all users that wait to be used.
const TOKENS_MAX: usize = 4096;
/// Tokens of one user that wait to be used; the oldest makes room for the next.
const TOKENS_PER_USER_MAX: usize = 16;

/// What a token opens, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) caller: Caller,
    pub(super) wanted: Wanted,
    until: Instant,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoToken {
    #[error("{TOKENS_MAX} tokens wait to be used already. Ask again in {} s", TOKEN_LIFETIME.as_secs())]
    Full,
    #[error("the kernel gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The tokens that have not been used. They are kept by their hashes, so how long a look takes says nothing about them.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<[u8; 32], Grant>);

impl Tokens {
    /// A new token.
    pub(super) fn issue(&mut self, caller: Caller, wanted: Wanted, now: Instant) -> Result<String, NoToken> {
        self.0.retain(|_, grant| grant.until > now);
        self.room_make(caller.uid);
        if self.0.len() >= TOKENS_MAX {
            return Err(NoToken::Full);
        }
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(NoToken::Random)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let until = now + TOKEN_LIFETIME;
        let grant = Grant {
            caller,
            wanted,
            until,
        };
        self.0.insert(digest(&token), grant);
        Ok(token)
    }

    /// What a token opens; it opens nothing any more after that.
    pub(super) fn redeem(&mut self, token: &str, now: Instant) -> Option<Grant> {
        self.0.remove(&digest(token)).filter(|grant| grant.until > now)
    }

    fn room_make(&mut self, uid: Id) {
        let own = || self.0.iter().filter(|(_, grant)| grant.caller.uid == uid);
        if own().count() < TOKENS_PER_USER_MAX {
            return;
        }
        let oldest = own().min_by_key(|(_, grant)| grant.until).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::destination::ConsoleKind;

    const WANTED: Wanted = Wanted {
        vm: 7,
        kind: ConsoleKind::Vnc,
        force: false,
    };

    fn caller(uid: Id) -> Caller {
        Caller {
            uid,
            gid: 1,
            groups: vec![1],
            token: None,
        }
    }

    #[test]
    fn a_token_is_good_once_and_not_for_long() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        let token = tokens.issue(caller(3), WANTED, now).expect("room");
        assert_eq!(token.len(), 2 * TOKEN_BYTES);
        assert!(tokens.redeem("", now).is_none());
        let grant = tokens.redeem(&token, now).expect("good");
        assert_eq!((grant.wanted.vm, grant.caller.uid), (7, 3));
        assert!(tokens.redeem(&token, now).is_none());

        let late = tokens.issue(caller(3), WANTED, now).expect("room");
        assert!(tokens.redeem(&late, now + TOKEN_LIFETIME).is_none());
    }

    #[test]
    fn one_user_takes_no_room_from_others() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        let first = tokens.issue(caller(3), WANTED, now).expect("room");
        let other = tokens.issue(caller(4), WANTED, now).expect("room");
        for later in 1..=TOKENS_PER_USER_MAX {
            let at = now + Duration::from_millis(u64::try_from(later).expect("small"));
            tokens.issue(caller(3), WANTED, at).expect("room");
        }
        assert_eq!(tokens.0.len(), TOKENS_PER_USER_MAX + 1);
        assert!(tokens.redeem(&first, now).is_none());
        assert!(tokens.redeem(&other, now).is_some());
    }

    #[test]
    fn tokens_are_bounded_and_make_room_when_they_end() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        for uid in 0..i32::try_from(TOKENS_MAX).expect("small") {
            tokens.issue(caller(uid), WANTED, now).expect("room");
        }
        assert!(matches!(
            tokens.issue(caller(-2), WANTED, now),
            Err(NoToken::Full)
        ));
        assert!(tokens.issue(caller(-2), WANTED, now + TOKEN_LIFETIME).is_ok());
    }
}
