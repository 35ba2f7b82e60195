//! Commands on the address ranges of networks.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use plerion_model::vnet::Vnet;
use plerion_model::vnet_address::Mac;
use plerion_model::vnet_range::{AddressRange, RangeType};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{Template, Vector};

use crate::auth::Caller;
use crate::group_vlan::vlans_allowed;
use crate::restricted::{is_restricted_key, restricted_check, restricted_check_given, restricted_check_kept};
use crate::txn::Txn;
use crate::vnet_change::changed;
use crate::world::World;

/// Largest address range.
const RANGE_SIZE_MAX: u32 = 1 << 24;
/// Most address ranges of a network.
const RANGES_MAX: usize = 1024;
/// Bits of the prefix of numbered IPv6 addresses that name none.
const PREFIX_LENGTH_DEFAULT: &str = "64";
/// Attributes of a range that have fields of their own, or are derived.
const RANGE_FIELDS: &[&str] = &[
    "ALLOCATED",
    "AR_ID",
    "GLOBAL_PREFIX",
    "IP",
    "IP6",
    "IP6_END",
    "IP6_GLOBAL",
    "IP6_GLOBAL_END",
    "IP6_ULA",
    "IP6_ULA_END",
    "IP_END",
    "LEASES",
    "MAC",
    "MAC_END",
    "NEXT_INDEX",
    "PARENT_NETWORK_AR_ID",
    "SIZE",
    "TYPE",
    "ULA_PREFIX",
    "USED_LEASES",
];

/// The next id of a range.
pub(crate) fn range_id_next(vnet: &Vnet) -> Id {
    let last = vnet.ranges.iter().map(|range| range.id).max();
    last.map_or(0, |last| last.saturating_add(1))
}

/// Adds a range to a network that is not stored yet.
pub(crate) fn range_add(txn: &mut Txn<'_>, vnet: &mut Vnet, given: &Vector) -> Result<(), String> {
    if vnet.ranges.len() >= RANGES_MAX {
        return Err(format!(
            "A network has at most {RANGES_MAX} address ranges: make larger ones."
        ));
    }
    if let Some(driver) = given
        .get("IPAM_MAD")
        .filter(|driver| !driver.is_empty() && !driver.eq_ignore_ascii_case("internal"))
    {
        return Err(format!(
            "Address ranges of IPAM_MAD {driver} are not supported yet: leave IPAM_MAD out."
        ));
    }
    let kind = type_read(given)?;
    let size = match text(given, "SIZE") {
        None => txn.world.config.network_size,
        Some(text) => size_read(text)?,
    };
    let ip = match kind.has_ip4() {
        true => Some(ip_read(given, size)?),
        false => None,
    };
    let ip6 = match kind.has_static_ip6() {
        true => Some(ip6_read(given, size)?),
        false => None,
    };
    let mac = mac_first(txn, given, ip, size)?;
    if let Some(ip) = ip {
        overlap_check(vnet, ip, size, None)?;
    }
    let mut range = AddressRange {
        id: range_id_next(vnet),
        kind,
        size,
        mac,
        ip,
        ip6,
        global_prefix: None,
        ula_prefix: None,
        parent: None,
        held: Vec::new(),
        attributes: attributes_read(given),
    };
    prefixes_set(&mut range, given)?;
    if range.ip6.is_some() && range.attribute("PREFIX_LENGTH").is_none_or(str::is_empty) {
        range.attributes.retain(|(name, _)| name != "PREFIX_LENGTH");
        range
            .attributes
            .push(("PREFIX_LENGTH".into(), PREFIX_LENGTH_DEFAULT.into()));
    }
    prefix_length_check(&range)?;
    vnet.ranges.push(range);
    Ok(())
}

fn text<'a>(given: &'a Vector, name: &str) -> Option<&'a str> {
    given.get(name).map(str::trim).filter(|text| !text.is_empty())
}

fn type_read(given: &Vector) -> Result<RangeType, String> {
    let name = text(given, "TYPE").unwrap_or("ETHER");
    RangeType::parse(name).ok_or_else(|| {
        let known = RangeType::ALL.map(RangeType::as_str).join(", ");
        format!("Wrong TYPE \"{name}\" of an address range: it is one of {known}.")
    })
}

fn size_read(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|size| (1..=RANGE_SIZE_MAX).contains(size))
        .ok_or_else(|| {
            format!("Wrong SIZE \"{text}\" of an address range: it is a number from 1 to {RANGE_SIZE_MAX}.")
        })
}

fn ip_read(given: &Vector, size: u32) -> Result<Ipv4Addr, String> {
    let text = text(given, "IP").unwrap_or_default();
    let ip: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("Wrong IP \"{text}\" of an address range: it is its first IPv4 address."))?;
    match u32::from(ip).checked_add(size.saturating_sub(1)) {
        Some(_) => Ok(ip),
        None => Err(format!(
            "An address range of {size} addresses from {ip} goes beyond 255.255.255.255."
        )),
    }
}

fn ip6_read(given: &Vector, size: u32) -> Result<Ipv6Addr, String> {
    let text = text(given, "IP6").unwrap_or_default();
    let ip: Ipv6Addr = text
        .parse()
        .map_err(|_| format!("Wrong IP6 \"{text}\" of an address range: it is its first IPv6 address."))?;
    match u128::from(ip).checked_add(u128::from(size.saturating_sub(1))) {
        Some(_) => Ok(ip),
        None => Err(format!(
            "An address range of {size} addresses from {ip} goes beyond the last IPv6 address."
        )),
    }
}

/// The first MAC: as given, else the prefix and the first IP address, else the prefix and what was drawn.
fn mac_first(txn: &mut Txn<'_>, given: &Vector, ip: Option<Ipv4Addr>, size: u32) -> Result<Mac, String> {
    let mac = match (text(given, "MAC"), ip) {
        (Some(text), _) => Mac::parse(text)
            .ok_or_else(|| format!("Wrong MAC \"{text}\": it is six bytes such as 02:00:0a:00:00:01."))?,
        (None, Some(ip)) => Mac(u64::from(txn.world.config.mac_prefix) << 32 | u64::from(u32::from(ip))),
        (None, None) => {
            // Room is left above, so that the range does not leave its prefix.
            let low = u64::try_from(txn.random() & 0x7fff_ffff).unwrap_or_default();
            Mac(u64::from(txn.world.config.mac_prefix) << 32 | low)
        }
    };
    match mac.0.checked_add(u64::from(size)) {
        Some(end) if end <= Mac::MAX.0.saturating_add(1) => Ok(mac),
        _ => Err(format!(
            "An address range of {size} addresses from {mac} goes beyond {}.",
            Mac::MAX
        )),
    }
}

/// Sets the prefixes that are given; an empty text takes one away.
fn prefixes_set(range: &mut AddressRange, given: &Vector) -> Result<(), String> {
    for name in ["GLOBAL_PREFIX", "ULA_PREFIX"] {
        let Some(text) = given
            .get(name)
            .map(str::trim)
            .filter(|_| range.kind.has_prefixes())
        else {
            continue;
        };
        let prefix = match text {
            "" => None,
            _ => {
                let address = text.strip_suffix("/64").unwrap_or(text);
                Some(address.parse::<Ipv6Addr>().map_err(|_| {
                    format!(
                        "Wrong {name} \"{text}\" of an address range: it is an IPv6 prefix of 64 bits such as 2001:db8:1::."
                    )
                })?)
            }
        };
        if name == "GLOBAL_PREFIX" {
            range.global_prefix = prefix;
        } else {
            range.ula_prefix = prefix;
        }
    }
    Ok(())
}

fn prefix_length_check(range: &AddressRange) -> Result<(), String> {
    let Some(text) = range.attribute("PREFIX_LENGTH").filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    match text.parse::<u8>() {
        Ok(0..=128) => Ok(()),
        _ => Err(format!(
            "Wrong PREFIX_LENGTH \"{text}\" of an address range: it is a number from 0 to 128."
        )),
    }
}

fn attributes_read(given: &Vector) -> Vec<(String, String)> {
    given
        .iter()
        .filter(|(name, _)| !RANGE_FIELDS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn overlap_check(vnet: &Vnet, ip: Ipv4Addr, size: u32, except: Option<Id>) -> Result<(), String> {
    let last = Ipv4Addr::from(u32::from(ip).saturating_add(size.saturating_sub(1)));
    let mut others = vnet.ranges.iter().filter(|range| Some(range.id) != except);
    let other = others.find(|range| {
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

/// Whoever made a network of a network template changes its ranges with MANAGE; of others it takes ADMIN.
fn range_right(world: &World, id: Id) -> Result<Operation, ApiError> {
    Ok(match world.vnet(id)?.template_id {
        Some(_) => Operation::Manage,
        None => Operation::Admin,
    })
}

fn ranges_given(template: &Template) -> Result<Vec<Vector>, ApiError> {
    let ranges: Vec<Vector> = template.vectors("AR").cloned().collect();
    if ranges.is_empty() {
        return Err(ApiError::internal(
            "Wrong AR definition: write AR=[TYPE=\"IP4\", IP=\"…\", SIZE=\"…\"]",
        ));
    }
    Ok(ranges)
}

/// `one.vn.add_ar`.
pub(crate) fn vnet_range_add(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
) -> Result<Id, ApiError> {
    let right = range_right(&txn.world, id)?;
    restricted_check(&txn.world, caller, Kind::Vnet, template)?;
    changed(txn, caller, right, id, |txn, vnet| {
        vlans_allowed(&txn.world, caller, template, &Template::new(), vnet.template_id)?;
        if vnet.parent.is_some() {
            return Err(ApiError::action(format!(
                "Virtual network {id} is a reservation: reserve more addresses for it (onevnet reserve) instead of adding a range",
            )));
        }
        ranges_given(template)?
            .iter()
            .try_for_each(|range| range_add(txn, vnet, range).map_err(ApiError::internal))
    })
}

/// `one.vn.update_ar`: the further attributes become those given; its addresses stay, but for its size and prefixes.
pub(crate) fn vnet_range_update(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
) -> Result<Id, ApiError> {
    changed(txn, caller, Operation::Manage, id, |txn, vnet| {
        let old = ranges_shown(vnet);
        restricted_check_given(&txn.world, caller, Kind::Vnet, template, &old)?;
        vlans_allowed(&txn.world, caller, template, &old, vnet.template_id)?;
        for given in ranges_given(template)? {
            let range_id = range_named(vnet, &given)?;
            range_update(&txn.world, caller, vnet, range_id, &given)?;
        }
        restricted_check_kept(&txn.world, caller, Kind::Vnet, &old, &ranges_shown(vnet))
    })
}

/// The further attributes of a network's ranges, as calls name them.
fn ranges_shown(vnet: &Vnet) -> Template {
    let mut shown = Template::new();
    for range in &vnet.ranges {
        let mut vector: Vector = range
            .attributes
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect();
        vector.set("AR_ID", range.id.to_string());
        shown.add_vector("AR", vector);
    }
    shown
}

fn range_named(vnet: &Vnet, given: &Vector) -> Result<Id, ApiError> {
    let Some(text) = text(given, "AR_ID") else {
        return Err(ApiError::internal("AR/AR_ID attribute is missing."));
    };
    text.parse()
        .ok()
        .filter(|id| vnet.range(*id).is_some())
        .ok_or_else(|| ApiError::internal("Address Range does not exist"))
}

fn range_update(
    world: &World,
    caller: &Caller,
    vnet: &mut Vnet,
    id: Id,
    given: &Vector,
) -> Result<(), ApiError> {
    let Some(mut range) = vnet.range(id).cloned() else {
        return Err(ApiError::internal("Address Range does not exist"));
    };
    if let Some(text) = text(given, "SIZE") {
        let size = size_read(text).map_err(ApiError::internal)?;
        resize_check(world, vnet, &range, size)?;
        range.size = size;
    }
    prefixes_set(&mut range, given).map_err(ApiError::internal)?;
    let kept = |name: &str| !caller.is_admin() && is_restricted_key(world, Kind::Vnet, "AR", name);
    let mut attributes = attributes_read(given);
    let numbered = range.kind.has_static_ip6();
    for (name, value) in &range.attributes {
        let stays = kept(name) || (name == "PREFIX_LENGTH" && numbered);
        if stays && !attributes.iter().any(|(other, _)| other == name) {
            attributes.push((name.clone(), value.clone()));
        }
    }
    range.attributes = attributes;
    prefix_length_check(&range).map_err(ApiError::internal)?;
    if let Some(place) = vnet.ranges.iter_mut().find(|other| other.id == id) {
        *place = range;
    }
    Ok(())
}

fn resize_check(world: &World, vnet: &Vnet, range: &AddressRange, size: u32) -> Result<(), ApiError> {
    if size == range.size {
        return Ok(());
    }
    if range.parent.is_some() {
        return Err(ApiError::internal(
            "The size of a reserved address range cannot be changed: reserve more addresses, or free it",
        ));
    }
    let mut used = world.index.vnet_leases(vnet.id).into_iter();
    if used.any(|lease| lease.range == range.id && lease.offset >= size) {
        return Err(ApiError::internal(format!(
            "Address Range has leases in use beyond a size of {size}"
        )));
    }
    let end = range.mac.0.saturating_add(u64::from(size));
    let fits = |first: Option<u128>, last: u128| {
        first.is_none_or(|first| first.saturating_add(u128::from(size)).saturating_sub(1) <= last)
    };
    let ip = range.ip.map(|ip| u128::from(u32::from(ip)));
    // The last IPv6 address is out of reach of a saturating sum only when the first is within a range's length of it.
    let ip6 = range.ip6.map(u128::from);
    if end > Mac::MAX.0.saturating_add(1)
        || !fits(ip, u128::from(u32::MAX))
        || !fits(ip6, u128::MAX.saturating_sub(1))
    {
        return Err(ApiError::internal(format!(
            "An address range of {size} addresses from {} goes beyond the last address",
            range.mac
        )));
    }
    match range.ip {
        Some(ip) => overlap_check(vnet, ip, size, Some(range.id)).map_err(ApiError::internal),
        None => Ok(()),
    }
}

/// `one.vn.rm_ar`. With force also a range with leases in use; reservations keep their addresses then, which belong to
/// nobody else any more.
pub(crate) fn vnet_range_remove(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    range: Id,
    force: bool,
) -> Result<Id, ApiError> {
    let right = range_right(&txn.world, id)?;
    changed(txn, caller, right, id, |txn, vnet| {
        if vnet.range(range).is_none() {
            return Err(ApiError::internal("Address Range does not exist"));
        }
        if !force {
            unused_check(&txn.world, id, range)?;
        }
        reservations_release(txn, id, range);
        vnet.ranges.retain(|kept| kept.id != range);
        Ok(())
    })
}

fn unused_check(world: &World, id: Id, range: Id) -> Result<(), ApiError> {
    let leases = world.index.leases.get(&(id, range));
    match leases.is_some_and(|leases| !leases.used.is_empty()) {
        true => Err(ApiError::internal("Address Range has leases in use")),
        false => Ok(()),
    }
}

/// Ranges that were reserved from a range have no parent any more.
fn reservations_release(txn: &mut Txn<'_>, id: Id, range: Id) {
    let reservations: Vec<Arc<Vnet>> = txn
        .world
        .vnets
        .values()
        .filter(|vnet| vnet.parent == Some(id) && vnet.ranges.iter().any(|own| own.parent == Some(range)))
        .cloned()
        .collect();
    for mut vnet in reservations {
        for own in &mut Arc::make_mut(&mut vnet).ranges {
            own.parent = own.parent.filter(|parent| *parent != range);
        }
        txn.update(vnet);
    }
}

/// `one.vn.free_ar`: gives a reserved range back.
pub(crate) fn vnet_range_free(txn: &mut Txn<'_>, caller: &Caller, id: Id, range: Id) -> Result<Id, ApiError> {
    changed(txn, caller, Operation::Manage, id, |txn, vnet| {
        if vnet.parent.is_none() {
            return Err(ApiError::internal(format!(
                "Virtual network {id} is not a reservation: its ranges are removed (onevnet rmar), not freed"
            )));
        }
        if vnet.range(range).is_none() {
            return Err(ApiError::internal("Address Range does not exist"));
        }
        unused_check(&txn.world, id, range)?;
        vnet.ranges.retain(|kept| kept.id != range);
        Ok(())
    })
}
