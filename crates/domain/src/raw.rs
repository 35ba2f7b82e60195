//! `RAW` of the VM and of the host's levels: XML that goes into the description as it is.

use plerion_template::{Template, Value, Vector};
use roxmltree::Node;

use crate::error::DomainError;
use crate::fragment::{Fragment, QEMU_NAMESPACE, elements_only, fragment_parse, refused};
use crate::lookup::{Lookup, filled, flag_parse};

/// Most RAW attributes of one VM.
const MAX_RAW_SECTIONS: usize = 64;

/// Elements that libvirt knows inside `<domain>`.
const DOMAIN_CHILDREN: &[&str] = &[
    "blkiotune",
    "bootloader",
    "bootloader_args",
    "clock",
    "cpu",
    "cputune",
    "currentMemory",
    "description",
    "devices",
    "features",
    "genid",
    "idmap",
    "iothreadids",
    "iothreads",
    "defaultiothread",
    "keywrap",
    "launchSecurity",
    "maxMemory",
    "memory",
    "memoryBacking",
    "memtune",
    "metadata",
    "name",
    "numatune",
    "on_crash",
    "on_lockfailure",
    "on_poweroff",
    "on_reboot",
    "os",
    "perf",
    "pm",
    "resource",
    "seclabel",
    "sysinfo",
    "throttlegroups",
    "title",
    "uuid",
    "vcpu",
    "vcpus",
];

/// Elements that libvirt knows inside `<devices>`.
const DEVICE_CHILDREN: &[&str] = &[
    "audio",
    "channel",
    "console",
    "controller",
    "crypto",
    "disk",
    "emulator",
    "filesystem",
    "graphics",
    "hostdev",
    "hub",
    "input",
    "interface",
    "iommu",
    "lease",
    "memballoon",
    "memory",
    "nvram",
    "panic",
    "parallel",
    "pstore",
    "redirdev",
    "redirfilter",
    "rng",
    "serial",
    "shmem",
    "smartcard",
    "sound",
    "tpm",
    "video",
    "vsock",
    "watchdog",
];

/// Elements of libvirt's pass-through to QEMU.
const QEMU_CHILDREN: &[&str] = &["capabilities", "commandline", "deprecation", "override"];

/// All RAW fragments, and what the generated part must leave out because they bring it.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) fragments: Vec<Fragment>,
    /// A serial port or console is among them; libvirt accepts one console on the first serial port only.
    pub(crate) has_console: bool,
}

/// The VM's RAW sections for KVM in their order, then RAW of host, cluster or `vmm_exec_kvm.conf`.
pub(crate) fn raw_fragments(lookup: Lookup<'_>) -> Result<Raw, DomainError> {
    let mut raw = Raw::default();
    for section in lookup.input.vm.vectors("RAW").take(MAX_RAW_SECTIONS) {
        raw_add_vector(&mut raw, section)?;
    }
    let levels = [lookup.input.host, lookup.input.cluster, lookup.input.driver];
    if let Some(template) = levels.into_iter().find(|template| has_raw(template)) {
        for value in template.all("RAW").take(MAX_RAW_SECTIONS) {
            match value {
                Value::Single(text) => raw_add(&mut raw, text, true)?,
                Value::Vector(section) => raw_add_vector(&mut raw, section)?,
            }
        }
    }
    Ok(raw)
}

fn has_raw(template: &Template) -> bool {
    template.all("RAW").any(|value| match value {
        Value::Single(text) => !text.trim().is_empty(),
        Value::Vector(section) => is_ours(section) && filled(section.get("DATA")).is_some(),
    })
}

/// Sections of other hypervisors (`lxc`, `vmx`, …) are not for this description.
fn is_ours(section: &Vector) -> bool {
    filled(section.get("TYPE"))
        .is_none_or(|kind| ["kvm", "qemu"].iter().any(|our| kind.eq_ignore_ascii_case(our)))
}

fn raw_add_vector(raw: &mut Raw, section: &Vector) -> Result<(), DomainError> {
    if !is_ours(section) {
        return Ok(());
    }
    let validate =
        filled(section.get("VALIDATE")).map_or(Ok(true), |value| flag_parse("RAW/VALIDATE", value))?;
    match filled(section.get("DATA")) {
        Some(data) => raw_add(raw, data, validate),
        None => Ok(()),
    }
}

fn raw_add(raw: &mut Raw, data: &str, validate: bool) -> Result<(), DomainError> {
    let mut has_console = false;
    let fragment = fragment_parse("RAW/DATA", data, |root| {
        has_console = devices(root).any(|device| matches!(device.tag_name().name(), "console" | "serial"));
        if validate { raw_validate(root) } else { Ok(()) }
    })?;
    raw.has_console |= has_console;
    raw.fragments.extend(fragment);
    Ok(())
}

fn devices<'a, 'input: 'a>(root: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    root.children()
        .filter(|child| child.tag_name().name() == "devices")
        .flat_map(|devices| devices.children())
        .filter(Node::is_element)
}

/// libvirt silently skips elements it does not know: a misspelt one would have no effect and no message.
fn raw_validate(root: Node<'_, '_>) -> Result<(), DomainError> {
    elements_only("RAW/DATA", root)?;
    for child in root.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let known = match child.tag_name().namespace() {
            None => DOMAIN_CHILDREN.contains(&name),
            Some(QEMU_NAMESPACE) => QEMU_CHILDREN.contains(&name),
            Some(_) => false,
        };
        if !known {
            return Err(unknown(name, "domain"));
        }
    }
    match devices(root).find(|device| !DEVICE_CHILDREN.contains(&device.tag_name().name())) {
        Some(device) => Err(unknown(device.tag_name().name(), "devices")),
        None => Ok(()),
    }
}

fn unknown(name: &str, parent: &str) -> DomainError {
    refused(
        "RAW/DATA",
        format!(
            "libvirt knows no element <{}> inside <{parent}> (VALIDATE=\"NO\" skips this check)",
            crate::error::shown(name)
        ),
    )
}
