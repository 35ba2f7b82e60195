//! Services that log in as others: the front-end of a web interface has found out who somebody is, and speaks for them.

use plerion_credential::{RsaPublic, ServiceToken, TokenError};
use plerion_model::Seconds;
use plerion_model::user::User;
use plerion_world::World;

/// The driver of services that share a password with the front-end.
pub(crate) const SERVER_CIPHER: &str = "server_cipher";

/// What reads the tokens of a service.
pub(crate) enum Opener<'a> {
    /// Its password as it is stored.
    Stored(&'a str),
    /// Its public key.
    Key(RsaPublic),
}

impl Opener<'_> {
    fn open(&self, token: &str) -> Result<ServiceToken, TokenError> {
        match self {
            Self::Stored(stored) => ServiceToken::open(token, stored),
            Self::Key(key) => ServiceToken::open_signed(token, key),
        }
    }
}

/// The user for whom a service speaks, by what follows its name in the session string: `USER:TOKEN`. A token is read by `opener`.
///
/// # Errors
/// When it may not; the reason is for the log.
pub(crate) fn service_caller<'w>(
    world: &'w World,
    service: &User,
    secret: &str,
    now: Seconds,
    opener: &Opener<'_>,
) -> Result<&'w User, String> {
    let (target, token) = secret
        .split_once(':')
        .ok_or("the session is not SERVICE:USER:TOKEN")?;
    let token = opener.open(token).map_err(|error| error.to_string())?;
    token
        .check(&service.name, target, now)
        .map_err(|error| error.to_string())?;
    world
        .user_by_name(target)
        .map(AsRef::as_ref)
        .filter(|user| user.enabled)
        .ok_or_else(|| "the user for whom it speaks does not exist or is disabled".to_owned())
}
