//! `<disk>` and `<filesystem>`: what each DISK and the context CD become.

use plerion_template::Vector;

use crate::disk_address::{Address, addresses};
use crate::disk_driver::{driver, iotune};
use crate::disk_kind::{Bus, Disk, Prefix, disk_type};
use crate::disk_source::{Source, source};
use crate::error::{DomainError, invalid, missing};
use crate::input::ContextDisk;
use crate::lookup::{Lookup, device_name, filled, flag_parse, number_parse};
use crate::xml::Element;

/// Most disks of one VM.
const MAX_DISKS: usize = 1024;
/// Largest DISK_ID.
const MAX_DISK_ID: u64 = i32::MAX as u64;
/// Queue length of a virtiofs share.
const VIRTIOFS_QUEUE: u64 = 1024;
/// How many user and group ids of a share's guest are mapped.
const IDMAP_COUNT: u64 = 65_536;
/// Largest id that a mapping can start with.
const MAX_IDMAP_START: u64 = u32::MAX as u64 - IDMAP_COUNT;

/// The `<disk>` and `<filesystem>` elements with the ids of their DISKs, the context CD last.
pub(crate) fn disk_elements(lookup: Lookup<'_>, iothreads: u64) -> Result<Vec<(u64, Element)>, DomainError> {
    let disks = disks(lookup)?;
    let addresses = addresses(&disks)?;
    let mut elements = Vec::new();
    let mut virtio_disks = 0_u64;
    for (disk, address) in disks.iter().zip(addresses) {
        let turn = virtio_disks
            .checked_rem(iothreads)
            .map(|turn| turn.saturating_add(1));
        if disk.bus == Bus::Virtio && !disk.is_cdrom {
            virtio_disks = virtio_disks.saturating_add(1);
        }
        let element = if disk.is_context {
            context(lookup, disk, address)
        } else {
            disk_element(lookup, disk, address, iothreads, turn)?
        };
        elements.push((disk.id, element));
    }
    for vector in lookup
        .input
        .vm
        .vectors("DISK")
        .take(MAX_DISKS)
        .filter(|vector| is_filesystem(vector))
    {
        elements.push((disk_id(vector, "DISK")?, filesystem(lookup, vector)?));
    }
    Ok(elements)
}

/// The disks that have a target, the context CD last.
fn disks(lookup: Lookup<'_>) -> Result<Vec<Disk<'_>>, DomainError> {
    let mut disks = Vec::new();
    for vector in lookup
        .input
        .vm
        .vectors("DISK")
        .take(MAX_DISKS)
        .filter(|vector| !is_filesystem(vector))
    {
        disks.push(disk_read(lookup, vector, false)?);
    }
    if let Some(vector) = lookup.input.vm.vector("CONTEXT")
        && (vector.get("TARGET").is_some() || vector.get("DISK_ID").is_some())
    {
        disks.push(disk_read(lookup, vector, true)?);
    }
    Ok(disks)
}

fn disk_read<'a>(lookup: Lookup<'a>, vector: &'a Vector, is_context: bool) -> Result<Disk<'a>, DomainError> {
    let section = if is_context { "CONTEXT" } else { "DISK" };
    let id = disk_id(vector, section)?;
    let name = if is_context {
        section.to_owned()
    } else {
        device_name("DISK", "DISK_ID", vector)
    };
    let target = filled(vector.get("TARGET")).ok_or_else(|| {
        missing(
            format!("{name}/TARGET"),
            "the guest must find the disk under some device name",
            "set TARGET (for example vda) or DEV_PREFIX, and deploy the VM again",
        )
    })?;
    let (prefix, index) = target_parse(target).ok_or_else(|| {
        invalid(
            format!("{name}/TARGET"),
            target,
            "it is not hd, sd or vd followed by one to three letters",
            "write for example vda or sdb",
        )
    })?;
    let is_cdrom = is_context || disk_type(vector).ends_with("CDROM");
    let bus = bus(lookup, prefix, is_cdrom)?;
    Ok(Disk {
        vector,
        id,
        target,
        prefix,
        index,
        bus,
        is_cdrom,
        is_context,
    })
}

/// Whether a DISK is a shared directory in place of a block device.
pub(crate) fn is_filesystem(vector: &Vector) -> bool {
    disk_type(vector) == "FILESYSTEM"
}

fn disk_id(vector: &Vector, section: &'static str) -> Result<u64, DomainError> {
    let id = filled(vector.get("DISK_ID")).ok_or_else(|| {
        missing(
            format!("{section}/DISK_ID"),
            "the disk's file is named after it",
            "this is set when the VM is created: create the VM again, and report this",
        )
    })?;
    number_parse(&format!("{section}/DISK_ID"), id, 0, MAX_DISK_ID)
}

/// `vda` is (virtio, 0), `sdaa` is (sd, 26).
fn target_parse(target: &str) -> Option<(Prefix, u64)> {
    /// Longest run of letters behind the prefix.
    const MAX_LETTERS: usize = 3;
    let (prefix, letters) = [("hd", Prefix::Hd), ("sd", Prefix::Sd), ("vd", Prefix::Vd)]
        .into_iter()
        .find_map(|(text, prefix)| target.strip_prefix(text).map(|letters| (prefix, letters)))?;
    if letters.is_empty() || letters.len() > MAX_LETTERS {
        return None;
    }
    let position = letters.bytes().try_fold(0_u64, |sum, letter| {
        let digit = letter
            .is_ascii_lowercase()
            .then(|| u64::from(letter.saturating_sub(b'a')))?;
        Some(sum.saturating_mul(26).saturating_add(digit).saturating_add(1))
    })?;
    Some((prefix, position.saturating_sub(1)))
}

fn bus(lookup: Lookup<'_>, prefix: Prefix, is_cdrom: bool) -> Result<Bus, DomainError> {
    let plain = if lookup.is_pcie() { Bus::Sata } else { Bus::Ide };
    match prefix {
        _ if is_cdrom => Ok(plain),
        Prefix::Hd => Ok(plain),
        Prefix::Vd => Ok(Bus::Virtio),
        Prefix::Sd => {
            let bus = lookup.pair("OS", "SD_DISK_BUS").unwrap_or("scsi");
            match bus.to_ascii_lowercase().as_str() {
                "scsi" => Ok(Bus::Scsi),
                "sata" => Ok(Bus::Sata),
                _ => Err(invalid(
                    "OS/SD_DISK_BUS",
                    bus,
                    "no such bus for sd disks",
                    "write scsi or sata",
                )),
            }
        }
    }
}

fn disk_element(
    lookup: Lookup<'_>,
    disk: &Disk<'_>,
    address: Option<Address>,
    iothreads: u64,
    turn: Option<u64>,
) -> Result<Element, DomainError> {
    let Source { kind, source, auth } = source(lookup, disk)?;
    let vector = disk.vector;
    let flag = |key: &str, element: &'static str| -> Result<Option<Element>, DomainError> {
        let set = filled(vector.get(key)).map_or(Ok(false), |value| {
            flag_parse(&format!("{}/{key}", disk.name()), value)
        })?;
        Ok(set.then(|| Element::new(element)))
    };
    let readonly = flag("READONLY", "readonly")?.or_else(|| disk.is_cdrom.then(|| Element::new("readonly")));
    // A host's SCSI device reports its own serial number.
    let serial = filled(vector.get("SERIAL"))
        .filter(|_| !(kind == "block" && disk.bus == Bus::Scsi))
        .map(|serial| serial_element(disk, serial))
        .transpose()?;
    let encryption = filled(vector.get("LUKS_SECRET")).map(|uuid| {
        let secret = Element::new("secret")
            .attr("type", "passphrase")
            .attr("uuid", uuid);
        Element::new("encryption").attr("format", "luks").with([secret])
    });
    Ok(Element::new("disk")
        .attr("type", kind)
        .attr("device", if disk.is_cdrom { "cdrom" } else { "disk" })
        .with([driver(lookup, disk, iothreads, turn)?])
        .with(auth)
        .with([source, target(disk)])
        .with(encryption)
        .with(crate::boot::boot_element(lookup, "DISK", disk.id, vector)?)
        .with(readonly)
        .with(flag("SHAREABLE", "shareable")?)
        .with(serial)
        .with(iotune(lookup, disk)?)
        .with(address.map(Address::element)))
}

/// libvirt refuses other characters.
fn serial_element(disk: &Disk<'_>, serial: &str) -> Result<Element, DomainError> {
    if serial
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.+ ".contains(c))
    {
        return Ok(Element::leaf("serial", serial));
    }
    Err(invalid(
        format!("{}/SERIAL", disk.name()),
        serial,
        "a serial number has letters, digits, blanks and _ - . + only",
        "correct SERIAL of the disk or its image",
    ))
}

fn target(disk: &Disk<'_>) -> Element {
    Element::new("target")
        .attr("dev", disk.target)
        .attr("bus", disk.bus.name())
}

fn context(lookup: Lookup<'_>, disk: &Disk<'_>, address: Option<Address>) -> Element {
    let path = format!("{}/disk.{}", lookup.input.directory, disk.id);
    let (kind, key) = match lookup.input.context_disk {
        ContextDisk::File => ("file", "file"),
        ContextDisk::Block => ("block", "dev"),
    };
    let driver = Element::new("driver")
        .attr("name", "qemu")
        .attr("type", "raw")
        .attr("cache", "none");
    Element::new("disk")
        .attr("type", kind)
        .attr("device", "cdrom")
        .with([
            driver,
            Element::new("source").attr(key, path),
            target(disk),
            Element::new("readonly"),
        ])
        .with(address.map(Address::element))
}

/// A directory that the guest mounts by its tag, through virtiofs.
fn filesystem(lookup: Lookup<'_>, vector: &Vector) -> Result<Element, DomainError> {
    let name = device_name("DISK", "DISK_ID", vector);
    let need = |key: &str, why: &'static str| {
        filled(vector.get(key)).ok_or_else(|| missing(format!("{name}/{key}"), why, "set it on the image"))
    };
    let path = need("SOURCE", "the directory to share is not known")?;
    let tag = need("MOUNT_TAG", "the guest mounts the share by this name")?;
    let map = |element: &'static str, key: &str| -> Result<Element, DomainError> {
        let start = lookup.host_pair("DISK", key).unwrap_or("0");
        Ok(Element::new(element)
            .attr("start", 0)
            .attr(
                "target",
                number_parse(&format!("DISK/{key}"), start, 0, MAX_IDMAP_START)?,
            )
            .attr("count", IDMAP_COUNT))
    };
    let binary = Element::new("binary").with([
        Element::new("cache").attr("mode", "always"),
        Element::new("sandbox").attr("mode", "namespace"),
    ]);
    Ok(Element::new("filesystem")
        .attr("type", "mount")
        .attr("accessmode", "passthrough")
        .with([
            Element::new("driver")
                .attr("type", "virtiofs")
                .attr("queue", VIRTIOFS_QUEUE),
            binary,
            Element::new("source").attr("dir", path),
            Element::new("target").attr("dir", tag),
            Element::new("idmap").with([map("uid", "UID_MAP")?, map("gid", "GID_MAP")?]),
        ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(target_parse("vda"), Some((Prefix::Vd, 0)));
        assert_eq!(target_parse("sdz"), Some((Prefix::Sd, 25)));
        assert_eq!(target_parse("hdaa"), Some((Prefix::Hd, 26)));
        assert_eq!(target_parse("vdzz"), Some((Prefix::Vd, 701)));
        for wrong in ["", "vd", "xvda", "vd1", "vdA", "vdaaaa", "fda", "vd\u{e4}"] {
            assert_eq!(target_parse(wrong), None, "{wrong}");
        }
    }
}
