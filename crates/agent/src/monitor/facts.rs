//! What a host is.

use std::path::Path;

use plerion_protocol::HostFacts;

use super::host::memory_read;
use crate::hypervisor::kvm_probe::kvm_usable;

/// The facts of this host. With `probe`, whether KVM works is found out and remembered in `directory`.
pub(crate) fn host_facts(directory: &Path, probe: bool) -> HostFacts {
    let uname = rustix::system::uname();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let (cpu_model, cpu_mhz, cpus) = cpuinfo_read(&cpuinfo);
    let kvm_usable = probe && kvm_usable(directory);
    HostFacts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        arch: uname.machine().to_string_lossy().into_owned(),
        cpu_model,
        cpu_mhz,
        cpus,
        memory_kib: memory_read(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()).0,
        kvm_usable,
        cgroups_version: if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            2
        } else {
            1
        },
        hypervisor: if kvm_usable { "kvm" } else { "qemu" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Model name, MHz and number of CPUs.
fn cpuinfo_read(text: &str) -> (String, u32, u32) {
    let values = |key: &'static str| {
        text.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    let model = values("model name").next().unwrap_or("").to_owned();
    let mhz = values("cpu MHz")
        .next()
        .and_then(|mhz| mhz.split('.').next())
        .and_then(|mhz| mhz.parse().ok());
    let cpus = u32::try_from(values("processor").count()).unwrap_or(u32::MAX);
    (model, mhz.unwrap_or(0), cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_is_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.50GHz\ncpu MHz\t\t: 2500.123\n\nprocessor\t: 1\nmodel \
                    name\t: A CPU @ 2.50GHz\ncpu MHz\t\t: 2499.9\n";
        assert_eq!(cpuinfo_read(text), ("A CPU @ 2.50GHz".to_owned(), 2500, 2));
        assert_eq!(cpuinfo_read(""), (String::new(), 0, 0));
    }
}
