//! NUMA nodes of hosts, and what VMs ask for and hold of them.

use std::collections::BTreeMap;

use plerion_template::{Markup, PackedTemplate, PackedVector, Vector};
use serde::{Deserialize, Serialize};

use crate::Id;

/// Most nodes of a host that are known.
const NODES_MAX: usize = 256;
/// Largest number of a CPU of a host.
const CPU_MAX: u32 = 65_535;
/// Most CPUs of a list.
const CPUS_MAX: usize = 8192;
/// Most VMs that may share a thread.
const VMS_THREAD_MAX: u32 = 1024;
/// KiB of a MiB.
const KIB_PER_MIB: u64 = 1024;

/// A core of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCore {
    /// Its number within its node.
    pub id: u32,
    /// Its threads: numbers of CPUs of the host.
    pub cpus: Vec<u32>,
}

/// Huge pages of a node, of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPages {
    /// Size of a page in KiB.
    pub size_kib: u64,
    /// How many there are, used or not.
    pub pages: u64,
}

/// A NUMA node of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNode {
    /// Its number.
    pub id: u32,
    /// Its cores, by number.
    pub cores: Vec<HostCore>,
    /// Its huge pages, by size.
    pub pages: Vec<HostPages>,
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// All nodes, the nearest (itself) first.
    pub near: Vec<u32>,
}

/// Settings of a host for pinned VMs, from its template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinRules {
    /// PIN_POLICY is PINNED: it is for pinned VMs only.
    pub pinned: bool,
    /// ISOLCPUS: CPUs that no VM is pinned to.
    pub isolated: Vec<u32>,
    /// VMS_THREAD: how many virtual CPUs may share a thread; 1 or more.
    pub vms_thread: u32,
}

/// Numbers in a list such as `0,2-4`; what is none is left out.
#[must_use]
pub fn cpu_list(text: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in text.split([',', ' ']).map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
            continue;
        };
        let room = CPUS_MAX.saturating_sub(cpus.len());
        cpus.extend((first..=last.min(CPU_MAX)).take(room));
    }
    cpus
}

fn number<T: std::str::FromStr>(vector: PackedVector<'_>, name: &str) -> Option<T> {
    vector.get(name).and_then(|text| text.trim().parse().ok())
}

/// The nodes that a template tells of in the words of monitoring probes: `CORE`, `HUGEPAGE` and `MEMORY_NODE`, each with
/// `NODE_ID`. What has no number is left out.
#[must_use]
pub fn nodes_read(template: &PackedTemplate) -> Vec<HostNode> {
    let mut nodes: BTreeMap<u32, HostNode> = BTreeMap::new();
    for name in ["CORE", "HUGEPAGE", "MEMORY_NODE"] {
        for vector in template.vectors(name) {
            let Some(id) = number(vector, "NODE_ID") else {
                continue;
            };
            if nodes.len() >= NODES_MAX && !nodes.contains_key(&id) {
                continue;
            }
            let node = nodes.entry(id).or_insert_with(|| HostNode {
                id,
                ..HostNode::default()
            });
            node_part(node, name, vector);
        }
    }
    nodes.into_values().collect()
}

fn node_part(node: &mut HostNode, name: &str, vector: PackedVector<'_>) {
    match name {
        "CORE" => {
            let cpus = cpu_list(vector.get("CPUS").unwrap_or_default());
            let core = number(vector, "ID").filter(|id| node.cores.iter().all(|core| core.id != *id));
            if let Some(id) = core.filter(|_| !cpus.is_empty()) {
                node.cores.push(HostCore { id, cpus });
                node.cores.sort_by_key(|core| core.id);
            }
        }
        "HUGEPAGE" => {
            if let (Some(size_kib), Some(pages)) = (number(vector, "SIZE"), number(vector, "PAGES")) {
                node.pages.push(HostPages { size_kib, pages });
                node.pages.sort_by_key(|pages| pages.size_kib);
            }
        }
        _ => {
            node.memory_kib = number(vector, "TOTAL").unwrap_or(0);
            node.near = cpu_list(vector.get("DISTANCE").unwrap_or_default());
        }
    }
}

impl PinRules {
    /// Reads a host's template.
    #[must_use]
    pub fn read(template: &PackedTemplate) -> Self {
        let text = |name: &str| template.get(name).unwrap_or_default().trim().to_owned();
        let vms_thread = text("VMS_THREAD").parse().unwrap_or(1);
        Self {
            pinned: text("PIN_POLICY").eq_ignore_ascii_case("PINNED"),
            isolated: cpu_list(&text("ISOLCPUS")),
            vms_thread: u32::clamp(vms_thread, 1, VMS_THREAD_MAX),
        }
    }
}

/// PIN_POLICY of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PinPolicy {
    /// Its virtual CPUs run on any CPU (of a node, where it says which).
    #[default]
    None,
    /// Each virtual CPU has a core of its own.
    Core,
    /// Each virtual CPU has a thread of its own.
    Thread,
    /// It has as many threads as virtual CPUs, and each of these runs on any of them.
    Shared,
}

impl PinPolicy {
    /// Reads PIN_POLICY; what is no policy is [`PinPolicy::None`], as 7.4 has it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match text.trim().to_ascii_uppercase().as_str() {
            "CORE" => Self::Core,
            "THREAD" => Self::Thread,
            "SHARED" => Self::Shared,
            _ => Self::None,
        }
    }
}

/// Where a node of a VM is on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodePlace {
    /// Node whose CPUs it has.
    pub node: u32,
    /// Node whose memory it has.
    pub memory_node: u32,
    /// The CPUs.
    pub cpus: Vec<u32>,
}

impl NodePlace {
    /// Notes it in a `NUMA_NODE` vector.
    pub fn give(&self, vector: &mut Vector) {
        let cpus: Vec<String> = self.cpus.iter().map(u32::to_string).collect();
        vector.set("CPUS", cpus.join(","));
        vector.set("MEMORY_NODE_ID", self.memory_node.to_string());
        vector.set("NODE_ID", self.node.to_string());
    }
}

/// Attributes of a `NUMA_NODE` of a VM that it has by the host that it is on.
pub const NUMA_PLACE: [&str; 3] = ["CPUS", "MEMORY_NODE_ID", "NODE_ID"];

/// A node of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeDemand {
    /// Its virtual CPUs.
    pub cpus: u32,
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// Where it is, or was last.
    pub place: Option<NodePlace>,
}

/// What a VM asks for of the NUMA nodes of its host, and has once it is placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NumaDemand {
    /// PIN_POLICY.
    pub policy: PinPolicy,
    /// THREADS of a core; 0 as the first host has it.
    pub threads: u32,
    /// SOCKETS; 1 or more.
    pub sockets: u32,
    /// HUGEPAGE_SIZE in KiB; 0 for ordinary memory.
    pub page_kib: u64,
    /// NODE_AFFINITY: the node that it must be on.
    pub affinity: Option<u32>,
    /// Its nodes.
    pub nodes: Vec<NodeDemand>,
}

impl NumaDemand {
    /// Reads a VM's template; `None` where it has no `NUMA_NODE`, so that it is bound to no node.
    #[must_use]
    pub fn read(template: &PackedTemplate) -> Option<Self> {
        let nodes: Vec<NodeDemand> = template
            .vectors("NUMA_NODE")
            .take(NODES_MAX)
            .filter_map(node_demand)
            .collect();
        if nodes.is_empty() {
            return None;
        }
        let mut demand = Self {
            sockets: 1,
            nodes,
            ..Self::default()
        };
        if let Some(topology) = template.vectors("TOPOLOGY").next() {
            demand.policy = PinPolicy::read(topology.get("PIN_POLICY").unwrap_or_default());
            // What the first host gave stays, so that the guest finds the same CPUs on the next one.
            demand.threads = number(topology, "THREADS").unwrap_or(0);
            demand.sockets = number(topology, "SOCKETS").unwrap_or(1).max(1);
            let size: u64 = number(topology, "HUGEPAGE_SIZE").unwrap_or(0);
            demand.page_kib = size.saturating_mul(KIB_PER_MIB);
            demand.affinity = number(topology, "NODE_AFFINITY");
        }
        Some(demand)
    }

    /// Whether its virtual CPUs are pinned to CPUs that are counted.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.policy != PinPolicy::None
    }

    /// Huge pages that some memory takes.
    #[must_use]
    pub fn pages_of(&self, memory_kib: u64) -> u64 {
        match self.page_kib {
            0 => 0,
            size => memory_kib.div_ceil(size),
        }
    }

    /// All its memory in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        let memory = self.nodes.iter().map(|node| node.memory_kib);
        memory.fold(0, u64::saturating_add)
    }

    /// All its virtual CPUs.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        self.nodes
            .iter()
            .fold(0, |sum, node| sum.saturating_add(node.cpus))
    }
}

fn node_demand(vector: PackedVector<'_>) -> Option<NodeDemand> {
    let place = number(vector, "NODE_ID").map(|node| NodePlace {
        node,
        memory_node: number(vector, "MEMORY_NODE_ID").unwrap_or(node),
        cpus: cpu_list(vector.get("CPUS").unwrap_or_default()),
    });
    Some(NodeDemand {
        cpus: number(vector, "TOTAL_CPUS").filter(|cpus| *cpus > 0 && *cpus <= CPU_MAX)?,
        memory_kib: number(vector, "MEMORY")?,
        place,
    })
}

/// What VMs have of the NUMA nodes of a host: it is counted anew from the VMs each time, so that it cannot drift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumaUse {
    /// VMs on each CPU, one entry for each of their virtual CPUs.
    pub cpus: BTreeMap<u32, Vec<Id>>,
    /// CPUs whose cores are somebody's own.
    pub dedicated: BTreeMap<u32, Id>,
    /// Memory in KiB, by node.
    pub memory_kib: BTreeMap<u32, u64>,
    /// Huge pages, by node and size in KiB.
    pub pages: BTreeMap<(u32, u64), u64>,
}

impl NumaUse {
    /// Counts a VM. What it has of no node yet does not count.
    pub fn take(&mut self, vm: Id, demand: &NumaDemand) {
        for node in &demand.nodes {
            let Some(place) = &node.place else { continue };
            self.take_place(vm, demand, node.memory_kib, place);
        }
    }

    /// Counts one node of a VM.
    pub fn take_place(&mut self, vm: Id, demand: &NumaDemand, memory_kib: u64, place: &NodePlace) {
        if demand.is_pinned() {
            for cpu in &place.cpus {
                self.cpus.entry(*cpu).or_default().push(vm);
                if demand.policy == PinPolicy::Core {
                    self.dedicated.insert(*cpu, vm);
                }
            }
        }
        let memory = self.memory_kib.entry(place.memory_node).or_default();
        *memory = memory.saturating_add(memory_kib);
        if demand.page_kib > 0 {
            let pages = self
                .pages
                .entry((place.memory_node, demand.page_kib))
                .or_default();
            *pages = pages.saturating_add(demand.pages_of(memory_kib));
        }
    }

    /// Virtual CPUs on a CPU.
    #[must_use]
    pub fn on_cpu(&self, cpu: u32) -> u32 {
        let count = self.cpus.get(&cpu).map_or(0, Vec::len);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether a core is somebody's own.
    #[must_use]
    pub fn is_dedicated(&self, core: &HostCore) -> bool {
        core.cpus.iter().any(|cpu| self.dedicated.contains_key(cpu))
    }

    /// Virtual CPUs that may still be pinned to a core.
    #[must_use]
    pub fn core_free(&self, core: &HostCore, rules: &PinRules) -> u32 {
        if self.is_dedicated(core) {
            return 0;
        }
        // An isolated CPU that somebody is on stays his until he goes.
        let (mut places, mut used) = (0_u32, 0_u32);
        for cpu in &core.cpus {
            let count = self.on_cpu(*cpu);
            used = used.saturating_add(count);
            if count > 0 || !rules.isolated.contains(cpu) {
                places = places.saturating_add(rules.vms_thread);
            }
        }
        places.saturating_sub(used)
    }

    /// Memory of a node in KiB that is not taken.
    #[must_use]
    pub fn memory_free(&self, node: &HostNode) -> u64 {
        node.memory_kib
            .saturating_sub(self.memory_kib.get(&node.id).copied().unwrap_or(0))
    }

    /// Huge pages of a node that are not taken.
    #[must_use]
    pub fn pages_free(&self, node: &HostNode, size_kib: u64) -> u64 {
        let pages = node.pages.iter().find(|pages| pages.size_kib == size_kib);
        let taken = self.pages.get(&(node.id, size_kib)).copied().unwrap_or(0);
        pages.map_or(0, |pages| pages.pages).saturating_sub(taken)
    }
}

/// `<NUMA_NODES>` of `HOST_SHARE`, in the words of 7.4: `CPUS` lists each CPU with the VM on it, -1 for nobody, -2 where it is
/// set apart by ISOLCPUS.
pub fn nodes_render(out: &mut impl Markup, nodes: &[HostNode], rules: &PinRules, used: &NumaUse) {
    out.open("NUMA_NODES");
    for node in nodes {
        out.open("NODE");
        for core in &node.cores {
            core_render(out, core, rules, used);
        }
        for pages in &node.pages {
            let taken = used.pages.get(&(node.id, pages.size_kib)).copied().unwrap_or(0);
            out.open("HUGEPAGE");
            out.cdata_element("PAGES", &pages.pages.to_string());
            out.cdata_element("SIZE", &pages.size_kib.to_string());
            out.cdata_element("USAGE", &taken.to_string());
            out.close("HUGEPAGE");
        }
        let near: Vec<String> = node.near.iter().map(u32::to_string).collect();
        let taken = used.memory_kib.get(&node.id).copied().unwrap_or(0);
        out.open("MEMORY");
        out.cdata_element("DISTANCE", &near.join(" "));
        out.cdata_element("TOTAL", &node.memory_kib.to_string());
        out.cdata_element("USAGE", &taken.to_string());
        out.close("MEMORY");
        out.cdata_element("NODE_ID", &node.id.to_string());
        out.close("NODE");
    }
    out.close("NUMA_NODES");
}

fn core_render(out: &mut impl Markup, core: &HostCore, rules: &PinRules, used: &NumaUse) {
    let mut cpus = Vec::new();
    for cpu in &core.cpus {
        match used.cpus.get(cpu) {
            Some(vms) => cpus.extend(vms.iter().map(|vm| format!("{cpu}:{vm}"))),
            None if rules.isolated.contains(cpu) => cpus.push(format!("{cpu}:-2")),
            None => cpus.push(format!("{cpu}:-1")),
        }
    }
    let dedicated = if used.is_dedicated(core) { "YES" } else { "NO" };
    out.open("CORE");
    out.cdata_element("CPUS", &cpus.join(","));
    out.cdata_element("DEDICATED", dedicated);
    out.cdata_element("FREE", &used.core_free(core, rules).to_string());
    out.cdata_element("ID", &core.id.to_string());
    out.close("CORE");
}

#[cfg(test)]
mod tests {
    use plerion_template::{PlainXml, Template};

    use super::*;

    fn packed(text: &str) -> PackedTemplate {
        PackedTemplate::new(&Template::parse(text).expect("good"))
    }

    #[test]
    fn lists_of_cpus_have_numbers_and_ranges() {
        for (text, cpus) in [
            ("0,4", vec![0, 4]),
            ("0-2, 7", vec![0, 1, 2, 7]),
            ("0 1", vec![0, 1]),
            ("x,3,-1,5-4", vec![3]),
            ("", vec![]),
        ] {
            assert_eq!(cpu_list(text), cpus, "{text:?}");
        }
        assert_eq!(cpu_list("0-4294967295").len(), CPUS_MAX);
    }

    #[test]
    fn a_host_shows_its_nodes_as_7_4_does() {
        let template = packed(
            "CORE=[NODE_ID=0,ID=1,CPUS=\"1,3\"]\nCORE=[NODE_ID=0,ID=0,CPUS=\"0,2\"]\nCORE=[ID=7,CPUS=\"9\"]\n\
             HUGEPAGE=[NODE_ID=0,SIZE=2048,PAGES=16]\nMEMORY_NODE=[NODE_ID=0,TOTAL=1000,DISTANCE=\"0\"]\nISOLCPUS=\"3\"",
        );
        let nodes = nodes_read(&template);
        let rules = PinRules::read(&template);
        let vm = packed(
            "TOPOLOGY=[PIN_POLICY=CORE,HUGEPAGE_SIZE=2]\n\
             NUMA_NODE=[TOTAL_CPUS=1,MEMORY=4096,NODE_ID=0,MEMORY_NODE_ID=0,CPUS=\"0\"]",
        );
        let mut used = NumaUse::default();
        used.take(5, &NumaDemand::read(&vm).expect("nodes"));
        let mut out = PlainXml::default();
        nodes_render(&mut out, &nodes, &rules, &used);
        assert_eq!(
            out.into_string(),
            "<NUMA_NODES><NODE><CORE><CPUS><![CDATA[0:5,2:-1]]></CPUS><DEDICATED><![CDATA[YES]]></DEDICATED><FREE>\
             <![CDATA[0]]></FREE><ID><![CDATA[0]]></ID></CORE><CORE><CPUS><![CDATA[1:-1,3:-2]]></CPUS><DEDICATED>\
             <![CDATA[NO]]></DEDICATED><FREE><![CDATA[1]]></FREE><ID><![CDATA[1]]></ID></CORE><HUGEPAGE><PAGES>\
             <![CDATA[16]]></PAGES><SIZE><![CDATA[2048]]></SIZE><USAGE><![CDATA[2]]></USAGE></HUGEPAGE><MEMORY><DISTANCE>\
             <![CDATA[0]]></DISTANCE><TOTAL><![CDATA[1000]]></TOTAL><USAGE><![CDATA[4096]]></USAGE></MEMORY><NODE_ID>\
             <![CDATA[0]]></NODE_ID></NODE></NUMA_NODES>"
        );
    }
}
