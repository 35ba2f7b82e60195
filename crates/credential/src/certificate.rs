//! Certificates (X.509) as files and tokens hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

use crate::dn::dn_text;
use crate::rsa::RsaPublic;

/// Most certificates in one chain: the user's and those of the authorities between it and one that is trusted.
pub(crate) const CHAIN_MAX: usize = 8;
/// Characters in a line of PEM.
const PEM_LINE: usize = 64;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    content: x509_cert::Certificate,
}

impl Certificate {
    /// Reads one from DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_der(bytes: Vec<u8>) -> Result<Self, String> {
        let content = x509_cert::Certificate::from_der(&bytes)
            .map_err(|error| format!("this is no certificate: {error}"))?;
        Ok(Self {
            der: bytes.into(),
            content,
        })
    }

    /// Reads all those of a text in PEM form; what else is in it does not matter. There may be none.
    ///
    /// # Errors
    /// When a block of them is broken.
    pub(crate) fn all_of_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        CertificateDer::pem_slice_iter(pem)
            .map(|block| match block {
                Ok(der) => Self::from_der(der.to_vec()),
                Err(error) => Err(format!("this is no PEM: {error}")),
            })
            .collect()
    }

    /// Reads a chain from PEM: a user's certificate first, then those of the authorities behind it, if any.
    ///
    /// # Errors
    /// When there is none, or too many.
    pub fn chain_parse(pem: &[u8]) -> Result<Vec<Self>, String> {
        let chain = Self::all_of_pem(pem)?;
        if chain.is_empty() || chain.len() > CHAIN_MAX {
            return Err(format!(
                "there are {} certificates in PEM form, not 1 to {CHAIN_MAX}",
                chain.len()
            ));
        }
        Ok(chain)
    }

    /// The certificate in PEM form, with a line end at its end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let digits = STANDARD.encode(&self.der);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && index % PEM_LINE == 0 {
                pem.push('\n');
            }
            pem.push(digit);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }

    /// The subject in the form that is stored for users: `/C=DE/CN=Ann\20Lee`.
    ///
    /// # Errors
    /// When it has none.
    pub fn dn(&self) -> Result<String, &'static str> {
        dn_text(self.content.tbs_certificate().subject())
    }

    /// The key of the subject, if it is an RSA key.
    #[must_use]
    pub fn public(&self) -> Option<RsaPublic> {
        let key = self.content.tbs_certificate().subject_public_key_info();
        RsaPublic::from_der(&key.to_der().ok()?)
    }

    /// Whether a time, in seconds since 1970, is in its days.
    #[must_use]
    pub fn valid_at(&self, now: i64) -> bool {
        let validity = self.content.tbs_certificate().validity();
        let now = u64::try_from(now).unwrap_or(0);
        (validity.not_before.to_unix_duration().as_secs()..=validity.not_after.to_unix_duration().as_secs())
            .contains(&now)
    }

    /// Whether it says that its own subject made it.
    pub(crate) fn is_self_issued(&self) -> bool {
        let content = self.content.tbs_certificate();
        content.subject() == content.issuer()
    }

    /// Whether it says that its subject makes certificates.
    pub(crate) fn is_authority(&self) -> bool {
        let constraints = self.content.tbs_certificate().get_extension::<BasicConstraints>();
        constraints.is_ok_and(|found| found.is_some_and(|(_, constraints)| constraints.ca))
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}
