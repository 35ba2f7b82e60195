//! Reservations: networks whose addresses are those of another.

use std::sync::Arc;

use plerion_model::vnet::{Vnet, VnetState};
use plerion_model::vnet_range::AddressRange;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;
use crate::vnet_lease::{address_named, range_id_named};
use crate::vnet_range::range_id_next;
use crate::world::World;

/// Most addresses of one reservation: each is a lease of the parent network.
const RESERVATION_SIZE_MAX: u32 = 1 << 16;

/// `one.vn.reserve`: takes addresses of a network for a new one, or for one that has some of it already. Answers the id
/// of the network that has them.
pub(crate) fn vnet_reserve(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
) -> Result<Id, ApiError> {
    let into = into_named(template)?;
    let mut rights = vec![(Operation::Use, Target::of(&txn.world, Kind::Vnet, id)?)];
    if let Some(into) = into {
        rights.push((Operation::Manage, Target::of(&txn.world, Kind::Vnet, into)?));
    }
    require(&txn.world, caller, &rights)?;
    let parent = txn.world.vnet(id)?.clone();
    if parent.state != VnetState::Ready {
        return Err(ApiError::action(format!(
            "Virtual Network is in wrong state: {}",
            parent.state
        )));
    }
    let wanted = Wanted::read(template)?;
    let mut vnet = match into {
        None => reservation_new(txn, caller, &parent, template.get("NAME").unwrap_or_default())?,
        Some(into) => {
            let vnet = txn.world.vnet(into)?.clone();
            if vnet.parent != Some(id) {
                return Err(ApiError::action(format!(
                    "Virtual network {into} is no reservation of network {id}: name one that is, or a NAME for a new one"
                )));
            }
            vnet
        }
    };
    let range = wanted.find(&txn.world, &parent, range_id_next(&vnet))?;
    Arc::make_mut(&mut vnet).ranges.push(range);
    if into.is_some() {
        txn.update(vnet.clone());
    } else {
        txn.create(vnet.clone());
    }
    Ok(vnet.id)
}

fn into_named(template: &Template) -> Result<Option<Id>, ApiError> {
    match template.get("NETWORK_ID").filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(ApiError::action(format!(
                "Wrong NETWORK_ID \"{text}\" of a reservation: it is a number"
            ))),
        },
    }
}

/// A network without addresses that is like another.
fn reservation_new(
    txn: &mut Txn<'_>,
    caller: &Caller,
    parent: &Vnet,
    name: &str,
) -> Result<Arc<Vnet>, ApiError> {
    name_check_new(&txn.world, Kind::Vnet, caller.uid, name)?;
    Ok(Arc::new(Vnet {
        id: txn.id_next(Kind::Vnet),
        name: name.to_owned(),
        owned: owned_new(&txn.world, caller),
        parent: Some(parent.id),
        template_id: None,
        ranges: Vec::new(),
        ..parent.clone()
    }))
}

/// What is to be reserved.
struct Wanted {
    size: u32,
    range: Option<Id>,
    /// IP, IP6 or MAC of the first address.
    first: Vector,
}

impl Wanted {
    fn read(template: &Template) -> Result<Self, ApiError> {
        let size = template.get_i64("SIZE").unwrap_or(0);
        if size <= 0 {
            return Err(ApiError::action("Reservation SIZE must be a greater than 0"));
        }
        let size = u32::try_from(size)
            .ok()
            .filter(|size| *size <= RESERVATION_SIZE_MAX)
            .ok_or_else(|| {
                ApiError::action(format!(
                    "Reservation SIZE must be at most {RESERVATION_SIZE_MAX}: make several"
                ))
            })?;
        let names = ["AR_ID", "IP", "IP6", "MAC"].into_iter();
        let first: Vector = names
            .filter_map(|name| template.get(name).map(|value| (name, value)))
            .collect();
        let range = range_id_named(&first).map_err(ApiError::action)?;
        Ok(Self { size, range, first })
    }

    /// The addresses wanted as a range of another network.
    fn find(&self, world: &World, parent: &Vnet, id: Id) -> Result<AddressRange, ApiError> {
        if let Some(range) = self.range.filter(|range| parent.range(*range).is_none()) {
            return Err(ApiError::action(format!(
                "Address Range {range} does not exist in virtual network {}",
                parent.id
            )));
        }
        let address = address_named(&self.first).map_err(ApiError::action)?;
        let ranges = parent.ranges.iter();
        let mut ranges = ranges.filter(|range| self.range.is_none_or(|only| only == range.id));
        let found = ranges.find_map(|range| {
            let leases = world.index.leases.get(&(parent.id, range.id))?;
            let first = match address {
                None => leases.first_free_run(self.size),
                Some(address) => range
                    .offset_of(address)
                    .filter(|first| leases.is_free_run(*first, self.size)),
            };
            first.map(|first| (range, first))
        });
        // Recorded text of the first.
        let (range, first) = found.ok_or_else(|| match address {
            None => ApiError::action("Not enough free addresses in an address range"),
            Some(address) => ApiError::action(format!(
                "Not enough free addresses in an address range from {address} on"
            )),
        })?;
        Ok(AddressRange {
            id,
            size: self.size,
            mac: range.mac_at(first),
            ip: range.ip_at(first),
            ip6: range.ip6_at(first),
            parent: Some(range.id),
            held: Vec::new(),
            ..range.clone()
        })
    }
}
