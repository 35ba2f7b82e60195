//! Addresses of network interfaces.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Bits of an IPv6 address below a prefix of 64 bits.
const INTERFACE_BITS: u32 = 64;
/// In the first byte of a MAC address: locally administered. Inverted in interface identifiers (RFC 4291, appendix A).
const LOCAL_BIT: u64 = 0x0200_0000_0000;

/// A MAC address as a number of 48 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac(pub u64);

impl Mac {
    /// The last of all.
    pub const MAX: Self = Self(0xffff_ffff_ffff);

    /// Reads `02:00:c0:a8:00:01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut value = 0u64;
        let mut count = 0;
        for part in text.trim().split(':') {
            if part.is_empty() || part.len() > 2 || count == 6 {
                return None;
            }
            value = value << 8 | u64::from_str_radix(part, 16).ok()?;
            count += 1;
        }
        (count == 6).then_some(Self(value))
    }

    /// The IPv6 address that a guest with this MAC address makes itself under a prefix of 64 bits (EUI-64).
    #[must_use]
    pub fn ip6(self, prefix: Ipv6Addr) -> Ipv6Addr {
        let high = self.0 >> 24 << 40;
        let inverted = high ^ (LOCAL_BIT << 16);
        let identifier = inverted | 0xff_fe00_0000 | (self.0 & 0xff_ffff);
        let prefix = u128::from(prefix) >> INTERFACE_BITS << INTERFACE_BITS;
        Ipv6Addr::from(prefix | u128::from(identifier))
    }

    /// The MAC address that an IPv6 address was made of, if it was made of one.
    #[must_use]
    pub fn of_ip6(ip: Ipv6Addr) -> Option<Self> {
        let identifier = u64::try_from(u128::from(ip) & u128::from(u64::MAX)).ok()?;
        let mac = Self((identifier >> 40 << 24 | identifier & 0xff_ffff) ^ LOCAL_BIT);
        (mac.ip6(ip) == ip).then_some(mac)
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address that somebody names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4.
    Ip4(Ipv4Addr),
    /// IPv6: numbered, or made of a MAC address under a prefix of the range or as link-local.
    Ip6(Ipv6Addr),
    /// MAC.
    Mac(Mac),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip4(ip) => write!(f, "IP {ip}"),
            Self::Ip6(ip) => write!(f, "IP6 {ip}"),
            Self::Mac(mac) => write!(f, "MAC {mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_and_written() {
        assert_eq!(
            Mac::parse("02:00:c0:A8:00:01").map(|mac| mac.to_string()),
            Some("02:00:c0:a8:00:01".into())
        );
        for bad in [
            "",
            "02:00:c0:a8:00",
            "02:00:c0:a8:00:01:02",
            "02:00:c0:a8:00:zz",
            "002:0:0:0:0:0",
            "::::::",
        ] {
            assert_eq!(Mac::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn guests_make_the_recorded_addresses_of_their_macs() {
        let prefix: Ipv6Addr = "2001:db8:1::".parse().expect("good");
        for (mac, ip) in [
            ("02:00:67:57:44:8c", "2001:db8:1::67ff:fe57:448c"),
            ("02:00:0a:01:00:14", "2001:db8:1::aff:fe01:14"),
            ("00:00:00:0c:65:08", "2001:db8:1:0:200:ff:fe0c:6508"),
        ] {
            let mac = Mac::parse(mac).expect("good");
            let made = mac.ip6(prefix);
            assert_eq!(made.to_string(), ip);
            assert_eq!(Mac::of_ip6(made), Some(mac));
        }
        assert_eq!(Mac::of_ip6("2001:db8::1".parse().expect("good")), None);
    }
}
