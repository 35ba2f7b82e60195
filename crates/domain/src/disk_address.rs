//! Drive addresses: where libvirt's own choice, made from the letter of the target alone, would clash or differ.
//!
//! `hda` and `sda` are different targets with the same letter. Behind one SATA controller libvirt would give both
//! the same port and refuse the domain; here the later one moves to a free port.

use std::collections::BTreeSet;

use crate::disk_kind::{Bus, Disk, Prefix};
use crate::error::{DomainError, invalid};
use crate::xml::Element;

/// Ports of one SATA controller.
const SATA_PORTS: u64 = 6;
/// Controllers that are tried for a free port; more do not fit into any machine.
const MAX_SATA_CONTROLLERS: u64 = 32;
/// Places of the one IDE controller: two buses with two units each.
const IDE_PLACES: u64 = 4;
/// Targets of the SCSI controller.
const SCSI_TARGETS: u64 = 256;

/// An `<address type='drive'>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    controller: u64,
    bus: u64,
    target: u64,
    unit: u64,
}

impl Address {
    pub(crate) fn element(self) -> Element {
        Element::new("address")
            .attr("type", "drive")
            .attr("controller", self.controller)
            .attr("bus", self.bus)
            .attr("target", self.target)
            .attr("unit", self.unit)
    }

    fn sata(port: u64) -> Self {
        Self {
            controller: port.checked_div(SATA_PORTS).unwrap_or(0),
            bus: 0,
            target: 0,
            unit: port.checked_rem(SATA_PORTS).unwrap_or(0),
        }
    }

    fn ide(place: u64) -> Self {
        Self {
            controller: 0,
            bus: place.checked_div(2).unwrap_or(0),
            target: 0,
            unit: place.checked_rem(2).unwrap_or(0),
        }
    }
}

/// The address of each disk, in the order of `disks`; `None` leaves it to libvirt, whose choice is then the same.
pub(crate) fn addresses(disks: &[Disk<'_>]) -> Result<Vec<Option<Address>>, DomainError> {
    targets_distinct(disks)?;
    // An sd disk on SATA has a controller of its own, counted by its letter: those places are taken first.
    let mut sata: BTreeSet<u64> = disks
        .iter()
        .filter(|disk| is_sd_on_sata(disk))
        .map(sd_port)
        .collect();
    let mut ide = BTreeSet::new();
    disks
        .iter()
        .map(|disk| match disk.bus {
            Bus::Virtio => Ok(None),
            Bus::Scsi if disk.index < SCSI_TARGETS => Ok(Some(Address {
                controller: 0,
                bus: 0,
                target: disk.index,
                unit: 0,
            })),
            Bus::Scsi => Err(no_place(disk, "the SCSI controller has 256 targets")),
            Bus::Sata if is_sd_on_sata(disk) => Ok(Some(Address::sata(sd_port(disk)))),
            Bus::Sata => {
                let last = SATA_PORTS.saturating_mul(MAX_SATA_CONTROLLERS);
                let port = place_take(&mut sata, disk.index, last)
                    .ok_or_else(|| no_place(disk, "all SATA ports are taken"))?;
                Ok((port != disk.index).then(|| Address::sata(port)))
            }
            Bus::Ide => {
                let place = place_take(&mut ide, disk.index, IDE_PLACES)
                    .ok_or_else(|| no_place(disk, "IDE has room for 4 disks and CDs"))?;
                Ok((place != disk.index).then(|| Address::ide(place)))
            }
        })
        .collect()
}

fn is_sd_on_sata(disk: &Disk<'_>) -> bool {
    disk.bus == Bus::Sata && disk.prefix == Prefix::Sd
}

fn sd_port(disk: &Disk<'_>) -> u64 {
    disk.index.saturating_mul(SATA_PORTS)
}

/// Takes `wanted`, or the next free place behind it, or the first free one.
fn place_take(taken: &mut BTreeSet<u64>, wanted: u64, places: u64) -> Option<u64> {
    let place = (wanted..places)
        .chain(0..wanted.min(places))
        .find(|place| !taken.contains(place))?;
    taken.insert(place);
    Some(place)
}

fn targets_distinct(disks: &[Disk<'_>]) -> Result<(), DomainError> {
    let mut seen = BTreeSet::new();
    match disks.iter().find(|disk| !seen.insert(disk.target)) {
        Some(disk) => Err(invalid(
            format!("{}/TARGET", disk.name()),
            disk.target,
            "another disk of the VM has the same target",
            "give one of them another TARGET",
        )),
        None => Ok(()),
    }
}

fn no_place(disk: &Disk<'_>, why: &str) -> DomainError {
    invalid(
        format!("{}/TARGET", disk.name()),
        disk.target,
        why,
        "use virtio targets (vda, vdb, …) or fewer disks",
    )
}
