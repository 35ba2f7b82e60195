//! Who a session string belongs to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plerion_model::ApiError;
use plerion_model::user::User;
use plerion_world::{CORE, Caller, PUBLIC, World};

use crate::auth_certificate::{Certificates, X509};
use crate::auth_external::{AuthExternal, AuthPlaces, Login, Registry};
use crate::auth_key::{SSH, key_check};
use crate::auth_password::{password_hash, password_matches};
use crate::auth_service::{Opener, SERVER_CIPHER, service_caller};
use crate::auth_service_certificate::{SERVER_X509, ServiceCertificate};
use crate::auth_token::token_caller;
use crate::auth_verdict::{Credential, Verdict};
use crate::back_off::BackOff;
use crate::clock::Clock;
use crate::session_cache::{CredentialDigest, SessionCache};
use crate::slots::Slots;
use crate::token::hex;

/// Passwords hashed at a time; each takes some 20 MiB and tens of milliseconds.
const HASHES_AT_A_TIME: usize = 2;

/// Finds out who calls.
pub struct Authenticator {
    clock: Arc<dyn Clock>,
    cache: SessionCache,
    back_off: BackOff,
    /// What waits and ends of sessions are counted from.
    began: Instant,
    /// What is hashed for users that do not exist, so that they take as long as wrong passwords.
    nobody: String,
    hashing: Slots,
    external: AuthExternal,
    certificates: Certificates,
    service_certificate: ServiceCertificate,
}

/// How it is found out whether a credential is a user's.
enum Way<'a> {
    /// By its password, which is stored hashed.
    Core(&'a User),
    /// By a driver: about a user, or about one that does not exist yet.
    External(&'a str, Option<&'a User>),
    /// By a token that the user has signed.
    Signed(&'a User),
    /// By a token that the user has signed, with a certificate.
    Certificate(&'a User),
    /// By a token with which a service, this user, speaks for another.
    Service(&'a User),
    /// It is nobody's, and takes as long as a password.
    Nobody,
}

impl Authenticator {
    /// An authenticator with an empty cache. Drivers find there what they need.
    ///
    /// # Errors
    /// When argon2 does not work at all.
    pub fn new(clock: Arc<dyn Clock>, places: AuthPlaces) -> Result<Self, String> {
        let nobody = password_hash(&hex(&clock.random().to_ne_bytes()))?;
        Ok(Self {
            cache: SessionCache::new(clock.random()),
            back_off: BackOff::new(),
            began: Instant::now(),
            clock,
            nobody,
            hashing: Slots::new(HASHES_AT_A_TIME, usize::MAX),
            certificates: Certificates::new(places.settings.clone()),
            service_certificate: ServiceCertificate::new(places.settings.clone()),
            external: AuthExternal::new(places),
        })
    }

    /// The caller of a session string that was found good before; `None` when it takes hashing to tell, or a driver.
    #[must_use]
    pub fn caller_quick(&self, world: &World, session: &str) -> Option<Caller> {
        let digest = self.cache.digest(session);
        self.cache
            .get(&digest, world, self.began.elapsed())
            .map(Caller::of)
    }

    /// The caller of a session string. Takes tens of milliseconds, with a driver many seconds; not for threads that must not
    /// wait.
    ///
    /// # Errors
    /// When user or password are wrong, all in the same words and the same time; when too many were wrong before.
    pub fn caller(&self, registry: &dyn Registry, session: &str, source: IpAddr) -> Result<Caller, ApiError> {
        let world = registry.world();
        if let Some(caller) = self.caller_quick(&world, session) {
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
        let user = world.user_by_name(name).map(AsRef::as_ref);
        let found = match self.caller_by_token(user, digest, secret) {
            Some(caller) => Ok(Some(caller)),
            None => match self.way(&world, user) {
                Way::Core(user) => Ok(self.caller_by_password(user, digest, secret)),
                Way::External(driver, user) => {
                    self.caller_by_driver(registry, driver, user, name, secret, digest)
                }
                Way::Service(service) => self.caller_by_service(&world, service, digest, secret),
                Way::Certificate(user) => self.caller_by_certificate(user, digest, secret),
                Way::Signed(user) => Ok(self.caller_by_signature(user, digest, secret)),
                Way::Nobody => {
                    self.verify(&self.nobody, secret);
                    Ok(None)
                }
            },
        };
        match &found {
            Ok(Some(_)) => self.back_off.succeeded(name, source),
            Ok(None) => self.failed(user, name, source),
            // The credential was not looked at.
            Err(_) => {}
        }
        found?.ok_or_else(ApiError::authentication)
    }

    fn way<'a>(&self, world: &'a World, user: Option<&'a User>) -> Way<'a> {
        let drivers = &world.config.auth;
        match user {
            Some(user) if !user.enabled => Way::Nobody,
            Some(user) if user.auth_driver == CORE => Way::Core(user),
            Some(user) if user.auth_driver == PUBLIC => Way::Nobody,
            Some(user) if user.auth_driver == SSH && drivers.offers(SSH) => Way::Signed(user),
            Some(user) if user.auth_driver == X509 && drivers.offers(X509) => Way::Certificate(user),
            Some(user)
                if [SERVER_CIPHER, SERVER_X509].contains(&user.auth_driver.as_str())
                    && drivers.offers(&user.auth_driver) =>
            {
                Way::Service(user)
            }
            Some(user) if drivers.offers(&user.auth_driver) => Way::External(&user.auth_driver, Some(user)),
            Some(user) => {
                tracing::warn!(
                    user = user.name,
                    driver = user.auth_driver,
                    "AUTHN of AUTH_MAD in oned.conf does not name the user's authentication driver"
                );
                Way::Nobody
            }
            None => drivers
                .for_unknown()
                .filter(|driver| self.external.has(driver))
                .map_or(Way::Nobody, |driver| Way::External(driver, None)),
        }
    }

    fn caller_by_token(&self, user: Option<&User>, digest: CredentialDigest, secret: &str) -> Option<Caller> {
        let user = user.filter(|user| user.enabled)?;
        let caller = token_caller(user, secret, self.clock.now())?;
        self.seen(digest);
        Some(caller)
    }

    fn caller_by_password(&self, user: &User, digest: CredentialDigest, secret: &str) -> Option<Caller> {
        self.verify(&user.password, secret).then(|| {
            self.cache.put(digest, user, None);
            Caller::of(user)
        })
    }

    /// `Err` when nothing was found out about the credential.
    fn caller_by_service(
        &self,
        world: &World,
        service: &User,
        digest: CredentialDigest,
        secret: &str,
    ) -> Result<Option<Caller>, ApiError> {
        let now = self.clock.now();
        let opener = if service.auth_driver == SERVER_X509 {
            self.service_certificate.key(service, now).map(Opener::Key)
        } else {
            Ok(Opener::Stored(&service.password))
        };
        let opener = opener.map_err(|why| {
            tracing::error!(service = service.name, "the service cannot log in: {why}");
            ApiError::authentication()
        })?;
        match service_caller(world, service, secret, now, &opener) {
            Ok(user) => {
                self.seen(digest);
                Ok(Some(Caller::of(user)))
            }
            Err(why) => {
                tracing::warn!(service = service.name, "a service was refused: {why}");
                Ok(None)
            }
        }
    }

    fn caller_by_signature(&self, user: &User, digest: CredentialDigest, secret: &str) -> Option<Caller> {
        match key_check(user, secret, self.clock.now()) {
            Ok(()) => {
                self.seen(digest);
                Some(Caller::of(user))
            }
            Err(why) => {
                tracing::warn!(user = user.name, "a signed token was refused: {why}");
                None
            }
        }
    }

    /// `Err` when nothing was found out about the credential.
    fn caller_by_certificate(
        &self,
        user: &User,
        digest: CredentialDigest,
        secret: &str,
    ) -> Result<Option<Caller>, ApiError> {
        match self.certificates.check(user, secret, self.clock.now()) {
            Verdict::Good(_) => {
                self.seen(digest);
                Ok(Some(Caller::of(user)))
            }
            Verdict::Bad(why) => {
                tracing::warn!(user = user.name, "a certificate was refused: {why}");
                Ok(None)
            }
            Verdict::Broken(why) => {
                tracing::error!(user = user.name, "no certificate can be looked at: {why}");
                Err(ApiError::authentication())
            }
        }
    }

    /// Who has been in once is not held up by others who guess.
    fn seen(&self, digest: CredentialDigest) {
        if !self.cache.knows(&digest) {
            self.cache.put_token(digest);
        }
    }

    /// `Err` when nothing was found out about the credential.
    fn caller_by_driver(
        &self,
        registry: &dyn Registry,
        driver: &str,
        user: Option<&User>,
        name: &str,
        secret: &str,
        digest: CredentialDigest,
    ) -> Result<Option<Caller>, ApiError> {
        let credential = Credential {
            name,
            stored: user.map_or("", |user| &user.password),
            secret,
        };
        let known = || {
            let world = registry.world();
            let user = self.cache.get(&digest, &world, self.began.elapsed())?;
            Some(user.id)
        };
        match self.external.login(registry, driver, user, &credential, known) {
            Login::Good(user) => {
                let session_s = registry.world().config.auth.session_s();
                if session_s > 0 {
                    let until = self
                        .began
                        .elapsed()
                        .saturating_add(Duration::from_secs(session_s));
                    self.cache.put(digest, &user, Some(until));
                }
                Ok(Some(Caller::of(&user)))
            }
            Login::Bad => Ok(None),
            Login::Broken => Err(ApiError::authentication()),
            Login::Busy => Err(ApiError::authentication_busy()),
        }
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
        let slot = self.hashing.take();
        slot.is_some() && password_matches(stored, password)
    }
}
