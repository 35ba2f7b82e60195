//! What a person sees: graphics and video.

use roxmltree::Node;

use crate::error::{DomainError, invalid};
use crate::fragment::{Fragment, elements_only, fragment_parse, refused};
use crate::lookup::{Lookup, filled, number_parse};
use crate::xml::Element;

/// Longest VNC password: the protocol's limit, in bytes.
const VNC_PASSWORD_BYTES: usize = 8;
/// Longest SPICE password, in bytes.
const SPICE_PASSWORD_BYTES: usize = 59;
/// Smallest and largest video memory, in KiB.
const VRAM_KIB: (u64, u64) = (1024, 16 * 1024 * 1024);
/// Largest width or height of a screen.
const MAX_PIXELS: u64 = 16_384;

/// What `SPICE_OPTIONS` of a VM may hold, as `element attribute attribute…`: nothing that names a path, a device
/// or an address of the host.
const SPICE_SAFE: &[&str] = &[
    "address bus controller domain function port slot type",
    "channel type",
    "codec type",
    "model heads model primary ram type vgamem vram",
    "redirdev bus type",
    "sound model",
    "target name type",
    "video",
];

/// `<graphics>` and, for SPICE, what belongs to it.
pub(crate) fn graphics(lookup: Lookup<'_>) -> Result<(Option<Element>, Option<Fragment>), DomainError> {
    let Some(kind) = lookup.pair("GRAPHICS", "TYPE") else {
        return Ok((None, None));
    };
    let (kind, password_bytes) = match kind.to_ascii_lowercase().as_str() {
        "vnc" => ("vnc", VNC_PASSWORD_BYTES),
        "spice" => ("spice", SPICE_PASSWORD_BYTES),
        "none" | "sdl" => return Ok((None, None)), // no display that could be reached
        _ => {
            return Err(invalid(
                "GRAPHICS/TYPE",
                kind,
                "no such display",
                "write VNC or SPICE",
            ));
        }
    };
    let port = lookup
        .vm_pair("GRAPHICS", "PORT")
        .filter(|port| port.trim() != "-1")
        .map(|port| number_parse("GRAPHICS/PORT", port, 1, 65_535))
        .transpose()?;
    let graphics = Element::new("graphics").attr("type", kind);
    let graphics = match port {
        Some(port) => graphics.attr("port", port).attr("autoport", "no"),
        None => graphics.attr("autoport", "yes"),
    };
    let graphics = graphics
        .attr_opt("listen", lookup.pair("GRAPHICS", "LISTEN"))
        .attr_opt("passwd", password(lookup, password_bytes)?)
        .attr_opt("keymap", lookup.pair("GRAPHICS", "KEYMAP"));
    let options = if kind == "spice" {
        spice_options(lookup)?
    } else {
        None
    };
    Ok((Some(graphics), options))
}

/// The password, cut to what the protocol carries. A random one is made when the VM is created, not here.
fn password(lookup: Lookup<'_>, bytes: usize) -> Result<Option<&str>, DomainError> {
    match lookup.pair("GRAPHICS", "PASSWD") {
        Some(password) => {
            let end = (0..=bytes.min(password.len()))
                .rev()
                .find(|at| password.is_char_boundary(*at));
            Ok(password.get(..end.unwrap_or(0)))
        }
        None if lookup.flag("GRAPHICS", "RANDOM_PASSWD")? => Err(invalid(
            "GRAPHICS/RANDOM_PASSWD",
            "YES",
            "the VM has no PASSWD, and its display would be open to all who reach it",
            "set GRAPHICS/PASSWD with onevm updateconf",
        )),
        None => Ok(None),
    }
}

/// Users may set this one: from a VM it is held to what is harmless. Host, cluster and `vmm_exec_kvm.conf` may
/// put any device there.
fn spice_options(lookup: Lookup<'_>) -> Result<Option<Fragment>, DomainError> {
    const NAME: &str = "SPICE_OPTIONS";
    let from_vm = filled(lookup.input.vm.get(NAME));
    let text = from_vm.or_else(|| lookup.host_single(NAME)).unwrap_or("");
    fragment_parse(NAME, text, |root| {
        elements_only(NAME, root)?;
        let unsafe_node = root
            .descendants()
            .skip(1)
            .filter(Node::is_element)
            .find(|node| !is_spice_safe(*node));
        match unsafe_node {
            Some(node) if from_vm.is_some() => Err(refused(
                NAME,
                format!(
                    "a VM's template may not have <{}> with these attributes in it; an administrator can, \
                     in vmm_exec_kvm.conf or in RAW",
                    crate::error::shown(node.tag_name().name())
                ),
            )),
            _ => Ok(()),
        }
    })
}

fn is_spice_safe(node: Node<'_, '_>) -> bool {
    let Some(allowed) = SPICE_SAFE
        .iter()
        .find(|line| line.split(' ').next() == Some(node.tag_name().name()))
    else {
        return false;
    };
    let is_channel = matches!(node.tag_name().name(), "channel" | "redirdev");
    node.attributes()
        .all(|attribute| allowed.split(' ').skip(1).any(|name| name == attribute.name()))
        && (!is_channel || node.attribute("type") == Some("spicevmc"))
}

/// `<video>`; without it libvirt adds a card of its own choice to a guest that has a display.
pub(crate) fn video(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let Some(kind) = lookup
        .pair("VIDEO", "TYPE")
        .map(str::to_ascii_lowercase)
        .filter(|kind| kind != "auto")
    else {
        return Ok(None);
    };
    let model = Element::new("model").attr("type", &kind);
    if kind == "none" {
        return Ok(Some(Element::new("video").with([model])));
    }
    let vram = lookup
        .pair("VIDEO", "VRAM")
        .map(|vram| number_parse("VIDEO/VRAM", vram, 0, VRAM_KIB.1))
        .transpose()?
        .map(|vram| vram.max(VRAM_KIB.0));
    let resolution = match lookup.pair("VIDEO", "RESOLUTION") {
        Some(size) if kind != "cirrus" => Some(resolution(size)?),
        _ => None,
    };
    let driver = if kind == "virtio" {
        let on = |key: &str| -> Result<Option<&str>, DomainError> {
            Ok(lookup.flag("VIDEO", key)?.then_some("on"))
        };
        Element::new("driver")
            .attr_opt("iommu", on("IOMMU")?)
            .attr_opt("ats", on("ATS")?)
            .unless_bare()
    } else {
        None
    };
    Ok(Some(
        Element::new("video")
            .with(driver)
            .with([model.attr_opt("vram", vram).with(resolution)]),
    ))
}

fn resolution(size: &str) -> Result<Element, DomainError> {
    let (x, y) = size.split_once(['x', 'X']).ok_or_else(|| {
        invalid(
            "VIDEO/RESOLUTION",
            size,
            "it is not WIDTHxHEIGHT",
            "write for example 1280x720",
        )
    })?;
    let side = |side: &str| number_parse("VIDEO/RESOLUTION", side, 1, MAX_PIXELS);
    Ok(Element::new("resolution").attr("x", side(x)?).attr("y", side(y)?))
}
