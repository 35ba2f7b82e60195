//! Login tokens that the server made.

use plerion_model::Seconds;
use plerion_model::user::User;
use plerion_world::{Caller, TokenLimit};
use subtle::ConstantTimeEq;

use crate::token::token_hash;

/// Who calls with a token of a user, and what it may; `None` when it is none, or has ended.
pub(crate) fn token_caller(user: &User, secret: &str, now: Seconds) -> Option<Caller> {
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
