//! Commands on virtual networks: ranges and holds.

use std::net::Ipv4Addr;
use std::sync::Arc;

use plerion_model::vnet::{AddressRange, Mac, RangeType, Vnet, VnetState};
use plerion_model::{ApiError, ErrorCode, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::cluster::cluster_named;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::world::World;

/// Largest address range.
const RANGE_SIZE_MAX: u32 = 1 << 24;
/// Longest name of a network interface in Linux.
const INTERFACE_NAME_MAX: usize = 15;
/// Attributes of a range that have fields of their own.
const RANGE_FIELDS: &[&str] = &[
    "AR_ID",
    "TYPE",
    "SIZE",
    "MAC",
    "IP",
    "NEXT_INDEX",
    "USED_LEASES",
    "ALLOCATED",
    "MAC_END",
    "IP_END",
    "LEASES",
];

/// `one.vn.allocate`.
pub(crate) fn vnet_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    cluster: Id,
) -> Result<Id, ApiError> {
    let (cluster, cluster_right) = cluster_named(&txn.world, cluster)?;
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Vnet)), cluster_right],
    )?;
    restricted_check(&txn.world, caller, Kind::Vnet, template)?;
    let refused = |reason: &str| ApiError::allocate(Kind::Vnet, reason);
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::Vnet, caller.uid, &name)?;
    let vn_mad = template.get("VN_MAD").unwrap_or_default().to_owned();
    if vn_mad.is_empty() {
        return Err(refused(
            "No VN_MAD in template: name the network driver (bridge, 802.1Q, vxlan, ovswitch, dummy).",
        ));
    }
    let id = txn.id_next(Kind::Vnet);
    let bridge = match template.get("BRIDGE").unwrap_or_default() {
        "" if vn_mad == "dummy" || vn_mad.starts_with("ovswitch") => {
            return Err(refused(&format!(
                "No BRIDGE in template: the {vn_mad} driver needs one."
            )));
        }
        "" => format!("onebr{id}"),
        given => given.to_owned(),
    };
    interface_check(&bridge).map_err(|reason| refused(&reason))?;
    let mut vnet = Vnet {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        clusters: vec![cluster],
        state: VnetState::Ready,
        prev_state: VnetState::Ready,
        bridge_type: bridge_type(&template, &vn_mad),
        vn_mad,
        bridge,
        ranges: Vec::new(),
        template: PackedTemplate::default(),
    };
    for range in template.remove("AR") {
        let plerion_template::Value::Vector(range) = range else {
            return Err(refused(
                "AR is not a vector: write AR=[TYPE=\"IP4\", IP=\"…\", SIZE=\"…\"].",
            ));
        };
        range_add(txn, &mut vnet, &range).map_err(|reason| refused(&reason))?;
    }
    complete(&vnet, &mut template);
    vnet.template = PackedTemplate::new(&template);
    txn.create(vnet);
    Ok(id)
}

fn bridge_type(template: &Template, vn_mad: &str) -> String {
    let derived = if vn_mad.starts_with("ovswitch") {
        "openvswitch"
    } else {
        "linux"
    };
    template
        .get("BRIDGE_TYPE")
        .filter(|text| !text.is_empty())
        .unwrap_or(derived)
        .to_owned()
}

/// The attributes that every network shows (recorded).
fn complete(vnet: &Vnet, template: &mut Template) {
    template.set("BRIDGE", vnet.bridge.clone());
    template.set("BRIDGE_TYPE", vnet.bridge_type.clone());
    template.set("VN_MAD", vnet.vn_mad.clone());
    for name in ["PHYDEV", "VLAN_ID", "OUTER_VLAN_ID"] {
        template.set_if_missing(name, "");
    }
    template.set_if_missing("SECURITY_GROUPS", "0");
}

/// The names of interfaces become arguments of commands that run as root.
fn interface_check(name: &str) -> Result<(), String> {
    let good = !name.is_empty()
        && name.len() <= INTERFACE_NAME_MAX
        && !name.starts_with(['-', '.'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if good {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is no name of an interface: at most {INTERFACE_NAME_MAX} letters, digits, '.', '_' and '-'."
    ))
}

/// An update keeps drivers and bridge unless it names them.
pub(crate) fn vnet_updated(
    _world: &World,
    vnet: &mut Vnet,
    _old: &Template,
    mut new: Template,
) -> Result<(), ApiError> {
    if let Some(bridge) = new.get("BRIDGE").filter(|text| !text.is_empty()) {
        interface_check(bridge).map_err(ApiError::internal)?;
        bridge.clone_into(&mut vnet.bridge);
    }
    if let Some(vn_mad) = new.get("VN_MAD").filter(|text| !text.is_empty()) {
        vn_mad.clone_into(&mut vnet.vn_mad);
    }
    vnet.bridge_type = bridge_type(&new, &vnet.vn_mad);
    new.remove("AR");
    complete(vnet, &mut new);
    vnet.template = PackedTemplate::new(&new);
    Ok(())
}

fn range_add(txn: &mut Txn<'_>, vnet: &mut Vnet, given: &Vector) -> Result<(), String> {
    let kind = match given.get("TYPE").unwrap_or("ETHER") {
        text if text.eq_ignore_ascii_case("ETHER") => RangeType::Ether,
        text if text.eq_ignore_ascii_case("IP4") => RangeType::Ip4,
        other => {
            return Err(format!(
                "Address ranges of TYPE {other} are not supported yet: use IP4 or ETHER."
            ));
        }
    };
    let size = match given.get("SIZE").filter(|text| !text.is_empty()) {
        None => txn.world.config.network_size,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=RANGE_SIZE_MAX).contains(size))
            .ok_or_else(|| {
                format!(
                    "Wrong SIZE \"{text}\" of an address range: it is a number from 1 to {RANGE_SIZE_MAX}."
                )
            })?,
    };
    let ip = match (kind, given.get("IP").unwrap_or_default()) {
        (RangeType::Ether, _) => None,
        (RangeType::Ip4, text) => Some(text.parse::<Ipv4Addr>().map_err(|_| {
            format!("Wrong IP \"{text}\" of an address range: it is its first IPv4 address.")
        })?),
    };
    if let Some(ip) = ip
        && u32::from(ip).checked_add(size.saturating_sub(1)).is_none()
    {
        return Err(format!(
            "An address range of {size} addresses from {ip} goes beyond 255.255.255.255."
        ));
    }
    let mac = mac_first(txn, given, ip)?;
    if let Some(ip) = ip {
        overlap_check(vnet, ip, size)?;
    }
    let id = vnet
        .ranges
        .iter()
        .map(|range| range.id)
        .max()
        .map_or(0, |last| last.saturating_add(1));
    let attributes = given
        .iter()
        .filter(|(name, _)| !RANGE_FIELDS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    vnet.ranges.push(AddressRange {
        id,
        kind,
        size,
        mac,
        ip,
        held: Vec::new(),
        attributes,
    });
    Ok(())
}

/// The first MAC: as given, else the prefix and the first IP address, else the prefix and what was drawn.
fn mac_first(txn: &mut Txn<'_>, given: &Vector, ip: Option<Ipv4Addr>) -> Result<Mac, String> {
    if let Some(text) = given.get("MAC").filter(|text| !text.is_empty()) {
        return Mac::parse(text)
            .ok_or_else(|| format!("Wrong MAC \"{text}\": it is six bytes such as 02:00:0a:00:00:01."));
    }
    let low = match ip {
        Some(ip) => u32::from(ip),
        // Room is left above, so that the range does not leave its prefix.
        None => u32::try_from(txn.random() & 0x7fff_ffff).unwrap_or_default(),
    };
    Ok(Mac(u64::from(txn.world.config.mac_prefix) << 32 | u64::from(low)))
}

fn overlap_check(vnet: &Vnet, ip: Ipv4Addr, size: u32) -> Result<(), String> {
    let last = Ipv4Addr::from(u32::from(ip).saturating_add(size.saturating_sub(1)));
    let other = vnet.ranges.iter().find(|range| {
        let ends = (range.ip, range.ip_at(range.size.saturating_sub(1)));
        matches!(ends, (Some(first), Some(end)) if first <= last && ip <= end)
    });
    match other {
        Some(range) => Err(format!(
            "The address range {ip} to {last} overlaps range {} of the network.",
            range.id
        )),
        None => Ok(()),
    }
}

fn changed(
    txn: &mut Txn<'_>,
    caller: &Caller,
    right: Operation,
    id: Id,
    change: impl FnOnce(&mut Txn<'_>, &mut Vnet) -> Result<(), ApiError>,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(right, Target::of(&txn.world, Kind::Vnet, id)?)],
    )?;
    let mut vnet = txn.world.vnet(id)?.clone();
    change(txn, Arc::make_mut(&mut vnet))?;
    txn.update(vnet);
    Ok(id)
}

/// `one.vn.add_ar`.
pub(crate) fn vnet_range_add(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
) -> Result<Id, ApiError> {
    let ranges: Vec<Vector> = template.vectors("AR").cloned().collect();
    if ranges.is_empty() {
        return Err(ApiError::internal(
            "Wrong AR definition: write AR=[TYPE=\"IP4\", IP=\"…\", SIZE=\"…\"]",
        ));
    }
    changed(txn, caller, Operation::Admin, id, |txn, vnet| {
        ranges
            .iter()
            .try_for_each(|range| range_add(txn, vnet, range).map_err(ApiError::internal))
    })
}

/// `one.vn.rm_ar`.
pub(crate) fn vnet_range_remove(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    range: Id,
    force: bool,
) -> Result<Id, ApiError> {
    changed(txn, caller, Operation::Admin, id, |txn, vnet| {
        if vnet.range(range).is_none() {
            return Err(ApiError::internal("Address Range does not exist"));
        }
        let used = txn
            .world
            .index
            .vnet_leases(id)
            .iter()
            .any(|lease| lease.range == range);
        if used && !force {
            return Err(ApiError::internal("Address Range has leases in use"));
        }
        vnet.ranges.retain(|kept| kept.id != range);
        Ok(())
    })
}

/// `one.vn.hold` and `one.vn.release`.
pub(crate) fn vnet_hold(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
    hold: bool,
) -> Result<Id, ApiError> {
    let Some(wanted) = template.vector("LEASES").cloned() else {
        return Err(ApiError::internal(
            "No LEASES in template: write LEASES=[IP=\"…\"] or LEASES=[MAC=\"…\"]",
        ));
    };
    changed(txn, caller, Operation::Manage, id, |txn, vnet| {
        let found = lease_find(vnet, &wanted)?;
        let used = |range: Id, offset: u32| {
            txn.world
                .index
                .leases
                .get(&(id, range))
                .and_then(|leases| leases.used.get(&offset))
                .copied()
        };
        // The first range in which the address can be held (or is held).
        let place = found.iter().copied().find(|(range, offset)| {
            if hold {
                used(*range, *offset).is_none()
            } else {
                used(*range, *offset) == Some(-1)
            }
        });
        let Some((range_id, offset)) = place else {
            // Recorded: releasing an address that is not held is no error; holding one that is taken is.
            return if hold {
                Err(ApiError::internal(
                    "Address is not part of the address range or in use.",
                ))
            } else {
                Ok(())
            };
        };
        if let Some(range) = vnet.ranges.iter_mut().find(|range| range.id == range_id) {
            match (range.held.binary_search(&offset), hold) {
                (Err(at), true) => range.held.insert(at, offset),
                (Ok(at), false) => {
                    range.held.remove(at);
                }
                _ => {}
            }
        }
        Ok(())
    })
}

/// Ranges and offsets that an address lies in.
fn lease_find(vnet: &Vnet, wanted: &Vector) -> Result<Vec<(Id, u32)>, ApiError> {
    let only: Option<Id> = wanted.get("AR_ID").and_then(|text| text.parse().ok());
    let ranges = vnet
        .ranges
        .iter()
        .filter(|range| only.is_none_or(|id| id == range.id));
    if let Some(text) = wanted.get("IP").filter(|text| !text.is_empty()) {
        let ip: Ipv4Addr = text.parse().map_err(|_| {
            ApiError::new(
                ErrorCode::Internal,
                format!("Wrong IP \"{text}\": it is an IPv4 address"),
            )
        })?;
        return Ok(ranges
            .filter_map(|range| range.offset_of_ip(ip).map(|offset| (range.id, offset)))
            .collect());
    }
    let text = wanted.get("MAC").unwrap_or_default();
    let mac = Mac::parse(text)
        .ok_or_else(|| ApiError::internal("LEASES needs an IP or a MAC: write LEASES=[IP=\"…\"]"))?;
    Ok(ranges
        .filter_map(|range| range.offset_of_mac(mac).map(|offset| (range.id, offset)))
        .collect())
}

/// A network may go when none of its leases is in use; an address on hold is.
pub(crate) fn vnet_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if !txn.world.index.vnet_leases(id).is_empty() {
        return Err(ApiError::action(
            "Cannot delete virtual network. Can not remove a virtual network with leases in use",
        ));
    }
    txn.delete(Kind::Vnet, id);
    Ok(())
}
