//! PCI devices of hosts, and what VMs ask for of them.

use std::sync::Arc;

use plerion_template::{Markup, PackedTemplate, Vector};
use serde::{Deserialize, Serialize};

use crate::Id;

/// Domain, bus, slot and function.
pub type PciAddress = (u32, u32, u32, u32);

/// Vendor, device, class and address, as far as they are asked for.
type Wanted = (Option<u32>, Option<u32>, Option<u32>, Option<PciAddress>);

/// A device of a host that VMs may get, as its host's `PCI` attribute tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    domain: u32,
    bus: u32,
    slot: u32,
    function: u32,
    vendor: u32,
    device: u32,
    class: u32,
    class_name: String,
    device_name: String,
    vendor_name: String,
    interface: String,
    numa_node: String,
    /// Whether `pci.conf` lets VMs have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    listed: bool,
}

/// One device that a VM asks for, and has once it is placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PciDemand {
    /// PCI_ID; -1 where it has none yet.
    pub id: Id,
    /// VENDOR.
    pub vendor: Option<u32>,
    /// DEVICE.
    pub device: Option<u32>,
    /// CLASS.
    pub class: Option<u32>,
    /// The one address that will do: domain, bus, slot, function.
    pub fixed: Option<PciAddress>,
    /// ADDRESS of the device that it has.
    pub address: Option<Arc<str>>,
}

/// A hexadecimal number, with or without `0x`.
fn hex(text: &str) -> Option<u32> {
    let digits = text.trim();
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .unwrap_or(digits);
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|number| *number <= 0xffff)
}

/// `bb:ss.f` or `dddd:bb:ss.f`.
fn short_address(text: &str) -> Option<PciAddress> {
    let (left, function) = text.trim().rsplit_once('.')?;
    let mut parts = left.rsplit(':');
    let slot = hex(parts.next()?).filter(|slot| *slot <= 0x1f)?;
    let bus = hex(parts.next()?).filter(|bus| *bus <= 0xff)?;
    let domain = parts.next().map_or(Some(0), hex)?;
    let function = hex(function).filter(|function| *function <= 7)?;
    parts.next().is_none().then_some((domain, bus, slot, function))
}

/// A number that is asked for: `None` where nothing is, an error where it is no number.
fn wanted(name: &str, text: Option<&str>) -> Result<Option<u32>, String> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => hex(text)
            .map(Some)
            .ok_or_else(|| format!("{name} of PCI is no hexadecimal number of four digits: {text}")),
    }
}

impl PciDemand {
    /// Reads a `PCI` vector of a VM.
    ///
    /// # Errors
    /// What is wrong with it: a number that is none, or nothing to know a device by.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let place = get("SHORT_ADDRESS")
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let fixed = match place {
            None => None,
            Some(text) => Some(
                short_address(text)
                    .ok_or_else(|| format!("SHORT_ADDRESS of PCI is no address such as 01:00.0: {text}"))?,
            ),
        };
        let demand = Self {
            id: get("PCI_ID").and_then(|id| id.parse().ok()).unwrap_or(-1),
            vendor: wanted("VENDOR", get("VENDOR"))?,
            device: wanted("DEVICE", get("DEVICE"))?,
            class: wanted("CLASS", get("CLASS"))?,
            fixed,
            address: get("ADDRESS").filter(|text| !text.is_empty()).map(Arc::from),
        };
        if demand.any() == (None, None, None, None) {
            return Err(
                "PCI must say which device: VENDOR, DEVICE, CLASS (any of them) or SHORT_ADDRESS".into(),
            );
        }
        Ok(demand)
    }

    /// What it asks for, wherever it is.
    fn any(&self) -> Wanted {
        (self.vendor, self.device, self.class, self.fixed)
    }

    /// What it asks for, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        for (name, number) in [
            ("VENDOR", self.vendor),
            ("DEVICE", self.device),
            ("CLASS", self.class),
        ] {
            words.extend(number.map(|number| format!("{name} {number:04x}")));
        }
        words.extend(self.fixed.map(|(domain, bus, slot, function)| {
            format!("address {domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
        }));
        words.join(", ")
    }
}

impl PciDevice {
    /// Reads a `PCI` vector of a host.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let place = get("SHORT_ADDRESS").unwrap_or_default();
        let (domain, bus, slot, function) = short_address(place).ok_or_else(|| {
            format!("PCI of a host needs SHORT_ADDRESS, such as 01:00.0, and has {place:?}")
        })?;
        let number = |name: &str| {
            wanted(name, get(name))?
                .ok_or_else(|| format!("PCI {place} of the host needs {name}, a hexadecimal number"))
        };
        let text = |name: &str| get(name).unwrap_or_default().to_owned();
        Ok(Self {
            domain,
            bus,
            slot,
            function,
            vendor: number("VENDOR")?,
            device: number("DEVICE")?,
            class: number("CLASS")?,
            class_name: text("CLASS_NAME"),
            device_name: text("DEVICE_NAME"),
            vendor_name: text("VENDOR_NAME"),
            interface: text("IFNAME"),
            numa_node: get("NUMA_NODE").unwrap_or("-").to_owned(),
            listed: false,
        })
    }

    /// Notes whether VMs may have it where its host's template does not say what they may have.
    #[must_use]
    pub fn listed(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    /// ADDRESS: what tells it from the other devices of its host.
    #[must_use]
    pub fn address(&self) -> String {
        format!(
            "{:04x}:{:02x}:{:02x}:{:x}",
            self.domain, self.bus, self.slot, self.function
        )
    }

    fn short_address(&self) -> String {
        format!("{:02x}:{:02x}.{:x}", self.bus, self.slot, self.function)
    }

    /// Whether it is one that a VM asks for.
    #[must_use]
    pub fn serves(&self, demand: &PciDemand) -> bool {
        let (vendor, device, class, fixed) = demand.any();
        vendor.is_none_or(|vendor| vendor == self.vendor)
            && device.is_none_or(|device| device == self.device)
            && class.is_none_or(|class| class == self.class)
            && fixed.is_none_or(|fixed| fixed == (self.domain, self.bus, self.slot, self.function))
    }

    /// Notes it in the `PCI` vector of the VM that gets it.
    pub fn give(&self, vector: &mut Vector) {
        vector.set("ADDRESS", self.address());
        vector.set("DOMAIN", format!("{:04x}", self.domain));
        vector.set("BUS", format!("{:02x}", self.bus));
        vector.set("SLOT", format!("{:02x}", self.slot));
        vector.set("FUNCTION", format!("{:x}", self.function));
        vector.set("NUMA_NODE", self.numa_node.clone());
    }

    /// `<PCI>` of `HOST_SHARE`; `vm` is who has it, -1 nobody.
    pub fn render(&self, out: &mut impl Markup, vm: Id) {
        out.open("PCI");
        for (name, text) in [
            ("ADDRESS", self.address()),
            ("BUS", format!("{:02x}", self.bus)),
            ("CLASS", format!("{:04x}", self.class)),
            ("CLASS_NAME", self.class_name.clone()),
            ("DEVICE", format!("{:04x}", self.device)),
            ("DEVICE_NAME", self.device_name.clone()),
            ("DOMAIN", format!("{:04x}", self.domain)),
            ("FUNCTION", format!("{:x}", self.function)),
            ("IFNAME", self.interface.clone()),
            ("NUMA_NODE", self.numa_node.clone()),
            ("SHORT_ADDRESS", self.short_address()),
            ("SLOT", format!("{:02x}", self.slot)),
            ("SRIOV", "NO".to_owned()),
            (
                "TYPE",
                format!("{:04x}:{:04x}:{:04x}", self.vendor, self.device, self.class),
            ),
            ("VENDOR", format!("{:04x}", self.vendor)),
            ("VENDOR_NAME", self.vendor_name.clone()),
            ("VMID", vm.to_string()),
        ] {
            out.cdata_element(name, &text);
        }
        out.close("PCI");
    }
}

/// Which of the devices that a host has told of VMs may get, as its template says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PciFilter {
    /// Vendor, device, class; `None` is any.
    kinds: Vec<(Option<u32>, Option<u32>, Option<u32>)>,
    /// Where there are any, only these.
    places: Vec<PciAddress>,
    /// Where there are any, only devices with one of these in their names; lower case.
    names: Vec<String>,
}

impl PciFilter {
    /// Reads PCI_FILTER (`10de:*,8086::0c03`: vendor, device and class, as lspci has it), PCI_SHORT_ADDRESS and
    /// PCI_DEVICE_NAME. Without a filter no device may be had.
    #[must_use]
    pub fn read(template: &PackedTemplate) -> Self {
        let parts = |name: &str| {
            let text = template.get(name).unwrap_or_default();
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<String>>()
        };
        Self {
            kinds: parts("PCI_FILTER")
                .iter()
                .filter_map(|part| kind_of(part))
                .collect(),
            places: parts("PCI_SHORT_ADDRESS")
                .iter()
                .filter_map(|part| short_address(part))
                .collect(),
            names: parts("PCI_DEVICE_NAME")
                .iter()
                .map(|part| part.to_lowercase())
                .collect(),
        }
    }

    /// That of a host: where its template says nothing of it, what was listed when the devices were found (`None`).
    #[must_use]
    pub fn of_host(template: &PackedTemplate) -> Option<Self> {
        let said = ["PCI_FILTER", "PCI_SHORT_ADDRESS", "PCI_DEVICE_NAME"]
            .iter()
            .any(|name| template.get(name).is_some_and(|text| !text.trim().is_empty()));
        said.then(|| Self::read(template))
    }

    /// Which of the devices that a host found VMs may get, by the filter of the host.
    #[must_use]
    pub fn lets(filter: Option<&Self>, device: &PciDevice) -> bool {
        filter.map_or(device.listed, |filter| filter.passes(device))
    }

    /// Whether VMs may get a device.
    #[must_use]
    pub fn passes(&self, device: &PciDevice) -> bool {
        let is = |wanted: Option<u32>, own: u32| wanted.is_none_or(|wanted| wanted == own);
        let kind = self.kinds.iter().any(|(vendor, model, class)| {
            is(*vendor, device.vendor) && is(*model, device.device) && is(*class, device.class)
        });
        let place = (device.domain, device.bus, device.slot, device.function);
        let name = device.device_name.to_lowercase();
        kind && (self.places.is_empty() || self.places.contains(&place))
            && (self.names.is_empty() || self.names.iter().any(|part| name.contains(part)))
    }
}

/// `vendor:device:class`, any of them empty or `*`; what is none lets nothing pass.
fn kind_of(text: &str) -> Option<(Option<u32>, Option<u32>, Option<u32>)> {
    let mut parts = text.split(':').map(str::trim).map(|part| match part {
        "" | "*" => Some(None),
        number => hex(number).map(Some),
    });
    let kind = (
        parts.next()??,
        parts.next()??,
        parts.next().unwrap_or(Some(None))?,
    );
    parts.next().is_none().then_some(kind)
}

/// Names of the attributes that a `PCI` vector of a VM has by the host that it is on.
pub const PCI_PLACE: [&str; 6] = ["ADDRESS", "DOMAIN", "BUS", "SLOT", "FUNCTION", "NUMA_NODE"];

/// Chooses a device of its own for each demand: `free` says which devices may be had. Where any choice serves all demands,
/// one is found (a demand that takes many devices makes way for one that takes few). Answers the device of each demand.
///
/// # Errors
/// The first demand for which no device is left.
pub fn pci_assign(devices: &[PciDevice], free: &[bool], demands: &[PciDemand]) -> Result<Vec<usize>, usize> {
    let mut holder: Vec<Option<usize>> = vec![None; devices.len()];
    for demand in 0..demands.len() {
        let mut seen = vec![false; devices.len()];
        if !path_find(devices, free, demands, demand, &mut holder, &mut seen) {
            return Err(demand);
        }
    }
    let mut chosen = vec![0; demands.len()];
    for (device, demand) in holder.iter().enumerate() {
        if let Some(place) = demand.and_then(|demand| chosen.get_mut(demand)) {
            *place = device;
        }
    }
    Ok(chosen)
}

/// Gives a demand a device, asking those who have one to take another. Each device is tried once.
fn path_find(
    devices: &[PciDevice],
    free: &[bool],
    demands: &[PciDemand],
    demand: usize,
    holder: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    let Some(wanted) = demands.get(demand) else {
        return false;
    };
    // Those that nobody has come first, so that no demand is moved without need.
    let (held, unheld): (Vec<usize>, Vec<usize>) =
        (0..devices.len()).partition(|index| holder.get(*index).is_some_and(Option::is_some));
    for index in unheld.into_iter().chain(held) {
        let tried = seen.get(index).copied().unwrap_or(true);
        let fits = devices.get(index).is_some_and(|device| device.serves(wanted));
        if tried || !fits || !free.get(index).copied().unwrap_or(false) {
            continue;
        }
        if let Some(tried) = seen.get_mut(index) {
            *tried = true;
        }
        let other = holder.get(index).copied().flatten();
        if other.is_none_or(|other| path_find(devices, free, demands, other, holder, seen)) {
            if let Some(place) = holder.get_mut(index) {
                *place = Some(demand);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(text: &str) -> Vector {
        let mut vector = Vector::new();
        for pair in text.split_whitespace() {
            let (name, value) = pair.split_once('=').expect("a pair");
            vector.set(name, value);
        }
        vector
    }

    fn device(text: &str) -> PciDevice {
        let vector = vector(text);
        PciDevice::read(|name| vector.get(name)).expect("a device")
    }

    fn demand(text: &str) -> PciDemand {
        let vector = vector(text);
        PciDemand::read(|name| vector.get(name)).expect("a demand")
    }

    #[test]
    fn addresses_are_short_or_whole() {
        for (text, address) in [
            ("01:00.0", Some((0, 1, 0, 0))),
            ("0000:0a:1f.7", Some((0, 10, 31, 7))),
            ("abcd:ff:00.1", Some((0xabcd, 255, 0, 1))),
            ("01:20.0", None),
            ("01:00.8", None),
            ("01:00", None),
            ("x:01:00.0", None),
            ("0:0:01:00.0", None),
            ("", None),
        ] {
            assert_eq!(short_address(text), address, "{text}");
        }
    }

    #[test]
    fn what_is_no_demand_is_refused_with_the_reason() {
        for (text, words) in [
            ("TYPE=x", "which device"),
            ("VENDOR=xyz", "no hexadecimal"),
            ("CLASS=12345", "no hexadecimal"),
            ("SHORT_ADDRESS=01", "01:00.0"),
        ] {
            let vector = vector(text);
            let refusal = PciDemand::read(|name| vector.get(name)).expect_err(text);
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn devices_are_told_by_vendor_device_class_and_address() {
        let card = device("SHORT_ADDRESS=01:00.0 VENDOR=10de DEVICE=1db6 CLASS=0302");
        for (text, serves) in [
            ("VENDOR=10de", true),
            ("VENDOR=0x10DE DEVICE=1DB6", true),
            ("CLASS=0302", true),
            ("CLASS=0300", false),
            ("VENDOR=8086", false),
            ("SHORT_ADDRESS=01:00.0", true),
            ("SHORT_ADDRESS=0000:01:00.0 VENDOR=10de", true),
            ("SHORT_ADDRESS=01:00.1", false),
        ] {
            assert_eq!(card.serves(&demand(text)), serves, "{text}");
        }
    }

    #[test]
    fn what_a_host_tells_of_is_filtered() {
        let card = device("SHORT_ADDRESS=81:00.0 VENDOR=10de DEVICE=1db6 CLASS=0302 DEVICE_NAME=GV100GL");
        for (text, passes) in [
            ("", false),
            ("PCI_FILTER=\"0:0\"", false),
            ("PCI_FILTER=\"*:*\"", true),
            ("PCI_FILTER=\"10de:*\"", true),
            ("PCI_FILTER=\":1db6\"", true),
            ("PCI_FILTER=\"8086:*, 10DE::0302\"", true),
            ("PCI_FILTER=\"10de::0300\"", false),
            ("PCI_FILTER=\"10de\"", false),
            ("PCI_FILTER=\"x:y\"", false),
            ("PCI_FILTER=\"1:2:3:4\"", false),
            ("PCI_FILTER=\"*:*\"\nPCI_SHORT_ADDRESS=\"81:00.0\"", true),
            ("PCI_FILTER=\"*:*\"\nPCI_SHORT_ADDRESS=\"81:00.1\"", false),
            ("PCI_FILTER=\"*:*\"\nPCI_DEVICE_NAME=\"gv100, k2\"", true),
            ("PCI_FILTER=\"*:*\"\nPCI_DEVICE_NAME=\"k2\"", false),
        ] {
            let template = plerion_template::Template::parse_or_empty(text).expect("good");
            let filter = PciFilter::read(&PackedTemplate::new(&template));
            assert_eq!(filter.passes(&card), passes, "{text}");
        }
    }

    #[test]
    fn a_choice_that_serves_all_is_found() {
        let devices = [
            device("SHORT_ADDRESS=01:00.0 VENDOR=10de DEVICE=1 CLASS=0302"),
            device("SHORT_ADDRESS=02:00.0 VENDOR=10de DEVICE=2 CLASS=0302"),
            device("SHORT_ADDRESS=03:00.0 VENDOR=8086 DEVICE=3 CLASS=0200"),
        ];
        let all = [true; 3];
        for (texts, free, chosen) in [
            (&["VENDOR=10de"][..], all, Ok(vec![0])),
            (&["VENDOR=10de", "SHORT_ADDRESS=01:00.0"][..], all, Ok(vec![1, 0])),
            (
                &["CLASS=0302", "VENDOR=10de", "CLASS=0200"][..],
                all,
                Ok(vec![0, 1, 2]),
            ),
            (&["CLASS=0302", "VENDOR=10de", "DEVICE=2"][..], all, Err(2)),
            (&["VENDOR=10de"][..], [false, true, true], Ok(vec![1])),
            (&["CLASS=0200"][..], [true, true, false], Err(0)),
            (&["VENDOR=1af4"][..], all, Err(0)),
        ] {
            let demands: Vec<PciDemand> = texts.iter().map(|text| demand(text)).collect();
            assert_eq!(pci_assign(&devices, &free, &demands), chosen, "{texts:?}");
        }
    }
}
