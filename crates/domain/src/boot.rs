//! Boot order: `OS/BOOT`, or the ORDER that the core wrote on the devices.

use plerion_template::Vector;

use crate::error::{DomainError, invalid};
use crate::lookup::{Lookup, device_name, filled, number_parse};
use crate::xml::Element;

/// Most entries of a boot order.
const MAX_BOOT_ENTRIES: u64 = 1024;

/// `<boot order='n'/>` of a device; `section` is DISK or NIC (a PCI device that is a NIC counts as one).
///
/// `OS/BOOT` wins where it is given: ORDER on the devices is derived from it and may be older. Entries for devices
/// that the VM no longer has are skipped.
pub(crate) fn boot_element(
    lookup: Lookup<'_>,
    section: &str,
    id: u64,
    device: &Vector,
) -> Result<Option<Element>, DomainError> {
    let order = match lookup.vm_pair("OS", "BOOT") {
        Some(list) => boot_position(list, section, id)?,
        None => filled(device.get("ORDER"))
            .map(|order| {
                let id_key = if section == "DISK" { "DISK_ID" } else { "NIC_ID" };
                let name = format!("{}/ORDER", device_name(section, id_key, device));
                number_parse(&name, order, 1, MAX_BOOT_ENTRIES)
            })
            .transpose()?,
    };
    Ok(order.map(|order| Element::new("boot").attr("order", order)))
}

fn boot_position(list: &str, section: &str, id: u64) -> Result<Option<u64>, DomainError> {
    let mut found = None;
    for (position, entry) in (1..=MAX_BOOT_ENTRIES).zip(list.split(',').map(str::trim)) {
        if entry.is_empty() {
            continue;
        }
        let entry_id = |prefix: &str| entry.strip_prefix(prefix).and_then(|id| id.parse::<u64>().ok());
        let (kind, number) = entry_id("disk")
            .map(|number| ("DISK", number))
            .or_else(|| entry_id("nic").map(|number| ("NIC", number)))
            .ok_or_else(|| {
                invalid(
                    "OS/BOOT",
                    entry,
                    "a boot device is disk or nic with its id",
                    "write for example BOOT=\"disk0,nic0\"",
                )
            })?;
        if found.is_none() && kind == section && number == id {
            found = Some(position);
        }
    }
    Ok(found)
}
