//! The text of a domain: checked against what the action says, disk paths resolved.

use std::ops::Range;
use std::path::Path;

use crate::fault::{Act, refused};

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
