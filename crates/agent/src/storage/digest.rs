//! Checking what was fetched against the digest that was announced.

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::fault::{Act, refused};

/// An expected digest and the one being computed.
pub(crate) struct Checker {
    state: State,
    expected: String,
}

enum State {
    Sha256(Sha256),
    Md5(Md5),
}

impl Checker {
    /// From `sha256:HEX` or `md5:HEX`.
    pub(crate) fn new(checksum: &str) -> Act<Self> {
        let (kind, hex) = checksum.split_once(':').unwrap_or(("", checksum));
        let (state, digits) = match kind {
            "sha256" => (State::Sha256(Sha256::new()), 64),
            "md5" => (State::Md5(Md5::new()), 32),
            _ => {
                return Err(refused(format!(
                    "{checksum:?} is not a checksum: sha256:HEX or md5:HEX"
                )));
            }
        };
        if hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(format!(
                "{hex:?} is not a {kind} digest of {digits} hexadecimal digits"
            )));
        }
        Ok(Self {
            state,
            expected: hex.to_ascii_lowercase(),
        })
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Md5(state) => state.update(bytes),
        }
    }

    /// Compares.
    pub(crate) fn check(self) -> Act<()> {
        let found = match self.state {
            State::Sha256(state) => hex(&state.finalize()),
            State::Md5(state) => hex(&state.finalize()),
        };
        if found == self.expected {
            return Ok(());
        }
        Err(refused(format!(
            "what was fetched has the digest {found}, expected was {}: it was changed or damaged on the way",
            self.expected
        )))
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_compared() {
        for good in [
            "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
            "md5:900150983cd24fb0d6963f7d28e17f72",
        ] {
            let mut checker = Checker::new(good).expect("understood");
            checker.update(b"a");
            checker.update(b"bc");
            checker.check().expect("equal");
        }
        let checker = Checker::new("md5:900150983cd24fb0d6963f7d28e17f72").expect("understood");
        assert!(checker.check().is_err());
        for bad in ["", "sha1:00", "md5:xyz", "900150983cd24fb0d6963f7d28e17f72"] {
            assert!(Checker::new(bad).is_err(), "{bad}");
        }
    }
}
