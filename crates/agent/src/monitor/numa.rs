//! NUMA nodes of the host, from /sys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plerion_protocol::{NumaCore, NumaNode, NumaPages, NumaSample};

/// Where the kernel tells of its nodes.
pub(crate) const NODES: &str = "/sys/devices/system/node";
/// Most nodes that are told of.
const NODES_MAX: usize = 256;
/// Most CPUs of a list.
const CPUS_MAX: usize = 8192;

/// The nodes beneath a directory such as [`NODES`], and their use. A kernel that tells of none has none.
pub(crate) fn numa_nodes(directory: &Path) -> (Vec<NumaNode>, Vec<NumaSample>) {
    let mut ids = numbered(directory, "node");
    ids.truncate(NODES_MAX);
    ids.iter()
        .map(|id| node_read(&directory.join(format!("node{id}")), *id, &ids))
        .unzip()
}

/// Numbers of the entries of a directory that are a word and a number, ascending.
fn numbered(directory: &Path, word: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(word)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn node_read(path: &Path, id: u32, ids: &[u32]) -> (NumaNode, NumaSample) {
    let memory = read(&path.join("meminfo"));
    let (memory_kib, memory_free_kib) = (memory_of(&memory, "MemTotal:"), memory_of(&memory, "MemFree:"));
    let (pages, pages_free) = pages_read(&path.join("hugepages"));
    let node = NumaNode {
        id,
        cores: cores_read(path),
        pages,
        memory_kib,
        near: near_read(&read(&path.join("distance")), id, ids),
    };
    let sample = NumaSample {
        id,
        memory_free_kib,
        memory_used_kib: memory_kib.saturating_sub(memory_free_kib),
        pages_free,
    };
    (node, sample)
}

/// A file that is not there says nothing.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn number(path: PathBuf) -> Option<u64> {
    read(&path).trim().parse().ok()
}

/// `Node 0 MemTotal:  1024 kB`.
fn memory_of(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(name));
    lines
        .find_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Huge pages by size, and how many of each nobody uses.
fn pages_read(directory: &Path) -> (Vec<NumaPages>, Vec<(u64, u64)>) {
    let mut sizes: Vec<u64> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()
        })
        .collect();
    sizes.sort_unstable();
    let of = |size: &u64, file: &str| {
        let path = directory.join(format!("hugepages-{size}kB")).join(file);
        number(path).unwrap_or(0)
    };
    let pages = sizes.iter().map(|size| NumaPages {
        size_kib: *size,
        pages: of(size, "nr_hugepages"),
    });
    let free = sizes.iter().map(|size| (*size, of(size, "free_hugepages")));
    (pages.collect(), free.collect())
}

/// Cores of a node. The kernel numbers cores within a socket: where a node has several sockets, a number that is taken
/// already makes way for the next free one.
fn cores_read(path: &Path) -> Vec<NumaCore> {
    let mut cores: Vec<NumaCore> = Vec::new();
    let mut seen = BTreeSet::new();
    for cpu in numbered(path, "cpu") {
        let topology = path.join(format!("cpu{cpu}")).join("topology");
        // A CPU that is switched off has no topology.
        let Some(core) = number(topology.join("core_id")).and_then(|id| u32::try_from(id).ok()) else {
            continue;
        };
        let mut cpus = list_read(&read(&topology.join("thread_siblings_list")));
        cpus.retain(|sibling| seen.insert(*sibling));
        if cpus.is_empty() {
            continue;
        }
        let taken = |id: u32| cores.iter().any(|core| core.id == id);
        let next = cores.iter().map(|core| core.id.saturating_add(1)).max();
        let id = if taken(core) { next.unwrap_or(core) } else { core };
        cores.push(NumaCore { id, cpus });
    }
    cores.sort_by_key(|core| core.id);
    cores
}

/// `0,4` or `0-1`.
fn list_read(text: &str) -> Vec<u32> {
    let parts = text.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    parts.flatten().take(CPUS_MAX).collect()
}

/// All nodes, the nearest first: `distance` has the distance of each, in the order of their numbers.
fn near_read(text: &str, id: u32, ids: &[u32]) -> Vec<u32> {
    let mut near: Vec<(u32, u32)> = text
        .split_whitespace()
        .zip(ids)
        .filter_map(|(distance, other)| Some((distance.parse().ok()?, *other)))
        .collect();
    near.sort_by_key(|(distance, other)| (*distance, *other != id, *other));
    near.into_iter().map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn nodes_cores_pages_and_distances_are_read() {
        let scratch = Scratch::new("numa");
        let node = |id: u32| scratch.path().join(format!("node{id}"));
        for (id, cpus, distance) in [(0, [0, 2], "10 21"), (1, [1, 3], "21 10")] {
            write(
                &node(id).join("meminfo"),
                &format!("Node {id} MemTotal:  4000 kB\nNode {id} MemFree:   1000 kB\n"),
            );
            write(&node(id).join("distance"), distance);
            for cpu in cpus {
                let topology = node(id).join(format!("cpu{cpu}/topology"));
                write(&topology.join("core_id"), "5\n");
                write(
                    &topology.join("thread_siblings_list"),
                    &format!("{},{}\n", cpus[0], cpus[1]),
                );
            }
        }
        // A second socket in the node, whose core has the same number; and a CPU that is switched off.
        write(&node(1).join("cpu7/topology/core_id"), "5\n");
        write(&node(1).join("cpu7/topology/thread_siblings_list"), "7-8\n");
        write(&node(1).join("cpu9/online"), "0\n");
        let pages = node(0).join("hugepages/hugepages-2048kB");
        write(&pages.join("nr_hugepages"), "8\n");
        write(&pages.join("free_hugepages"), "3\n");
        let core = |id, cpus: &[u32]| NumaCore {
            id,
            cpus: cpus.to_vec(),
        };
        let (nodes, used) = numa_nodes(scratch.path());
        assert_eq!(
            nodes,
            [
                NumaNode {
                    id: 0,
                    cores: vec![core(5, &[0, 2])],
                    pages: vec![NumaPages {
                        size_kib: 2048,
                        pages: 8
                    }],
                    memory_kib: 4000,
                    near: vec![0, 1],
                },
                NumaNode {
                    id: 1,
                    cores: vec![core(5, &[1, 3]), core(6, &[7, 8])],
                    pages: vec![],
                    memory_kib: 4000,
                    near: vec![1, 0],
                },
            ]
        );
        assert_eq!((used[0].memory_free_kib, used[0].memory_used_kib), (1000, 3000));
        assert_eq!(used[0].pages_free, [(2048, 3)]);
        assert_eq!(numa_nodes(&scratch.path().join("none")), (vec![], vec![]));
    }

    #[test]
    fn this_machine_has_a_node_with_its_cpus() {
        if !Path::new(NODES).exists() {
            use std::io::Write;
            // Past the harness, which would swallow it.
            writeln!(std::io::stderr(), "SKIPPED: the kernel tells of no NUMA nodes")
                .expect("standard error");
            return;
        }
        let (nodes, _) = numa_nodes(Path::new(NODES));
        let cpus = nodes
            .iter()
            .flat_map(|node| &node.cores)
            .flat_map(|core| &core.cpus);
        assert!(cpus.count() > 0, "{nodes:?}");
        assert!(
            nodes
                .iter()
                .any(|node| node.memory_kib > 0 && !node.near.is_empty())
        );
    }
}
