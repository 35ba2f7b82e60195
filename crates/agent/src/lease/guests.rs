//! The guests of this host that have files in a datastore, as their processes tell: neither libvirt nor storage is asked, as
//! both may hang when guests have to be ended.

use std::io::Read;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::fault::{Act, failed};
use crate::hypervisor::Hypervisor;
use crate::limits::Limits;

const PROCESSES: &str = "/proc";
/// Longest command line that is read.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// A guest that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// Its process.
    pub(super) pid: i32,
    /// Name of its domain, `one-ID`.
    pub(super) name: String,
    /// Its UUID.
    pub(super) uuid: String,
    /// Id of its VM.
    pub(super) vm: String,
}

/// The guests that have files beneath a directory of a datastore.
pub(super) fn guests(datastore: &str) -> Act<Vec<Guest>> {
    let processes =
        std::fs::read_dir(PROCESSES).map_err(|error| failed(format!("cannot read {PROCESSES}: {error}")))?;
    Ok(processes
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            guest_of(pid, &command_line(pid)?, datastore)
        })
        .collect())
}

/// None of a process that has ended.
fn command_line(pid: i32) -> Option<String> {
    let file = std::fs::File::open(Path::new(PROCESSES).join(pid.to_string()).join("cmdline")).ok()?;
    let mut line = Vec::new();
    file.take(LINE_BYTES_MAX).read_to_end(&mut line).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// The guest that a QEMU with this command line is, if it has files in the datastore.
fn guest_of(pid: i32, line: &str, datastore: &str) -> Option<Guest> {
    let words: Vec<&str> = line.split('\0').collect();
    let program = words.first()?.rsplit('/').next()?;
    if !program.starts_with("qemu") {
        return None;
    }
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at.checked_add(1)?).copied()
    };
    let name = after("-name")?
        .split(',')
        .find_map(|part| part.strip_prefix("guest="))?;
    let vm = name.strip_prefix("one-").filter(|vm| vm.parse::<u32>().is_ok())?;
    let files = format!("{}/{vm}/", datastore.trim_end_matches('/'));
    words.iter().any(|word| word.contains(&files)).then(|| Guest {
        pid,
        name: name.to_owned(),
        uuid: after("-uuid").unwrap_or_default().to_owned(),
        vm: vm.to_owned(),
    })
}

impl Guest {
    /// Ends it at once.
    pub(super) fn kill(&self, datastore: &str, hypervisor: &Hypervisor, limits: &Limits) -> Act<()> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(self.failure(&error.to_string())),
        };
        // The number may have gone to another process before it was opened; now it cannot.
        let still = command_line(self.pid).and_then(|line| guest_of(self.pid, &line, datastore));
        if still.as_ref() != Some(self) {
            return Ok(());
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            // It runs as another user than the agent.
            Err(Errno::PERM) => hypervisor
                .domain_destroy(&self.name, &self.uuid, limits)
                .map(drop),
            Err(error) => Err(self.failure(&error.to_string())),
        }
    }

    fn failure(&self, why: &str) -> plerion_protocol::ActionError {
        failed(format!("cannot end {} (process {}): {why}", self.name, self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_by_its_command_line() {
        let line = |name: &str, file: &str| {
            format!(
                "/usr/bin/qemu-system-x86_64\0-name\0guest={name},debug-threads=on\0-uuid\0u-1\0-blockdev\0\
                 {{\"driver\":\"file\",\"filename\":\"{file}\"}}\0"
            )
        };
        let vm = |name: &str, file: &str| {
            guest_of(5, &line(name, file), "/ds/101").map(|guest| (guest.vm, guest.uuid))
        };
        assert_eq!(
            vm("one-7", "/ds/101/7/disk.0"),
            Some(("7".to_owned(), "u-1".to_owned()))
        );
        assert_eq!(vm("one-7", "/ds/1017/7/disk.0"), None, "another datastore");
        assert_eq!(vm("one-7", "/ds/101/77/disk.0"), None, "another VM's file");
        assert_eq!(vm("wild", "/ds/101/7/disk.0"), None);
        assert_eq!(guest_of(5, "less\0/ds/101/7/disk.0\0", "/ds/101"), None);
        assert_eq!(guest_of(5, "", "/ds/101"), None, "a kernel thread");
    }
}
