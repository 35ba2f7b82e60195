//! Use of the host, from /proc and /sys.

use std::path::Path;

use plerion_protocol::HostSample;

/// Ticks of all CPUs together since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    idle: u64,
    total: u64,
    cpus: u64,
}

/// Measures the host; `before` are the ticks of the measurement before, replaced by those of now.
pub(crate) fn host_sample(before: &mut CpuTicks) -> HostSample {
    let now = ticks_read(&read("/proc/stat"));
    let cpu_used = cpu_used(*before, now);
    *before = now;
    let (total, available) = memory_read(&read("/proc/meminfo"));
    let (net_rx_bytes, net_tx_bytes) = network_read(&read("/proc/net/dev"), is_physical);
    HostSample {
        cpu_used,
        memory_used_kib: total.saturating_sub(available),
        net_rx_bytes,
        net_tx_bytes,
        ..HostSample::default()
    }
}

/// A missing file leaves its figures at 0.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn ticks_read(text: &str) -> CpuTicks {
    let mut ticks = CpuTicks::default();
    for line in text.lines().filter(|line| line.starts_with("cpu")) {
        let mut words = line.split_whitespace();
        if words.next() != Some("cpu") {
            ticks.cpus += 1;
            continue;
        }
        // user nice system idle iowait irq softirq steal; guest time is within user.
        let values: Vec<u64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
        ticks.total = values.iter().sum();
        ticks.idle = values.iter().skip(3).take(2).sum();
    }
    ticks
}

/// Hundredths of a CPU in use between two measurements.
fn cpu_used(before: CpuTicks, now: CpuTicks) -> u32 {
    let total = now.total.saturating_sub(before.total);
    let busy = total.saturating_sub(now.idle.saturating_sub(before.idle));
    let hundredths = (busy * now.cpus * 100).checked_div(total).unwrap_or(0);
    u32::try_from(hundredths).unwrap_or(u32::MAX)
}

/// Total and available memory in KiB.
pub(crate) fn memory_read(text: &str) -> (u64, u64) {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.split_whitespace().next())
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    };
    (value("MemTotal:"), value("MemAvailable:"))
}

/// Bytes received and sent by the interfaces that `counted` accepts.
fn network_read(text: &str, counted: impl Fn(&str) -> bool) -> (u64, u64) {
    let mut sums = (0, 0);
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let values: Vec<u64> = rest
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        if let (Some(received), Some(sent)) = (values.first(), values.get(8))
            && counted(name.trim())
        {
            sums.0 += received;
            sums.1 += sent;
        }
    }
    sums
}

/// Whether an interface leads out of the host: it has a device behind it, or is the end of a pair in a container.
fn is_physical(name: &str) -> bool {
    let interface = Path::new("/sys/class/net").join(name);
    let linked_elsewhere = || {
        let read = |file: &str| std::fs::read_to_string(interface.join(file)).unwrap_or_default();
        let bridged = interface.join("master").exists() || interface.join("bridge").exists();
        let virtual_device = interface.join("tun_flags").exists() || name == "lo";
        !bridged && !virtual_device && read("iflink").trim() != read("ifindex").trim()
    };
    interface.join("device").exists() || linked_elsewhere()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_use_is_measured_between_two_moments() {
        let before = ticks_read("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n");
        let now = ticks_read("cpu  200 0 200 1300 300 0 0 0 50 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n");
        assert_eq!(cpu_used(before, now), 40);
        assert_eq!(cpu_used(now, now), 0);
        assert_eq!(ticks_read(""), CpuTicks::default());
    }

    #[test]
    fn memory_and_network_are_read() {
        assert_eq!(
            memory_read("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   60 kB\n"),
            (100, 60)
        );
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets\n  lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 5 \
                    1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        assert_eq!(network_read(text, |name| name == "eth0"), (5, 7));
    }
}
