//! Where the value of an attribute comes from: VM > host > cluster > `vmm_exec_kvm.conf` > built in.

use plerion_template::{Template, Vector};

use crate::defaults::defaults;
use crate::error::{DomainError, invalid, shown};
use crate::input::{DomainInput, Hypervisor};

/// Largest number of virtual CPUs; far above what QEMU accepts, low enough to calculate with.
const MAX_VCPUS: u64 = 8192;

/// The templates in order of precedence. An empty value counts as absent.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) input: &'a DomainInput<'a>,
}

impl<'a> Lookup<'a> {
    fn host_levels(self) -> [&'a Template; 4] {
        [self.input.host, self.input.cluster, self.input.driver, defaults()]
    }

    /// A single attribute from any level.
    pub(crate) fn single(self, name: &str) -> Option<&'a str> {
        filled(self.input.vm.get(name)).or_else(|| self.host_single(name))
    }

    /// A single attribute that the VM cannot set.
    pub(crate) fn host_single(self, name: &str) -> Option<&'a str> {
        self.host_levels()
            .into_iter()
            .find_map(|template| filled(template.get(name)))
    }

    /// `vector/key` from any level.
    pub(crate) fn pair(self, vector: &str, key: &str) -> Option<&'a str> {
        self.vm_pair(vector, key).or_else(|| self.host_pair(vector, key))
    }

    /// `vector/key` of the VM only.
    pub(crate) fn vm_pair(self, vector: &str, key: &str) -> Option<&'a str> {
        filled(self.input.vm.pair(vector, key))
    }

    /// `vector/key` that the VM cannot set.
    pub(crate) fn host_pair(self, vector: &str, key: &str) -> Option<&'a str> {
        self.host_levels()
            .into_iter()
            .find_map(|template| filled(template.pair(vector, key)))
    }

    /// `key` of one device (a DISK or a NIC), else the default that the host's levels give for such devices.
    pub(crate) fn device(self, device: &'a Vector, vector: &str, key: &str) -> Option<&'a str> {
        filled(device.get(key)).or_else(|| self.host_pair(vector, key))
    }

    /// `vector/key` from any level as yes or no; absent is no.
    pub(crate) fn flag(self, vector: &str, key: &str) -> Result<bool, DomainError> {
        self.pair(vector, key)
            .map_or(Ok(false), |value| flag_parse(&format!("{vector}/{key}"), value))
    }

    /// Virtual CPUs at the start and at most.
    pub(crate) fn vcpus(self) -> Result<Vcpus, DomainError> {
        let number = |name: &str| {
            self.single(name)
                .map(|value| number_parse(name, value, 1, MAX_VCPUS))
                .transpose()
        };
        let (current, max) = (number("VCPU")?, number("VCPU_MAX")?);
        if let (Some(current), Some(max)) = (current, max)
            && max < current
        {
            return Err(invalid(
                "VCPU_MAX",
                &max.to_string(),
                format!("it is below VCPU={current}"),
                "raise VCPU_MAX or remove it",
            ));
        }
        Ok(Vcpus {
            current: current.or(max),
            max,
        })
    }

    /// A number of queues: `auto` is one per virtual CPU.
    pub(crate) fn queues(self, attribute: &str, value: &str, max: u64) -> Result<u64, DomainError> {
        if value.eq_ignore_ascii_case("auto") {
            return Ok(self.vcpus()?.current.unwrap_or(1).min(max));
        }
        number_parse(attribute, value, 0, max)
    }

    /// The guest's processor architecture.
    pub(crate) fn architecture(self) -> &'a str {
        self.pair("OS", "ARCH")
            .or(filled(self.input.host_facts.architecture))
            .unwrap_or("x86_64")
    }

    /// The guest's machine type; `None` leaves it to libvirt (architectures without a built-in default).
    pub(crate) fn machine(self) -> Option<&'a str> {
        self.pair("OS", "MACHINE").or_else(|| match self.architecture() {
            "x86_64" | "i686" => Some("q35"),
            "aarch64" => Some("virt"),
            _ => None,
        })
    }

    pub(crate) fn is_aarch64(self) -> bool {
        self.architecture() == "aarch64"
    }

    /// Whether the machine has PCI Express ports (and SATA in place of IDE).
    pub(crate) fn is_pcie(self) -> bool {
        let machine = self.machine().unwrap_or("");
        machine.contains("q35") || machine.starts_with("virt") || self.is_aarch64()
    }

    pub(crate) fn is_emulated(self) -> bool {
        self.input.hypervisor == Hypervisor::Qemu
    }
}

/// Virtual CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vcpus {
    /// At the start. `None`: not said, which is one.
    pub(crate) current: Option<u64>,
    /// At most, where CPUs can be added while the guest runs.
    pub(crate) max: Option<u64>,
}

impl Vcpus {
    /// How many the guest's hardware has places for.
    pub(crate) fn places(self) -> u64 {
        self.max.or(self.current).unwrap_or(1)
    }
}

/// `None` for an empty value.
pub(crate) fn filled(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.trim().is_empty())
}

/// Yes or no, in the spellings that templates use.
pub(crate) fn flag_parse(attribute: &str, value: &str) -> Result<bool, DomainError> {
    let is_any = |words: [&str; 4]| words.iter().any(|word| value.trim().eq_ignore_ascii_case(word));
    if is_any(["yes", "true", "on", "1"]) {
        Ok(true)
    } else if is_any(["no", "false", "off", "0"]) {
        Ok(false)
    } else {
        Err(invalid(
            attribute,
            value,
            "it is neither YES nor NO",
            "write YES or NO",
        ))
    }
}

/// A whole number within bounds.
pub(crate) fn number_parse(attribute: &str, value: &str, min: u64, max: u64) -> Result<u64, DomainError> {
    match value.trim().parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(DomainError::OutOfRange {
            attribute: attribute.to_owned(),
            value: shown(value),
            min,
            max,
        }),
    }
}

/// One device in messages: `DISK[DISK_ID=2]`.
pub(crate) fn device_name(vector: &str, id_key: &str, device: &Vector) -> String {
    match device.get(id_key) {
        Some(id) => format!("{vector}[{id_key}={}]", shown(id)),
        None => vector.to_owned(),
    }
}
