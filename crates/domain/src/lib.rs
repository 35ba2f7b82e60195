//! A VM, its host, its cluster and `vmm_exec_kvm.conf` become the description of a libvirt domain.
//!
//! [`domain_xml`] is a pure function: no I/O, no clock, no panic on any input. Values come from VM > host >
//! cluster > `vmm_exec_kvm.conf` > [`defaults`]; some attributes never come from the VM. [`COVERAGE`] lists every
//! attribute and what becomes of it.
//!
//! Values are always escaped. XML of a user's own enters only through `RAW` (where libvirt's `<domain>` is open to
//! it, checked to be well-formed and to stay inside), and through `HYPERV_OPTIONS`, `HYPERV_TIMERS` and
//! `SPICE_OPTIONS`, which are held to their place.
//!
//! Where this differs from OpenNebula on purpose, besides what [`COVERAGE`] notes:
//! - `<emulator>` is written only where EMULATOR is set. There, an unset EMULATOR means `/usr/bin/qemu-kvm-one`,
//!   a link that its packages make; libvirt by itself finds the emulator that is installed.
//! - Every domain gets a serial console, so that `virsh console` works. A serial port or console in RAW takes its
//!   place.
//! - `GRAPHICS/LISTEN` is 127.0.0.1 where nothing is said.
//! - All devices, the guest agent's channel too, are in one `<devices>` block.
//! - Two disks that libvirt would put at one SATA or IDE port (`hda` beside `sda`) get different ports.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod boot;
mod compute;
mod coverage;
mod defaults;
mod devices;
mod disk;
mod disk_address;
mod disk_driver;
mod disk_kind;
mod disk_source;
mod display;
mod error;
mod features;
mod firmware;
mod fragment;
mod input;
mod lookup;
mod memory;
mod metadata;
mod nic;
mod numa;
mod pci;
mod raw;
mod xml;

pub use coverage::{COVERAGE, Covered, Row, Seen};
pub use defaults::{defaults, driver_conf_known, driver_conf_unknown};
pub use error::DomainError;
pub use input::{ContextDisk, DomainInput, HostFacts, Hypervisor, Metadata};

use firmware::Firmware;
use lookup::{Lookup, filled};
use raw::Raw;
use xml::Element;

/// The description of the domain, as `virsh create` takes it.
///
/// # Errors
/// [`DomainError`] names the attribute that is missing or wrong.
pub fn domain_xml(input: &DomainInput<'_>) -> Result<String, DomainError> {
    let lookup = Lookup { input };
    let firmware = Firmware::resolve(lookup)?;
    let memory = compute::memory_resolve(lookup)?;
    let nodes = numa::nodes(lookup)?;
    let (iothreads, iothreads_element) = compute::iothreads(lookup)?;
    let (os, bootloader) = firmware::os(lookup, &firmware)?;
    let (memtune, launch_security) = features::memory_encryption(lookup, memory.mib)?;
    let raw = raw::raw_fragments(lookup)?;
    let devices = devices_element(lookup, iothreads, &raw)?;
    identity(input)
        .with(compute::memory_elements(lookup, memory))
        .with(compute::vcpu(lookup)?)
        .with(iothreads_element)
        .with([compute::cputune(lookup, &nodes)?])
        .with(memtune)
        .with(numa::numatune(&nodes)?)
        .with(numa::memory_backing(lookup)?)
        .with(bootloader)
        .with([os])
        .with(features::features(lookup, &firmware)?)
        .with(compute::cpu(lookup, memory, &nodes)?)
        .with(features::clock(lookup)?)
        .with(firmware::power_management(lookup, &firmware))
        .with([devices])
        .with(launch_security)
        .with_fragments(raw.fragments)
        .with(metadata::metadata(input))
        .render()
}

/// The machine type that [`domain_xml`] would use; `None` where it leaves the choice to libvirt.
///
/// Device targets depend on it (CDs are `sd` on q35): whoever assigns them asks here.
#[must_use]
pub fn machine_type<'a>(input: &'a DomainInput<'a>) -> Option<&'a str> {
    Lookup { input }.machine()
}

/// `<disk>` (or `<filesystem>`) of one DISK, or of the context CD, as `virsh attach-device` takes it.
///
/// `None`: the VM has no such disk.
///
/// # Errors
/// [`DomainError`] names the attribute that is missing or wrong.
pub fn disk_xml(input: &DomainInput<'_>, disk_id: u64) -> Result<Option<String>, DomainError> {
    let lookup = Lookup { input };
    let (iothreads, _) = compute::iothreads(lookup)?;
    element_find(disk::disk_elements(lookup, iothreads)?, disk_id)
}

/// `<interface>` of one NIC, as `virsh attach-device` takes it.
///
/// `None`: the VM has no such NIC (a NIC in a PCI attribute is not one of these).
///
/// # Errors
/// [`DomainError`] names the attribute that is missing or wrong.
pub fn nic_xml(input: &DomainInput<'_>, nic_id: u64) -> Result<Option<String>, DomainError> {
    element_find(nic::nic_elements(Lookup { input })?, nic_id)
}

fn element_find(elements: Vec<(u64, Element)>, id: u64) -> Result<Option<String>, DomainError> {
    elements
        .into_iter()
        .find(|(found, _)| *found == id)
        .map(|(_, element)| element.render())
        .transpose()
}

/// `<domain>` with name, UUID and title.
fn identity(input: &DomainInput<'_>) -> Element {
    let kind = match input.hypervisor {
        Hypervisor::Kvm => "kvm",
        Hypervisor::Qemu => "qemu",
    };
    let uuid = filled(Some(input.uuid)).or_else(|| filled(input.vm.pair("OS", "UUID")));
    let title = filled(Some(input.name)).map(metadata::title);
    Element::new("domain")
        .attr("type", kind)
        .attr("xmlns:qemu", fragment::QEMU_NAMESPACE)
        .with([Element::leaf("name", format!("one-{}", input.vm_id))])
        .with(uuid.map(|uuid| Element::leaf("uuid", uuid)))
        .with(title.map(|title| Element::leaf("title", title)))
}

fn devices_element(lookup: Lookup<'_>, iothreads: u64, raw: &Raw) -> Result<Element, DomainError> {
    let disks = disk::disk_elements(lookup, iothreads)?;
    let nics = nic::nic_elements(lookup)?;
    let (graphics, spice) = display::graphics(lookup)?;
    let emulator = lookup
        .single("EMULATOR")
        .map(|path| Element::leaf("emulator", path));
    Ok(Element::new("devices")
        .with(emulator)
        .with(disks.into_iter().map(|(_, element)| element))
        .with(pci::controllers(lookup, iothreads)?)
        .with(nics.into_iter().map(|(_, element)| element))
        .with(devices::console(raw.has_console))
        .with(devices::guest_agent(lookup)?)
        .with(devices::inputs(lookup))
        .with(devices::tpm(lookup)?)
        .with(graphics)
        .with_fragments(spice)
        .with(display::video(lookup)?)
        .with(pci::hostdevs(lookup)?)
        .with(devices::iommu(lookup)?))
}
