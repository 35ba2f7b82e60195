//! [`Tls`]: the server's certificate and key, read again when their files change.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The files are looked at again when a connection begins, but not more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Bits of a key file's mode by which others than its owner and group reach it.
const MODE_OTHERS: u32 = 0o007;

/// What TLS of a server needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the server's certificate, followed by those that lead to one that clients trust.
    pub certificate: PathBuf,
    /// PEM file of the certificate's private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// Whether calls without TLS are taken from other machines, too. From this machine they always are.
    pub plain_anywhere: bool,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of what is asked for.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate and the key do not belong together, or are of a kind that is not known.
    #[error("{certificate} and {key} cannot be used together: {reason}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: rustls::Error,
    },
}

/// What tells a file from the one that was there before: device, inode, size, and time of change in ns.
type Stamp = Option<(u64, u64, u64, i128)>;

/// When the files were looked at, and what they were.
#[derive(Debug)]
struct Look {
    at: Instant,
    stamps: [Stamp; 2],
}

/// TLS of a server.
pub struct Tls {
    settings: TlsSettings,
    acceptor: ArcSwap<TlsAcceptor>,
    looked: Mutex<Look>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them is missing, holds no PEM, or they do not belong together.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let stamps = stamps(&settings);
        let acceptor = acceptor(&settings)?;
        key_mode_look(&settings.key);
        Ok(Self {
            settings,
            acceptor: ArcSwap::from_pointee(acceptor),
            looked: Mutex::new(Look {
                at: Instant::now(),
                stamps,
            }),
        })
    }

    /// Whether calls without TLS are taken from other machines, too.
    #[must_use]
    pub const fn plain_anywhere(&self) -> bool {
        self.settings.plain_anywhere
    }

    /// What the next connection begins with.
    pub(super) fn acceptor(&self) -> Arc<TlsAcceptor> {
        self.look();
        self.acceptor.load_full()
    }

    /// Reads the files again if they changed. When they cannot be used, what is in use stays: a renewal writes two
    /// files, one after the other.
    fn look(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.at.elapsed() < LOOK_INTERVAL {
            return;
        }
        looked.at = Instant::now();
        let now = stamps(&self.settings);
        if now == looked.stamps {
            return;
        }
        looked.stamps = now;
        match acceptor(&self.settings) {
            Ok(fresh) => {
                self.acceptor.store(Arc::new(fresh));
                tracing::info!(certificate = %self.settings.certificate.display(), "the certificate was renewed");
            }
            Err(error) => {
                tracing::warn!(%error, "the changed certificate cannot be used, the one before stays in use");
            }
        }
    }
}

fn stamps(settings: &TlsSettings) -> [Stamp; 2] {
    [&settings.certificate, &settings.key].map(|path| {
        let found = fs::metadata(path).ok()?;
        let time = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        Some((found.dev(), found.ino(), found.len(), time))
    })
}

fn acceptor(settings: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&settings.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| file_error(&settings.certificate, error))?;
    if chain.is_empty() {
        return Err(file_error(&settings.certificate, pem::Error::NoItemsFound));
    }
    let key =
        PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| file_error(&settings.key, error))?;
    let pair_error = |reason| TlsError::Pair {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        reason,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair_error)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair_error)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn file_error(path: &Path, error: pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::NoItemsFound => "it holds nothing of the kind in PEM".into(),
        pem::Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("{error}: make it readable for the user that the server runs as")
        }
        other => other.to_string(),
    };
    TlsError::File {
        path: path.to_owned(),
        reason,
    }
}

fn key_mode_look(key: &Path) {
    if fs::metadata(key).is_ok_and(|found| found.mode() & MODE_OTHERS != 0) {
        tracing::warn!(key = %key.display(), "every user of this machine can reach the private key: chmod 640 it");
    }
}
