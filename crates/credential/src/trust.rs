//! The authorities whose certificates let users in, and what they took back. Who vouches for what is found out by `webpki`.

use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::certificate::Certificate;

/// The first byte of what is in DER form.
const DER_FIRST: u8 = 0x30;

/// Authorities, and their lists of certificates that are no good any more (CRLs).
#[derive(Debug, Default)]
pub struct Trust {
    /// Where chains end: authorities that vouch for themselves.
    anchors: Vec<(Certificate, TrustAnchor<'static>)>,
    /// Authorities for which another vouches.
    between: Vec<CertificateDer<'static>>,
    /// Lists, and when they were made.
    lists: Vec<(u64, CertRevocationList<'static>)>,
    /// Whether a user's certificate is good only where a list of its authority is there, and has not ended.
    lists_needed: bool,
}

impl Trust {
    /// Nobody. With `lists_needed` a certificate is good only where its authority's CRL is there.
    #[must_use]
    pub fn new(lists_needed: bool) -> Self {
        Self {
            lists_needed,
            ..Self::default()
        }
    }

    /// Adds what is in a file: certificates of authorities and CRLs, in PEM or DER form.
    ///
    /// # Errors
    /// When there is nothing of that in it, or something broken: a list that cannot be read must not count for none.
    pub fn add(&mut self, file: &[u8]) -> Result<(), String> {
        if file.first() == Some(&DER_FIRST) {
            return match Certificate::from_der(file.to_vec()) {
                Ok(certificate) => self.authority_add(certificate),
                Err(_) => self.list_add(file),
            };
        }
        let mut count = 0_usize;
        for certificate in Certificate::all_of_pem(file)? {
            self.authority_add(certificate)?;
            count = count.saturating_add(1);
        }
        for list in CertificateRevocationListDer::pem_slice_iter(file) {
            let list = list.map_err(|error| format!("this is no PEM: {error}"))?;
            self.list_add(&list)?;
            count = count.saturating_add(1);
        }
        if count == 0 {
            return Err("there is neither a certificate nor a CRL in it".to_owned());
        }
        Ok(())
    }

    fn authority_add(&mut self, certificate: Certificate) -> Result<(), String> {
        if !certificate.is_authority() {
            return Err("the certificate is no authority's (basicConstraints without CA:TRUE)".to_owned());
        }
        if !certificate.is_self_issued() {
            self.between.push(certificate.der().clone());
            return Ok(());
        }
        let anchor = anchor_from_trusted_cert(certificate.der())
            .map_err(|error| format!("the authority's certificate cannot be read: {error:?}"))?
            .to_owned();
        // Directories that were made by `openssl rehash` hold everything twice.
        if !self.anchors.iter().any(|(known, _)| *known == certificate) {
            self.anchors.push((certificate, anchor));
        }
        Ok(())
    }

    fn list_add(&mut self, bytes: &[u8]) -> Result<(), String> {
        let made = CertificateList::from_der(bytes)
            .map(|list: CertificateList| list.tbs_cert_list.this_update.to_unix_duration().as_secs())
            .map_err(|error| format!("this is neither a certificate nor a CRL: {error}"))?;
        let list = OwnedCertRevocationList::from_der(bytes)
            .map_err(|error| format!("the CRL cannot be read: {error:?}"))?;
        // Of several lists of an authority the newest is the one that counts, which is the first.
        let place = self.lists.partition_point(|(other, _)| *other > made);
        self.lists.insert(place, (made, list.into()));
        Ok(())
    }

    /// Whether a chain, a user's certificate first, is one for which a trusted authority vouches now, in seconds since 1970.
    ///
    /// # Errors
    /// When it is not, and why.
    pub fn check(&self, chain: &[Certificate], now: i64) -> Result<(), String> {
        let (user, rest) = chain.split_first().ok_or("there is no certificate")?;
        let anchors: Vec<_> = self
            .anchors
            .iter()
            .filter(|(certificate, _)| certificate.valid_at(now))
            .map(|(_, anchor)| anchor.clone())
            .collect();
        let given = rest.iter().map(|certificate| certificate.der().clone());
        let between: Vec<_> = given.chain(self.between.iter().cloned()).collect();
        let lists: Vec<_> = self.lists.iter().map(|(_, list)| list).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        let verify = |revocation| {
            EndEntityCert::try_from(user.der())?.verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &anchors,
                &between,
                time,
                KeyUsage::client_auth(),
                revocation,
                None,
            )?;
            Ok(())
        };
        // What a list names is bad in any case, an authority in the middle of the chain as well.
        verify(known_bad(&lists)).map_err(reason)?;
        if self.lists_needed {
            let options = known_good(&lists).ok_or("check_crl is set, but ca_dir holds no CRL")?;
            verify(Some(options)).map_err(reason)?;
        }
        Ok(())
    }
}

fn known_bad<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    Some(options.with_status_policy(UnknownStatusPolicy::Allow).build())
}

fn known_good<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists)
        .ok()?
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(options.build())
}

fn reason(error: Error) -> String {
    let known = match error {
        Error::UnknownIssuer => {
            "no authority in ca_dir whose own certificate is in its days vouches for the certificate"
        }
        Error::CertExpired { .. } => "the certificate, or one between it and the authority, has ended",
        Error::CertNotValidYet { .. } => {
            "the certificate, or one between it and the authority, is not good yet"
        }
        Error::CertRevoked => "the certificate, or one between it and the authority, was revoked",
        Error::UnknownRevocationStatus => {
            "check_crl is set, but ca_dir holds no CRL of the certificate's authority"
        }
        Error::CrlExpired { .. } => "check_crl is set, but the CRL of the certificate's authority has ended",
        Error::UnsupportedCertVersion => "the certificate is of version 1 or 2; version 3 is read",
        Error::InvalidSignatureForPublicKey => {
            "the certificate, or one between it and the authority, was not signed by who it says"
        }
        Error::UnsupportedSignatureAlgorithmContext(_) => {
            "the certificate, or one between it and the authority, is signed in a way that is not taken; SHA-256 is"
        }
        Error::EndEntityUsedAsCa => "a user's certificate vouches for the first one; proxies are not taken",
        Error::RequiredEkuNotFoundContext(_) => {
            "the certificate is for other purposes (extendedKeyUsage without clientAuth)"
        }
        Error::CaUsedAsEndEntity => "the certificate is an authority's, not a user's",
        other => return format!("the chain of certificates is no good: {other:?}"),
    };
    known.to_owned()
}
