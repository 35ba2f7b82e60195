//! Services that log in as others: the front-end of a web interface has found out who somebody is, and speaks for them.

use plerion_credential::ServiceToken;
use plerion_model::Seconds;
use plerion_model::user::User;
use plerion_world::World;

/// The driver of services that share a password with the front-end.
pub(crate) const SERVER_CIPHER: &str = "server_cipher";

/// The user for whom a service speaks, by what follows its name in the session string: `USER:TOKEN`.
///
/// # Errors
/// When it may not; the reason is for the log.
pub(crate) fn service_caller<'w>(
    world: &'w World,
    service: &User,
    secret: &str,
    now: Seconds,
) -> Result<&'w User, String> {
    let (target, token) = secret
        .split_once(':')
        .ok_or("the session is not SERVICE:USER:TOKEN")?;
    let token = ServiceToken::open(token, &service.password).map_err(|error| error.to_string())?;
    token
        .check(&service.name, target, now)
        .map_err(|error| error.to_string())?;
    world
        .user_by_name(target)
        .map(AsRef::as_ref)
        .filter(|user| user.enabled)
        .ok_or_else(|| "the user for whom it speaks does not exist or is disabled".to_owned())
}
