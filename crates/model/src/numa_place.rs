//! Where the nodes of a VM go among the nodes of a host.

use crate::Id;
use crate::numa::{HostCore, HostNode, NodeDemand, NodePlace, NumaDemand, NumaUse, PinPolicy, PinRules};

/// Most ways that are tried to spread the nodes of a VM over those of a host.
const TRIES_MAX: u32 = 10_000;

/// A host as nodes are placed on it.
#[derive(Clone, Copy, Debug)]
pub struct NumaHost<'a> {
    /// Its nodes.
    pub nodes: &'a [HostNode],
    /// What its template says.
    pub rules: &'a PinRules,
    /// Nodes that a PCI device of the VM is at: they are preferred.
    pub near_pci: &'a [u32],
}

/// Where the nodes of a VM are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumaChoice {
    /// The place of each node, in order.
    pub places: Vec<NodePlace>,
    /// Threads of a core that the guest sees; 0 where that stays as it is.
    pub threads: u32,
}

/// Finds a place on a host for all nodes of a VM; `used` is what others have.
///
/// # Errors
/// Why there is none, in words.
pub fn numa_choose(
    host: NumaHost<'_>,
    used: &NumaUse,
    vm: Id,
    demand: &NumaDemand,
) -> Result<NumaChoice, String> {
    if demand.is_pinned() && !host.rules.pinned {
        return Err("its PIN_POLICY is not PINNED, and the CPUs of the VM are to be pinned".into());
    }
    if host.nodes.is_empty() {
        return Err("the host has told of no NUMA nodes".into());
    }
    if !demand.is_pinned() {
        return unpinned(host, used, demand);
    }
    let candidates = threads_possible(host, demand)?;
    for threads in candidates {
        let mut search = Search {
            host,
            vm,
            demand,
            threads,
            tries: 0,
        };
        let mut places = Vec::new();
        if search.place(used, &mut places) {
            return Ok(NumaChoice { places, threads });
        }
    }
    Err(lack(host, used, demand))
}

/// A VM that is bound to a node, but to none of its CPUs.
fn unpinned(host: NumaHost<'_>, used: &NumaUse, demand: &NumaDemand) -> Result<NumaChoice, String> {
    let memory = demand.memory_kib();
    let fits = |node: &&HostNode| memory_fits(used, node, demand, memory);
    let node = match demand.affinity {
        Some(id) => {
            let node = host.nodes.iter().find(|node| node.id == id);
            let node = node.ok_or_else(|| format!("it has no NUMA node {id} (NODE_AFFINITY)"))?;
            Some(node).filter(fits)
        }
        // The one with the most pages left.
        None => host
            .nodes
            .iter()
            .rev()
            .filter(fits)
            .max_by_key(|node| used.pages_free(node, demand.page_kib)),
    };
    let node = node.ok_or_else(|| lack(host, used, demand))?;
    let cpus = node.cores.iter().flat_map(|core| &core.cpus);
    let mut cpus: Vec<u32> = cpus
        .filter(|cpu| !host.rules.isolated.contains(cpu))
        .copied()
        .collect();
    cpus.sort_unstable();
    if cpus.is_empty() {
        return Err(format!(
            "all CPUs of its NUMA node {} are set apart by ISOLCPUS",
            node.id
        ));
    }
    let place = NodePlace {
        node: node.id,
        memory_node: node.id,
        cpus,
    };
    Ok(NumaChoice {
        places: vec![place; demand.nodes.len()],
        threads: 0,
    })
}

fn memory_fits(used: &NumaUse, node: &HostNode, demand: &NumaDemand, memory_kib: u64) -> bool {
    let pages =
        demand.page_kib == 0 || used.pages_free(node, demand.page_kib) >= demand.pages_of(memory_kib).max(1);
    pages && used.memory_free(node) >= memory_kib
}

/// Numbers of threads of a core that the guest may see, the highest first: powers of two, as many as a core of the host has
/// at most, the same for all nodes. Virtual CPUs of one core are put on threads of one core.
fn threads_possible(host: NumaHost<'_>, demand: &NumaDemand) -> Result<Vec<u32>, String> {
    if demand.policy == PinPolicy::Core {
        return Ok(vec![1]);
    }
    let cores = host.nodes.iter().flat_map(|node| &node.cores);
    let most = cores.map(|core| core.cpus.len()).max().unwrap_or(0);
    let total = demand.cpus();
    let fits = |threads: u32| {
        let each = threads.saturating_mul(demand.sockets);
        demand.nodes.iter().all(|node| node.cpus.is_multiple_of(threads))
            && (threads == 1 || total.is_multiple_of(each))
    };
    let possible: Vec<u32> = (0..u32::BITS)
        .rev()
        .map(|power| 1_u32 << power)
        .filter(|threads| usize::try_from(*threads).is_ok_and(|threads| threads <= most))
        .filter(|threads| fits(*threads))
        .filter(|threads| demand.threads == 0 || *threads == demand.threads)
        .collect();
    if possible.is_empty() && demand.threads > 0 {
        return Err(format!(
            "the VM has {} threads in a core (TOPOLOGY/THREADS), and the cores of the host have {most}",
            demand.threads
        ));
    }
    Ok(possible)
}

/// A way to place the nodes of a VM, looked for node by node; what leads nowhere is taken back.
struct Search<'a> {
    host: NumaHost<'a>,
    vm: Id,
    demand: &'a NumaDemand,
    threads: u32,
    tries: u32,
}

impl<'a> Search<'a> {
    fn place(&mut self, used: &NumaUse, places: &mut Vec<NodePlace>) -> bool {
        let Some(node) = self.demand.nodes.get(places.len()) else {
            return true;
        };
        for (cpu_node, memory_node) in self.pairs(used, node) {
            self.tries = self.tries.saturating_add(1);
            if self.tries > TRIES_MAX {
                return false;
            }
            let place = NodePlace {
                node: cpu_node.id,
                memory_node,
                cpus: self.cpus(used, cpu_node, node.cpus),
            };
            let mut with = used.clone();
            with.take_place(self.vm, self.demand, node.memory_kib, &place);
            places.push(place);
            if self.place(&with, places) {
                return true;
            }
            places.pop();
        }
        false
    }

    /// Nodes with room, and the nodes that may have the memory: near memory first, then where a PCI device of the VM is, then
    /// the emptiest node.
    fn pairs(&self, used: &NumaUse, node: &NodeDemand) -> Vec<(&'a HostNode, u32)> {
        let mut pairs = Vec::new();
        for cpu_node in self.host.nodes {
            let room = self.room(used, cpu_node);
            if room < node.cpus {
                continue;
            }
            let near = near_of(cpu_node, self.host.nodes);
            for (hop, id) in near.into_iter().enumerate() {
                let memory = self.host.nodes.iter().find(|other| other.id == id);
                if memory.is_some_and(|other| memory_fits(used, other, self.demand, node.memory_kib)) {
                    let far = !self.host.near_pci.contains(&cpu_node.id);
                    pairs.push((
                        (hop, far, u32::MAX.saturating_sub(room), cpu_node.id),
                        cpu_node,
                        id,
                    ));
                }
            }
        }
        pairs.sort_by_key(|(worth, ..)| *worth);
        pairs
            .into_iter()
            .map(|(_, node, memory)| (node, memory))
            .collect()
    }

    /// Virtual CPUs that a node still has room for.
    fn room(&self, used: &NumaUse, node: &HostNode) -> u32 {
        let cores = node.cores.iter().map(|core| self.core_room(used, core));
        cores.fold(0, u32::saturating_add)
    }

    fn core_room(&self, used: &NumaUse, core: &HostCore) -> u32 {
        let rules = self.host.rules;
        if self.demand.policy == PinPolicy::Core {
            let empty = core.cpus.iter().all(|cpu| used.on_cpu(*cpu) == 0);
            let usable = core.cpus.iter().any(|cpu| !rules.isolated.contains(cpu));
            return u32::from(empty && usable);
        }
        let free = used.core_free(core, rules);
        free.checked_div(self.threads)
            .unwrap_or(0)
            .saturating_mul(self.threads)
    }

    /// CPUs of a node for so many virtual CPUs, of which there is room.
    fn cpus(&self, used: &NumaUse, node: &HostNode, wanted: u32) -> Vec<u32> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut given: Vec<u32> = Vec::new();
        let mut with = used.clone();
        // Threads are shared only where none is left without.
        while given.len() < wanted {
            let before = given.len();
            for core in &node.cores {
                let share = core.cpus.len().max(1);
                let groups = share
                    .checked_div(usize::try_from(self.threads).unwrap_or(1))
                    .unwrap_or(1);
                for _ in 0..groups.max(1) {
                    if given.len() >= wanted || self.core_room(&with, core) == 0 {
                        break;
                    }
                    self.group(&mut with, core, &mut given);
                }
            }
            if given.len() == before {
                break;
            }
        }
        given
    }

    /// Gives the threads of one virtual core: those of a core that have the fewest on them.
    fn group(&self, with: &mut NumaUse, core: &HostCore, given: &mut Vec<u32>) {
        let rules = self.host.rules;
        for _ in 0..self.threads {
            let open = core.cpus.iter().filter(|cpu| {
                let count = with.on_cpu(**cpu);
                count < rules.vms_thread && (count > 0 || !rules.isolated.contains(cpu))
            });
            let Some(cpu) = open.min_by_key(|cpu| with.on_cpu(**cpu)).copied() else {
                return;
            };
            with.cpus.entry(cpu).or_default().push(self.vm);
            given.push(cpu);
        }
    }
}

/// All nodes, the nearest first; where nothing is told, the node itself and then the others.
fn near_of(node: &HostNode, nodes: &[HostNode]) -> Vec<u32> {
    let mut near = node.near.clone();
    if near.is_empty() {
        near.push(node.id);
    }
    let others = nodes.iter().map(|other| other.id);
    let others: Vec<u32> = others.filter(|id| !near.contains(id)).collect();
    near.extend(others);
    near
}

/// What a host lacks, in words.
fn lack(host: NumaHost<'_>, used: &NumaUse, demand: &NumaDemand) -> String {
    if demand.page_kib > 0 {
        let size = demand.page_kib / 1024;
        if host
            .nodes
            .iter()
            .all(|node| node.pages.iter().all(|pages| pages.size_kib != demand.page_kib))
        {
            return format!("it has no huge pages of {size} MB");
        }
        let memory = demand.memory_kib();
        let free: u64 = host
            .nodes
            .iter()
            .map(|node| used.pages_free(node, demand.page_kib))
            .fold(0, u64::saturating_add);
        let needed = demand.pages_of(memory);
        if needed > free {
            return format!("not enough huge pages of {size} MB: needs {needed}, {free} free");
        }
    }
    if let Some(id) = demand.affinity {
        return format!("its NUMA node {id} (NODE_AFFINITY) has not enough memory or huge pages left");
    }
    if !demand.is_pinned() {
        return "none of its NUMA nodes has the memory and huge pages left".into();
    }
    let cores = host.nodes.iter().flat_map(|node| &node.cores);
    let (what, free) = match demand.policy {
        PinPolicy::Core => {
            let empty = cores.filter(|core| {
                used.core_free(core, host.rules) > 0 && core.cpus.iter().all(|cpu| used.on_cpu(*cpu) == 0)
            });
            ("cores", u32::try_from(empty.count()).unwrap_or(u32::MAX))
        }
        PinPolicy::None | PinPolicy::Thread | PinPolicy::Shared => {
            let free = cores.map(|core| used.core_free(core, host.rules));
            ("threads", free.fold(0, u32::saturating_add))
        }
    };
    let needed = demand.cpus();
    if needed > free {
        return format!("not enough free {what} to pin to: needs {needed}, {free} free");
    }
    format!(
        "its NUMA nodes have {free} free {what}, but not with the memory in one node each for the {} nodes of the VM",
        demand.nodes.len()
    )
}

#[cfg(test)]
mod tests {
    use plerion_template::{PackedTemplate, Template};

    use super::*;
    use crate::numa::nodes_read;

    fn packed(text: &str) -> PackedTemplate {
        PackedTemplate::new(&Template::parse(text).expect("good"))
    }

    /// Two nodes of two cores of two threads, 1000 KiB and 8 pages of 2 MiB each.
    const HOST: &str = "PIN_POLICY=PINNED
CORE=[NODE_ID=0,ID=0,CPUS=\"0,4\"]\nCORE=[NODE_ID=0,ID=1,CPUS=\"1,5\"]
CORE=[NODE_ID=1,ID=0,CPUS=\"2,6\"]\nCORE=[NODE_ID=1,ID=1,CPUS=\"3,7\"]
HUGEPAGE=[NODE_ID=0,SIZE=2048,PAGES=8]\nHUGEPAGE=[NODE_ID=1,SIZE=2048,PAGES=16]
MEMORY_NODE=[NODE_ID=0,TOTAL=40000,DISTANCE=\"0 1\"]\nMEMORY_NODE=[NODE_ID=1,TOTAL=40000,DISTANCE=\"1 0\"]";

    struct Case {
        host: PackedTemplate,
        used: NumaUse,
        next: Id,
    }

    impl Case {
        fn new(more: &str) -> Self {
            Self {
                host: packed(&format!("{more}\n{HOST}")),
                used: NumaUse::default(),
                next: 0,
            }
        }

        /// Places a VM, and says where: `node/memory node:CPUs` of each node, and the threads.
        fn vm(&mut self, text: &str) -> Result<String, String> {
            let mut demand = NumaDemand::read(&packed(text)).expect("nodes");
            let (nodes, rules) = (nodes_read(&self.host), PinRules::read(&self.host));
            let host = NumaHost {
                nodes: &nodes,
                rules: &rules,
                near_pci: &[],
            };
            let choice = numa_choose(host, &self.used, self.next, &demand)?;
            for (node, place) in demand.nodes.iter_mut().zip(&choice.places) {
                node.place = Some(place.clone());
            }
            self.used.take(self.next, &demand);
            self.next += 1;
            let places = choice
                .places
                .iter()
                .map(|place| format!("{}/{}:{:?}", place.node, place.memory_node, place.cpus));
            Ok(format!(
                "{} t{}",
                places.collect::<Vec<_>>().join(" "),
                choice.threads
            ))
        }
    }

    fn vm(policy: &str, cpus: u32, memory: u64) -> String {
        format!("TOPOLOGY=[{policy}]\nNUMA_NODE=[TOTAL_CPUS={cpus},MEMORY={memory}]")
    }

    #[test]
    fn policies_take_cores_or_threads() {
        let mut case = Case::new("");
        for (text, place) in [
            (vm("PIN_POLICY=THREAD", 2, 10), Ok("0/0:[0, 4] t2")),
            (vm("PIN_POLICY=CORE", 1, 10), Ok("1/1:[2] t1")),
            (vm("PIN_POLICY=THREAD", 1, 10), Ok("0/0:[1] t1")),
            (vm("PIN_POLICY=CORE", 2, 10), Err("needs 2, 1 free")),
            (vm("PIN_POLICY=SHARED", 2, 10), Ok("1/1:[3, 7] t2")),
            (vm("PIN_POLICY=THREAD,THREADS=2", 2, 10), Err("needs 2, 1 free")),
            (
                vm("PIN_POLICY=THREAD,THREADS=4", 4, 10),
                Err("cores of the host have 2"),
            ),
            (vm("PIN_POLICY=THREAD", 1, 10), Ok("0/0:[5] t1")),
            (vm("PIN_POLICY=THREAD", 1, 10), Err("needs 1, 0 free")),
        ] {
            match (case.vm(&text), place) {
                (Ok(found), Ok(place)) => assert_eq!(found, place, "{text}"),
                (Err(reason), Err(words)) => assert!(reason.contains(words), "{text}: {reason}"),
                (found, place) => panic!("{text}: {found:?}, and not {place:?}"),
            }
        }
    }

    #[test]
    fn memory_and_pages_bind_to_nodes() {
        let huge = |affinity: &str, memory: u64| {
            vm(&format!("PIN_POLICY=NONE,HUGEPAGE_SIZE=2{affinity}"), 2, memory)
        };
        let mut case = Case::new("ISOLCPUS=\"2\"");
        for (text, place) in [
            // The most pages are on node 1; a CPU that is set apart is not in the set.
            (huge("", 20480), Ok("1/1:[3, 6, 7] t0")),
            (huge(",NODE_AFFINITY=0", 16384), Ok("0/0:[0, 1, 4, 5] t0")),
            (huge(",NODE_AFFINITY=0", 2048), Err("NODE_AFFINITY")),
            (huge(",NODE_AFFINITY=7", 2048), Err("it has no NUMA node 7")),
            (huge("", 14000), Err("needs 7, 6 free")),
            (
                vm("PIN_POLICY=NONE,HUGEPAGE_SIZE=1024", 1, 10),
                Err("no huge pages of 1024 MB"),
            ),
            (vm("PIN_POLICY=THREAD", 2, 23000), Ok("0/0:[0, 4] t2")),
            (vm("PIN_POLICY=THREAD", 2, 10000), Ok("1/1:[3, 7] t2")),
            // Memory of the far node where the near one has none left.
            (vm("PIN_POLICY=THREAD", 2, 9000), Ok("0/1:[1, 5] t2")),
            (vm("PIN_POLICY=THREAD", 1, 19000), Err("but not with the memory")),
        ] {
            match (case.vm(&text), place) {
                (Ok(found), Ok(place)) => assert_eq!(found, place, "{text}"),
                (Err(reason), Err(words)) => assert!(reason.contains(words), "{text}: {reason}"),
                (found, place) => panic!("{text}: {found:?}, and not {place:?}"),
            }
        }
    }

    #[test]
    fn nodes_of_a_vm_make_way_for_each_other() {
        let mut case = Case::new("VMS_THREAD=1");
        case.vm(&vm("PIN_POLICY=THREAD", 2, 10)).expect("placed");
        // The small node comes first and must not take what only the large one fits in.
        let two = "TOPOLOGY=[PIN_POLICY=THREAD]\nNUMA_NODE=[TOTAL_CPUS=2,MEMORY=10]\nNUMA_NODE=[TOTAL_CPUS=4,MEMORY=10]";
        assert_eq!(case.vm(two).expect("placed"), "0/0:[1, 5] 1/1:[2, 6, 3, 7] t2");
    }

    #[test]
    fn threads_are_shared_as_far_as_the_host_lets_them() {
        let mut case = Case::new("VMS_THREAD=2");
        assert_eq!(
            case.vm(&vm("PIN_POLICY=THREAD", 8, 10)).expect("placed"),
            "0/0:[0, 4, 1, 5, 0, 4, 1, 5] t2"
        );
        case.vm(&vm("PIN_POLICY=THREAD", 6, 10)).expect("placed");
        assert_eq!(
            case.vm(&vm("PIN_POLICY=THREAD", 2, 10)).expect("placed"),
            "1/1:[3, 7] t2"
        );
        assert!(case.vm(&vm("PIN_POLICY=THREAD", 1, 10)).is_err());
        case.host = packed(&HOST.replace("PINNED", "NONE"));
        let refusal = case.vm(&vm("PIN_POLICY=CORE", 1, 10)).expect_err("refused");
        assert!(refusal.contains("PIN_POLICY is not PINNED"), "{refusal}");
    }
}
