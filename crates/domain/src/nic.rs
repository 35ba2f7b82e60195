//! `<interface>`: what each NIC becomes.

use plerion_template::Vector;

use crate::error::{DomainError, invalid, missing};
use crate::lookup::{Lookup, device_name, filled, number_parse};
use crate::xml::Element;

/// Most NICs of one VM.
const MAX_NICS: usize = 256;
/// Largest NIC_ID.
const MAX_NIC_ID: u64 = i32::MAX as u64;
/// Longest name of a network device in Linux.
const MAX_DEVICE_NAME: usize = 15;
/// Most queues of a tap device in Linux.
const MAX_NIC_QUEUES: u64 = 256;
/// Largest bandwidth value, in KiB or KiB/s: what libvirt can hold.
const MAX_BANDWIDTH: u64 = u32::MAX as u64;

/// The `<interface>` elements with the ids of their NICs.
pub(crate) fn nic_elements(lookup: Lookup<'_>) -> Result<Vec<(u64, Element)>, DomainError> {
    lookup
        .input
        .vm
        .vectors("NIC")
        .take(MAX_NICS)
        .map(|vector| {
            let nic = Nic::read(lookup, vector)?;
            Ok((nic.id, nic.element()?))
        })
        .collect()
}

/// The id of a NIC (or of a PCI device that is one).
pub(crate) fn nic_id(vector: &Vector) -> Result<u64, DomainError> {
    let id = filled(vector.get("NIC_ID")).ok_or_else(|| {
        missing(
            "NIC/NIC_ID",
            "the host's device is named after it",
            "this is set when the VM is created: create the VM again, and report this",
        )
    })?;
    number_parse("NIC/NIC_ID", id, 0, MAX_NIC_ID)
}

/// What the NIC is plugged into on the host.
enum Plug<'a> {
    /// A tap device that nothing is connected to.
    Loose,
    Bridge(&'a str),
    OpenVswitch(&'a str),
    /// A socket that Open vSwitch's user space data path connects to.
    VhostUser,
}

struct Nic<'a> {
    lookup: Lookup<'a>,
    vector: &'a Vector,
    id: u64,
    name: String,
}

impl<'a> Nic<'a> {
    fn read(lookup: Lookup<'a>, vector: &'a Vector) -> Result<Self, DomainError> {
        Ok(Self {
            lookup,
            vector,
            id: nic_id(vector)?,
            name: device_name("NIC", "NIC_ID", vector),
        })
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        filled(self.vector.get(key))
    }

    fn element(&self) -> Result<Element, DomainError> {
        let device = self.target()?;
        let interface = Element::new("interface");
        let interface = match self.plug()? {
            Plug::Loose => interface.attr("type", "ethernet"),
            Plug::Bridge(bridge) => interface
                .attr("type", "bridge")
                .with([Element::new("source").attr("bridge", bridge)]),
            Plug::OpenVswitch(bridge) => interface.attr("type", "bridge").with([
                Element::new("source").attr("bridge", bridge),
                Element::new("virtualport").attr("type", "openvswitch"),
            ]),
            Plug::VhostUser => {
                let path = format!("{}/{device}", self.lookup.input.directory);
                let source = Element::new("source").attr("type", "unix").attr("mode", "server");
                interface
                    .attr("type", "vhostuser")
                    .with([source.attr("path", path)])
            }
        };
        let model = self
            .lookup
            .device(self.vector, "NIC", "MODEL")
            .unwrap_or("virtio");
        Ok(interface
            .with(
                self.get("MAC")
                    .map(|mac| Element::new("mac").attr("address", mac)),
            )
            .with([Element::new("target").attr("dev", &device)])
            .with(crate::boot::boot_element(
                self.lookup,
                "NIC",
                self.id,
                self.vector,
            )?)
            .with(
                self.get("SCRIPT")
                    .map(|path| Element::new("script").attr("path", path)),
            )
            .with([Element::new("model").attr("type", model)])
            .with(self.driver(model)?)
            .with(self.filter())
            .with(self.bandwidth()?))
    }

    fn plug(&self) -> Result<Plug<'a>, DomainError> {
        let is_dummy = self
            .get("NETWORK_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("dummy"));
        let Some(bridge) = self.get("BRIDGE").filter(|_| !is_dummy) else {
            return Ok(Plug::Loose);
        };
        let kind = self.get("BRIDGE_TYPE").unwrap_or("linux").to_ascii_lowercase();
        match kind.as_str() {
            "linux" | "none" => Ok(Plug::Bridge(bridge)),
            "openvswitch" => Ok(Plug::OpenVswitch(bridge)),
            "openvswitch_dpdk" => Ok(Plug::VhostUser),
            _ => Err(invalid(
                format!("{}/BRIDGE_TYPE", self.name),
                &kind,
                "KVM cannot plug a NIC into such a bridge",
                "correct BRIDGE_TYPE of the virtual network: linux, openvswitch or openvswitch_dpdk",
            )),
        }
    }

    fn target(&self) -> Result<String, DomainError> {
        let device = match self.get("TARGET") {
            Some(target) => target.to_owned(),
            None => format!("one-{}-{}", self.lookup.input.vm_id, self.id),
        };
        let fits = device.len() <= MAX_DEVICE_NAME
            && !matches!(device.as_str(), "." | "..")
            && !device.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if fits {
            return Ok(device);
        }
        Err(invalid(
            format!("{}/TARGET", self.name),
            &device,
            format!(
                "the name of a network device has up to {MAX_DEVICE_NAME} characters, no blank, slash or colon"
            ),
            "shorten TARGET or remove it",
        ))
    }

    /// vhost is not asked for by name: libvirt uses it where the host has it, and works where it has not.
    fn driver(&self, model: &str) -> Result<Option<Element>, DomainError> {
        if model != "virtio" {
            return Ok(None);
        }
        let queues = self
            .lookup
            .device(self.vector, "NIC", "VIRTIO_QUEUES")
            .map(|value| {
                self.lookup
                    .queues(&format!("{}/VIRTIO_QUEUES", self.name), value, MAX_NIC_QUEUES)
            })
            .transpose()?;
        Ok(queues
            .filter(|queues| *queues > 1)
            .map(|queues| Element::new("driver").attr("queues", queues)))
    }

    fn filter(&self) -> Option<Element> {
        let address = self.get("IP")?;
        let filter = self.lookup.device(self.vector, "NIC", "FILTER")?;
        let parameter = |value: &str| Element::new("parameter").attr("name", "IP").attr("value", value);
        Some(
            Element::new("filterref")
                .attr("filter", filter)
                .with([parameter(address)])
                .with(self.get("VROUTER_IP").map(parameter)),
        )
    }

    fn bandwidth(&self) -> Result<Option<Element>, DomainError> {
        let inbound = self.limit("inbound", "INBOUND")?;
        let outbound = self.limit("outbound", "OUTBOUND")?;
        Ok(Element::new("bandwidth")
            .with(inbound)
            .with(outbound)
            .unless_bare())
    }

    fn limit(&self, element: &'static str, direction: &str) -> Result<Option<Element>, DomainError> {
        let value = |what: &str| -> Result<Option<u64>, DomainError> {
            let key = format!("{direction}_{what}");
            let value = self
                .get(&key)
                .map(|value| number_parse(&format!("{}/{key}", self.name), value, 0, MAX_BANDWIDTH))
                .transpose()?;
            Ok(value.filter(|value| *value > 0))
        };
        Ok(Element::new(element)
            .attr_opt("average", value("AVG_BW")?)
            .attr_opt("peak", value("PEAK_BW")?)
            .attr_opt("burst", value("PEAK_KB")?)
            .unless_bare())
    }
}
