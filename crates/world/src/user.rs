//! Commands on users.

use std::sync::Arc;

use plerion_model::user::{LoginToken, User};
use plerion_model::{ApiError, Id, Kind, Operation, Seconds, group};
use plerion_template::{PackedTemplate, Template};

use crate::acl::{group_admin_set, rules_forget};
use crate::auth::{Caller, Target, TokenLimit, require};
use crate::auth_driver::{CORE, PUBLIC, SERVER_PREFIX};
use crate::bootstrap::user_new;
use crate::config::Config;
use crate::name::{driver_name_check, name_check_new};
use crate::txn::Txn;

/// Most login tokens that a user may have at a time.
const TOKENS_MAX: usize = 10;

/// `one.user.allocate`.
pub(crate) fn user_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    name: &str,
    password: &str,
    driver: &str,
    groups: &[Id],
) -> Result<Id, ApiError> {
    let mut rights = vec![(Operation::Create, Target::new_of(Kind::User))];
    for gid in groups.iter().filter(|gid| **gid != caller.gid) {
        rights.push((Operation::Manage, Target::of(&txn.world, Kind::Group, *gid)?));
    }
    require(&txn.world, caller, &rights)?;
    name_check_new(&txn.world, Kind::User, -1, name)?;
    let driver = if driver.is_empty() { CORE } else { driver };
    service_check_may_set(caller, driver)?;
    driver_name_check(driver).map_err(|reason| ApiError::allocate(Kind::User, &reason))?;
    let required = driver != PUBLIC && txn.world.config.auth.conf(driver).password_required;
    if password.is_empty() && required {
        return Err(ApiError::allocate(
            Kind::User,
            "Invalid password, it cannot be empty.",
        ));
    }
    let groups = match groups {
        [] if caller.gid == group::ONEADMIN => vec![group::USERS],
        [] => vec![caller.gid],
        some => some.to_vec(),
    };
    let id = txn.id_next(Kind::User);
    let user = user_new(txn, id, name, password, driver, groups);
    txn.create(user);
    Ok(id)
}

fn changed(
    txn: &mut Txn<'_>,
    caller: &Caller,
    rights: &[(Operation, Target)],
    id: Id,
    change: impl FnOnce(&mut User) -> Result<(), ApiError>,
) -> Result<Id, ApiError> {
    require(&txn.world, caller, rights)?;
    let mut user = txn.world.user(id)?.clone();
    change(Arc::make_mut(&mut user))?;
    txn.update(user);
    Ok(id)
}

/// `one.user.passwd`.
pub(crate) fn user_passwd(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    password: &str,
) -> Result<Id, ApiError> {
    let rights = [(Operation::Manage, Target::of(&txn.world, Kind::User, id)?)];
    password_check_may_set(caller, id)?;
    let config = txn.world.config.clone();
    changed(txn, caller, &rights, id, |user| {
        if !caller.is_admin() && !config.auth.conf(&user.auth_driver).password_change {
            return Err(ApiError::action(format!(
                "Passwords of users of the authentication driver {} are set by administrators only (PASSWORD_CHANGE of \
                 AUTH_MAD_CONF in oned.conf)",
                user.auth_driver
            )));
        }
        password.clone_into(&mut user.password);
        Ok(())
    })
}

/// A password would outlive the token that sets it, and give more.
fn password_check_may_set(caller: &Caller, id: Id) -> Result<(), ApiError> {
    let limited = caller
        .token
        .is_some_and(|token| token.expires >= 0 || token.is_of_group());
    if limited && caller.uid == id {
        return Err(ApiError::action(
            "A login token that ends or is limited to a group cannot set its own user's password: log in with the password",
        ));
    }
    Ok(())
}

/// A service speaks for every user, administrators too: who has all rights over a user (an administrator of the group) would
/// have them over everything by making a service of that user.
fn service_check_may_set(caller: &Caller, driver: &str) -> Result<(), ApiError> {
    if driver.starts_with(SERVER_PREFIX) && !caller.is_admin() {
        return Err(ApiError::authorization(
            caller.uid,
            &format!(
                "Users of the authentication driver {driver} speak for all others: only users of the group oneadmin make or change them"
            ),
        ));
    }
    Ok(())
}

/// `one.user.chauth`. Login tokens stay.
pub(crate) fn user_chauth(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    driver: &str,
    password: &str,
) -> Result<Id, ApiError> {
    let rights = [(Operation::Admin, Target::of(&txn.world, Kind::User, id)?)];
    password_check_may_set(caller, id)?;
    changed(txn, caller, &rights, id, |user| {
        service_check_may_set(caller, &user.auth_driver)?;
        service_check_may_set(caller, driver)?;
        driver_name_check(driver).map_err(ApiError::action)?;
        if id == 0 && !matches!(driver, "" | "core") {
            return Err(ApiError::action(
                "The authentication driver of oneadmin cannot be changed: nobody could log in to change it back",
            ));
        }
        // What other drivers store is no hash of a password.
        if driver == "core" && user.auth_driver != "core" && password.is_empty() {
            return Err(ApiError::action(
                "The user has no password that the driver core could check: name a new one",
            ));
        }
        if !driver.is_empty() {
            driver.clone_into(&mut user.auth_driver);
        }
        if !password.is_empty() {
            password.clone_into(&mut user.password);
        }
        Ok(())
    })
}

/// `one.user.chgrp`: the new primary group; the old one is left (recorded: the user is in the new one alone of the two).
pub(crate) fn user_chgrp(txn: &mut Txn<'_>, caller: &Caller, id: Id, gid: Id) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Manage, Target::of(&txn.world, Kind::User, id)?),
        (Operation::Use, Target::of(&txn.world, Kind::Group, gid)?),
    ];
    let config = txn.world.config.clone();
    changed(txn, caller, &rights, id, |user| {
        if id == 0 {
            return Err(ApiError::action(
                "The primary group of oneadmin cannot be changed",
            ));
        }
        groups_check_own(&config, user)?;
        if let Err(at) = user.groups.binary_search(&gid) {
            user.groups.insert(at, gid);
        }
        if user.gid != gid {
            let old = user.gid;
            user.groups.retain(|group| *group != old);
        }
        user.gid = gid;
        tokens_drop_foreign(user);
        Ok(())
    })
}

/// `one.user.addgroup` and `one.user.delgroup`.
pub(crate) fn user_group(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    gid: Id,
    add: bool,
) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Manage, Target::of(&txn.world, Kind::User, id)?),
        (Operation::Manage, Target::of(&txn.world, Kind::Group, gid)?),
    ];
    let config = txn.world.config.clone();
    let id = changed(txn, caller, &rights, id, |user| {
        groups_check_own(&config, user)?;
        match (user.groups.binary_search(&gid), add) {
            (Ok(_), true) => Err(ApiError::action(format!("User is already in group {gid}"))),
            (Err(at), true) => {
                user.groups.insert(at, gid);
                Ok(())
            }
            (_, false) if user.gid == gid => Err(ApiError::action(format!(
                "Cannot remove the user from its primary group {gid}; change the primary group first"
            ))),
            (Ok(at), false) => {
                user.groups.remove(at);
                tokens_drop_foreign(user);
                Ok(())
            }
            (Err(_), false) => Err(ApiError::action(format!("User is not in group {gid}"))),
        }
    })?;
    // Who is no member administers nothing.
    if !add {
        group_admin_set(txn, gid, id, false)?;
    }
    Ok(id)
}

/// `one.user.enable`.
pub(crate) fn user_enable(txn: &mut Txn<'_>, caller: &Caller, id: Id, enable: bool) -> Result<Id, ApiError> {
    let rights = [(Operation::Admin, Target::of(&txn.world, Kind::User, id)?)];
    changed(txn, caller, &rights, id, |user| {
        if id == 0 {
            return Err(ApiError::action("oneadmin cannot be enabled or disabled"));
        }
        user.enabled = enable;
        Ok(())
    })
}

/// Groups that come from an authentication driver are not changed by hand: its next word would undo it.
fn groups_check_own(config: &Config, user: &User) -> Result<(), ApiError> {
    if !config.auth.conf(&user.auth_driver).managed_groups {
        return Ok(());
    }
    Err(ApiError::action(format!(
        "The groups of users of the authentication driver {0} come from it at each login: change them there, or set \
         DRIVER_MANAGED_GROUPS to NO in its AUTH_MAD_CONF in oned.conf",
        user.auth_driver
    )))
}

/// Tokens of groups that the user has left end.
pub(crate) fn tokens_drop_foreign(user: &mut User) {
    let groups = &user.groups;
    user.tokens
        .retain(|token| token.egid < 0 || groups.binary_search(&token.egid).is_ok());
}

/// What `one.user.login` was asked.
pub(crate) struct Login<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: &'a str,
    pub(crate) valid: i64,
    pub(crate) egid: Id,
    pub(crate) named: bool,
}

/// `one.user.login`: makes a token, sets its end, or deletes it (all, where none is named).
pub(crate) fn user_login(txn: &mut Txn<'_>, caller: &Caller, login: &Login<'_>) -> Result<Id, ApiError> {
    let Some(user) = txn.world.user_by_name(login.name) else {
        return Err(ApiError::new(
            plerion_model::ErrorCode::NoExists,
            format!("Error getting user [{}].", login.name),
        ));
    };
    let id = user.id;
    let now = txn.context.now;
    let mut rights = vec![(Operation::Manage, Target::of(&txn.world, Kind::User, id)?)];
    if let Some(limit) = caller.token {
        login_check_within(login, limit, now)?;
        if limit.is_of_group() && caller.uid == id {
            // It has been found to ask for what it has.
            rights.clear();
        }
    }
    let config = txn.world.config.clone();
    changed(txn, caller, &rights, id, |user| {
        if login.egid >= 0 && user.groups.binary_search(&login.egid).is_err() {
            return Err(ApiError::rpc_api(format!(
                "The user is not in group {}",
                login.egid
            )));
        }
        user.tokens
            .retain(|token| token.expires < 0 || token.expires > now);
        if login.valid == 0 {
            user.tokens
                .retain(|token| login.named && token.hash != login.hash);
            return Ok(());
        }
        user.tokens.retain(|token| token.hash != login.hash);
        if user.tokens.len() >= TOKENS_MAX {
            return Err(ApiError::action(format!(
                "The user has {TOKENS_MAX} tokens already; delete one first"
            )));
        }
        let valid = token_life(&config, user, login.valid)?;
        let expires = if valid < 0 { -1 } else { now.saturating_add(valid) };
        user.tokens.push(LoginToken {
            hash: login.hash.to_owned(),
            expires,
            egid: login.egid,
        });
        Ok(())
    })
}

/// How long a token lives that was asked for: no longer than the authentication driver of its user allows.
fn token_life(config: &Config, user: &User, valid: i64) -> Result<i64, ApiError> {
    match config.auth.conf(&user.auth_driver).max_token_s {
        0 => Err(ApiError::action(format!(
            "Users of the authentication driver {} have no login tokens (MAX_TOKEN_TIME of AUTH_MAD_CONF in oned.conf)",
            user.auth_driver
        ))),
        max if max > 0 && (valid < 0 || valid > max) => Ok(max),
        _ => Ok(valid),
    }
}

/// A token makes no token that gives more than it gives itself, nor one that lives longer.
fn login_check_within(login: &Login<'_>, limit: TokenLimit, now: Seconds) -> Result<(), ApiError> {
    let ends = login.valid == 0;
    if limit.is_of_group() && ends && !login.named {
        return Err(ApiError::rpc_api(
            "A login token that is limited to a group cannot end all tokens of its user: name the one to end",
        ));
    }
    if limit.is_of_group() && !ends && login.egid != limit.egid {
        // Recorded.
        return Err(ApiError::rpc_api(
            "Cannot create a full token with a specific group token",
        ));
    }
    let longer = login.valid < 0 || now.saturating_add(login.valid) > limit.expires;
    if !ends && limit.expires >= 0 && longer {
        return Err(ApiError::action(format!(
            "The login token that was used ends in {} seconds, and cannot make one that lives longer: log in with the password",
            limit.expires.saturating_sub(now)
        )));
    }
    Ok(())
}

/// The secret that signs the tokens of its VMs stays when a template is replaced without it.
pub(crate) fn user_updated(user: &mut User, old: &Template, mut new: Template) {
    if let Some(secret) = old.get("TOKEN_PASSWORD") {
        new.set_if_missing("TOKEN_PASSWORD", secret);
    }
    user.template = PackedTemplate::new(&new);
}

/// A user may go when it is not one of the first and owns nothing.
pub(crate) fn user_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if id < 2 {
        return Err(ApiError::action("oneadmin and serveradmin cannot be deleted"));
    }
    let groups = txn.world.user(id)?.groups.clone();
    for gid in groups {
        group_admin_set(txn, gid, id, false)?;
    }
    txn.delete(Kind::User, id);
    rules_forget(txn, Kind::User, id);
    Ok(())
}
