//! The machine and the measured process, as /proc tells of them.

use std::path::Path;

use crate::Result;

const MIB: f64 = 1024.0 * 1024.0;
/// Magic numbers of file systems (statfs(2)) that keep nothing on a disk, or that are common.
const FILE_SYSTEMS: &[(u64, &str)] = &[
    (0x0102_1994, "tmpfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlay"),
];

/// What the figures were measured on.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Processors that this program may use.
    pub(crate) cores: usize,
    model: String,
    memory_mib: u64,
    kernel: String,
    file_system: String,
    load: String,
}

impl Machine {
    /// This machine; `directory` is where databases will be.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let model = text_of("/proc/cpuinfo")?
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.to_owned());
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model,
            memory_mib: kib_field(&text_of("/proc/meminfo")?, "MemTotal:")? / 1024,
            kernel: text_of("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(directory)?,
            load: load_average()?,
        })
    }

    /// One line that goes with the table.
    pub(crate) fn line(&self) -> String {
        format!(
            "machine: {} cores ({}), {} MiB, Linux {}, databases on {}, load average {}; client beside server",
            self.cores, self.model, self.memory_mib, self.kernel, self.file_system, self.load
        )
    }
}

/// The load averages of 1, 5 and 15 minutes.
pub(crate) fn load_average() -> Result<String> {
    let text = text_of("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

fn file_system(directory: &Path) -> Result<String> {
    let stat = rustix::fs::statfs(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let magic = u64::try_from(stat.f_type).unwrap_or_default();
    let known = FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
    let name = known.map_or_else(
        || format!("file system {magic:#x}"),
        |(_, name)| (*name).to_owned(),
    );
    if name == "tmpfs" {
        return Ok("tmpfs (NOT A DISK: commits cost nothing there)".into());
    }
    Ok(name)
}

fn text_of(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// A field of /proc/meminfo or /proc/PID/status.
fn kib_field(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("/proc tells no {name}"))
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// The most there ever was.
    pub(crate) peak: u64,
}

impl Memory {
    /// Both figures as text.
    pub(crate) fn text(self) -> String {
        format!(
            "{:.0} MB, peak {:.0}",
            self.resident as f64 / MIB,
            self.peak as f64 / MIB
        )
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Its memory.
    pub(crate) fn memory(self) -> Result<Memory> {
        let text = text_of(&format!("/proc/{}/status", self.0))?;
        Ok(Memory {
            resident: kib_field(&text, "VmRSS:")? * 1024,
            peak: kib_field(&text, "VmHWM:")? * 1024,
        })
    }

    /// Processor time it has used, in seconds.
    pub(crate) fn cpu_s(self) -> Result<f64> {
        let [user, system, ..] = self.times_s()?;
        Ok(user + system)
    }

    /// The same with that of its children that have ended.
    pub(crate) fn cpu_with_children_s(self) -> Result<f64> {
        Ok(self.times_s()?.iter().sum())
    }

    /// User and system time, then those of children that have ended.
    fn times_s(self) -> Result<[f64; 4]> {
        let path = format!("/proc/{}/stat", self.0);
        let text = text_of(&path)?;
        // The name before the last parenthesis may hold anything; the times begin with field 14.
        let fields = text
            .rsplit_once(')')
            .map(|(_, fields)| fields)
            .unwrap_or_default();
        let ticks: Vec<f64> = fields
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse().ok())
            .collect();
        let ticks: [f64; 4] = ticks.try_into().map_err(|_| format!("{path} tells no times"))?;
        Ok(ticks.map(|ticks| ticks / ticks_per_s()))
    }
}

fn ticks_per_s() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Processor time of the whole machine that was not idle, in seconds.
pub(crate) fn busy_s() -> Result<f64> {
    let text = text_of("/proc/stat")?;
    let times: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest times are within user's.
    match times.get(..8) {
        Some([user, nice, system, _, _, irq, softirq, steal]) => {
            Ok((user + nice + system + irq + softirq + steal) / ticks_per_s())
        }
        _ => Err("/proc/stat tells no times".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_process() {
        let line = Machine::read(Path::new("/")).expect("readable").line();
        assert!(line.contains(" cores ("), "{line}");
        let own = Process(std::process::id());
        let memory = own.memory().expect("readable");
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        let own_s = own.cpu_s().expect("readable");
        assert!(own_s <= own.cpu_with_children_s().expect("readable"));
        assert!(own.cpu_s().expect("readable") <= busy_s().expect("readable"));
    }
}
