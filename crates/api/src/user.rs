//! Calls on users that deal with secrets.

use std::sync::Arc;

use plerion_engine::{Engine, password_hash, token_hash};
use plerion_model::ApiError;
use plerion_world::{Caller, Command};

use crate::order::order;
use crate::reject::Reject;
use crate::xmlrpc::{Params, Payload};

/// Longest password, in bytes: hashing longer ones would be work for nothing.
const PASSWORD_BYTES_MAX: usize = 512;

/// Longest of what other drivers store, in bytes: keys, names of certificates.
const STORED_BYTES_MAX: usize = 16 * 1024;

/// The form in which a password is stored: hashed for the core driver, as it is for others.
async fn stored(password: String, driver: &str) -> Result<String, Reject> {
    let bytes_max = if matches!(driver, "core" | "") {
        PASSWORD_BYTES_MAX
    } else {
        STORED_BYTES_MAX
    };
    if password.len() > bytes_max {
        return Err(
            ApiError::rpc_api(format!("Invalid password, it is longer than {bytes_max} bytes")).into(),
        );
    }
    if password.chars().any(char::is_whitespace) && matches!(driver, "core" | "") {
        return Err(ApiError::rpc_api("Invalid password, it holds blanks").into());
    }
    if password.is_empty() || !matches!(driver, "core" | "") {
        return Ok(password);
    }
    let hashed = tokio::task::spawn_blocking(move || password_hash(&password)).await;
    hashed
        .map_err(|error| ApiError::internal(format!("the password could not be hashed: {error}")))?
        .map_err(|error| ApiError::internal(error).into())
}

/// `one.user.allocate`.
pub(crate) async fn user_allocate(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (name, password, driver) = (params.string()?, params.string()?, params.string()?);
    let groups = params.ints_or_empty()?;
    let password = stored(password, &driver).await?;
    order(
        engine,
        caller,
        Command::UserAllocate {
            name,
            password,
            driver,
            groups,
        },
    )
    .await
}

/// `one.user.passwd`.
pub(crate) async fn user_passwd(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (id, password) = (params.int()?, params.string()?);
    let driver = engine
        .snapshot()
        .world
        .users
        .get(id)
        .map_or(String::new(), |user| user.auth_driver.clone());
    if password.is_empty() {
        return Err(ApiError::action("Invalid password, it cannot be empty").into());
    }
    let password = stored(password, &driver).await?;
    order(engine, caller, Command::UserPasswd { id, password }).await
}

/// `one.user.chauth`.
pub(crate) async fn user_chauth(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (id, driver, password) = (params.int()?, params.string()?, params.string()?);
    let kept = engine
        .snapshot()
        .world
        .users
        .get(id)
        .map(|user| user.auth_driver.clone());
    let effective = if driver.is_empty() {
        kept.unwrap_or_default()
    } else {
        driver.clone()
    };
    let password = stored(password, &effective).await?;
    order(engine, caller, Command::UserChauth { id, driver, password }).await
}

/// Whether a token is to be ended and named as `one.user.info` shows it.
fn ended_by_hash(engine: &Engine, name: &str, token: &str, valid: i32) -> bool {
    let snapshot = engine.snapshot();
    let user = snapshot.world.user_by_name(name);
    valid == 0 && user.is_some_and(|user| user.tokens.iter().any(|kept| kept.hash == token))
}

/// `one.user.login`: answers the token.
pub(crate) async fn user_login(
    engine: &Arc<Engine>,
    caller: Caller,
    params: &mut Params,
) -> Result<Payload, Reject> {
    let (name, token, valid) = (params.string()?, params.string()?, params.int()?);
    let egid = params.int_or(-1)?;
    let named = !token.is_empty();
    let clock = engine.clock();
    let token = if named {
        token
    } else {
        format!("{:032x}{:032x}", clock.random(), clock.random())
    };
    let hash = if ended_by_hash(engine, &name, &token, valid) {
        token.clone()
    } else {
        token_hash(&token)
    };
    let command = Command::UserLogin {
        name,
        hash,
        valid: i64::from(valid),
        egid,
        named,
    };
    order(engine, caller, command).await?;
    // Recorded: ending a token answers it, too.
    Ok(Payload::Text(if valid == 0 && !named {
        String::new()
    } else {
        token
    }))
}
