//! [`Sessions`]: screens whose page opens several channels, as SPICE does.
//!
//! A token opens one WebSocket. The page that uses it may name a secret of its own with it; while that WebSocket is open,
//! token and secret together open further ones, and for a time after it has ended a first one again, for whoever had to be
//! asked for a password. So the address in which the token came opens nothing any more after its first use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::tokens::{Grant, digest};

/// Fewest characters of a secret: 128 bits in hexadecimal digits.
const SECRET_CHARACTERS: usize = 32;
/// Channels of one screen besides the first; QEMU's have six at most, but there are USB devices.
const CHANNELS_MAX: usize = 12;
/// Time to type a password.
const AGAIN: Duration = Duration::from_secs(120);
/// Screens that are kept, more than can be open at once: of those that have ended the oldest goes.
const SESSIONS_MAX: usize = 1024;

/// The screens whose pages may open further channels, by hashes of token and secret.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<[u8; 32], Session>>>);

#[derive(Debug)]
struct Session {
    grant: Grant,
    /// Channels that have been opened besides the first.
    channels: usize,
    /// When the first channel ended; nothing while it is open.
    ended: Option<Instant>,
}

/// Token and secret of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionKey([u8; 32]);

/// The first channel of a session; dropping it ends the channel.
#[derive(Debug)]
pub(super) struct FirstChannel {
    sessions: Sessions,
    key: SessionKey,
}

impl SessionKey {
    /// Of a token, and of a secret that is long enough to be one.
    pub(super) fn of(token: &str, secret: Option<&str>) -> Option<Self> {
        let secret = secret.filter(|secret| secret.len() >= SECRET_CHARACTERS)?;
        Some(Self(digest(&format!("{token}.{secret}"))))
    }
}

impl Sessions {
    /// Begins a session by its first channel.
    pub(super) fn begin(&self, key: SessionKey, grant: Grant, now: Instant) -> FirstChannel {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, session| !session.is_over(now));
        if kept.len() >= SESSIONS_MAX {
            let oldest = kept
                .iter()
                .filter_map(|(key, session)| Some((session.ended?, *key)))
                .min();
            if let Some((_, oldest)) = oldest {
                kept.remove(&oldest);
            }
        }
        let session = Session {
            grant,
            channels: 0,
            ended: None,
        };
        kept.insert(key.0, session);
        self.first(key)
    }

    /// What another channel of a session opens; it is the first one where that has ended.
    pub(super) fn join(&self, key: SessionKey, now: Instant) -> Option<(Grant, Option<FirstChannel>)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get_mut(&key.0).filter(|session| !session.is_over(now))?;
        if session.ended.take().is_some() {
            session.channels = 0;
            return Some((session.grant.clone(), Some(self.first(key))));
        }
        if session.channels >= CHANNELS_MAX {
            return None;
        }
        session.channels += 1;
        Some((session.grant.clone(), None))
    }

    /// Whether the first channel of a session is open.
    pub(super) fn is_open(&self, key: SessionKey) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key.0).is_some_and(|session| session.ended.is_none())
    }

    fn first(&self, key: SessionKey) -> FirstChannel {
        FirstChannel {
            sessions: self.clone(),
            key,
        }
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        self.ended.is_some_and(|ended| ended + AGAIN <= now)
    }
}

impl Drop for FirstChannel {
    fn drop(&mut self) {
        let mut kept = self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = kept.get_mut(&self.key.0) {
            session.ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use plerion_world::Caller;

    use super::*;
    use crate::console::destination::ConsoleKind;
    use crate::console::request::Wanted;
    use crate::console::tokens::Tokens;

    fn grant() -> Grant {
        let caller = Caller {
            uid: 3,
            gid: 1,
            groups: vec![1],
            token: None,
        };
        let wanted = Wanted {
            vm: 7,
            kind: ConsoleKind::Spice,
            force: false,
        };
        let mut tokens = Tokens::default();
        let now = Instant::now();
        let token = tokens.issue(caller, wanted, now).expect("room");
        tokens.redeem(&token, now).expect("good")
    }

    fn key(token: &str, digit: &str) -> SessionKey {
        SessionKey::of(token, Some(&digit.repeat(SECRET_CHARACTERS))).expect("long enough")
    }

    #[test]
    fn only_token_and_secret_of_a_screen_open_more_of_it() {
        let sessions = Sessions::default();
        let (own, now) = (key("token", "5"), Instant::now());
        assert!(sessions.join(own, now).is_none());
        let first = sessions.begin(own, grant(), now);
        let (joined, again) = sessions.join(own, now).expect("open");
        assert_eq!((joined.wanted.vm, again.is_none()), (7, true));
        for other in [key("other", "5"), key("token", "6")] {
            assert!(sessions.join(other, now).is_none());
        }
        assert!(sessions.is_open(own));
        drop(first);
        assert!(!sessions.is_open(own));
    }

    #[test]
    fn a_password_may_be_tried_again_for_a_time() {
        let sessions = Sessions::default();
        let (own, now) = (key("token", "5"), Instant::now());
        drop(sessions.begin(own, grant(), now));
        let (_, again) = sessions.join(own, Instant::now()).expect("in time");
        assert!(again.is_some() && sessions.is_open(own));
        drop(again);
        assert!(sessions.join(own, Instant::now() + AGAIN).is_none());
    }

    #[test]
    fn channels_and_sessions_are_bounded_and_secrets_are_long() {
        let sessions = Sessions::default();
        let (own, now) = (key("token", "5"), Instant::now());
        let _first = sessions.begin(own, grant(), now);
        for _ in 0..CHANNELS_MAX {
            assert!(sessions.join(own, now).is_some());
        }
        assert!(sessions.join(own, now).is_none());
        for other in 0..2 * SESSIONS_MAX {
            drop(sessions.begin(key(&other.to_string(), "5"), grant(), now));
        }
        assert_eq!(sessions.0.lock().expect("whole").len(), SESSIONS_MAX);
        assert!(sessions.is_open(own), "one that is open stays");
        assert_eq!(SessionKey::of("token", Some("5")), None);
        assert_eq!(SessionKey::of("token", None), None);
    }
}
