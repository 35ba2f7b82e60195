//! `<os>`: architecture, machine, firmware, and booting a kernel directly.

use crate::error::{DomainError, invalid};
use crate::lookup::{Lookup, filled};
use crate::xml::Element;

/// What starts the guest before its own boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Firmware<'a> {
    /// The machine's own BIOS.
    Bios,
    /// UEFI that libvirt chooses.
    Automatic { secure: bool },
    /// A UEFI image at this path on the host.
    Image {
        path: &'a str,
        secure: bool,
        qcow2: bool,
    },
}

impl<'a> Firmware<'a> {
    /// Reads `OS/FIRMWARE` and its companions.
    pub(crate) fn resolve(lookup: Lookup<'a>) -> Result<Self, DomainError> {
        let Some(firmware) = lookup
            .pair("OS", "FIRMWARE")
            .filter(|value| !value.eq_ignore_ascii_case("bios"))
        else {
            return Ok(Self::Bios);
        };
        let secure = lookup.flag("OS", "FIRMWARE_SECURE")?;
        if firmware.eq_ignore_ascii_case("uefi") {
            return Ok(Self::Automatic { secure });
        }
        let listed = lookup.host_single("OVMF_UEFIS").unwrap_or("");
        if !listed.split([' ', ',', '\t', '\n']).any(|path| path == firmware) {
            return Err(invalid(
                "OS/FIRMWARE",
                firmware,
                "it is neither BIOS nor UEFI nor a path listed in OVMF_UEFIS",
                "choose one of those, or add the path to OVMF_UEFIS in vmm_exec_kvm.conf",
            ));
        }
        let format = lookup
            .pair("OS", "FIRMWARE_FORMAT")
            .unwrap_or("raw")
            .to_ascii_lowercase();
        match format.as_str() {
            "raw" | "qcow2" => Ok(Self::Image {
                path: firmware,
                secure,
                qcow2: format == "qcow2",
            }),
            _ => Err(invalid(
                "OS/FIRMWARE_FORMAT",
                &format,
                "no such format",
                "write raw or qcow2",
            )),
        }
    }

    pub(crate) fn is_uefi(&self) -> bool {
        *self != Self::Bios
    }

    pub(crate) fn is_secure(&self) -> bool {
        matches!(
            self,
            Self::Automatic { secure: true } | Self::Image { secure: true, .. }
        )
    }
}

/// `<os>`, and `<bootloader>` (which libvirt reads outside of `<os>`).
pub(crate) fn os(
    lookup: Lookup<'_>,
    firmware: &Firmware<'_>,
) -> Result<(Element, Option<Element>), DomainError> {
    let kind = Element::new("type")
        .attr("arch", lookup.architecture())
        .attr_opt("machine", lookup.machine())
        .text("hvm");
    let os = match firmware {
        Firmware::Bios => Element::new("os").with([kind]),
        Firmware::Automatic { secure } => {
            let feature = Element::new("feature")
                .attr("enabled", yes_no(*secure))
                .attr("name", "secure-boot");
            Element::new("os")
                .attr("firmware", "efi")
                .with([kind, Element::new("firmware").with([feature])])
        }
        Firmware::Image { path, secure, qcow2 } => {
            let loader = Element::leaf("loader", path)
                .attr("readonly", "yes")
                .attr("type", "pflash")
                .attr("secure", yes_no(*secure));
            let nvram =
                Element::leaf("nvram", nvram_path(lookup)?).attr_opt("format", qcow2.then_some("qcow2"));
            Element::new("os").with([kind, loader, nvram])
        }
    };
    let Some(kernel) = boot_file(lookup, "KERNEL", "kernel") else {
        let bootloader = lookup
            .pair("OS", "BOOTLOADER")
            .map(|path| Element::leaf("bootloader", path));
        return Ok((os, bootloader));
    };
    let initrd = boot_file(lookup, "INITRD", "initrd").map(|path| Element::leaf("initrd", path));
    let cmdline = cmdline(lookup).map(|line| Element::leaf("cmdline", line));
    Ok((
        os.with([Element::leaf("kernel", kernel)])
            .with(initrd)
            .with(cmdline),
        None,
    ))
}

pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// A path given, or the copy of a file image in the VM directory.
fn boot_file(lookup: Lookup<'_>, key: &str, file: &str) -> Option<String> {
    match lookup.vm_pair("OS", &format!("{key}_DS")) {
        Some(_) => Some(format!("{}/{file}", lookup.input.directory)),
        None => lookup.pair("OS", key).map(str::to_owned),
    }
}

fn cmdline(lookup: Lookup<'_>) -> Option<String> {
    let root = lookup.pair("OS", "ROOT").map(|root| format!("root=/dev/{root}"));
    let line = lookup.pair("OS", "KERNEL_CMD").map(str::to_owned);
    match (root, line) {
        (Some(root), Some(line)) => Some(format!("{root} {line}")),
        (root, line) => root.or(line),
    }
}

/// The variable store is named after the VM; a slash in that name must not lead out of the VM directory.
fn nvram_path(lookup: Lookup<'_>) -> Result<String, DomainError> {
    let name = filled(Some(lookup.input.name)).ok_or_else(|| {
        crate::error::missing(
            "NAME",
            "the UEFI variable store is named after the VM",
            "name the VM",
        )
    })?;
    Ok(format!(
        "{}/{}_VARS.fd",
        lookup.input.directory,
        name.replace('/', "_")
    ))
}

/// `<pm>`: a guest started by a UEFI image of the host is not offered suspend, from which that image may not wake.
pub(crate) fn power_management(lookup: Lookup<'_>, firmware: &Firmware<'_>) -> Option<Element> {
    let applies = matches!(firmware, Firmware::Image { .. }) && !lookup.is_aarch64();
    applies.then(|| {
        let off = |name: &'static str| Element::new(name).attr("enabled", "no");
        Element::new("pm").with([off("suspend-to-mem"), off("suspend-to-disk")])
    })
}
