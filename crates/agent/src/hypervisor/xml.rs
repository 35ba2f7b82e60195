//! The text of a domain: checked against what the action says, disk paths resolved.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plerion_protocol::Device;

use crate::fault::{Act, refused};
use crate::roots::path_text;

/// Checks that the XML is that of a domain with this name and UUID.
pub(crate) fn domain_xml_check(xml: &str, name: &str, uuid: &str) -> Act<()> {
    let document = parse(xml)?;
    let root = document.root_element();
    let text = |tag: &str| {
        let child = root.children().find(|child| child.has_tag_name(tag));
        child
            .and_then(|child| child.text())
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    if root.has_tag_name("domain") && text("name") == name && text("uuid").eq_ignore_ascii_case(uuid) {
        return Ok(());
    }
    Err(refused(format!(
        "the domain XML is not that of {name} with UUID {uuid}"
    )))
}

/// Checks that the XML is that of this device.
pub(crate) fn device_xml_check(xml: &str, device: &Device) -> Act<()> {
    let document = parse(xml)?;
    if is_device(document.root_element(), device) {
        return Ok(());
    }
    Err(refused(format!("the XML is not that of the device {device:?}")))
}

/// A disk of a domain.
pub(crate) struct DiskSource {
    /// `vda`.
    pub(crate) target: String,
    /// The file that it is in, where it is in one.
    pub(crate) file: Option<PathBuf>,
}

/// The disks of a domain, drives that are empty as well.
pub(crate) fn disk_sources(xml: &str) -> Act<Vec<DiskSource>> {
    let document = parse(xml)?;
    let disks = document.descendants().filter(|node| node.has_tag_name("disk"));
    Ok(disks
        .filter_map(|disk| {
            let child = |tag: &str| disk.children().find(|node| node.has_tag_name(tag));
            Some(DiskSource {
                target: child("target")?.attribute("dev")?.to_owned(),
                file: child("source")
                    .and_then(|source| source.attribute("file"))
                    .map(PathBuf::from),
            })
        })
        .collect())
}

/// The text of a device within that of its domain.
pub(crate) fn devices_find(xml: &str, device: &Device) -> Act<Option<String>> {
    let document = parse(xml)?;
    let found = document.descendants().find(|node| is_device(*node, device));
    Ok(found.and_then(|node| xml.get(node.range())).map(str::to_owned))
}

fn is_device(node: roxmltree::Node<'_, '_>, device: &Device) -> bool {
    let (tag, child, attribute, wanted) = match device {
        Device::Disk(target) => ("disk", "target", "dev", target),
        Device::Nic(mac) => ("interface", "mac", "address", mac),
    };
    let is_it = |node: roxmltree::Node<'_, '_>| {
        let value = node.attribute(attribute);
        node.has_tag_name(child) && value.is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    node.has_tag_name(tag) && node.children().any(is_it)
}

/// Replaces disk paths that are links by what they lead to: libvirt and QEMU must agree on the name of the file when
/// snapshots are made.
pub(crate) fn disk_links_resolve(xml: &str) -> Act<String> {
    let document = parse(xml)?;
    let disks = document.descendants().filter(|node| {
        node.has_tag_name("source")
            && node
                .parent_element()
                .is_some_and(|parent| parent.has_tag_name("disk"))
    });
    let mut replacements: Vec<(Range<usize>, String)> = Vec::new();
    for attribute in disks.filter_map(|node| node.attribute_node("file")) {
        let path = Path::new(attribute.value());
        if let Ok(real) = path.canonicalize()
            && let Some(real) = real.to_str()
            && real != attribute.value()
        {
            replacements.push((attribute.range_value(), escaped(real)));
        }
    }
    let mut resolved = xml.to_owned();
    for (range, text) in replacements.into_iter().rev() {
        resolved.replace_range(range, &text);
    }
    Ok(resolved)
}

/// What libvirt is told to copy which disks to which QCOW2 files with: all of them, or what has changed since a checkpoint.
pub(crate) fn backup_xml(disks: &[(&str, PathBuf)], since: Option<&str>) -> Act<String> {
    let mut xml = "<domainbackup mode='push'>".to_owned();
    if let Some(since) = since {
        xml.push_str(&format!("<incremental>{}</incremental>", escaped(since)));
    }
    xml.push_str("<disks>");
    for (target, file) in disks {
        let file = escaped(path_text(file)?);
        xml.push_str(&format!(
            "<disk name='{}' backup='yes' type='file'><driver type='qcow2'/><target file='{file}'/></disk>",
            escaped(target)
        ));
    }
    xml.push_str("</disks></domainbackup>");
    Ok(xml)
}

/// A checkpoint of some disks; one that is made known `again` wants a time, which nothing depends on.
pub(crate) fn checkpoint_xml(name: &str, targets: &[&str], again: bool) -> String {
    let time = if again {
        "<creationTime>1</creationTime>"
    } else {
        ""
    };
    let mut xml = format!("<domaincheckpoint><name>{}</name>{time}<disks>", escaped(name));
    for target in targets {
        xml.push_str(&format!("<disk name='{}' checkpoint='bitmap'/>", escaped(target)));
    }
    xml.push_str("</disks></domaincheckpoint>");
    xml
}

/// The files that a backup job writes to.
pub(crate) fn backup_targets(xml: &str) -> Act<Vec<PathBuf>> {
    let document = parse(xml)?;
    let targets = document.descendants().filter(|node| node.has_tag_name("target"));
    Ok(targets
        .filter_map(|target| target.attribute("file").map(PathBuf::from))
        .collect())
}

fn parse(xml: &str) -> Act<roxmltree::Document<'_>> {
    roxmltree::Document::parse(xml)
        .map_err(|error| refused(format!("the domain XML is not well-formed: {error}")))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn name_and_uuid_must_be_those_of_the_action() {
        let xml = "<domain type='qemu'><name>one-1</name><uuid>u-1</uuid></domain>";
        assert!(domain_xml_check(xml, "one-1", "u-1").is_ok());
        assert!(domain_xml_check(xml, "one-2", "u-1").is_err());
        assert!(domain_xml_check(xml, "one-1", "u-2").is_err());
        assert!(domain_xml_check("<pool/>", "one-1", "u-1").is_err());
        assert!(domain_xml_check("<domain>", "one-1", "u-1").is_err());
    }

    #[test]
    fn devices_are_found_by_what_tells_them_apart() {
        let disk = "<disk type='file'><source file='/x'/><target dev='vdb' bus='virtio'/></disk>";
        let nic = "<interface type='bridge'><mac address='02:00:AA:00:00:01'/></interface>";
        let xml = format!("<domain><devices><disk><target dev='vda'/></disk>{disk}{nic}</devices></domain>");
        let drive = |target: &str| Device::Disk(target.to_owned());
        let card = Device::Nic("02:00:aa:00:00:01".to_owned());
        assert_eq!(
            devices_find(&xml, &drive("vdb")).expect("read").as_deref(),
            Some(disk)
        );
        assert_eq!(devices_find(&xml, &card).expect("read").as_deref(), Some(nic));
        assert_eq!(devices_find(&xml, &drive("vdc")).expect("read"), None);
        assert!(device_xml_check(disk, &drive("vdb")).is_ok());
        assert!(device_xml_check(disk, &drive("vda")).is_err());
        assert!(device_xml_check(disk, &card).is_err());
        assert!(device_xml_check(&xml, &card).is_err(), "a domain is no device");
        assert!(device_xml_check("<disk>", &drive("vda")).is_err());
    }

    #[test]
    fn a_backup_names_the_files_that_it_writes_to() {
        let files = [
            ("vda", PathBuf::from("/ds/0/7/.a&'b.part")),
            ("vdb", PathBuf::from("/ds/c")),
        ];
        let xml = backup_xml(&files, Some("a&b")).expect("made");
        assert!(xml.contains("<incremental>a&amp;b</incremental>"), "{xml}");
        let [(_, first), (_, second)] = files;
        assert_eq!(backup_targets(&xml).expect("read"), [first, second]);
        assert!(
            backup_targets("<domainbackup mode='pull'/>")
                .expect("read")
                .is_empty()
        );
    }

    #[test]
    fn links_of_disks_are_resolved_and_nothing_else_is_touched() {
        let scratch = Scratch::new("links");
        let (real, link) = (scratch.path().join("a&b"), scratch.path().join("disk.0"));
        std::fs::write(&real, "").expect("written");
        std::os::unix::fs::symlink("a&b", &link).expect("linked");
        let xml = |path: &str| {
            format!(
                "<domain><!-- {0} --><devices><disk><source file='{path}'/></disk><disk><source file=\"{0}/none\"/>\
                 </disk></devices></domain>",
                scratch.path().display()
            )
        };
        let resolved = disk_links_resolve(&xml(&link.to_string_lossy())).expect("resolved");
        assert_eq!(resolved, xml(&real.to_string_lossy().replace('&', "&amp;")));
    }
}
