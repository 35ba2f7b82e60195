//! The connection to a directory.

use std::path::Path;
use std::sync::Arc;

use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, LdapResult, ResultEntry, Scope, SearchOptions};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::conf::{Encryption, Server};

/// Result codes (RFC 4511, 4.1.9).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const CONSTRAINT_VIOLATION: u32 = 19;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_DN_SYNTAX: u32 = 34;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;
const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;
const UNWILLING_TO_PERFORM: u32 = 53;

/// A connection.
pub(super) struct Line(ldap3::Ldap);

/// How a login ended.
pub(super) enum Bound {
    /// It is who it says to be.
    Good,
    /// It is not, or may not.
    Refused(String),
}

/// An entry that was found.
pub(super) struct Entry {
    /// Its name.
    pub(super) dn: String,
    attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// Reads an entry (RFC 4511, 4.5.2), where the library would panic. Values that are no text are left out.
    fn read(found: ResultEntry) -> Option<Self> {
        const ENTRY: u64 = 4;
        let mut parts = found.0.match_id(ENTRY)?.expect_constructed()?.into_iter();
        let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let attributes = parts.next()?.expect_constructed()?.into_iter().map(|attribute| {
            let mut sides = attribute.expect_constructed()?.into_iter();
            let name = String::from_utf8(sides.next()?.expect_primitive()?).ok()?;
            let values = sides.next()?.expect_constructed()?.into_iter();
            let texts = values.filter_map(|value| String::from_utf8(value.expect_primitive()?).ok());
            Some((name, texts.collect()))
        });
        Some(Self {
            attributes: attributes.collect::<Option<_>>()?,
            dn,
        })
    }

    /// The values of an attribute; of `dn` the entry's name.
    pub(super) fn values(&self, attribute: &str) -> &[String] {
        if attribute.eq_ignore_ascii_case("dn") {
            return std::slice::from_ref(&self.dn);
        }
        let found = self
            .attributes
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        found.map_or(&[], |(_, values)| values)
    }
}

impl Line {
    /// Connects, encrypts, and logs in as who searches.
    ///
    /// # Errors
    /// When one of these fails.
    pub(super) async fn open(server: &Server) -> Result<Self, String> {
        let (scheme, settings) = match &server.encryption {
            Encryption::None => ("ldap", LdapConnSettings::new()),
            Encryption::Tls(authorities) => ("ldaps", tls_settings(authorities.as_deref())?),
            Encryption::StartTls(authorities) => {
                ("ldap", tls_settings(authorities.as_deref())?.set_starttls(true))
            }
        };
        let host = if server.host.contains(':') && !server.host.starts_with('[') {
            format!("[{}]", server.host)
        } else {
            server.host.clone()
        };
        let url = format!("{scheme}://{host}:{}", server.port);
        let opened = LdapConnAsync::with_settings(settings, &url).await;
        let (connection, ldap) = opened.map_err(|error| format!("no connection to {url}: {}", error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!("the connection to a directory ended: {error}");
            }
        });
        let mut line = Self(ldap);
        if let Some((user, password)) = &server.searcher
            && let Bound::Refused(why) = line.bind(user, password).await?
        {
            return Err(format!(
                "the user of the searches is refused, see :user and :password: {why}"
            ));
        }
        Ok(line)
    }

    /// Logs in. Not without name or password: servers let such a login through, as nobody's.
    ///
    /// # Errors
    /// When the server did not say.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<Bound, String> {
        if dn.is_empty() || password.is_empty() {
            return Ok(Bound::Refused("a login needs a name and a password".to_owned()));
        }
        let result = self.0.simple_bind(dn, password).await.map_err(says)?;
        match result.rc {
            SUCCESS => Ok(Bound::Good),
            INVALID_CREDENTIALS => Ok(Bound::Refused(with_text("wrong password", &result))),
            CONSTRAINT_VIOLATION
            | NO_SUCH_OBJECT
            | INVALID_DN_SYNTAX
            | INAPPROPRIATE_AUTHENTICATION
            | INSUFFICIENT_ACCESS_RIGHTS
            | UNWILLING_TO_PERFORM => Ok(Bound::Refused(result.to_string())),
            _ => Err(failure("a login", &result)),
        }
    }

    /// Searches. `None` when there are more than `most` entries. Where the base is not there nothing is found; what is said to
    /// be on another server is not followed.
    ///
    /// # Errors
    /// When the server did not do it.
    pub(super) async fn search(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        most: usize,
    ) -> Result<Option<Vec<Entry>>, String> {
        let limit = i32::try_from(most).unwrap_or(i32::MAX);
        self.0.with_search_options(SearchOptions::new().sizelimit(limit));
        let found = self.0.search(base, scope, filter, attributes).await;
        let found = found.map_err(says)?;
        match found.1.rc {
            SUCCESS if found.0.len() <= most => {
                let entries: Option<Vec<Entry>> = found.0.into_iter().map(Entry::read).collect();
                let entries = entries.ok_or("the server gave an entry that cannot be read")?;
                Ok(Some(entries))
            }
            SUCCESS | SIZE_LIMIT_EXCEEDED => Ok(None),
            NO_SUCH_OBJECT | INVALID_DN_SYNTAX => Ok(Some(Vec::new())),
            _ => Err(failure(&format!("a search below \"{base}\""), &found.1)),
        }
    }
}

fn tls_settings(authorities: Option<&Path>) -> Result<LdapConnSettings, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    Ok(LdapConnSettings::new().set_config(Arc::new(config)))
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            let certificates =
                certificates.map_err(|error| format!(":ca_file {}: {error}", path.display()))?;
            roots.add_parsable_certificates(certificates);
        }
    }
    if roots.is_empty() {
        return Err(
            "there is no certificate authority to trust: set :ca_file in :tls_options of :encryption"
                .to_owned(),
        );
    }
    Ok(roots)
}

fn says(error: LdapError) -> String {
    match error {
        LdapError::EndOfStream | LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => {
            "the server ended the connection".to_owned()
        }
        other => other.to_string(),
    }
}

fn failure(what: &str, result: &LdapResult) -> String {
    if result.rc == REFERRAL {
        format!("{what} is referred to another server; name that in ldap_auth.conf, nothing is followed")
    } else {
        format!("{what} failed: {result}")
    }
}

fn with_text(words: &str, result: &LdapResult) -> String {
    if result.text.is_empty() {
        words.to_owned()
    } else {
        format!("{words} ({})", result.text)
    }
}
