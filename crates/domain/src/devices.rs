//! Small devices: input, serial console, guest agent, TPM, IOMMU.

use crate::error::{DomainError, invalid};
use crate::lookup::{Lookup, filled};
use crate::xml::Element;

/// Most INPUT devices of one VM.
const MAX_INPUTS: usize = 16;

/// `<input>` of each INPUT.
pub(crate) fn inputs(lookup: Lookup<'_>) -> Vec<Element> {
    lookup
        .input
        .vm
        .vectors("INPUT")
        .take(MAX_INPUTS)
        .filter_map(|vector| {
            let kind = filled(vector.get("TYPE"))?.to_ascii_lowercase();
            let bus = filled(vector.get("BUS")).map(str::to_ascii_lowercase);
            Some(Element::new("input").attr("type", kind).attr_opt("bus", bus))
        })
        .collect()
}

/// A serial console for `virsh console`, unless RAW brings its own: libvirt connects one console only to the
/// first serial port.
pub(crate) fn console(raw_has_console: bool) -> Option<Element> {
    (!raw_has_console).then(|| Element::new("console").attr("type", "pty"))
}

/// The channel to the guest agent.
pub(crate) fn guest_agent(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    Ok(lookup.flag("FEATURES", "GUEST_AGENT")?.then(|| {
        Element::new("channel").attr("type", "unix").with([
            Element::new("source").attr("mode", "bind"),
            Element::new("target")
                .attr("type", "virtio")
                .attr("name", "org.qemu.guest_agent.0"),
        ])
    }))
}

/// `<tpm>`: an emulated TPM 2.0.
pub(crate) fn tpm(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let Some(model) = lookup.pair("TPM", "MODEL").map(str::to_ascii_lowercase) else {
        return Ok(None);
    };
    if !matches!(model.as_str(), "tpm-tis" | "tpm-crb" | "tpm-spapr") {
        return Err(invalid(
            "TPM/MODEL",
            &model,
            "no such model",
            "write tpm-tis or tpm-crb",
        ));
    }
    let backend = Element::new("backend")
        .attr("type", "emulator")
        .attr("version", "2.0");
    Ok(Some(Element::new("tpm").attr("model", model).with([backend])))
}

/// `<iommu>` of the whole guest (`MODE=single`, or no MODE).
pub(crate) fn iommu(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let Some(model) = lookup.vm_pair("IOMMU", "MODEL") else {
        return Ok(None);
    };
    let mode = lookup.vm_pair("IOMMU", "MODE").unwrap_or("single");
    if !mode.eq_ignore_ascii_case("single") {
        return Err(invalid(
            "IOMMU/MODE",
            mode,
            "an IOMMU per PCI root is not supported",
            "write MODE=\"single\"",
        ));
    }
    let mut driver = Element::new("driver");
    for option in lookup
        .vm_pair("IOMMU", "OPTIONS")
        .unwrap_or("")
        .split([',', ' '])
        .filter(|o| !o.is_empty())
    {
        let (key, value) = option_split(option).ok_or_else(|| {
            invalid(
                "IOMMU/OPTIONS",
                option,
                "an option is a name, an equals sign and a value",
                "write for example intremap=on,caching_mode=on",
            )
        })?;
        driver = driver.attr(key, value);
    }
    Ok(Some(
        Element::new("iommu")
            .attr("model", model)
            .with(driver.unless_bare()),
    ))
}

fn option_split(option: &str) -> Option<(String, String)> {
    let (key, value) = option.split_once('=')?;
    let value = value.trim_matches(['\'', '"']);
    let key_ok = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (key_ok && !value.is_empty()).then(|| (key.to_owned(), value.to_owned()))
}
