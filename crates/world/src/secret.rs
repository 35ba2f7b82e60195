//! Encrypted values: what `*_ENCRYPTED_ATTR` keeps secret, under the key of the cloud.
//!
//! A value is sealed for its place (`VM/CONTEXT/PASSWORD`): moved to another one it opens no more. The same value in the
//! same place under the same key is always sealed alike (AES-SIV), so that a history can be run again and gives the same,
//! and an object that is read and written back stays what it was.

use std::sync::Arc;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use sha2::{Digest, Sha256, Sha512};

/// What a sealed value begins with, in front of the id of its key: `PLE1` in base64.
const MARK: [u8; 3] = [0x3c, 0xb1, 0x35];
/// Length of a key's id, in bytes.
const KEY_ID_BYTES: usize = 3;
/// Length of what stands before the ciphertext, in bytes.
const HEAD_BYTES: usize = MARK.len() + KEY_ID_BYTES;
/// Length of AES-SIV's synthetic initialization vector, in bytes.
const SIV_BYTES: usize = 16;
/// Length of a block of AES, in bytes.
const BLOCK_BYTES: usize = 16;
/// What the keys are derived for, so that the text of the key itself encrypts nothing.
const SEAL_PURPOSE: &[u8] = b"plerion attribute values";
/// What the id of the key is derived for.
const ID_PURPOSE: &[u8] = b"plerion attribute key id";

/// The key of the cloud.
#[derive(Clone)]
pub struct Cipher {
    inner: Arc<Keys>,
}

struct Keys {
    seal: [u8; 64],
    id: [u8; KEY_ID_BYTES],
    /// What 7.4 makes of the same file: the first 32 characters of its text.
    old: Option<[u8; 32]>,
}

/// What a value in a secret place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Not encrypted.
    Clear,
    /// Encrypted, and this is the value.
    Open(String),
    /// Encrypted under another key.
    Foreign,
}

impl Cipher {
    /// The cipher of a key file's text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim().as_bytes();
        let seal = Sha512::new().chain_update(SEAL_PURPOSE).chain_update(text);
        let id = Sha256::new()
            .chain_update(ID_PURPOSE)
            .chain_update(text)
            .finalize();
        let mut short = [0; KEY_ID_BYTES];
        short.iter_mut().zip(id).for_each(|(to, from)| *to = from);
        let keys = Keys {
            seal: seal.finalize().into(),
            id: short,
            old: text.first_chunk().copied(),
        };
        Self {
            inner: Arc::new(keys),
        }
    }

    /// A value, sealed for a place.
    #[must_use]
    pub fn seal(&self, place: &str, clear: &str) -> String {
        let mut bytes = [&MARK[..], &self.inner.id].concat();
        // It fails for more headers than one only, and for more bytes than there is memory.
        if let Ok(sealed) = self.siv().encrypt([place.as_bytes()], clear.as_bytes()) {
            bytes.extend_from_slice(&sealed);
        }
        STANDARD.encode(bytes)
    }

    /// What a value in a place is.
    #[must_use]
    pub fn read(&self, place: &str, value: &str) -> Reading {
        let Ok(bytes) = STANDARD.decode(value) else {
            return Reading::Clear;
        };
        let opened = match bytes.split_at_checked(HEAD_BYTES) {
            Some((head, sealed)) if head.starts_with(&MARK) && sealed.len() >= SIV_BYTES => {
                if !head.ends_with(&self.inner.id) {
                    return Reading::Foreign;
                }
                self.siv().decrypt([place.as_bytes()], sealed).ok()
            }
            _ => None,
        };
        opened
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .or_else(|| self.open_old(&bytes))
            .map_or(Reading::Clear, Reading::Open)
    }

    /// Opens what a 7.4 server encrypted: AES-256-CBC from an empty vector, without anything that proves it. So what
    /// comes out must look like a text: chance makes one of other bytes hardly ever.
    fn open_old(&self, bytes: &[u8]) -> Option<String> {
        let key = self.inner.old?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let opened = cbc::Decryptor::<aes::Aes256>::new(&key.into(), &[0; BLOCK_BYTES].into())
            .decrypt_padded_vec::<Pkcs7>(bytes)
            .ok()?;
        let text = String::from_utf8(opened).ok()?;
        let is_text = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t');
        text.chars().all(is_text).then_some(text)
    }

    fn siv(&self) -> Aes256Siv {
        Aes256Siv::new(&self.inner.seal.into())
    }
}

impl PartialEq for Cipher {
    fn eq(&self, other: &Self) -> bool {
        self.inner.seal == other.inner.seal
    }
}

impl std::fmt::Debug for Cipher {
    /// The key stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_its_place_only(place in "[A-Z/]{1,20}", other in "[A-Z/]{1,20}", value in ".*") {
            let cipher = Cipher::new(KEY);
            let sealed = cipher.seal(&place, &value);
            prop_assert_eq!(cipher.read(&place, &sealed), Reading::Open(value.clone()));
            prop_assert_eq!(&cipher.seal(&place, &value), &sealed);
            if place != other {
                prop_assert_eq!(cipher.read(&other, &sealed), Reading::Clear);
            }
            prop_assert_eq!(Cipher::new("another").read(&place, &sealed), Reading::Foreign);
            // A template's value: no sign that the parser or a substitution could mistake.
            prop_assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)));
            if value.len() > 3 {
                prop_assert!(!sealed.contains(&value));
            }
        }

        #[test]
        fn what_nobody_sealed_is_clear(value in ".*", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let cipher = Cipher::new(KEY);
            prop_assert_eq!(cipher.read("VM/A", &value), Reading::Clear);
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first |= 0x80;
            }
            prop_assert_eq!(cipher.read("VM/A", &STANDARD.encode(&bytes)), Reading::Clear);
        }

        #[test]
        fn a_changed_value_opens_no_more(value in ".{1,40}", at in 8_usize..40) {
            let cipher = Cipher::new(KEY);
            let sealed = cipher.seal("VM/A", &value);
            let mut bytes = STANDARD.decode(&sealed).expect("it is base64");
            let at = at % (bytes.len() - HEAD_BYTES) + HEAD_BYTES;
            bytes[at] ^= 1;
            prop_assert_eq!(cipher.read("VM/A", &STANDARD.encode(bytes)), Reading::Clear);
        }
    }

    #[test]
    fn what_a_74_server_encrypted_opens() {
        // openssl enc -aes-256-cbc -K <hexadecimal of the first 32 characters of the key> -iv 0…0 -a
        let cipher = Cipher::new(&format!("{KEY}\n"));
        for (value, sealed) in OLD {
            assert_eq!(
                cipher.read("VM/CONTEXT/PASSWORD", sealed),
                Reading::Open((*value).to_owned())
            );
            assert_eq!(
                Cipher::new("short").read("VM/CONTEXT/PASSWORD", sealed),
                Reading::Clear
            );
        }
    }

    const OLD: &[(&str, &str)] = &[
        ("opennebula", "BJOtwE1ZIeu7Cu6Mdx0dBQ=="),
        (
            "a longer one, of more than a block: päßwort",
            "vd9YXsG54JkRmSsaVWob8L1/pvxlVdBguf54eJJrEhsBS9zDLJ02sli1/5fXX23i",
        ),
    ];

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", Cipher::new(KEY)).contains(&KEY[..8]));
    }
}
