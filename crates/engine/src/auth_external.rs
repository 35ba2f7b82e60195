//! Users for whom an authentication driver answers: it is asked, and what it says of them is done.

use std::path::PathBuf;
use std::sync::Arc;

use plerion_model::user::User;
use plerion_model::{ApiError, Id};
use plerion_world::{CORE, ExternalCommand, PUBLIC, SERVER_PREFIX, World, groups_differ};

use crate::auth_ldap::{LDAP, Ldap};
use crate::auth_said::Said;
use crate::auth_script::AuthScripts;
use crate::auth_verdict::{Credential, Verdict};
use crate::slots::Slots;

/// Drivers that are asked at a time.
const ASKED_AT_A_TIME: usize = 8;
/// Calls that wait for a driver; more are refused, so that others find threads.
const WAITING_MAX: usize = 64;

/// Where users are kept. Its calls may take as long as a commit.
pub trait Registry {
    /// The last committed state.
    fn world(&self) -> Arc<World>;
    /// Does what follows from a driver's word, and waits for the commit.
    ///
    /// # Errors
    /// When it is refused, or the server is stopping.
    fn register(&self, command: ExternalCommand) -> Result<Id, ApiError>;
}

/// How asking a driver ended.
#[derive(Debug)]
pub(crate) enum Login {
    /// Let in.
    Good(Arc<User>),
    /// Refused.
    Bad,
    /// Not found out; the log says why.
    Broken,
    /// Too many wait for drivers.
    Busy,
}

/// Where drivers find what they need.
#[derive(Clone, Debug)]
pub struct AuthPlaces {
    /// Directory of drivers that are scripts.
    pub scripts: PathBuf,
    /// What describes the servers of the driver `ldap`.
    pub ldap_conf: PathBuf,
    /// Directory of the files that map their groups.
    pub ldap_mappings: PathBuf,
    /// Directory of their settings: `etc/auth`.
    pub settings: PathBuf,
}

/// Asks drivers.
pub(crate) struct AuthExternal {
    scripts: AuthScripts,
    ldap: Ldap,
    /// Of their own, so that scripts that hang do not keep the users of a directory out, nor the other way round.
    script_slots: Slots,
    ldap_slots: Slots,
}

impl AuthExternal {
    /// Drivers with what they need.
    pub(crate) fn new(places: AuthPlaces) -> Self {
        Self {
            scripts: AuthScripts::new(places.scripts),
            ldap: Ldap::new(places.ldap_conf, places.ldap_mappings),
            script_slots: Slots::new(ASKED_AT_A_TIME, WAITING_MAX),
            ldap_slots: Slots::new(ASKED_AT_A_TIME, WAITING_MAX),
        }
    }

    /// Whether a driver can be asked at all.
    pub(crate) fn has(&self, driver: &str) -> bool {
        self.is_ldap(driver) || self.scripts.find(driver).is_some()
    }

    /// Whether a driver is the one of directories, or a link to where its script was.
    fn is_ldap(&self, driver: &str) -> bool {
        driver == LDAP || self.scripts.links_to(driver, LDAP)
    }

    /// Asks about a user, or about a name that is no user's yet. `known` is asked for the user first when it was this one's
    /// turn: another call with the same credential may have been through.
    pub(crate) fn login(
        &self,
        registry: &dyn Registry,
        driver: &str,
        user: Option<&User>,
        credential: &Credential<'_>,
        known: impl FnOnce() -> Option<Id>,
    ) -> Login {
        let is_ldap = self.is_ldap(driver);
        let slots = if is_ldap {
            &self.ldap_slots
        } else {
            &self.script_slots
        };
        let Some(_slot) = slots.take() else {
            return Login::Busy;
        };
        if let Some(user) = known().and_then(|id| registry.world().users.get(id).cloned()) {
            return Login::Good(user);
        }
        let shown = user.map_or("(no such user)", |user| user.name.as_str());
        let verdict = if is_ldap {
            self.ldap.ask(&registry.world(), credential, user.is_some())
        } else {
            self.script_ask(driver, credential)
        };
        match verdict {
            Verdict::Good(said) => settle(registry, driver, user, said),
            Verdict::Bad(why) => {
                tracing::warn!(driver, user = shown, "the authentication driver refused: {why}");
                Login::Bad
            }
            Verdict::Broken(why) => {
                tracing::error!(driver, user = shown, "the authentication driver failed: {why}");
                Login::Broken
            }
        }
    }

    fn script_ask(&self, driver: &str, credential: &Credential<'_>) -> Verdict {
        match self.scripts.find(driver) {
            Some(script) => self.scripts.ask(&script, credential),
            None => Verdict::Broken(format!(
                "there is no {}; put the driver there, or change the user's with oneuser chauth",
                self.scripts.place(driver).display()
            )),
        }
    }
}

/// Makes the user who is new, and sets the groups of one who is not, where they come from the driver.
fn settle(registry: &dyn Registry, driver: &str, user: Option<&User>, said: Option<Said>) -> Login {
    let done = match (user, said) {
        (Some(user), said) => groups_follow(registry, user, said.unwrap_or_default()),
        (None, Some(said)) => make(registry, driver, said),
        (None, None) => Err("it said nothing of a user who does not exist yet".to_owned()),
    };
    match done {
        Ok(id) => match registry.world().users.get(id) {
            Some(user) if user.enabled => Login::Good(user.clone()),
            _ => Login::Bad,
        },
        Err(why) => {
            tracing::error!(
                driver,
                "what the authentication driver says cannot be done: {why}"
            );
            Login::Broken
        }
    }
}

fn groups_follow(registry: &dyn Registry, user: &User, said: Said) -> Result<Id, String> {
    let world = registry.world();
    let managed = world.config.auth.conf(&user.auth_driver).managed_groups;
    if !managed || !groups_differ(&world, user.id, &said.groups) {
        return Ok(user.id);
    }
    missing_tell(&world, &said);
    tracing::info!(
        user = user.name,
        "the authentication driver changes the user's groups"
    );
    let command = ExternalCommand::Groups {
        id: user.id,
        groups: said.groups,
    };
    registry.register(command).map_err(|error| error.text)
}

fn make(registry: &dyn Registry, asked: &str, said: Said) -> Result<Id, String> {
    let world = registry.world();
    let driver = said.driver.as_str();
    let of_core = matches!(driver, CORE | PUBLIC) || driver.starts_with(SERVER_PREFIX);
    if of_core || (driver != asked && !world.config.auth.offers(driver)) {
        return Err(format!(
            "users of the driver \"{driver}\" are not made at their first login; AUTHN of AUTH_MAD in oned.conf must name it"
        ));
    }
    missing_tell(&world, &said);
    tracing::info!(driver, user = said.name, "a first login makes the user");
    registry
        .register(ExternalCommand::Make {
            name: said.name,
            driver: said.driver,
            password: said.password,
            groups: said.groups,
        })
        .map_err(|error| error.text)
}

fn missing_tell(world: &World, said: &Said) {
    for group in &said.groups {
        if world.groups.get(group.id).is_none() {
            tracing::warn!(
                user = said.name,
                group = group.id,
                "the authentication driver names a group that does not exist"
            );
        }
    }
}
