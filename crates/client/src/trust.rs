//! Which certificates a server may show: those that the system trusts, and what the environment adds.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::ClientError;

/// A directory of further PEM files to trust, as the field's other clients know it.
const DIRECTORY: &str = "ONE_CERT_DIR";
/// Set to anything, it makes the client talk to whoever answers; as the field's other clients know it.
const UNVERIFIED: &str = "ONE_DISABLE_SSL_VERIFY";

/// What the environment says to trust: the system's certificates (others by `SSL_CERT_FILE`, `SSL_CERT_DIR`), those in
/// `ONE_CERT_DIR`, or anything where `ONE_DISABLE_SSL_VERIFY` is set.
///
/// # Errors
/// When no certificate is found to trust, or a file of `ONE_CERT_DIR` cannot be read.
pub(crate) fn tls_config() -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Trust(error.to_string()))?;
    if env::var_os(UNVERIFIED).is_some_and(|text| !text.is_empty()) {
        let verifier = Arc::new(Unverified(provider));
        return Ok(Arc::new(
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth(),
        ));
    }
    Ok(Arc::new(
        builder.with_root_certificates(roots()?).with_no_client_auth(),
    ))
}

fn roots() -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if let Some(directory) = env::var_os(DIRECTORY).filter(|text| !text.is_empty()) {
        directory_add(&mut roots, Path::new(&directory))?;
    }
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(ClientError::Trust(format!(
            "this system trusts no certificate authority ({})",
            reasons.join("; ")
        )));
    }
    Ok(roots)
}

fn directory_add(roots: &mut RootCertStore, directory: &Path) -> Result<(), ClientError> {
    let bad = |path: &Path, reason: String| ClientError::Trust(format!("{}: {reason}", path.display()));
    let entries = fs::read_dir(directory).map_err(|error| bad(directory, error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(|error| bad(directory, error.to_string()))?.path();
        if !path.is_file() {
            continue;
        }
        let certificates: Vec<_> = CertificateDer::pem_file_iter(&path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(&path, error.to_string()))?;
        roots.add_parsable_certificates(certificates);
    }
    Ok(())
}

/// Takes any certificate; that the server has its key is still proved.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
