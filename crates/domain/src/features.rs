//! `<features>`, `<clock>`, power management and memory encryption.

use roxmltree::Node;

use crate::defaults::defaults;
use crate::error::{DomainError, invalid};
use crate::firmware::Firmware;
use crate::fragment::{Fragment, elements_only, fragment_parse, refused};
use crate::lookup::{Lookup, filled, number_parse};
use crate::xml::Element;

/// Largest MEMORY_TUNE_OFFSET in MiB (1 TiB).
const MAX_TUNE_OFFSET_MIB: u64 = 1024 * 1024;

/// `<features>`; `None` where the guest has none.
pub(crate) fn features(lookup: Lookup<'_>, firmware: &Firmware<'_>) -> Result<Option<Element>, DomainError> {
    let flag = |key: &str, name: &'static str| -> Result<Option<Element>, DomainError> {
        Ok(lookup.flag("FEATURES", key)?.then(|| Element::new(name)))
    };
    // ACPI on ARM needs the tables that UEFI hands over; without it QEMU refuses to start.
    let acpi = flag("ACPI", "acpi")?.filter(|_| !lookup.is_aarch64() || firmware.is_uefi());
    let hyperv = if lookup.flag("FEATURES", "HYPERV")? {
        Some(Element::new("hyperv").with_fragments(confined(lookup, "HYPERV_OPTIONS", None)?))
    } else {
        None
    };
    let gic = lookup.pair("FEATURES", "GIC").map(gic).transpose()?;
    let ras = flag("RAS", "ras")?.map(|ras| ras.attr("state", "on"));
    let smm = firmware
        .is_secure()
        .then(|| Element::new("smm").attr("state", "on"));
    Ok(Element::new("features")
        .with(flag("PAE", "pae")?)
        .with(acpi)
        .with(flag("APIC", "apic")?)
        .with(hyperv)
        .with(gic)
        .with(ras)
        .with(smm)
        .unless_bare())
}

fn gic(version: &str) -> Result<Element, DomainError> {
    let version = version.to_ascii_lowercase();
    if !matches!(version.as_str(), "2" | "3" | "host") {
        return Err(invalid(
            "FEATURES/GIC",
            &version,
            "no such interrupt controller",
            "write 2, 3 or host",
        ));
    }
    Ok(Element::new("gic").attr("version", version))
}

/// `<clock>`; without it libvirt keeps the guest's clock in UTC.
pub(crate) fn clock(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let localtime = lookup.flag("FEATURES", "LOCALTIME")?;
    let hyperv = lookup.flag("FEATURES", "HYPERV")?;
    if !localtime && !hyperv {
        return Ok(None);
    }
    let timers = if hyperv {
        confined(lookup, "HYPERV_TIMERS", Some("timer"))?
    } else {
        None
    };
    let offset = if localtime { "localtime" } else { "utc" };
    Ok(Some(
        Element::new("clock")
            .attr("offset", offset)
            .with_fragments(timers),
    ))
}

/// XML that stays inside the element it is written into, so that users may give it.
fn confined(
    lookup: Lookup<'_>,
    attribute: &str,
    only: Option<&str>,
) -> Result<Option<Fragment>, DomainError> {
    let text = lookup.single(attribute).unwrap_or("");
    fragment_parse(attribute, text, |root| {
        elements_only(attribute, root)?;
        let stray = root
            .children()
            .filter(Node::is_element)
            .find(|child| only.is_some_and(|only| child.tag_name().name() != only));
        match stray {
            Some(child) => Err(refused(
                attribute,
                format!(
                    "<{}> has no place in it",
                    crate::error::shown(child.tag_name().name())
                ),
            )),
            None => Ok(()),
        }
    })
}

/// `<memtune>` and `<launchSecurity>` of a guest with encrypted memory.
pub(crate) fn memory_encryption(
    lookup: Lookup<'_>,
    memory_mib: u64,
) -> Result<(Option<Element>, Option<Element>), DomainError> {
    let Some(kind) = lookup.vm_pair("MEMORY_ENCRYPTION", "TYPE") else {
        return Ok((None, None));
    };
    let policy = match kind.to_ascii_uppercase().as_str() {
        "SEV" => "0x00000003",
        "SEV-ES" => "0x00000007",
        _ => {
            return Err(invalid(
                "MEMORY_ENCRYPTION/TYPE",
                kind,
                "this kind of memory encryption is not supported",
                "write SEV or SEV-ES, or remove MEMORY_ENCRYPTION",
            ));
        }
    };
    // Encrypted memory is locked; the limit must leave room for QEMU itself.
    let offset = [lookup.input.vm, lookup.input.driver, defaults()]
        .into_iter()
        .find_map(|template| filled(template.get("MEMORY_TUNE_OFFSET")))
        .map_or(Ok(0), |value| {
            number_parse("MEMORY_TUNE_OFFSET", value, 0, MAX_TUNE_OFFSET_MIB)
        })?;
    let limit = Element::leaf("hard_limit", memory_mib.saturating_add(offset)).attr("unit", "MiB");
    let security = Element::new("launchSecurity")
        .attr("type", "sev")
        .with([Element::leaf("policy", policy)]);
    Ok((Some(Element::new("memtune").with([limit])), Some(security)))
}
