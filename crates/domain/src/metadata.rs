//! `<title>` and `<metadata>`: what tells people and tools on the host which VM a domain is.

use crate::input::DomainInput;
use crate::lookup::filled;
use crate::xml::{Element, is_xml_char};

/// Namespace of the metadata; tools on hosts look for it.
const NAMESPACE: &str = "http://opennebula.org/xmlns/libvirt/1.0";

/// The name as a title: libvirt refuses line ends in it.
///
/// A name is decoration here. One that XML cannot carry must not keep a VM from starting, so the characters in
/// question are replaced.
pub(crate) fn title(name: &str) -> String {
    name.chars()
        .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { carried(c) })
        .collect()
}

fn carried(character: char) -> char {
    if is_xml_char(character) {
        character
    } else {
        char::REPLACEMENT_CHARACTER
    }
}

fn label(text: &str) -> String {
    text.chars().map(carried).collect()
}

/// `<metadata>` with `<one:vm>` in it.
pub(crate) fn metadata(input: &DomainInput<'_>) -> Option<Element> {
    let data = input.metadata?;
    let leaf = |name: &'static str, text: &str| Element::leaf(name, label(text));
    let pci = pci_devices(input);
    let vm = Element::new("one:vm")
        .attr("xmlns:one", NAMESPACE)
        .with([
            leaf("one:system_datastore", data.system_datastore),
            leaf("one:name", input.name),
            leaf("one:uname", data.uname),
            leaf("one:uid", &data.uid.to_string()),
            leaf("one:gname", data.gname),
            leaf("one:gid", &data.gid.to_string()),
            leaf("one:opennebula_version", data.version),
            leaf("one:stime", &data.stime.to_string()),
            leaf("one:deployment_time", &data.deployment_time.to_string()),
        ])
        .with((!pci.is_empty()).then(|| leaf("one:pci_devices", &pci)));
    Some(Element::new("metadata").with([vm]))
}

/// `vendor:device:class` of each PCI device, separated by commas.
fn pci_devices(input: &DomainInput<'_>) -> String {
    let devices: Vec<String> = input
        .vm
        .vectors("PCI")
        .map(|vector| {
            let part = |key: &str| filled(vector.get(key)).unwrap_or("");
            format!("{}:{}:{}", part("VENDOR"), part("DEVICE"), part("CLASS"))
        })
        .collect();
    devices.join(",")
}
