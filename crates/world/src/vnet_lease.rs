//! Addresses of networks: which one is meant, and those on hold.

use plerion_model::vnet::Vnet;
use plerion_model::vnet_address::{Address, Mac};
use plerion_model::vnet_range::Holder;
use plerion_model::{ApiError, Id, Operation};
use plerion_template::{Template, Vector};

use crate::auth::Caller;
use crate::txn::Txn;
use crate::vnet_change::changed;

/// The address that a vector names: IP, else IP6, else MAC.
pub(crate) fn address_named(vector: &Vector) -> Result<Option<Address>, String> {
    let text = |name: &str| vector.get(name).map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text("IP") {
        let ip = text.parse();
        return ip
            .map(|ip| Some(Address::Ip4(ip)))
            .map_err(|_| format!("Wrong IP \"{text}\": it is an IPv4 address"));
    }
    if let Some(text) = text("IP6") {
        let ip = text.parse();
        return ip
            .map(|ip| Some(Address::Ip6(ip)))
            .map_err(|_| format!("Wrong IP6 \"{text}\": it is an IPv6 address"));
    }
    match text("MAC") {
        None => Ok(None),
        Some(text) => match Mac::parse(text) {
            Some(mac) => Ok(Some(Address::Mac(mac))),
            None => Err(format!(
                "Wrong MAC \"{text}\": it is six bytes such as 02:00:0a:00:00:01"
            )),
        },
    }
}

/// The range that a vector names by AR_ID.
pub(crate) fn range_id_named(vector: &Vector) -> Result<Option<Id>, String> {
    match vector.get("AR_ID").map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(format!(
                "Wrong AR_ID \"{text}\": it is the number of an address range"
            )),
        },
    }
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
            "No LEASES in template: write LEASES=[IP=\"…\"], LEASES=[IP6=\"…\"] or LEASES=[MAC=\"…\"]",
        ));
    };
    changed(txn, caller, Operation::Manage, id, |txn, vnet| {
        let found = lease_find(vnet, &wanted)?;
        let used = |range: Id, offset: u32| {
            let leases = txn.world.index.leases.get(&(id, range));
            leases.and_then(|leases| leases.used.get(&offset)).copied()
        };
        // The first range in which the address can be held (or is held).
        let place = found.iter().copied().find(|(range, offset)| {
            if hold {
                used(*range, *offset).is_none()
            } else {
                used(*range, *offset) == Some(Holder::Hold)
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
    let only = range_id_named(wanted).map_err(ApiError::internal)?;
    let address = address_named(wanted)
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::internal("LEASES needs an IP, an IP6 or a MAC: write LEASES=[IP=\"…\"]"))?;
    let ranges = vnet.ranges.iter();
    Ok(ranges
        .filter(|range| only.is_none_or(|id| id == range.id))
        .filter_map(|range| range.offset_of(address).map(|offset| (range.id, offset)))
        .collect())
}
