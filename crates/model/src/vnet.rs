//! Virtual networks, their address ranges and leases.

use std::net::Ipv4Addr;

use plerion_template::{Markup, PackedTemplate, Vector};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::wire_enum::wire_enum;
use crate::{Id, Owned, View};

wire_enum! {
    /// State of a virtual network.
    VnetState {
        Init = 0 "INIT",
        Ready = 1 "READY",
        LockCreate = 2 "LOCK_CREATE",
        LockDelete = 3 "LOCK_DELETE",
        Done = 4 "DONE",
        Error = 5 "ERROR",
        UpdateFailure = 6 "UPDATE_FAILURE",
    }
}

/// What addresses a range hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeType {
    /// MAC addresses only.
    Ether,
    /// MAC and IPv4 addresses.
    Ip4,
}

impl RangeType {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ether => "ETHER",
            Self::Ip4 => "IP4",
        }
    }
}

/// A MAC address as a number of 48 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac(pub u64);

impl Mac {
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
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
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

    /// Offset of an IPv4 address, if it lies in the range.
    #[must_use]
    pub fn offset_of_ip(&self, ip: Ipv4Addr) -> Option<u32> {
        let offset = u32::from(ip).checked_sub(u32::from(self.ip?))?;
        (offset < self.size).then_some(offset)
    }

    /// Offset of a MAC address, if it lies in the range.
    #[must_use]
    pub fn offset_of_mac(&self, mac: Mac) -> Option<u32> {
        let offset = u32::try_from(mac.0.checked_sub(self.mac.0)?).ok()?;
        (offset < self.size).then_some(offset)
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
    fn vector(&self, next: u32) -> Vector {
        let mut vector: Vector = self
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        vector.set("AR_ID", self.id.to_string());
        if let Some(ip) = self.ip {
            vector.set("IP", ip.to_string());
        }
        vector.set("MAC", self.mac.to_string());
        vector.set("NEXT_INDEX", next.to_string());
        vector.set_if_missing("SHARED", "NO");
        vector.set("SIZE", self.size.to_string());
        vector.set("TYPE", self.kind.as_str());
        vector
    }

    fn render(&self, out: &mut impl Markup, leases: &[LeaseUse], full: bool) {
        let used: Vec<&LeaseUse> = leases.iter().filter(|lease| lease.range == self.id).collect();
        out.open("AR");
        if !full && !used.is_empty() {
            out.cdata_element("ALLOCATED", &allocated(&used));
        }
        for (name, value) in self.vector(first_gap(&used)).iter() {
            out.cdata_element(name, value);
        }
        if full {
            self.render_ends(out);
            out.number("USED_LEASES", i64::try_from(used.len()).unwrap_or(i64::MAX));
            if used.is_empty() {
                out.empty("LEASES");
            } else {
                out.open("LEASES");
                used.iter().for_each(|lease| self.render_lease(out, lease));
                out.close("LEASES");
            }
        }
        out.close("AR");
    }

    fn render_ends(&self, out: &mut impl Markup) {
        let last = self.size.saturating_sub(1);
        out.cdata_element("MAC_END", &self.mac_at(last).to_string());
        if let Some(ip) = self.ip_at(last) {
            out.cdata_element("IP_END", &ip.to_string());
        }
    }

    fn render_lease(&self, out: &mut impl Markup, lease: &LeaseUse) {
        out.open("LEASE");
        if let Some(ip) = self.ip_at(lease.offset) {
            out.cdata_element("IP", &ip.to_string());
        }
        out.cdata_element("MAC", &self.mac_at(lease.offset).to_string());
        out.cdata_element("VM", &lease.vm.to_string());
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

/// Offset and holder of each lease, as the list calls show them: the holder is a bit for its kind and its id.
fn allocated(used: &[&LeaseUse]) -> String {
    const VM_BIT: u64 = 0x40_0000_0000;
    let mut text = String::new();
    for lease in used {
        let holder = VM_BIT | u64::from(u32::from_ne_bytes(lease.vm.to_ne_bytes()));
        text.push_str(&format!(" {} {holder}", lease.offset));
    }
    text
}

/// A lease in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseUse {
    /// Address range.
    pub range: Id,
    /// Offset in it.
    pub offset: u32,
    /// VM that holds it; -1 for one on hold.
    pub vm: Id,
}

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vnet {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Clusters that may use it.
    pub clusters: Vec<Id>,
    /// State.
    pub state: VnetState,
    /// State before.
    pub prev_state: VnetState,
    /// Network driver.
    pub vn_mad: String,
    /// Bridge; empty when the driver finds its own.
    pub bridge: String,
    /// Kind of bridge: `linux`, `openvswitch`, `none`, …
    pub bridge_type: String,
    /// Address ranges.
    pub ranges: Vec<AddressRange>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Vnet, owned, template);

impl Vnet {
    /// An address range.
    #[must_use]
    pub fn range(&self, id: Id) -> Option<&AddressRange> {
        self.ranges.iter().find(|range| range.id == id)
    }

    /// `<VNET>`; `full` with the leases of each range.
    pub fn render(&self, out: &mut impl Markup, view: &impl View, full: bool) {
        let leases = view.vnet_leases(self.id);

        out.open("VNET");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.render_lock(out);
        self.owned.permissions.render(out);
        render_ids(out, "CLUSTERS", &self.clusters);
        out.cdata_element("BRIDGE", &self.bridge);
        out.cdata_element("BRIDGE_TYPE", &self.bridge_type);
        out.cdata_element("STATE", &self.state.number().to_string());
        out.cdata_element("PREV_STATE", &self.prev_state.number().to_string());
        out.empty("PARENT_NETWORK_ID");
        out.empty("TEMPLATE_ID");
        out.cdata_element("VN_MAD", &self.vn_mad);
        for name in ["PHYDEV", "VLAN_ID", "OUTER_VLAN_ID"] {
            match self.template.get(name) {
                Some(value) if !value.is_empty() => out.cdata_element(name, value),
                _ => out.empty(name),
            }
        }
        out.number("VLAN_ID_AUTOMATIC", 0);
        out.number("OUTER_VLAN_ID_AUTOMATIC", 0);
        out.number("USED_LEASES", i64::try_from(leases.len()).unwrap_or(i64::MAX));
        render_ids(out, "VROUTERS", &[]);
        render_ids(out, "UPDATED_VMS", &view.vnet_vms(self.id));
        for list in ["OUTDATED_VMS", "UPDATING_VMS", "ERROR_VMS"] {
            render_ids(out, list, &[]);
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.open("AR_POOL");
        for range in &self.ranges {
            range.render(out, &leases, full);
        }
        out.close("AR_POOL");
        out.close("VNET");
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
    fn holders_are_shown_as_recorded() {
        let held = LeaseUse {
            range: 0,
            offset: 0,
            vm: 1,
        };
        assert_eq!(allocated(&[&held]), " 0 274877906945");
    }
}
