//! Numbers of VLANs and VXLANs: those that are given, and those that are chosen for networks (`AUTOMATIC_VLAN_ID`).

use std::collections::BTreeSet;

use plerion_model::Id;
use plerion_model::vnet::Vnet;
use plerion_template::Template;

use crate::config::Config;
use crate::world::World;

/// VLANs have 12 bits.
const VLAN_LAST: u32 = 4095;
/// VXLANs have 24 bits.
const VXLAN_LAST: u32 = (1 << 24) - 1;
/// `VLAN_IDS/START` and `VXLAN_IDS/START` of a configuration that names none.
const START_DEFAULT: u32 = 2;
/// `VLAN_IDS/RESERVED` of a configuration that names none.
const RESERVED_DEFAULT: &str = "0, 1, 4095";

/// What was chosen for a network.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Vlans {
    pub(crate) inner: Option<u32>,
    pub(crate) outer: Option<u32>,
}

/// Numbers that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Vlan,
    Vxlan,
}

/// Whose numbers VLAN_ID and OUTER_VLAN_ID of a driver are.
fn pools(vn_mad: &str) -> (Option<Pool>, Option<Pool>) {
    match vn_mad {
        "802.1Q" | "ovswitch" => (Some(Pool::Vlan), None),
        "vxlan" => (Some(Pool::Vxlan), None),
        "ovswitch_vxlan" => (Some(Pool::Vlan), Some(Pool::Vxlan)),
        _ => (None, None),
    }
}

/// Takes AUTOMATIC_VLAN_ID and AUTOMATIC_OUTER_VLAN_ID out of the template of a new network, and chooses.
pub(crate) fn vlans_choose(
    world: &World,
    id: Id,
    vn_mad: &str,
    template: &mut Template,
) -> Result<Vlans, String> {
    let (inner, outer) = pools(vn_mad);
    let mut wanted = |automatic: &str, name: &str, pool: Option<Pool>| {
        let asked = template.get_bool(automatic).unwrap_or(false);
        template.remove(automatic);
        let named = template.get(name).is_some_and(|text| !text.is_empty());
        pool.filter(|_| asked && !named)
    };
    let inner = wanted("AUTOMATIC_VLAN_ID", "VLAN_ID", inner);
    let outer = wanted("AUTOMATIC_OUTER_VLAN_ID", "OUTER_VLAN_ID", outer);
    let choose = |pool: Option<Pool>| pool.map(|pool| choose(world, id, pool)).transpose();
    Ok(Vlans {
        inner: choose(inner)?,
        outer: choose(outer)?,
    })
}

/// Refuses numbers that the driver could not set: each VM would fail at its start.
pub(crate) fn vlans_check(vn_mad: &str, template: &Template) -> Result<(), String> {
    let (inner, outer) = pools(vn_mad);
    for (name, pool) in [("VLAN_ID", inner), ("OUTER_VLAN_ID", outer)] {
        let last = match pool {
            Some(Pool::Vlan) => VLAN_LAST,
            Some(Pool::Vxlan) => VXLAN_LAST,
            None => continue,
        };
        let text = template.get(name).unwrap_or_default().trim();
        if !text.is_empty() && text.parse::<u32>().map_or(true, |number| number > last) {
            return Err(format!(
                "Wrong {name} \"{text}\" of a network of the driver {vn_mad}: it is a number up to {last}."
            ));
        }
    }
    Ok(())
}

/// The first number and the network's id (recorded), or the next one that is free.
fn choose(world: &World, id: Id, pool: Pool) -> Result<u32, String> {
    let (start, last, mut used) = match pool {
        Pool::Vlan => {
            let config = &world.config;
            (start(config, "VLAN_IDS"), VLAN_LAST, reserved(config))
        }
        Pool::Vxlan => (start(&world.config, "VXLAN_IDS"), VXLAN_LAST, BTreeSet::new()),
    };
    used.extend(world.vnets.values().flat_map(|vnet| of_vnet(vnet, pool)));
    let span = last.saturating_sub(start).saturating_add(1);
    let first = u32::try_from(id).unwrap_or(0).checked_rem(span).unwrap_or(0);
    (0..span)
        .map(|step| {
            let offset = first.saturating_add(step).checked_rem(span).unwrap_or(0);
            start.saturating_add(offset)
        })
        .find(|number| !used.contains(number))
        .ok_or_else(|| {
            let what = if pool == Pool::Vlan { "VLAN" } else { "VXLAN" };
            format!("No {what} from {start} to {last} is free: name one that networks may share, or delete networks.")
        })
}

/// Numbers of a pool that were chosen for a network.
fn of_vnet(vnet: &Vnet, pool: Pool) -> impl Iterator<Item = u32> {
    let (inner, outer) = pools(&vnet.vn_mad);
    let inner = vnet.vlan_automatic.filter(|_| inner == Some(pool));
    let outer = vnet.outer_vlan_automatic.filter(|_| outer == Some(pool));
    inner.into_iter().chain(outer)
}

fn start(config: &Config, name: &str) -> u32 {
    let text = config.attributes.pair(name, "START");
    text.and_then(|text| text.trim().parse().ok())
        .unwrap_or(START_DEFAULT)
}

/// Numbers of VLANs that are never chosen: a list of ids and of ranges such as `10:20`.
fn reserved(config: &Config) -> BTreeSet<u32> {
    let text = config.attributes.pair("VLAN_IDS", "RESERVED");
    let mut ids = BTreeSet::new();
    for part in text.unwrap_or(RESERVED_DEFAULT).split(',') {
        let mut ends = part.splitn(2, ':').map(|end| end.trim().parse::<u32>().ok());
        match (ends.next().flatten(), ends.next()) {
            (Some(id), None) => {
                ids.insert(id);
            }
            (Some(first), Some(Some(last))) => ids.extend(first..=last.min(VLAN_LAST)),
            _ => {}
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_vlans_are_single_or_ranges() {
        let config = |text: &str| {
            let attributes = Template::parse(text).expect("good");
            Config::new(attributes, "/x")
        };
        assert_eq!(reserved(&Config::default()), [0, 1, 4095].into());
        let some = config("VLAN_IDS=[START=\"10\",RESERVED=\"11, 20:22,x,9:\"]");
        assert_eq!(reserved(&some), [11, 20, 21, 22].into());
        assert_eq!((start(&some, "VLAN_IDS"), start(&some, "VXLAN_IDS")), (10, 2));
        assert!(reserved(&config("VLAN_IDS=[RESERVED=\"1:4294967295\"]")).len() <= 4095);
    }
}
