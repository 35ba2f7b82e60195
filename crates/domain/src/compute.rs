//! Processors and memory: `<vcpu>`, `<memory>`, `<cputune>`, `<cpu>`.

use crate::error::{DomainError, invalid, missing};
use crate::lookup::{Lookup, filled, number_parse};
use crate::memory::{KIB_PER_MIB, MAX_MEMORY_MIB};
use crate::numa::{NumaNode, cpuset_check};
use crate::xml::Element;

/// Most places for memory modules; QEMU's limit.
const MAX_MEMORY_SLOTS: u64 = 256;
/// Largest CPU (share of processors) that is calculated with.
const MAX_CPU: f64 = 1e6;

/// Memory of the guest, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) mib: u64,
    pub(crate) growth: Growth,
}

/// How memory can grow while the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    None,
    /// The guest starts with all of it and gives some back.
    Ballooning {
        max_mib: u64,
    },
    /// Memory modules are added.
    Hotplug {
        max_mib: u64,
        slots: u64,
    },
}

pub(crate) fn memory_resolve(lookup: Lookup<'_>) -> Result<Memory, DomainError> {
    let vm = lookup.input.vm;
    let mib = filled(vm.get("MEMORY"))
        .ok_or_else(|| {
            missing(
                "MEMORY",
                "a guest needs memory, in MiB",
                "add for example MEMORY=\"1024\" to the VM's template",
            )
        })
        .and_then(|value| number_parse("MEMORY", value, 1, MAX_MEMORY_MIB))?;
    let max_mib = filled(vm.get("MEMORY_MAX"))
        .map(|value| number_parse("MEMORY_MAX", value, 0, MAX_MEMORY_MIB))
        .transpose()?
        .filter(|max| *max > mib);
    let Some(max_mib) = max_mib else {
        return Ok(Memory {
            mib,
            growth: Growth::None,
        });
    };
    let mode = filled(vm.get("MEMORY_RESIZE_MODE")).unwrap_or("BALLOONING");
    let growth = if mode.eq_ignore_ascii_case("BALLOONING") {
        Growth::Ballooning { max_mib }
    } else if mode.eq_ignore_ascii_case("HOTPLUG") {
        let slots = lookup.single("MEMORY_SLOTS").unwrap_or("1");
        Growth::Hotplug {
            max_mib,
            slots: number_parse("MEMORY_SLOTS", slots, 1, MAX_MEMORY_SLOTS)?,
        }
    } else {
        return Err(invalid(
            "MEMORY_RESIZE_MODE",
            mode,
            "no such mode",
            "write BALLOONING or HOTPLUG",
        ));
    };
    Ok(Memory { mib, growth })
}

fn in_kib(name: &'static str, mib: u64) -> Element {
    Element::leaf(name, mib.saturating_mul(KIB_PER_MIB)).attr("unit", "KiB")
}

/// `<maxMemory>`, `<memory>`, `<currentMemory>`.
pub(crate) fn memory_elements(lookup: Lookup<'_>, memory: Memory) -> Vec<Element> {
    match memory.growth {
        Growth::None => vec![in_kib("memory", memory.mib)],
        Growth::Ballooning { max_mib } => {
            vec![in_kib("memory", max_mib), in_kib("currentMemory", memory.mib)]
        }
        // With a topology of the user's own the places of added modules are not known.
        Growth::Hotplug { .. } if lookup.input.vm.vector("TOPOLOGY").is_some() => {
            vec![in_kib("memory", memory.mib)]
        }
        Growth::Hotplug { max_mib, slots } => {
            vec![
                in_kib("maxMemory", max_mib).attr("slots", slots),
                in_kib("memory", memory.mib),
            ]
        }
    }
}

/// `<vcpu>`; left out where nothing is said, which means one.
pub(crate) fn vcpu(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let vcpus = lookup.vcpus()?;
    Ok(match (vcpus.max, vcpus.current) {
        (Some(max), current) => Some(Element::leaf("vcpu", max).attr_opt("current", current)),
        (None, Some(current)) => Some(Element::leaf("vcpu", current)),
        (None, None) => None,
    })
}

/// `<iothreads>`, and how many there are.
pub(crate) fn iothreads(lookup: Lookup<'_>) -> Result<(u64, Option<Element>), DomainError> {
    /// More threads than any host has processors.
    const MAX_IOTHREADS: u64 = 1024;
    let number = lookup.pair("FEATURES", "IOTHREADS").map_or(Ok(0), |value| {
        number_parse("FEATURES/IOTHREADS", value, 0, MAX_IOTHREADS)
    })?;
    Ok((number, (number > 0).then(|| Element::leaf("iothreads", number))))
}

/// `<cputune>`: the guest's share of the host's processors, and which of them it uses.
pub(crate) fn cputune(lookup: Lookup<'_>, nodes: &[NumaNode<'_>]) -> Result<Element, DomainError> {
    let (pins, emulator) = crate::numa::pinning(lookup, nodes)?;
    let emulator = match lookup.host_single("EMULATOR_CPUS") {
        Some(cpus) => {
            cpuset_check("EMULATOR_CPUS", cpus)?;
            Some(cpus.to_owned())
        }
        None => emulator,
    };
    let emulator = emulator.map(|cpus| Element::new("emulatorpin").attr("cpuset", cpus));
    Ok(Element::new("cputune")
        .with([Element::leaf("shares", cpu_shares(lookup)?)])
        .with(pins)
        .with(emulator))
}

/// Version 1 counts 1024 shares per CPU, version 2 counts 100.
///
/// Where the version is not known, the shares are those of version 2, kept within what both accept.
fn cpu_shares(lookup: Lookup<'_>) -> Result<u64, DomainError> {
    let cpu = match filled(lookup.input.vm.get("CPU")) {
        Some(value) => cpu_parse(value)?,
        None => 1.0,
    };
    let version = match lookup.host_single("CGROUPS_VERSION") {
        Some(value) => Some(number_parse("CGROUPS_VERSION", value, 1, 2)?),
        None => lookup.input.host_facts.cgroups_version.map(u64::from),
    };
    let (base, min, max) = match version {
        Some(1) => (1024.0, 2, 262_144),
        Some(_) => (100.0, 1, 10_000),
        None => (100.0, 2, 10_000),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0..=1024*MAX_CPU"
    )]
    let shares = (base * cpu).ceil() as u64;
    Ok(shares.clamp(min, max))
}

fn cpu_parse(value: &str) -> Result<f64, DomainError> {
    value
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|cpu| *cpu > 0.0 && *cpu <= MAX_CPU) // not a number and infinity fail too
        .ok_or_else(|| {
            invalid(
                "CPU",
                value,
                "the share of processors is a number above 0",
                "write for example CPU=\"1\" or CPU=\"0.5\"",
            )
        })
}

/// `<cpu>`: model, topology, and the guest's own NUMA nodes.
pub(crate) fn cpu(
    lookup: Lookup<'_>,
    memory: Memory,
    nodes: &[NumaNode<'_>],
) -> Result<Option<Element>, DomainError> {
    let places = lookup.vcpus()?.places();
    let cells = match memory.growth {
        Growth::Hotplug { .. } if nodes.is_empty() => vec![
            Element::new("cell")
                .attr("id", 0)
                .attr("cpus", format!("0-{}", places.saturating_sub(1)))
                .attr("memory", memory.mib.saturating_mul(KIB_PER_MIB))
                .attr("unit", "KiB"),
        ],
        Growth::None | Growth::Ballooning { .. } | Growth::Hotplug { .. } => {
            crate::numa::cells(lookup, nodes, places)?
        }
    };
    let numa = Element::new("numa").with(cells).unless_bare();
    Ok(cpu_model(lookup)
        .with(topology(lookup, places)?)
        .with(numa)
        .unless_bare())
}

fn cpu_model(lookup: Lookup<'_>) -> Element {
    let evc = filled(lookup.input.cluster.get("EVC_MODE"));
    let Some(model) = evc.or_else(|| lookup.pair("CPU_MODEL", "MODEL")) else {
        return Element::new("cpu");
    };
    let cpu = match model.to_ascii_lowercase().as_str() {
        // Emulation has no host processor to pass through; `maximum` is the nearest that it offers.
        "host-passthrough" if lookup.is_emulated() => Element::new("cpu").attr("mode", "maximum"),
        mode @ ("host-passthrough" | "host-model" | "maximum") => Element::new("cpu").attr("mode", mode),
        _ => {
            let model = Element::leaf("model", model).attr("fallback", "forbid");
            Element::new("cpu")
                .attr("mode", "custom")
                .attr("match", "exact")
                .with([model])
        }
    };
    let features = lookup.pair("CPU_MODEL", "FEATURES").unwrap_or("");
    let feature = |name: &str| {
        Element::new("feature")
            .attr("policy", "require")
            .attr("name", name)
    };
    cpu.with(
        features
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(feature),
    )
}

/// `<topology>`: what is not given is taken from the number of virtual CPUs, as their product must equal it.
fn topology(lookup: Lookup<'_>, places: u64) -> Result<Option<Element>, DomainError> {
    let read = |key: &str| {
        lookup
            .vm_pair("TOPOLOGY", key)
            .map(|value| number_parse(&format!("TOPOLOGY/{key}"), value, 1, places))
            .transpose()
    };
    let given = [read("SOCKETS")?, read("CORES")?, read("THREADS")?];
    if given.iter().all(Option::is_none) {
        return Ok(None);
    }
    let product = given
        .iter()
        .flatten()
        .fold(1_u64, |product, number| product.saturating_mul(*number));
    let mut rest = places.checked_div(product).unwrap_or(1);
    let fits = places.checked_rem(product) == Some(0) && (rest == 1 || given.iter().any(Option::is_none));
    if !fits {
        return Err(invalid(
            "TOPOLOGY",
            &product.to_string(),
            format!("SOCKETS × CORES × THREADS does not make the {places} virtual CPUs of the VM"),
            "correct TOPOLOGY or VCPU",
        ));
    }
    let [sockets, cores, threads] =
        given.map(|number| number.unwrap_or_else(|| std::mem::replace(&mut rest, 1)));
    Ok(Some(
        Element::new("topology")
            .attr("sockets", sockets)
            .attr("cores", cores)
            .attr("threads", threads),
    ))
}
