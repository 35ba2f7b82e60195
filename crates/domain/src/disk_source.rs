//! `<source>` of a disk: a file or device in the VM directory, or storage reached over the network.

use plerion_template::Vector;

use crate::disk_kind::{Disk, disk_type};
use crate::error::{DomainError, invalid, missing};
use crate::lookup::{Lookup, filled, flag_parse, number_parse};
use crate::xml::Element;

/// Most hosts of one network source.
const MAX_HOSTS: usize = 32;
/// Port of a Ceph monitor.
const CEPH_PORT: u64 = 6789;
/// Port of an iSCSI portal.
const ISCSI_PORT: u64 = 3260;
/// Port of Gluster's management daemon.
const GLUSTER_PORT: u64 = 24_007;
/// Port of a Sheepdog daemon.
const SHEEPDOG_PORT: u64 = 7000;

/// Where the data of a disk is.
pub(crate) struct Source {
    /// `disk/@type`.
    pub(crate) kind: &'static str,
    pub(crate) source: Element,
    /// What the network storage wants to know of its client.
    pub(crate) auth: Option<Element>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backing {
    File,
    Block,
    Rbd,
    Iscsi,
    Gluster,
    Sheepdog,
}

pub(crate) fn source(lookup: Lookup<'_>, disk: &Disk<'_>) -> Result<Source, DomainError> {
    let path = || format!("{}/disk.{}", lookup.input.directory, disk.id);
    match backing(disk)? {
        Backing::File => Ok(local("file", "file", path())),
        Backing::Block => Ok(local("block", "dev", path())),
        Backing::Rbd => rbd(lookup, disk),
        Backing::Iscsi => iscsi(disk),
        Backing::Gluster => gluster(lookup, disk),
        Backing::Sheepdog => sheepdog(lookup, disk),
    }
}

fn local(kind: &'static str, key: &'static str, path: String) -> Source {
    Source {
        kind,
        source: Element::new("source").attr(key, path),
        auth: None,
    }
}

/// TYPE is what the disk is now; volatile disks and CDs are kept as DISK_TYPE of their datastore says.
fn backing(disk: &Disk<'_>) -> Result<Backing, DomainError> {
    let kind = disk_type(disk.vector);
    let stored = filled(disk.vector.get("DISK_TYPE"))
        .unwrap_or("FILE")
        .to_ascii_uppercase();
    let plain = kind.strip_suffix("_CDROM").unwrap_or(&kind);
    let by_name = |name: &str| match name {
        "FILE" => Some(Backing::File),
        "BLOCK" => Some(Backing::Block),
        "RBD" => Some(Backing::Rbd),
        "ISCSI" => Some(Backing::Iscsi),
        "GLUSTER" => Some(Backing::Gluster),
        "SHEEPDOG" => Some(Backing::Sheepdog),
        _ => None,
    };
    let found = match plain {
        "FILE" if stored == "RBD" => Some(Backing::Rbd),
        "CDROM" | "FS" | "SWAP" => by_name(stored.strip_suffix("_CDROM").unwrap_or(&stored)),
        plain => by_name(plain),
    };
    found.ok_or_else(|| {
        invalid(
            format!("{}/TYPE", disk.name()),
            &format!("{kind} (DISK_TYPE {stored})"),
            "KVM knows no such disk",
            "use a datastore with FILE, BLOCK, RBD, ISCSI, GLUSTER or SHEEPDOG disks",
        )
    })
}

fn network(protocol: &'static str, name: String, hosts: Vec<Element>, auth: Option<Element>) -> Source {
    let source = Element::new("source")
        .attr("protocol", protocol)
        .attr("name", name)
        .with(hosts);
    Source {
        kind: "network",
        source,
        auth,
    }
}

fn need<'a>(disk: &Disk<'a>, key: &str) -> Result<&'a str, DomainError> {
    filled(disk.vector.get(key)).ok_or_else(|| {
        missing(
            format!("{}/{key}", disk.name()),
            "the network storage is not found without it",
            "set it on the image or its datastore",
        )
    })
}

fn is_clone(disk: &Disk<'_>) -> Result<bool, DomainError> {
    filled(disk.vector.get("CLONE")).map_or(Ok(false), |value| {
        flag_parse(&format!("{}/CLONE", disk.name()), value)
    })
}

fn rbd(lookup: Lookup<'_>, disk: &Disk<'_>) -> Result<Source, DomainError> {
    let (vm, id) = (lookup.input.vm_id, disk.id);
    let name = match filled(disk.vector.get("SOURCE")) {
        Some(image) if is_clone(disk)? => format!("{image}-{vm}-{id}"),
        Some(image) => image.to_owned(),
        None => {
            let pool = filled(disk.vector.get("POOL_NAME")).unwrap_or("one");
            format!("{pool}/one-sys-{vm}-{id}")
        }
    };
    let hosts = hosts(disk, "CEPH_HOST", CEPH_PORT, false)?;
    let auth = auth(disk.vector, "CEPH_USER", "ceph", "uuid", "CEPH_SECRET");
    Ok(network("rbd", name, hosts, auth))
}

fn iscsi(disk: &Disk<'_>) -> Result<Source, DomainError> {
    let name = match filled(disk.vector.get("ISCSI_IQN")) {
        Some(name) => name,
        None => need(disk, "SOURCE")?,
    };
    need(disk, "ISCSI_HOST")?;
    let hosts = hosts(disk, "ISCSI_HOST", ISCSI_PORT, false)?;
    let auth = auth(disk.vector, "ISCSI_USER", "iscsi", "usage", "ISCSI_USAGE");
    Ok(network("iscsi", name.to_owned(), hosts, auth))
}

fn gluster(lookup: Lookup<'_>, disk: &Disk<'_>) -> Result<Source, DomainError> {
    let volume = need(disk, "GLUSTER_VOLUME")?;
    need(disk, "GLUSTER_HOST")?;
    let name = if is_clone(disk)? {
        format!("{volume}/{}/disk.{}", lookup.input.vm_id, disk.id)
    } else {
        let path = need(disk, "SOURCE")?;
        format!("{volume}/{}", path.rsplit('/').next().unwrap_or(path))
    };
    Ok(network(
        "gluster",
        name,
        hosts(disk, "GLUSTER_HOST", GLUSTER_PORT, true)?,
        None,
    ))
}

fn sheepdog(lookup: Lookup<'_>, disk: &Disk<'_>) -> Result<Source, DomainError> {
    let image = need(disk, "SOURCE")?;
    let name = if is_clone(disk)? {
        format!("{image}-{}-{}", lookup.input.vm_id, disk.id)
    } else {
        image.to_owned()
    };
    Ok(network(
        "sheepdog",
        name,
        hosts(disk, "SHEEPDOG_HOST", SHEEPDOG_PORT, true)?,
        None,
    ))
}

/// A list separated by blanks of `name`, `name:port`, `[address]:port` or a bare IPv6 address.
fn hosts(disk: &Disk<'_>, key: &str, port: u64, with_transport: bool) -> Result<Vec<Element>, DomainError> {
    let attribute = format!("{}/{key}", disk.name());
    filled(disk.vector.get(key))
        .unwrap_or("")
        .split_whitespace()
        .take(MAX_HOSTS)
        .map(|entry| {
            let (name, given) = host_split(entry);
            let port = given.map_or(Ok(port), |given| number_parse(&attribute, given, 1, 65_535))?;
            let transport = with_transport.then_some("tcp");
            Ok(Element::new("host")
                .attr("name", name)
                .attr("port", port)
                .attr_opt("transport", transport))
        })
        .collect()
}

fn host_split(entry: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (entry, None), // more than one colon: an IPv6 address without a port
    }
}

/// `<auth>`; libvirt needs both the user and the secret.
fn auth(vector: &Vector, user: &str, kind: &'static str, by: &'static str, secret: &str) -> Option<Element> {
    let (user, secret) = filled(vector.get(user)).zip(filled(vector.get(secret)))?;
    let secret = Element::new("secret").attr("type", kind).attr(by, secret);
    Some(Element::new("auth").attr("username", user).with([secret]))
}

#[cfg(test)]
mod tests {
    use super::host_split;

    #[test]
    fn hosts() {
        assert_eq!(host_split("mon1"), ("mon1", None));
        assert_eq!(host_split("mon1:3300"), ("mon1", Some("3300")));
        assert_eq!(host_split("[fd00::1]:3300"), ("fd00::1", Some("3300")));
        assert_eq!(host_split("[fd00::1]"), ("fd00::1", None));
        assert_eq!(host_split("fd00::1"), ("fd00::1", None));
    }
}
