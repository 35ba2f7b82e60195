//! Users who log in by certificate: the driver `x509`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plerion_credential::{Trust, certificate_token_check, dn_stored};
use plerion_model::Seconds;
use plerion_model::user::User;

use crate::auth_conf::AuthConf;
use crate::auth_verdict::Verdict;

/// The driver of users for whom the subject of their certificate is stored.
pub(crate) const X509: &str = "x509";
/// Its settings.
const CONF: &str = "x509_auth.conf";
/// What they may say.
const KEYS: [&str; 2] = ["ca_dir", "check_crl"];
/// The directory of the authorities where `ca_dir` does not name one.
const CA_DIR: &str = "certificates";
/// For how long what was read is used.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Most files in the directory of the authorities.
const FILES_MAX: usize = 2048;
/// Most that all of them may hold, in bytes. Lists of revoked certificates may be long.
const BYTES_MAX: u64 = 64 << 20;
/// How much of a subject the log shows, in bytes.
const SHOWN_BYTES: usize = 256;

/// Who may vouch for users, read again from time to time.
pub(crate) struct Certificates {
    /// `etc/auth`.
    settings: PathBuf,
    looked: Mutex<Option<Looked>>,
}

struct Looked {
    at: Instant,
    found: Result<Arc<Trust>, String>,
}

impl Certificates {
    /// With the directory of the settings.
    pub(crate) fn new(settings: PathBuf) -> Self {
        Self {
            settings,
            looked: Mutex::new(None),
        }
    }

    /// Whether a token lets a user in: made with the key of a certificate whose subject is stored for the user, and for which
    /// an authority vouches that is trusted.
    pub(crate) fn check(&self, user: &User, token: &str, now: Seconds) -> Verdict {
        let chain = match certificate_token_check(token, &user.name, now) {
            Ok(chain) => chain,
            Err(why) => return Verdict::Bad(why),
        };
        let Some(dn) = chain.first().map(|certificate| certificate.dn()) else {
            return Verdict::Bad("there is no certificate".to_owned());
        };
        match dn {
            Ok(dn) if dn_stored(&user.password, &dn) => {}
            Ok(dn) => {
                let shown = dn.get(..SHOWN_BYTES).unwrap_or(&dn);
                return Verdict::Bad(format!(
                    "the certificate is of {shown}, which is not what is stored for the user"
                ));
            }
            Err(why) => return Verdict::Bad(why.to_owned()),
        }
        match self.trust() {
            Ok(trust) => match trust.check(&chain, now) {
                Ok(()) => Verdict::Good(None),
                Err(why) => Verdict::Bad(why),
            },
            Err(why) => Verdict::Broken(why),
        }
    }

    fn trust(&self) -> Result<Arc<Trust>, String> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = looked.as_ref().filter(|last| last.at.elapsed() < LOOK_INTERVAL) {
            return last.found.clone();
        }
        let found = trust_read(&self.settings).map(Arc::new);
        *looked = Some(Looked {
            at: Instant::now(),
            found: found.clone(),
        });
        found
    }
}

fn trust_read(settings: &Path) -> Result<Trust, String> {
    let conf = settings.join(CONF);
    let said = AuthConf::read(&conf, &KEYS)?;
    let lists_needed = said
        .says("check_crl")
        .map_err(|why| format!("{}: {why}", conf.display()))?;
    let directory = settings.join(said.get("ca_dir").unwrap_or(CA_DIR));
    let mut trust = Trust::new(lists_needed);
    let mut left = BYTES_MAX;
    for file in files(&directory).map_err(|why| format!("{}: {why}", directory.display()))? {
        let bytes = bytes_read(&file, &mut left).and_then(|bytes| trust.add(&bytes));
        bytes.map_err(|why| {
            format!(
                "{}: {why}; nobody is let in by certificate until that is mended",
                file.display()
            )
        })?;
    }
    Ok(trust)
}

/// The files of a directory, in the order of their names, without those that are hidden.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // A link to nothing is no directory, and reading it says what is wrong.
        if is_hidden || entry.path().is_dir() {
            continue;
        }
        if files.len() == FILES_MAX {
            return Err(format!("it holds more than {FILES_MAX} files"));
        }
        files.push(entry.path());
    }
    files.sort();
    Ok(files)
}

fn bytes_read(path: &Path, left: &mut u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(left.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    *left = left
        .checked_sub(bytes.len() as u64)
        .ok_or_else(|| format!("the directory holds more than {BYTES_MAX} bytes"))?;
    Ok(bytes)
}
