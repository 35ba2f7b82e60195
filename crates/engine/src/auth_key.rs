//! Users who sign their tokens: the driver `ssh`.

use plerion_credential::{RsaPublic, signed_token_check};
use plerion_model::Seconds;
use plerion_model::user::User;

/// The driver of users for whom their RSA key is stored.
pub(crate) const SSH: &str = "ssh";

/// Whether a token was made with the key that is stored for a user.
///
/// # Errors
/// When it was not; the reason is for the log.
pub(crate) fn key_check(user: &User, token: &str, now: Seconds) -> Result<(), String> {
    let key = RsaPublic::parse(&user.password)
        .ok_or("what is stored for the user is no RSA key: oneuser chauth NAME --ssh --key FILE sets one")?;
    signed_token_check(token, &key, &user.name, now).map_err(str::to_owned)
}
