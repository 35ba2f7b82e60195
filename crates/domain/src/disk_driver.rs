//! `<driver>` and `<iotune>` of a disk.

use crate::disk_kind::{Bus, Disk};
use crate::error::{DomainError, invalid};
use crate::lookup::{Lookup, filled, number_parse};
use crate::xml::Element;

/// Most queues of a virtio disk.
const MAX_BLK_QUEUES: u64 = 1024;
/// Largest limit of bytes or operations per second: what QEMU can calculate with.
const MAX_RATE: u64 = 1_000_000_000_000_000;
/// Longest burst in seconds.
const MAX_BURST_SECONDS: u64 = 86_400;

/// `<driver>`. `turn` is the I/O thread that comes next.
pub(crate) fn driver(
    lookup: Lookup<'_>,
    disk: &Disk<'_>,
    iothreads: u64,
    turn: Option<u64>,
) -> Result<Element, DomainError> {
    let cache = lookup
        .device(disk.vector, "DISK", "CACHE")
        .unwrap_or("default")
        .to_ascii_lowercase();
    let io = io(lookup, disk, &cache)?;
    let driver = Element::new("driver")
        .attr("name", "qemu")
        .attr("type", format(lookup, disk))
        .attr("cache", &cache)
        .attr_opt("io", io);
    if disk.is_cdrom {
        return Ok(driver); // nothing to discard on a CD, and no threads or queues on its bus
    }
    let discard = lookup
        .device(disk.vector, "DISK", "DISCARD")
        .map(str::to_ascii_lowercase);
    let driver = driver.attr_opt("discard", discard);
    if disk.bus != Bus::Virtio {
        return Ok(driver);
    }
    let thread = match filled(disk.vector.get("IOTHREAD")) {
        Some(value) if iothreads > 0 => Some(number_parse(
            &format!("{}/IOTHREAD", disk.name()),
            value,
            1,
            iothreads,
        )?),
        Some(_) | None => turn,
    };
    let queues = filled(disk.vector.get("VIRTIO_BLK_QUEUES"))
        .or_else(|| lookup.pair("FEATURES", "VIRTIO_BLK_QUEUES"))
        .map(|value| {
            lookup.queues(
                &format!("{}/VIRTIO_BLK_QUEUES", disk.name()),
                value,
                MAX_BLK_QUEUES,
            )
        })
        .transpose()?
        .filter(|queues| *queues > 0);
    Ok(driver.attr_opt("queues", queues).attr_opt("iothread", thread))
}

/// The format is always told, never guessed: a guest could write another format's header into a raw disk.
///
/// A DISK without DRIVER (a new volatile one) has the format it was made in.
fn format(lookup: Lookup<'_>, disk: &Disk<'_>) -> String {
    if disk.is_cdrom {
        return "raw".to_owned();
    }
    filled(disk.vector.get("DRIVER"))
        .or_else(|| {
            filled(disk.vector.get("FORMAT")).filter(|format| {
                ["raw", "qcow2"]
                    .iter()
                    .any(|known| format.eq_ignore_ascii_case(known))
            })
        })
        .or_else(|| lookup.host_pair("DISK", "DRIVER"))
        .unwrap_or("raw")
        .to_ascii_lowercase()
}

/// QEMU does native I/O only past the host's cache. As a default it gives way to the disk's own CACHE.
fn io(lookup: Lookup<'_>, disk: &Disk<'_>, cache: &str) -> Result<Option<String>, DomainError> {
    let own = filled(disk.vector.get("IO"));
    let io = own
        .or_else(|| lookup.host_pair("DISK", "IO"))
        .map(str::to_ascii_lowercase);
    let impossible = io.as_deref() == Some("native") && !matches!(cache, "none" | "directsync");
    match own {
        Some(value) if impossible => Err(invalid(
            format!("{}/IO", disk.name()),
            value,
            format!(
                "native I/O does not go with CACHE=\"{}\"",
                crate::error::shown(cache)
            ),
            "set CACHE to none or directsync, or IO to threads or io_uring",
        )),
        _ => Ok(io.filter(|_| !impossible)),
    }
}

/// `<iotune>`; `None` without limits.
pub(crate) fn iotune(lookup: Lookup<'_>, disk: &Disk<'_>) -> Result<Option<Element>, DomainError> {
    let limits = Limits { lookup, disk };
    let bytes = limits.group([
        [
            "total_bytes_sec",
            "total_bytes_sec_max",
            "total_bytes_sec_max_length",
        ],
        [
            "read_bytes_sec",
            "read_bytes_sec_max",
            "read_bytes_sec_max_length",
        ],
        [
            "write_bytes_sec",
            "write_bytes_sec_max",
            "write_bytes_sec_max_length",
        ],
    ])?;
    let iops = limits.group([
        [
            "total_iops_sec",
            "total_iops_sec_max",
            "total_iops_sec_max_length",
        ],
        ["read_iops_sec", "read_iops_sec_max", "read_iops_sec_max_length"],
        [
            "write_iops_sec",
            "write_iops_sec_max",
            "write_iops_sec_max_length",
        ],
    ])?;
    let size = if iops.is_empty() {
        None
    } else {
        limits.value("size_iops_sec", MAX_RATE)?
    };
    let size = size.map(|size| Element::leaf("size_iops_sec", size));
    Ok(Element::new("iotune")
        .with(bytes)
        .with(iops)
        .with(size)
        .unless_bare())
}

struct Limits<'a> {
    lookup: Lookup<'a>,
    disk: &'a Disk<'a>,
}

impl Limits<'_> {
    /// Total, read and write limits: a total excludes the other two.
    fn group(&self, [total, read, write]: [[&'static str; 3]; 3]) -> Result<Vec<Element>, DomainError> {
        let elements = self.limit(total)?;
        if !elements.is_empty() {
            return Ok(elements);
        }
        let mut elements = self.limit(read)?;
        elements.extend(self.limit(write)?);
        Ok(elements)
    }

    /// A limit, its burst where that is higher, and the burst's length.
    fn limit(&self, [base, burst, length]: [&'static str; 3]) -> Result<Vec<Element>, DomainError> {
        let Some(rate) = self.value(base, MAX_RATE)? else {
            return Ok(Vec::new());
        };
        let mut elements = vec![Element::leaf(base, rate)];
        if let Some(peak) = self.value(burst, MAX_RATE)?.filter(|peak| *peak > rate) {
            elements.push(Element::leaf(burst, peak));
            let seconds = self.value(length, MAX_BURST_SECONDS)?;
            elements.extend(seconds.map(|seconds| Element::leaf(length, seconds)));
        }
        Ok(elements)
    }

    /// `None` for absent and for 0, which means no limit.
    fn value(&self, element: &'static str, max: u64) -> Result<Option<u64>, DomainError> {
        let key = element.to_ascii_uppercase();
        let value = self
            .lookup
            .device(self.disk.vector, "DISK", &key)
            .map(|value| number_parse(&format!("{}/{key}", self.disk.name()), value, 0, max))
            .transpose()?;
        Ok(value.filter(|value| *value > 0))
    }
}
