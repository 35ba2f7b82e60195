//! RSA as the drivers `ssh` and `x509` use it: a text is put into a block of PKCS #1 type 1 and raised to the private exponent;
//! whoever has the public key gets the text back and knows who made it.
//!
//! The private operation does not take the same time for all keys. It is done by a command on its user's machine, once a login,
//! where nobody measures it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;

use crate::der::{BIT_STRING, Der, OCTET_STRING, SEQUENCE, element, number};

/// Shortest key, in bits.
const BITS_MIN: u64 = 1024;
/// Longest key, in bits: longer ones are work for nothing.
const BITS_MAX: u64 = 16384;
/// Longest public exponent, in bits.
const EXPONENT_BITS_MAX: u64 = 33;
/// Bytes of a block that are not its text.
const PADDING_BYTES: usize = 11;
/// Algorithm identifier `rsaEncryption` without parameters, as DER.
const ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// How private keys of OpenSSH's own form begin.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// Who made what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublic {
    modulus: BigUint,
    exponent: BigUint,
}

/// What signs.
pub struct RsaPrivate {
    public: RsaPublic,
    exponent: BigUint,
}

impl RsaPublic {
    fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (modulus, exponent) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        let fits = (BITS_MIN..=BITS_MAX).contains(&modulus.bits())
            && (2..=EXPONENT_BITS_MAX).contains(&exponent.bits());
        fits.then_some(Self { modulus, exponent })
    }

    /// Reads a key as it is stored for users of the driver `ssh`: DER in Base64, in one line or as PEM.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .flat_map(str::split_whitespace)
            .collect();
        Self::from_der(&STANDARD.decode(digits).ok()?)
    }

    /// Reads a key of either of the two forms that there are: with the algorithm before it, or alone.
    #[must_use]
    pub fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut outer = Der(bytes).sequence()?;
        let mut inner;
        if outer.peek() == Some(SEQUENCE) {
            if outer.0.get(..ALGORITHM.len()) != Some(&ALGORITHM) {
                return None;
            }
            outer.sequence()?;
            let (0, key) = outer.take(BIT_STRING)?.split_first()? else {
                return None;
            };
            inner = Der(key).sequence()?;
        } else {
            inner = outer;
        }
        Self::new(inner.number()?, inner.number()?)
    }

    /// The key as it is stored: with the algorithm, in Base64 in one line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let numbers = [&self.modulus, &self.exponent].map(|value| number(&value.to_bytes_be()));
        let key = element(SEQUENCE, &numbers.concat());
        let bits = element(BIT_STRING, &[&[0], key.as_slice()].concat());
        STANDARD.encode(element(SEQUENCE, &[ALGORITHM.as_slice(), &bits].concat()))
    }

    fn block_bytes(&self) -> usize {
        usize::try_from(self.modulus.bits().div_ceil(8)).unwrap_or(0)
    }

    /// The text that the owner of the key signed; `None` when nobody did.
    #[must_use]
    pub fn open(&self, signed: &[u8]) -> Option<Vec<u8>> {
        let value = BigUint::from_bytes_be(signed);
        if signed.len() != self.block_bytes() || value >= self.modulus {
            return None;
        }
        let block = value.modpow(&self.exponent, &self.modulus).to_bytes_be();
        // The zero at its beginning is no digit of the number.
        let (1, rest) = block.split_first()? else {
            return None;
        };
        let filled = rest.iter().take_while(|byte| **byte == 0xff).count();
        let (0, text) = rest.get(filled..)?.split_first()? else {
            return None;
        };
        let whole = block.len() == self.block_bytes().checked_sub(1)?;
        (whole && filled >= PADDING_BYTES.saturating_sub(3)).then(|| text.to_vec())
    }
}

impl RsaPrivate {
    /// Reads a key from PEM, in one of the forms of OpenSSL or OpenSSH, without a passphrase.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let (label, bytes) = pem_decode(pem).ok_or("this is no private key in PEM form")?;
        let read = match label {
            "RSA PRIVATE KEY" => Self::from_pkcs1(&bytes),
            "PRIVATE KEY" => Self::from_pkcs8(&bytes),
            "OPENSSH PRIVATE KEY" => Self::from_openssh(&bytes),
            _ => None,
        };
        read.ok_or_else(|| {
            format!(
                "\"{label}\": this is no RSA key of {BITS_MIN} to {BITS_MAX} bits without a passphrase; \
                 `ssh-keygen -t rsa -b 4096 -m PEM -N ''` makes one"
            )
        })
    }

    fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        let mut outer = Der(bytes).sequence()?;
        outer.number()?;
        if outer.0.get(..ALGORITHM.len()) != Some(&ALGORITHM) {
            return None;
        }
        outer.sequence()?;
        Self::from_pkcs1(outer.take(OCTET_STRING)?)
    }

    fn from_pkcs1(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Der(bytes).sequence()?;
        numbers.number()?;
        let public = RsaPublic::new(numbers.number()?, numbers.number()?)?;
        Some(Self {
            public,
            exponent: BigUint::from_bytes_be(numbers.number()?),
        })
    }

    fn from_openssh(bytes: &[u8]) -> Option<Self> {
        let mut outer = Ssh(bytes.strip_prefix(OPENSSH_MAGIC)?);
        if outer.string()? != b"none" || outer.string()? != b"none" {
            return None;
        }
        outer.string()?;
        if outer.word()? != 1 {
            return None;
        }
        outer.string()?;
        let mut key = Ssh(outer.string()?);
        if key.word()? != key.word()? || key.string()? != b"ssh-rsa" {
            return None;
        }
        let (modulus, exponent) = (key.string()?, key.string()?);
        Some(Self {
            public: RsaPublic::new(modulus, exponent)?,
            exponent: BigUint::from_bytes_be(key.string()?),
        })
    }

    /// The key that tells who signed.
    #[must_use]
    pub fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// Signs a text; `None` when it is too long for the key.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let size = self.public.block_bytes();
        let filled = size.checked_sub(text.len())?.checked_sub(3)?;
        if filled < PADDING_BYTES.saturating_sub(3) {
            return None;
        }
        let mut block = vec![0, 1];
        block.resize(filled.saturating_add(2), 0xff);
        block.push(0);
        block.extend_from_slice(text);
        let signed = BigUint::from_bytes_be(&block)
            .modpow(&self.exponent, &self.public.modulus)
            .to_bytes_be();
        let mut bytes = vec![0; size.checked_sub(signed.len())?];
        bytes.extend(signed);
        Some(bytes)
    }
}

/// What is left to read of OpenSSH's own form.
struct Ssh<'a>(&'a [u8]);

impl<'a> Ssh<'a> {
    fn word(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*digits))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.word()?).ok()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }
}

/// Label and content of the first block.
fn pem_decode(pem: &str) -> Option<(&str, Vec<u8>)> {
    let mut lines = pem.lines().map(str::trim);
    let label = lines.find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))?;
    let digits: String = lines.take_while(|line| !line.starts_with("-----")).collect();
    Some((label, STANDARD.decode(digits).ok()?))
}
