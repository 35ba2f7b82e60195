//! The service that logs in as others by the key of a certificate: the driver `server_x509`.

use std::io::Read;
use std::path::{Path, PathBuf};

use plerion_credential::{Certificate, RsaPublic};
use plerion_model::Seconds;
use plerion_model::user::User;

use crate::auth_conf::AuthConf;

/// The driver of the service that shows no password but signs.
pub(crate) const SERVER_X509: &str = "server_x509";
/// Its settings.
const CONF: &str = "server_x509_auth.conf";
/// What they may say. The key is the service's, which may have the same file; the front-end does not read it.
const KEYS: [&str; 3] = ["srv_user", "one_cert", "one_key"];
/// The certificate where `one_cert` does not name one.
const CERTIFICATE: &str = "cert.pem";
/// Longest file of a certificate, in bytes.
const BYTES_MAX: u64 = 256 << 10;

/// Which certificate is the service's. The settings say it themselves, so that nobody else has to vouch for it.
pub(crate) struct ServiceCertificate {
    /// `etc/auth`.
    settings: PathBuf,
}

impl ServiceCertificate {
    /// With the directory of the settings.
    pub(crate) fn new(settings: PathBuf) -> Self {
        Self { settings }
    }

    /// The key that signs for a service, if this is the one of the settings and the certificate is the one that is stored for it.
    ///
    /// # Errors
    /// When it is not; the reason is for the log.
    pub(crate) fn key(&self, service: &User, now: Seconds) -> Result<RsaPublic, String> {
        let conf = self.settings.join(CONF);
        let said = AuthConf::read(&conf, &KEYS)?;
        if said.get("srv_user") != Some(service.name.as_str()) {
            return Err(format!("srv_user in {} does not name it", conf.display()));
        }
        let path = self.settings.join(said.get("one_cert").unwrap_or(CERTIFICATE));
        let told = |why: &str| format!("{}: {why}", path.display());
        let certificate = certificate_read(&path).map_err(|why| told(&why))?;
        if !certificate.valid_at(now) {
            return Err(told("the certificate has ended, or is not good yet"));
        }
        let dn = certificate.dn().map_err(told)?;
        if dn != service.password {
            return Err(told(
                "the certificate's subject is not what is stored for it: oneuser passwd NAME --x509 --cert FILE sets it",
            ));
        }
        certificate
            .public()
            .ok_or_else(|| told("the key of the certificate is no RSA key"))
    }
}

fn certificate_read(path: &Path) -> Result<Certificate, String> {
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(BYTES_MAX)
        .read_to_end(&mut pem)
        .map_err(|error| error.to_string())?;
    let chain = Certificate::chain_parse(&pem)?;
    chain
        .into_iter()
        .next()
        .ok_or_else(|| "there is no certificate".to_owned())
}
