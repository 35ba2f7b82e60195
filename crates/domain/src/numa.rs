//! NUMA: the guest's nodes, where they are placed on the host, huge pages and shared memory.

use plerion_template::Vector;

use crate::disk::is_filesystem;
use crate::error::{DomainError, invalid};
use crate::lookup::{Lookup, filled, number_parse};
use crate::memory::{KIB_PER_MIB, MAX_MEMORY_MIB};
use crate::xml::Element;

/// Most nodes of one guest; QEMU's limit.
const MAX_NODES: usize = 128;
/// Largest processor number of a host that is calculated with.
const MAX_HOST_CPU: u64 = 65_535;
/// Distance of a node to itself, as ACPI defines it.
const DISTANCE_SELF: u64 = 10;
/// Distance between nodes where nothing is said.
const DISTANCE_OTHER: u64 = 20;
/// Distances are bytes; 255 means out of reach.
const DISTANCE_MAX: u64 = 255;
/// Largest page size in MiB (16 GiB).
const MAX_PAGE_MIB: u64 = 16 * 1024;

/// One NUMA_NODE of the VM.
#[derive(Clone, Debug)]
pub(crate) struct NumaNode<'a> {
    vector: &'a Vector,
    total_cpus: u64,
    memory_kib: u64,
}

/// The NUMA_NODEs of the VM in order; those without memory or CPUs describe nothing and are left out.
pub(crate) fn nodes<'a>(lookup: Lookup<'a>) -> Result<Vec<NumaNode<'a>>, DomainError> {
    let mut nodes = Vec::new();
    for vector in lookup.input.vm.vectors("NUMA_NODE").take(MAX_NODES) {
        let (Some(cpus), Some(memory)) = (filled(vector.get("TOTAL_CPUS")), filled(vector.get("MEMORY")))
        else {
            continue;
        };
        nodes.push(NumaNode {
            vector,
            total_cpus: number_parse("NUMA_NODE/TOTAL_CPUS", cpus, 1, MAX_HOST_CPU)?,
            memory_kib: number_parse(
                "NUMA_NODE/MEMORY",
                memory,
                1,
                MAX_MEMORY_MIB.saturating_mul(KIB_PER_MIB),
            )?,
        });
    }
    Ok(nodes)
}

/// `<cell>` of each node.
pub(crate) fn cells(
    lookup: Lookup<'_>,
    nodes: &[NumaNode<'_>],
    places: u64,
) -> Result<Vec<Element>, DomainError> {
    let access = memory_access(lookup)?;
    let mut first = 0_u64;
    let mut cells = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        let end = first.saturating_add(node.total_cpus);
        if end > places {
            return Err(invalid(
                "NUMA_NODE/TOTAL_CPUS",
                &node.total_cpus.to_string(),
                format!("the nodes have more CPUs together than the {places} of the VM"),
                "correct the nodes or VCPU",
            ));
        }
        let cpus = match node.total_cpus {
            1 => first.to_string(),
            _ => format!("{first}-{}", end.saturating_sub(1)),
        };
        first = end;
        cells.push(
            Element::new("cell")
                .attr("id", id)
                .attr("cpus", cpus)
                .attr("memory", node.memory_kib)
                .attr("unit", "KiB")
                .attr_opt("memAccess", access.clone())
                .with(distances(node, id, nodes.len())?),
        );
    }
    Ok(cells)
}

/// `<distances>` where the node gives any: a list of `node:distance` or `first-last:distance`.
fn distances(node: &NumaNode<'_>, id: usize, nodes: usize) -> Result<Option<Element>, DomainError> {
    const NAME: &str = "NUMA_NODE/DISTANCE";
    let Some(list) = filled(node.vector.get("DISTANCE")) else {
        return Ok(None);
    };
    let mut table: Vec<u64> = (0..nodes)
        .map(|other| {
            if other == id {
                DISTANCE_SELF
            } else {
                DISTANCE_OTHER
            }
        })
        .collect();
    for entry in list.split([',', ' ']).filter(|entry| !entry.is_empty()) {
        let parts = entry.split_once(':').ok_or_else(|| {
            invalid(
                NAME,
                entry,
                "a distance is written node:distance",
                "write for example 1:21 or 1-3:21",
            )
        })?;
        let last_node = u64::try_from(nodes.saturating_sub(1)).unwrap_or(0);
        let (first, last) = parts.0.split_once('-').unwrap_or((parts.0, parts.0));
        let first = number_parse(NAME, first, 0, last_node)?;
        let last = number_parse(NAME, last, first, last_node)?;
        let value = number_parse(NAME, parts.1, DISTANCE_SELF, DISTANCE_MAX)?;
        for (other, distance) in (0_u64..).zip(table.iter_mut()) {
            if (first..=last).contains(&other) {
                *distance = value;
            }
        }
    }
    let siblings = table
        .into_iter()
        .enumerate()
        .map(|(other, value)| Element::new("sibling").attr("id", other).attr("value", value));
    Ok(Some(Element::new("distances").with(siblings)))
}

/// `<numatune>`: the host nodes that hold the memory.
pub(crate) fn numatune(nodes: &[NumaNode<'_>]) -> Result<Option<Element>, DomainError> {
    let mut all: Vec<&str> = Vec::new();
    let mut memnodes = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        let Some(host) = filled(node.vector.get("MEMORY_NODE_ID")) else {
            continue;
        };
        cpuset_check("NUMA_NODE/MEMORY_NODE_ID", host)?;
        if !all.contains(&host) {
            all.push(host);
        }
        memnodes.push(
            Element::new("memnode")
                .attr("cellid", id)
                .attr("mode", "strict")
                .attr("nodeset", host),
        );
    }
    if memnodes.is_empty() {
        return Ok(None);
    }
    let memory = Element::new("memory")
        .attr("mode", "strict")
        .attr("nodeset", all.join(","));
    Ok(Some(Element::new("numatune").with([memory]).with(memnodes)))
}

/// `<vcpupin>` of each virtual CPU, and the CPUs for QEMU's own threads.
pub(crate) fn pinning(
    lookup: Lookup<'_>,
    nodes: &[NumaNode<'_>],
) -> Result<(Vec<Element>, Option<String>), DomainError> {
    let policy = lookup.vm_pair("TOPOLOGY", "PIN_POLICY").unwrap_or("NONE");
    let pinned = !policy.eq_ignore_ascii_case("NONE")
        || lookup.vm_pair("TOPOLOGY", "NODE_AFFINITY").is_some()
        || lookup.vm_pair("TOPOLOGY", "HUGEPAGE_SIZE").is_some();
    if !pinned {
        return Ok((Vec::new(), None));
    }
    let whole_node = ["NONE", "SHARED"]
        .iter()
        .any(|name| policy.eq_ignore_ascii_case(name));
    let mut pins = Vec::new();
    let mut all = Vec::new();
    let mut vcpu = 0_u64;
    for node in nodes {
        let Some(cpus) = filled(node.vector.get("CPUS")) else {
            vcpu = vcpu.saturating_add(node.total_cpus);
            continue;
        };
        cpuset_check("NUMA_NODE/CPUS", cpus)?;
        all.push(cpus);
        let single: Vec<&str> = cpus.split(',').map(str::trim).collect();
        let lists: Vec<&str> = if whole_node { vec![cpus] } else { single };
        for set in lists
            .iter()
            .cycle()
            .take(usize::try_from(node.total_cpus).unwrap_or(0))
        {
            pins.push(Element::new("vcpupin").attr("vcpu", vcpu).attr("cpuset", set));
            vcpu = vcpu.saturating_add(1);
        }
    }
    Ok((pins, (!all.is_empty()).then(|| all.join(","))))
}

/// A set of processors or nodes: numbers and ranges, `0-3,8,^2`.
pub(crate) fn cpuset_check(attribute: &str, set: &str) -> Result<(), DomainError> {
    let item_ok = |item: &str| {
        let item = item.trim();
        let item = item.strip_prefix('^').unwrap_or(item);
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        [first, last]
            .iter()
            .all(|number| number.parse::<u64>().is_ok_and(|number| number <= MAX_HOST_CPU))
    };
    if set.split(',').all(item_ok) {
        return Ok(());
    }
    Err(invalid(
        attribute,
        set,
        "it is not a list of numbers and ranges",
        "write for example 0-3,8",
    ))
}

fn memory_access(lookup: Lookup<'_>) -> Result<Option<String>, DomainError> {
    let Some(access) = lookup.vm_pair("TOPOLOGY", "MEMORY_ACCESS") else {
        return Ok(None);
    };
    let access = access.to_ascii_lowercase();
    if !matches!(access.as_str(), "private" | "shared") {
        return Err(invalid(
            "TOPOLOGY/MEMORY_ACCESS",
            &access,
            "no such access",
            "write private or shared",
        ));
    }
    Ok(lookup.vm_pair("TOPOLOGY", "HUGEPAGE_SIZE").map(|_| access))
}

/// `<memoryBacking>`: huge pages, and memory that virtiofs can share.
pub(crate) fn memory_backing(lookup: Lookup<'_>) -> Result<Option<Element>, DomainError> {
    let pages = lookup
        .vm_pair("TOPOLOGY", "HUGEPAGE_SIZE")
        .map(|size| number_parse("TOPOLOGY/HUGEPAGE_SIZE", size, 1, MAX_PAGE_MIB))
        .transpose()?
        .map(|mib| {
            let size = mib.saturating_mul(KIB_PER_MIB);
            let page = Element::new("page").attr("size", size).attr("unit", "KiB");
            Element::new("hugepages").with([page])
        });
    let shared = lookup.input.vm.vectors("DISK").any(is_filesystem).then(|| {
        [
            Element::new("source").attr("type", "memfd"),
            Element::new("access").attr("mode", "shared"),
        ]
    });
    Ok(Element::new("memoryBacking")
        .with(pages)
        .with(shared.into_iter().flatten())
        .unless_bare())
}
