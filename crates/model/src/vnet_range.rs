//! Address ranges of virtual networks, and leases of their addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use plerion_template::{Markup, Vector};
use serde::{Deserialize, Serialize};

use crate::vnet_address::{Address, Mac};
use crate::{Id, Kind};

/// The prefix of link-local addresses.
const LINK_PREFIX: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// What addresses a range hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeType {
    /// MAC addresses only.
    Ether,
    /// MAC and IPv4 addresses.
    Ip4,
    /// MAC addresses; IPv6 addresses that guests make of them and of prefixes (SLAAC).
    Ip6,
    /// MAC and numbered IPv6 addresses.
    Ip6Static,
    /// As [`Self::Ip4`] and [`Self::Ip6`].
    Ip4Ip6,
    /// As [`Self::Ip4`] and [`Self::Ip6Static`].
    Ip4Ip6Static,
}

impl RangeType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ether,
        Self::Ip4,
        Self::Ip6,
        Self::Ip6Static,
        Self::Ip4Ip6,
        Self::Ip4Ip6Static,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ether => "ETHER",
            Self::Ip4 => "IP4",
            Self::Ip6 => "IP6",
            Self::Ip6Static => "IP6_STATIC",
            Self::Ip4Ip6 => "IP4_6",
            Self::Ip4Ip6Static => "IP4_6_STATIC",
        }
    }

    /// The type of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// Whether it hands out IPv4 addresses.
    #[must_use]
    pub const fn has_ip4(self) -> bool {
        matches!(self, Self::Ip4 | Self::Ip4Ip6 | Self::Ip4Ip6Static)
    }

    /// Whether IPv6 addresses are made of prefixes and MAC addresses.
    #[must_use]
    pub const fn has_prefixes(self) -> bool {
        matches!(self, Self::Ip6 | Self::Ip4Ip6)
    }

    /// Whether it numbers IPv6 addresses.
    #[must_use]
    pub const fn has_static_ip6(self) -> bool {
        matches!(self, Self::Ip6Static | Self::Ip4Ip6Static)
    }
}

/// Who has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Nobody: it is on hold.
    Hold,
    /// A VM.
    Vm(Id),
    /// A network that it is reserved for.
    Vnet(Id),
    /// A virtual router: a floating address.
    Vrouter(Id),
}

impl Holder {
    /// Element and number in lists of leases. (Recorded: one on hold is VM -1.)
    const fn element(self) -> (&'static str, Id) {
        match self {
            Self::Hold => ("VM", -1),
            Self::Vm(id) => ("VM", id),
            Self::Vnet(id) => ("VNET", id),
            Self::Vrouter(id) => ("VROUTER", id),
        }
    }

    /// Kind and id in one number, as list calls show them (recorded): the bit of the kind in ACL rules and the id.
    fn number(self) -> u64 {
        let (bit, id) = match self {
            Self::Hold => (Kind::Vm.acl_bit(), -1),
            Self::Vm(id) => (Kind::Vm.acl_bit(), id),
            Self::Vnet(id) => (Kind::Vnet.acl_bit(), id),
            Self::Vrouter(id) => (Kind::Vrouter.acl_bit(), id),
        };
        bit | u64::from(u32::from_ne_bytes(id.to_ne_bytes()))
    }
}

/// A lease in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseUse {
    /// Address range.
    pub range: Id,
    /// Offset in it.
    pub offset: u32,
    /// Who has it.
    pub holder: Holder,
}

/// An address range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressRange {
    /// Id within the network.
    pub id: Id,
    /// What it hands out.
    pub kind: RangeType,
    /// Number of addresses.
    pub size: u32,
    /// First MAC address.
    pub mac: Mac,
    /// First IPv4 address.
    pub ip: Option<Ipv4Addr>,
    /// First IPv6 address, where they are numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Prefix (64 bits) of global IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_prefix: Option<Ipv6Addr>,
    /// Prefix (64 bits) of unique local IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ula_prefix: Option<Ipv6Addr>,
    /// Range of the parent network that it was reserved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// Offsets on hold, ascending.
    #[serde(default)]
    pub held: Vec<u32>,
    /// Further attributes of the range (GATEWAY, DNS, …), without the ones above.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
}

impl AddressRange {
    /// MAC address at an offset.
    #[must_use]
    pub fn mac_at(&self, offset: u32) -> Mac {
        Mac(self.mac.0.saturating_add(u64::from(offset)))
    }

    /// IPv4 address at an offset.
    #[must_use]
    pub fn ip_at(&self, offset: u32) -> Option<Ipv4Addr> {
        self.ip
            .map(|first| Ipv4Addr::from(u32::from(first).saturating_add(offset)))
    }

    /// Numbered IPv6 address at an offset.
    #[must_use]
    pub fn ip6_at(&self, offset: u32) -> Option<Ipv6Addr> {
        self.ip6
            .map(|first| Ipv6Addr::from(u128::from(first).saturating_add(u128::from(offset))))
    }

    /// Global IPv6 address that is made of the MAC address at an offset.
    #[must_use]
    pub fn global_at(&self, offset: u32) -> Option<Ipv6Addr> {
        self.global_prefix.map(|prefix| self.mac_at(offset).ip6(prefix))
    }

    /// Unique local IPv6 address that is made of the MAC address at an offset.
    #[must_use]
    pub fn ula_at(&self, offset: u32) -> Option<Ipv6Addr> {
        self.ula_prefix.map(|prefix| self.mac_at(offset).ip6(prefix))
    }

    /// Link-local IPv6 address that is made of the MAC address at an offset, where guests make their addresses.
    #[must_use]
    pub fn link_at(&self, offset: u32) -> Option<Ipv6Addr> {
        self.kind
            .has_prefixes()
            .then(|| self.mac_at(offset).ip6(LINK_PREFIX))
    }

    /// The IP addresses at an offset with the names that they have in NICs and lists of leases, sorted by name.
    pub fn addresses_at(&self, offset: u32) -> impl Iterator<Item = (&'static str, String)> {
        let text = |ip: Option<Ipv6Addr>| ip.map(|ip| ip.to_string());
        [
            ("IP", self.ip_at(offset).map(|ip| ip.to_string())),
            ("IP6", text(self.ip6_at(offset))),
            ("IP6_GLOBAL", text(self.global_at(offset))),
            ("IP6_LINK", text(self.link_at(offset))),
            ("IP6_ULA", text(self.ula_at(offset))),
        ]
        .into_iter()
        .filter_map(|(name, address)| address.map(|address| (name, address)))
    }

    /// Offset of an IPv4 address, if it lies in the range.
    #[must_use]
    pub fn offset_of_ip(&self, ip: Ipv4Addr) -> Option<u32> {
        let offset = u32::from(ip).checked_sub(u32::from(self.ip?))?;
        (offset < self.size).then_some(offset)
    }

    /// Offset of an IPv6 address, if it is a numbered one of the range or is made of one of its MAC addresses.
    #[must_use]
    pub fn offset_of_ip6(&self, ip: Ipv6Addr) -> Option<u32> {
        if let Some(first) = self.ip6 {
            let offset = u32::try_from(u128::from(ip).checked_sub(u128::from(first))?).ok()?;
            return (offset < self.size).then_some(offset);
        }
        let offset = self.offset_of_mac(Mac::of_ip6(ip)?)?;
        let own = [self.global_at(offset), self.ula_at(offset), self.link_at(offset)];
        own.contains(&Some(ip)).then_some(offset)
    }

    /// Offset of a MAC address, if it lies in the range.
    #[must_use]
    pub fn offset_of_mac(&self, mac: Mac) -> Option<u32> {
        let offset = u32::try_from(mac.0.checked_sub(self.mac.0)?).ok()?;
        (offset < self.size).then_some(offset)
    }

    /// Offset of an address, if it lies in the range.
    #[must_use]
    pub fn offset_of(&self, address: Address) -> Option<u32> {
        match address {
            Address::Ip4(ip) => self.offset_of_ip(ip),
            Address::Ip6(ip) => self.offset_of_ip6(ip),
            Address::Mac(mac) => self.offset_of_mac(mac),
        }
    }

    /// A further attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The pairs of `<AR>` in wire order (sorted by name), without leases.
    #[must_use]
    pub fn vector(&self, next: u32) -> Vector {
        let mut vector: Vector = self
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        vector.set("AR_ID", self.id.to_string());
        if let Some(ip) = self.ip {
            vector.set("IP", ip.to_string());
        }
        for (name, address) in [
            ("GLOBAL_PREFIX", self.global_prefix),
            ("IP6", self.ip6),
            ("ULA_PREFIX", self.ula_prefix),
        ] {
            if let Some(address) = address {
                vector.set(name, address.to_string());
            }
        }
        if let Some(parent) = self.parent {
            vector.set("PARENT_NETWORK_AR_ID", parent.to_string());
        }
        vector.set("MAC", self.mac.to_string());
        vector.set("NEXT_INDEX", next.to_string());
        vector.set_if_missing("SHARED", "NO");
        vector.set("SIZE", self.size.to_string());
        vector.set("TYPE", self.kind.as_str());
        vector
    }

    /// `<AR>` of lists: who has which address is one text.
    pub(crate) fn render_short(&self, out: &mut impl Markup, leases: &[LeaseUse]) {
        let used = self.own(leases);
        out.open("AR");
        if !used.is_empty() {
            out.cdata_element("ALLOCATED", &allocated(&used));
        }
        self.render_pairs(out, &used);
        out.close("AR");
    }

    /// `<AR>` with its last addresses and the leases that `shown` accepts.
    pub(crate) fn render_full(
        &self,
        out: &mut impl Markup,
        leases: &[LeaseUse],
        shown: &dyn Fn(Holder) -> bool,
    ) {
        let used = self.own(leases);
        out.open("AR");
        self.render_pairs(out, &used);
        self.render_ends(out);
        out.number("USED_LEASES", i64::try_from(used.len()).unwrap_or(i64::MAX));
        let mut seen = used.iter().filter(|lease| shown(lease.holder)).peekable();
        if seen.peek().is_none() {
            out.empty("LEASES");
        } else {
            out.open("LEASES");
            seen.for_each(|lease| self.render_lease(out, lease));
            out.close("LEASES");
        }
        out.close("AR");
    }

    fn own<'a>(&self, leases: &'a [LeaseUse]) -> Vec<&'a LeaseUse> {
        leases.iter().filter(|lease| lease.range == self.id).collect()
    }

    fn render_pairs(&self, out: &mut impl Markup, used: &[&LeaseUse]) {
        for (name, value) in self.vector(first_gap(used)).iter() {
            out.cdata_element(name, value);
        }
    }

    fn render_ends(&self, out: &mut impl Markup) {
        let last = self.size.saturating_sub(1);
        out.cdata_element("MAC_END", &self.mac_at(last).to_string());
        if let Some(ip) = self.ip_at(last) {
            out.cdata_element("IP_END", &ip.to_string());
        }
        for (name, address) in [
            ("IP6_ULA", self.ula_at(0)),
            ("IP6_ULA_END", self.ula_at(last)),
            ("IP6_GLOBAL", self.global_at(0)),
            ("IP6_GLOBAL_END", self.global_at(last)),
            ("IP6_END", self.ip6_at(last)),
        ] {
            if let Some(address) = address {
                out.cdata_element(name, &address.to_string());
            }
        }
    }

    fn render_lease(&self, out: &mut impl Markup, lease: &LeaseUse) {
        out.open("LEASE");
        for (name, address) in self.addresses_at(lease.offset) {
            out.cdata_element(name, &address);
        }
        out.cdata_element("MAC", &self.mac_at(lease.offset).to_string());
        let (name, id) = lease.holder.element();
        out.cdata_element(name, &id.to_string());
        out.close("LEASE");
    }
}

/// The first offset that is not in use: the next to be handed out.
fn first_gap(used: &[&LeaseUse]) -> u32 {
    let mut next = 0;
    for lease in used {
        if lease.offset == next {
            next = next.saturating_add(1);
        }
    }
    next
}

/// Offset and holder of each lease, as the list calls show them.
fn allocated(used: &[&LeaseUse]) -> String {
    let mut text = String::new();
    for lease in used {
        text.push_str(&format!(" {} {}", lease.offset, lease.holder.number()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(kind: RangeType) -> AddressRange {
        AddressRange {
            id: 0,
            kind,
            size: 4,
            mac: Mac(0x0200_0a01_0001),
            ip: kind.has_ip4().then(|| Ipv4Addr::new(10, 1, 0, 1)),
            ip6: kind
                .has_static_ip6()
                .then(|| "2001:db8:9::fffe".parse().expect("good")),
            global_prefix: kind.has_prefixes().then(|| "2001:db8:1::".parse().expect("good")),
            ula_prefix: kind.has_prefixes().then(|| "fd00::".parse().expect("good")),
            parent: None,
            held: Vec::new(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn each_address_of_a_range_leads_back_to_its_offset() {
        for kind in RangeType::ALL {
            assert_eq!(RangeType::parse(kind.as_str()), Some(kind));
            let range = range(kind);
            for offset in 0..range.size {
                assert_eq!(range.offset_of_mac(range.mac_at(offset)), Some(offset));
                for (name, text) in range.addresses_at(offset) {
                    let address = match name {
                        "IP" => Address::Ip4(text.parse().expect("good")),
                        _ => Address::Ip6(text.parse().expect("good")),
                    };
                    assert_eq!(range.offset_of(address), Some(offset), "{name} {text}");
                }
            }
            assert_eq!(range.offset_of_mac(range.mac_at(range.size)), None);
        }
        let wide = range(RangeType::Ip6Static);
        assert_eq!(
            wide.ip6_at(2).map(|ip| ip.to_string()),
            Some("2001:db8:9::1:0".into())
        );
    }

    #[test]
    fn addresses_are_named_as_recorded() {
        let names = |kind| {
            range(kind)
                .addresses_at(0)
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(RangeType::Ip4Ip6),
            ["IP", "IP6_GLOBAL", "IP6_LINK", "IP6_ULA"]
        );
        assert_eq!(names(RangeType::Ip4Ip6Static), ["IP", "IP6"]);
        assert!(names(RangeType::Ether).is_empty());
    }

    #[test]
    fn holders_are_shown_as_recorded() {
        for (holder, number) in [
            (Holder::Hold, 73_014_444_031_u64),
            (Holder::Vm(15), 68_719_476_751),
            (Holder::Vnet(1), 274_877_906_945),
            (Holder::Vrouter(0), 1_125_899_906_842_624),
        ] {
            let lease = LeaseUse {
                range: 0,
                offset: 2,
                holder,
            };
            assert_eq!(allocated(&[&lease]), format!(" 2 {number}"));
        }
    }
}
