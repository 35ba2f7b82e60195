//! Pinned CPUs, NUMA nodes and huge pages of VMs: what a template may say, and what a VM gets where it is placed.

use std::sync::Arc;

use plerion_model::Id;
use plerion_model::host::Host;
use plerion_model::numa::{NUMA_PLACE, NumaDemand, NumaUse, PinPolicy};
use plerion_model::numa_place::{NumaChoice, NumaHost, numa_choose};
use plerion_model::vm::Vm;
use plerion_template::{Template, Vector};

use crate::vm_template::template_set;
use crate::world::World;

const TOPOLOGY: &str = "TOPOLOGY";
const NODE: &str = "NUMA_NODE";
/// Most nodes of a VM; QEMU's limit.
const NODES_MAX: usize = 128;
/// Most sockets, cores of a socket, or threads of a core.
const COUNT_MAX: i64 = 4096;
/// Largest huge page in MiB (16 GiB).
const PAGE_MAX: i64 = 16 * 1024;
/// KiB of a MiB.
const KIB_PER_MIB: i64 = 1024;
/// What 7.4 answers where a host has no place; the reason follows.
const NO_PLACE: &str = "Cannot allocate NUMA topology";

/// SOCKETS, CORES and THREADS; 0 where nothing is said.
struct Counts {
    sockets: i64,
    cores: i64,
    threads: i64,
}

impl Counts {
    fn read(topology: &Vector) -> Result<Self, String> {
        Ok(Self {
            sockets: count(topology, "SOCKETS", COUNT_MAX)?,
            cores: count(topology, "CORES", COUNT_MAX)?,
            threads: count(topology, "THREADS", COUNT_MAX)?,
        })
    }

    fn product(&self) -> i64 {
        self.sockets
            .saturating_mul(self.cores)
            .saturating_mul(self.threads)
    }
}

/// A number of TOPOLOGY; 0 where nothing is said.
fn count(topology: &Vector, name: &str, most: i64) -> Result<i64, String> {
    let text = topology.get(name).unwrap_or_default().trim();
    match text.parse() {
        _ if text.is_empty() => Ok(0),
        Ok(number) if (0..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "{name} of TOPOLOGY must be a number up to {most}, and is \"{text}\""
        )),
    }
}

/// Whether a VM's CPUs are to be pinned.
pub(crate) fn is_pinned(template: &Template) -> bool {
    let topology = template.vector(TOPOLOGY);
    let policy = topology.and_then(|topology| topology.get("PIN_POLICY"));
    PinPolicy::read(policy.unwrap_or_default()) != PinPolicy::None
}

/// Checks TOPOLOGY and NUMA_NODE of a new VM and works out what they leave open, as 7.4 does and with its words: sockets,
/// cores and threads, CPU of a pinned VM, and a NUMA_NODE (memory in KiB) for each node.
pub(crate) fn topology_complete(template: &mut Template) -> Result<(), String> {
    let given: Vec<Vector> = template.vectors(NODE).cloned().collect();
    let Some(mut topology) = template.vector(TOPOLOGY).cloned().or_else(|| {
        // Nodes alone make a topology, too.
        (!given.is_empty()).then(Vector::new)
    }) else {
        return Ok(());
    };
    if given.len() > NODES_MAX {
        return Err(format!("A VM has {NODES_MAX} NUMA nodes at most"));
    }
    let policy = PinPolicy::read(topology.get("PIN_POLICY").unwrap_or_default());
    let affinity = topology
        .get("NODE_AFFINITY")
        .map(|text| text.trim().parse::<u32>().is_ok());
    if affinity == Some(false) {
        topology.remove("NODE_AFFINITY");
    }
    if policy != PinPolicy::None && affinity == Some(true) {
        return Err("NUMA node affinity cannot be set for pinned VMs".into());
    }
    if template.get("VCPU_MAX").is_some() {
        return Err("VM with TOPOLOGY does not support CPU hotplug (VCPU_MAX)".into());
    }
    let page = count(&topology, "HUGEPAGE_SIZE", PAGE_MAX)?;
    let vcpu = template.get_i64("VCPU").unwrap_or(1);
    let memory = template.get_i64("MEMORY").unwrap_or(0);
    template.set_if_missing("VCPU", "1");
    let nodes = if policy == PinPolicy::None {
        unpinned(&mut topology, vcpu)?;
        if affinity == Some(true) || page > 0 {
            vec![node_new(vcpu, memory)]
        } else {
            Vec::new()
        }
    } else {
        // Recorded by guides: each virtual CPU of a pinned VM counts as a whole one.
        template.set("CPU", vcpu.to_string());
        let sockets = pinned(&mut topology, vcpu, &given)?;
        if given.is_empty() {
            nodes_even(sockets, vcpu, memory)?
        } else {
            nodes_given(&given, vcpu, memory)?
        }
    };
    template.set_vector(TOPOLOGY, topology);
    template.remove(NODE);
    for node in nodes {
        template.add_vector(NODE, node);
    }
    Ok(())
}

/// Without pinning the guest's topology is said whole, or not at all.
fn unpinned(topology: &mut Vector, vcpu: i64) -> Result<(), String> {
    let counts = Counts::read(topology)?;
    if counts.sockets == 0 && counts.cores == 0 && counts.threads == 0 {
        topology.set("SOCKETS", "1");
        topology.set("CORES", vcpu.to_string());
        topology.set("THREADS", "1");
    } else if counts.product() == 0 {
        return Err(
            "Non-pinned VMs with a virtual topology needs to set  SOCKETS, CORES and THREADS numbers.".into(),
        );
    } else if counts.product() != vcpu {
        return Err("Total threads per core and socket needs to match VCPU".into());
    }
    topology.set("PIN_POLICY", "NONE");
    Ok(())
}

/// With pinning what is not said is worked out, or left to the host that the VM is placed on. Answers the sockets.
fn pinned(topology: &mut Vector, vcpu: i64, given: &[Vector]) -> Result<i64, String> {
    let mut counts = Counts::read(topology)?;
    if counts.sockets == 0 {
        let nodes = i64::try_from(given.len()).unwrap_or(1).max(1);
        // Nodes of different sizes are no sockets: a guest's sockets are alike.
        let alike = vcpu.checked_rem(nodes) == Some(0) || given.is_empty();
        counts.sockets = if alike { nodes } else { 1 };
        topology.set("SOCKETS", counts.sockets.to_string());
    }
    if counts.cores != 0 && counts.threads != 0 && counts.product() != vcpu {
        return Err("Total threads per core and socket needs to match VCPU".into());
    }
    if counts.threads == 0 && counts.cores != 0 {
        let cores = counts.cores.saturating_mul(counts.sockets);
        if vcpu.checked_rem(cores) != Some(0) {
            return Err("VCPU is not multiple of the total number of cores".into());
        }
        let threads = vcpu.checked_div(cores).unwrap_or(1);
        if !u64::try_from(threads).is_ok_and(u64::is_power_of_two) {
            return Err("Computed number of threads is not power of 2".into());
        }
        topology.set("THREADS", threads.to_string());
    }
    if vcpu.checked_rem(counts.sockets) != Some(0) {
        return Err(if given.is_empty() {
            "VCPU is not multiple of the number of NUMA nodes".into()
        } else {
            "VCPU is not multiple of the number of SOCKETS".into()
        });
    }
    Ok(counts.sockets)
}

fn node_new(cpus: i64, memory_mib: i64) -> Vector {
    let mut node = Vector::new();
    node.set("TOTAL_CPUS", cpus.to_string());
    node.set("MEMORY", memory_mib.saturating_mul(KIB_PER_MIB).to_string());
    node
}

/// A node for each socket, all alike.
fn nodes_even(sockets: i64, vcpu: i64, memory: i64) -> Result<Vec<Vector>, String> {
    let many = usize::try_from(sockets).ok().filter(|count| *count <= NODES_MAX);
    let many = many.ok_or_else(|| format!("A VM has {NODES_MAX} NUMA nodes at most"))?;
    if memory.checked_rem(sockets) != Some(0) {
        return Err("MEMORY is not multiple of the number of NUMA nodes".into());
    }
    let (cpus, memory) = (vcpu.checked_div(sockets), memory.checked_div(sockets));
    Ok(vec![node_new(cpus.unwrap_or(1), memory.unwrap_or(0)); many])
}

/// The nodes that the template has; what says where they are on a host is of no use before that.
fn nodes_given(given: &[Vector], vcpu: i64, memory: i64) -> Result<Vec<Vector>, String> {
    let mut nodes = Vec::new();
    let (mut cpus_all, mut memory_all) = (0_i64, 0_i64);
    for vector in given {
        let number = |name: &str| {
            let text = vector.get(name).unwrap_or_default().trim();
            text.parse::<i64>().unwrap_or(0)
        };
        let (cpus, own) = (number("TOTAL_CPUS"), number("MEMORY"));
        if cpus <= 0 {
            return Err("A NUMA_NODE must have TOTAL_CPUS greater than 0".into());
        }
        if own <= 0 {
            return Err(" A NUMA_NODE must have MEMORY greater than 0".into());
        }
        cpus_all = cpus_all.saturating_add(cpus);
        memory_all = memory_all.saturating_add(own);
        let mut node = node_new(cpus, own);
        if let Some(distance) = vector.get("DISTANCE") {
            node.set("DISTANCE", distance);
        }
        nodes.push(node);
    }
    if cpus_all != vcpu {
        return Err("Total CPUS of NUMA nodes is different from VM VCPU".into());
    }
    if memory_all != memory {
        return Err("Total MEMORY of NUMA nodes is different from VM MEMORY".into());
    }
    Ok(nodes)
}

/// The topology of a VM of other VCPU and MEMORY: sockets and threads stay, cores and nodes follow.
pub(crate) fn topology_resize(template: &mut Template) -> Result<(), String> {
    let Some(mut topology) = template.vector(TOPOLOGY).cloned() else {
        return Ok(());
    };
    let nodes: Vec<Vector> = template.vectors(NODE).cloned().collect();
    let alike = |name: &str| {
        let mut values = nodes.iter().map(|node| node.get(name));
        let first = values.next();
        values.all(|value| Some(value) == first)
    };
    if !alike("TOTAL_CPUS") || !alike("MEMORY") {
        return Err("A VM whose NUMA nodes are of different sizes cannot be resized: make a new one".into());
    }
    let counts = Counts::read(&topology)?;
    let vcpu = template.get_i64("VCPU").unwrap_or(1);
    let each = counts.sockets.max(1).saturating_mul(counts.threads.max(1));
    if vcpu.checked_rem(each) != Some(0) {
        return Err(format!(
            "VCPU {vcpu} cannot be divided by the {each} threads of TOPOLOGY (SOCKETS times THREADS)"
        ));
    }
    if counts.cores > 0 {
        topology.set("CORES", vcpu.checked_div(each).unwrap_or(1).to_string());
        template.set_vector(TOPOLOGY, topology);
    }
    nodes_resize(template, nodes)?;
    topology_complete(template)
}

/// As many nodes as before, all alike, with memory as users write it (MiB).
fn nodes_resize(template: &mut Template, nodes: Vec<Vector>) -> Result<(), String> {
    let many = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
    if many == 0 {
        return Ok(());
    }
    let part = |name: &str| {
        let whole = template.get_i64(name).unwrap_or(1);
        let part = whole
            .checked_div(many)
            .filter(|_| whole.checked_rem(many) == Some(0));
        part.ok_or_else(|| format!("{name} is not multiple of the number of NUMA nodes"))
    };
    let (cpus, memory) = (part("VCPU")?, part("MEMORY")?);
    template.remove(NODE);
    for mut node in nodes {
        place_forget(&mut node);
        node.set("TOTAL_CPUS", cpus.to_string());
        node.set("MEMORY", memory.to_string());
        template.add_vector(NODE, node);
    }
    Ok(())
}

/// Where a VM would be on the NUMA nodes of a host; `planned` is what others are promised there besides what they have.
///
/// # Errors
/// Why there is no place, in words.
pub fn numa_find(
    world: &World,
    vm: Id,
    demand: &NumaDemand,
    host: &Host,
    planned: &[(Id, NumaDemand)],
) -> Result<NumaChoice, String> {
    find_near(world, vm, demand, host, planned, &[])
}

fn find_near(
    world: &World,
    vm: Id,
    demand: &NumaDemand,
    host: &Host,
    planned: &[(Id, NumaDemand)],
    near_pci: &[u32],
) -> Result<NumaChoice, String> {
    let mut used = NumaUse::default();
    let others = world.host_vms_numa(host.id).filter(|other| other.id != vm);
    for (id, held) in others.filter_map(|other| other.held_numa(host.id).map(|held| (other.id, held))) {
        used.take(id, held);
    }
    for (id, promised) in planned {
        used.take(*id, promised);
    }
    let numa = NumaHost {
        nodes: &host.numa_nodes(),
        rules: &host.pin_rules(),
        near_pci,
    };
    numa_choose(numa, &used, vm, demand).map_err(|reason| format!("{NO_PLACE}: {reason}"))
}

/// Gives a VM its place on the NUMA nodes of the host on which it is placed.
pub(crate) fn numa_take(world: &World, vm: &mut Vm, host: &Host) -> Result<(), String> {
    let Some(demand) = vm.demand.numa.clone() else {
        return Ok(());
    };
    let near: Vec<u32> = vm
        .template
        .vectors("PCI")
        .filter_map(|pci| pci.get("NUMA_NODE")?.parse().ok())
        .collect();
    let choice = find_near(world, vm.id, &demand, host, &[], &near)?;
    let mut template = vm.template.unpack();
    for (vector, place) in template.vectors_mut(NODE).zip(&choice.places) {
        place.give(vector);
    }
    if choice.threads > 0
        && let Some(mut topology) = template.vector(TOPOLOGY).cloned()
    {
        let each = demand.sockets.saturating_mul(choice.threads);
        let cores = demand.cpus().checked_div(each).unwrap_or(1).max(1);
        topology.set("THREADS", choice.threads.to_string());
        topology.set("CORES", cores.to_string());
        template.set_vector(TOPOLOGY, topology);
    }
    template_set(vm, &template);
    Ok(())
}

/// A VM that is told to move keeps its place on its old host until it has left.
pub(crate) fn numa_leave(vm: &mut Vm) {
    vm.numa_left = vm.demand.numa.clone();
}

/// A VM that could not go to another host is back on its old one. As long as it had not left, its place there is still its
/// own; else it takes a new one. Should there be none, it has none until it is deployed anew.
pub(crate) fn numa_return(world: &World, vm: &mut Vm) {
    let mut hosts = vm.history.iter().rev().map(|record| record.host);
    // Of a move to another datastore of the same host nothing changes here.
    if vm.demand.numa.is_none() || hosts.next() == hosts.next() {
        return;
    }
    let kept = vm.left_host().and(vm.numa_left.take());
    let places = kept
        .as_deref()
        .map(|kept| kept.nodes.iter().map(|node| node.place.clone()));
    if let Some(places) = places {
        let mut template = vm.template.unpack();
        for (vector, place) in template.vectors_mut(NODE).zip(places.collect::<Vec<_>>()) {
            match place {
                Some(place) => place.give(vector),
                None => place_forget(vector),
            }
        }
        template_set(vm, &template);
        return;
    }
    let host = vm.last_history().and_then(|record| world.hosts.get(record.host));
    let host: Option<Arc<Host>> = host.cloned();
    if host.is_some_and(|host| numa_take(world, vm, &host).is_ok()) {
        return;
    }
    let mut template = vm.template.unpack();
    template.vectors_mut(NODE).for_each(place_forget);
    template_set(vm, &template);
}

fn place_forget(vector: &mut Vector) {
    for name in NUMA_PLACE {
        vector.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a template, on one line; or why it is refused.
    fn complete(text: &str) -> Result<String, String> {
        let mut template = Template::parse(&format!("CPU=0.5\n{text}")).expect("good");
        topology_complete(&mut template)?;
        let vector = |vector: &Vector| {
            let mut pairs: Vec<String> = vector
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.sort();
            pairs.join(",")
        };
        let mut parts = vec![format!("CPU={}", template.get("CPU").unwrap_or_default())];
        parts.extend(template.vectors(TOPOLOGY).map(vector));
        parts.extend(template.vectors(NODE).map(vector));
        Ok(parts.join(" | "))
    }

    #[test]
    fn what_a_template_leaves_open_is_worked_out() {
        for (text, made) in [
            ("MEMORY=64", "CPU=0.5"),
            (
                "MEMORY=64\nVCPU=4\nTOPOLOGY=[PIN_POLICY=thread]",
                "CPU=4 | PIN_POLICY=thread,SOCKETS=1 | MEMORY=65536,TOTAL_CPUS=4",
            ),
            (
                "MEMORY=64\nVCPU=4\nTOPOLOGY=[PIN_POLICY=CORE,SOCKETS=2,CORES=2]",
                "CPU=4 | CORES=2,PIN_POLICY=CORE,SOCKETS=2,THREADS=1 | MEMORY=32768,TOTAL_CPUS=2 | \
                 MEMORY=32768,TOTAL_CPUS=2",
            ),
            (
                "MEMORY=64\nVCPU=4\nTOPOLOGY=[HUGEPAGE_SIZE=2]",
                "CPU=0.5 | CORES=4,HUGEPAGE_SIZE=2,PIN_POLICY=NONE,SOCKETS=1,THREADS=1 | MEMORY=65536,TOTAL_CPUS=4",
            ),
            (
                "MEMORY=64\nTOPOLOGY=[NODE_AFFINITY=0]",
                "CPU=0.5 | CORES=1,NODE_AFFINITY=0,PIN_POLICY=NONE,SOCKETS=1,THREADS=1 | MEMORY=65536,TOTAL_CPUS=1",
            ),
            (
                "MEMORY=64\nTOPOLOGY=[NODE_AFFINITY=x]",
                "CPU=0.5 | CORES=1,PIN_POLICY=NONE,SOCKETS=1,THREADS=1",
            ),
            // Where nothing is pinned, nodes bind to nothing.
            (
                "MEMORY=64\nNUMA_NODE=[TOTAL_CPUS=1,MEMORY=64]",
                "CPU=0.5 | CORES=1,PIN_POLICY=NONE,SOCKETS=1,THREADS=1",
            ),
            (
                "MEMORY=64\nVCPU=3\nTOPOLOGY=[PIN_POLICY=SHARED]\nNUMA_NODE=[TOTAL_CPUS=1,MEMORY=24,DISTANCE=\"1:21\",CPUS=7]\n\
                 NUMA_NODE=[TOTAL_CPUS=2,MEMORY=40]",
                "CPU=3 | PIN_POLICY=SHARED,SOCKETS=1 | DISTANCE=1:21,MEMORY=24576,TOTAL_CPUS=1 | \
                 MEMORY=40960,TOTAL_CPUS=2",
            ),
        ] {
            assert_eq!(complete(text).as_deref(), Ok(made), "{text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_the_words_of_7_4() {
        for (text, refusal) in [
            (
                "PIN_POLICY=CORE,NODE_AFFINITY=0",
                "NUMA node affinity cannot be set for pinned VMs",
            ),
            (
                "SOCKETS=2",
                "Non-pinned VMs with a virtual topology needs to set  SOCKETS, CORES and THREADS numbers.",
            ),
            (
                "SOCKETS=2,CORES=3,THREADS=1",
                "Total threads per core and socket needs to match VCPU",
            ),
            (
                "PIN_POLICY=CORE,CORES=3,THREADS=1",
                "Total threads per core and socket needs to match VCPU",
            ),
            (
                "PIN_POLICY=CORE,CORES=5",
                "VCPU is not multiple of the total number of cores",
            ),
            (
                "PIN_POLICY=CORE,CORES=4",
                "Computed number of threads is not power of 2",
            ),
            (
                "PIN_POLICY=CORE,SOCKETS=5",
                "VCPU is not multiple of the number of NUMA nodes",
            ),
            (
                "PIN_POLICY=CORE,SOCKETS=6",
                "MEMORY is not multiple of the number of NUMA nodes",
            ),
            (
                "PIN_POLICY=CORE,SOCKETS=x",
                "SOCKETS of TOPOLOGY must be a number up to 4096, and is \"x\"",
            ),
        ] {
            let text = format!("MEMORY=64\nVCPU=12\nTOPOLOGY=[{text}]");
            assert_eq!(complete(&text).expect_err(&text), refusal, "{text}");
        }
        for (nodes, refusal) in [
            (
                "NUMA_NODE=[MEMORY=64]",
                "A NUMA_NODE must have TOTAL_CPUS greater than 0",
            ),
            (
                "NUMA_NODE=[TOTAL_CPUS=2]",
                " A NUMA_NODE must have MEMORY greater than 0",
            ),
            (
                "NUMA_NODE=[TOTAL_CPUS=1,MEMORY=64]",
                "Total CPUS of NUMA nodes is different from VM VCPU",
            ),
            (
                "NUMA_NODE=[TOTAL_CPUS=2,MEMORY=63]",
                "Total MEMORY of NUMA nodes is different from VM MEMORY",
            ),
            (
                "VCPU_MAX=4",
                "VM with TOPOLOGY does not support CPU hotplug (VCPU_MAX)",
            ),
        ] {
            let text = format!("MEMORY=64\nVCPU=2\nTOPOLOGY=[PIN_POLICY=CORE]\n{nodes}");
            assert_eq!(complete(&text).expect_err(&text), refusal, "{text}");
        }
    }
}
