//! Controllers, and devices of the host that are passed through.

use plerion_template::Vector;

use crate::boot::boot_element;
use crate::error::{DomainError, invalid, missing};
use crate::lookup::{Lookup, device_name, filled, flag_parse, number_parse};
use crate::nic::nic_id;
use crate::xml::Element;

/// Most PCI devices of one VM.
const MAX_PCI_DEVICES: usize = 256;
/// Most root ports: a PCI bus has 32 slots of 8 functions, and ports share slots.
const MAX_ROOT_PORTS: u64 = 200;
/// Most queues of the SCSI controller.
const MAX_SCSI_QUEUES: u64 = 1024;
/// Largest 64-bit PCI hole in KiB (16 TiB).
const MAX_HOLE_KIB: u64 = 16 * 1024 * 1024 * 1024;

/// PCI and SCSI controllers.
pub(crate) fn controllers(lookup: Lookup<'_>, iothreads: u64) -> Result<Vec<Element>, DomainError> {
    let pci = |index: u64, model: &str| {
        Element::new("controller")
            .attr("type", "pci")
            .attr("index", index)
            .attr("model", model)
    };
    let mut controllers = Vec::new();
    if let Some(hole) = lookup.pair("FEATURES", "PCIHOLE64") {
        let hole = number_parse("FEATURES/PCIHOLE64", hole, 0, MAX_HOLE_KIB)?;
        let root = if lookup.is_pcie() { "pcie-root" } else { "pci-root" };
        controllers.push(pci(0, root).with([Element::leaf("pcihole64", hole).attr("unit", "KiB")]));
    }
    if lookup.is_pcie() {
        // Ports are only there from the start: without free ones nothing can be added to a running guest.
        let ports = lookup.host_single("Q35_ROOT_PORTS").map_or(Ok(0), |ports| {
            number_parse("Q35_ROOT_PORTS", ports, 0, MAX_ROOT_PORTS)
        })?;
        controllers.extend((1..=ports).map(|index| pci(index, "pcie-root-port")));
        if ports > 0 {
            controllers.push(pci(ports.saturating_add(1), "pcie-to-pci-bridge"));
        }
    }
    controllers.push(scsi(lookup, iothreads)?);
    Ok(controllers)
}

/// The SCSI controller is there even without a SCSI disk, so that one can be added to the running guest.
fn scsi(lookup: Lookup<'_>, iothreads: u64) -> Result<Element, DomainError> {
    let queues = lookup
        .pair("FEATURES", "VIRTIO_SCSI_QUEUES")
        .map(|value| lookup.queues("FEATURES/VIRTIO_SCSI_QUEUES", value, MAX_SCSI_QUEUES))
        .transpose()?
        .filter(|queues| *queues > 0); // 0 leaves the number to QEMU
    let driver = Element::new("driver")
        .attr_opt("queues", queues)
        .attr_opt("iothread", (iothreads > 0).then_some(1))
        .unless_bare();
    Ok(Element::new("controller")
        .attr("type", "scsi")
        .attr("index", 0)
        .attr("model", "virtio-scsi")
        .with(driver))
}

/// `<hostdev>` of each PCI device.
pub(crate) fn hostdevs(lookup: Lookup<'_>) -> Result<Vec<Element>, DomainError> {
    let devices = lookup.input.vm.vectors("PCI").take(MAX_PCI_DEVICES);
    devices.map(|vector| hostdev(lookup, vector)).collect()
}

fn hostdev(lookup: Lookup<'_>, vector: &Vector) -> Result<Element, DomainError> {
    let name = device_name("PCI", "PCI_ID", vector);
    let get = |key: &str| filled(vector.get(key));
    let mdev_mode = get("MDEV_MODE").unwrap_or("legacy").to_ascii_lowercase();
    let base = Element::new("hostdev").attr("mode", "subsystem");
    let hostdev = match get("UUID") {
        Some(uuid) if mdev_mode == "legacy" => {
            let address = Element::new("address").attr("uuid", uuid);
            base.attr("type", "mdev")
                .attr("model", "vfio-pci")
                .with([Element::new("source").with([address])])
        }
        _ => {
            // NVIDIA's own driver holds the virtual function: it must not be detached from it.
            let managed = if mdev_mode == "nvidia" { "no" } else { "yes" };
            let address = address(&name, vector, ["DOMAIN", "BUS", "SLOT", "FUNCTION"])?;
            base.attr("type", "pci")
                .attr("managed", managed)
                .with([Element::new("source").with([address])])
        }
    };
    let iommufd = get("IOMMUFD").map_or(Ok(false), |value| flag_parse(&format!("{name}/IOMMUFD"), value))?;
    let boot = match get("NIC_ID") {
        Some(_) => boot_element(lookup, "NIC", nic_id(vector)?, vector)?,
        None => None,
    };
    Ok(hostdev
        .with(iommufd.then(|| Element::new("driver").attr("iommufd", "yes")))
        .with(boot)
        .with(get("ACPI_NODES").map(|nodes| Element::new("acpi").attr("nodeset", nodes)))
        .with(guest_address(&name, vector)?))
}

/// Where the guest sees the device; `None` leaves it to libvirt.
fn guest_address(name: &str, vector: &Vector) -> Result<Option<Element>, DomainError> {
    let element = |address: Element| address.attr("type", "pci");
    if let Some(index) = filled(vector.get("VM_BUS_INDEX")) {
        let bus = number_parse(&format!("{name}/VM_BUS_INDEX"), index, 0, 255)?;
        let address = Element::new("address")
            .attr("domain", "0x0000")
            .attr("bus", format!("0x{bus:02x}"));
        return Ok(Some(element(
            address.attr("slot", "0x00").attr("function", "0x0"),
        )));
    }
    const KEYS: [&str; 4] = ["VM_DOMAIN", "VM_BUS", "VM_SLOT", "VM_FUNCTION"];
    if filled(vector.get("VM_BUS")).is_none() {
        return Ok(None);
    }
    address(name, vector, KEYS).map(|address| Some(element(address)))
}

/// A PCI address from four hexadecimal attributes, with or without `0x`. Only the bus and slot are indispensable.
fn address(name: &str, vector: &Vector, keys: [&str; 4]) -> Result<Element, DomainError> {
    let [domain, bus, slot, function] = keys;
    let part = |key: &str, required: bool, max: u64| -> Result<u64, DomainError> {
        let attribute = format!("{name}/{key}");
        let Some(text) = filled(vector.get(key)) else {
            return if required {
                Err(missing(
                    attribute,
                    "the device on the host is not known",
                    "this is set when the VM is placed: deploy the VM again",
                ))
            } else {
                Ok(0)
            };
        };
        let digits = text.trim().trim_start_matches("0x").trim_start_matches("0X");
        u64::from_str_radix(digits, 16)
            .ok()
            .filter(|number| *number <= max)
            .ok_or_else(|| {
                invalid(
                    attribute,
                    text,
                    format!("it is not a hexadecimal number up to {max:x}"),
                    "correct it",
                )
            })
    };
    Ok(Element::new("address")
        .attr("domain", format!("0x{:04x}", part(domain, false, 0xffff)?))
        .attr("bus", format!("0x{:02x}", part(bus, true, 0xff)?))
        .attr("slot", format!("0x{:02x}", part(slot, true, 0x1f)?))
        .attr("function", format!("0x{:x}", part(function, false, 7)?)))
}
