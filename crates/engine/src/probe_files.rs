//! The administrator's probes as they lie on the front-end, in the directories of 7.4: found, and packed for hosts.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plerion_protocol::{ProbeFamily, ProbeFile, ProbeSet};
use plerion_template::PackedTemplate;

use crate::pci_conf::pci_conf_read;

/// Directories that go to hosts, and files beside them that scripts of 7.4 include.
const PUSHED: [&str; 4] = ["im", "etc/im", "scripts_common.sh", "scripts_common.rb"];
/// `onehost sync` writes a word of its own into it.
const TOKEN: &str = ".update";
/// How deep directories are looked through, how many files there may be, and their bytes.
const DEPTH_MAX: u32 = 8;
const FILES_MAX: usize = 500;
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often it is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What 7.4 brings along itself, by directory: the agent measures that without them.
const STOCK: &[(ProbeFamily, &[&str])] = &[
    (
        ProbeFamily::HostBeacon,
        &[
            "date.sh",
            "monitord-client-shepherd.sh",
            "monitord-client-shepherd_local.sh",
        ],
    ),
    (
        ProbeFamily::HostSystem,
        &[
            "architecture.sh",
            "clean_db.rb",
            "cpu.sh",
            "cpu_features.sh",
            "linux_host.rb",
            "machines_models.rb",
            "memory_encryption.rb",
            "monitor_ds.rb",
            "name.sh",
            "nfs_automounted.rb",
            "numa_host.rb",
            "pci.rb",
            "system.rb",
            "version.sh",
            "wild_vm.rb",
        ],
    ),
    (
        ProbeFamily::HostMonitor,
        &["linux_usage.rb", "monitor.rb", "numa_usage.rb", "prediction.sh"],
    ),
    (
        ProbeFamily::VmMonitor,
        &["monitor.rb", "monitor_ds_vm.rb", "poll.rb"],
    ),
    (ProbeFamily::VmStatus, &["state.rb"]),
];

/// What a file was like when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    mode: u32,
    changed: (i64, i64),
    inode: u64,
}

/// What all hosts of a driver get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Packed {
    files: Vec<ProbeFile>,
    probes: Vec<(ProbeFamily, String)>,
}

/// The probes on the front-end.
pub(crate) struct ProbeFiles {
    remotes: PathBuf,
    seen: BTreeMap<String, Seen>,
    token: String,
    looked: Option<Instant>,
    /// By driver, since the last change.
    packed: BTreeMap<String, Arc<Packed>>,
}

impl ProbeFiles {
    /// Those beneath the directory of the drivers' scripts, which need not exist.
    pub(crate) fn new(remotes: PathBuf) -> Self {
        Self {
            remotes,
            seen: BTreeMap::new(),
            token: String::new(),
            looked: None,
            packed: BTreeMap::new(),
        }
    }

    /// Looks, if it is time, whether something has changed or hosts are to get all of it again.
    pub(crate) fn changed(&mut self, now: Instant) -> bool {
        let first = self.looked.is_none();
        let due = self
            .looked
            .is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY);
        if !due {
            return false;
        }
        self.looked = Some(now);
        let seen = match tree_look(&self.remotes) {
            Ok(seen) => seen,
            Err(reason) => {
                tracing::warn!(reason, "the probes are left as they were");
                return false;
            }
        };
        if seen == self.seen && !first {
            return false;
        }
        self.seen = seen;
        self.token = std::fs::read_to_string(self.remotes.join(TOKEN))
            .unwrap_or_default()
            .trim()
            .to_owned();
        self.packed.clear();
        true
    }

    /// `pci.conf` of a driver; empty where there is none.
    pub(crate) fn pci_conf(&self, driver: &str) -> PackedTemplate {
        let path = self
            .remotes
            .join("etc/im")
            .join(format!("{driver}-probes.d"))
            .join("pci.conf");
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => pci_conf_read(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(PackedTemplate::default()),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|reason| {
            tracing::warn!(path = %path.display(), reason, "no PCI device is let pass by this file");
            PackedTemplate::default()
        })
    }

    /// What a host gets.
    pub(crate) fn set_of(&mut self, driver: &str, host: i32, name: &str) -> ProbeSet {
        let remotes = &self.remotes;
        let seen = &self.seen;
        let packed = self
            .packed
            .entry(driver.to_owned())
            .or_insert_with(|| Arc::new(pack(remotes, seen, driver)));
        ProbeSet {
            token: self.token.clone(),
            driver: driver.to_owned(),
            host,
            name: name.to_owned(),
            files: packed.files.clone(),
            probes: packed.probes.clone(),
        }
    }
}

/// All files that may go to hosts, and the token, by path.
fn tree_look(remotes: &Path) -> Result<BTreeMap<String, Seen>, String> {
    let mut seen = BTreeMap::new();
    let Ok(home) = remotes.canonicalize() else {
        return Ok(seen);
    };
    for start in PUSHED.iter().chain([&TOKEN]) {
        walk(&home, start, DEPTH_MAX, &mut seen)?;
    }
    let bytes: u64 = seen.values().map(|file| file.bytes).sum();
    if seen.len() > FILES_MAX || bytes > BYTES_MAX {
        return Err(format!(
            "{} files of {bytes} bytes in {} and its directory etc/im are more than the {FILES_MAX} files of {BYTES_MAX} \
             bytes that go to hosts",
            seen.len(),
            remotes.join("im").display()
        ));
    }
    Ok(seen)
}

/// Links are followed as long as they lead to something in the same tree; what does not, or is gone, is left out.
fn walk(home: &Path, path: &str, depth: u32, seen: &mut BTreeMap<String, Seen>) -> Result<(), String> {
    let whole = home.join(path);
    let Ok(metadata) = whole.metadata() else {
        return Ok(());
    };
    if !whole.canonicalize().is_ok_and(|real| real.starts_with(home)) {
        tracing::debug!(path, "leads out of the directory of the drivers' scripts");
        return Ok(());
    }
    if metadata.is_file() {
        let file = Seen {
            bytes: metadata.size(),
            mode: metadata.permissions().mode(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        };
        seen.insert(path.to_owned(), file);
        return Ok(());
    }
    if depth == 0 || seen.len() > FILES_MAX {
        return Err(format!(
            "{} is too deep, or holds too many files",
            whole.display()
        ));
    }
    let entries = std::fs::read_dir(&whole).map_err(|error| format!("{}: {error}", whole.display()))?;
    for entry in entries.flatten() {
        if let Some(name) = entry.file_name().to_str() {
            walk(home, &format!("{path}/{name}"), depth - 1, seen)?;
        }
    }
    Ok(())
}

/// The probes of a driver, and everything that they may need; nothing where there are none.
fn pack(remotes: &Path, seen: &BTreeMap<String, Seen>, driver: &str) -> Packed {
    let probes: Vec<(ProbeFamily, String)> = seen
        .iter()
        .filter(|(_, file)| file.mode & 0o111 != 0)
        .filter_map(|(path, _)| Some((family_of(path, driver)?, path.clone())))
        .collect();
    if probes.is_empty() {
        return Packed::default();
    }
    let read = |path: &String, file: &Seen| match std::fs::read(remotes.join(path)) {
        Ok(content) => Some(ProbeFile {
            path: path.clone(),
            runs: file.mode & 0o111 != 0,
            content: BASE64_STANDARD.encode(content),
        }),
        Err(error) => {
            tracing::warn!(path, %error, "a file for probes cannot be read");
            None
        }
    };
    let files = seen.iter().filter(|(path, _)| *path != TOKEN);
    Packed {
        files: files.filter_map(|(path, file)| read(path, file)).collect(),
        probes,
    }
}

/// The family of a probe of the administrator's own.
fn family_of(path: &str, driver: &str) -> Option<ProbeFamily> {
    let path = path.strip_prefix(&format!("im/{driver}-probes.d/"))?;
    let (directory, name) = path.rsplit_once('/')?;
    let family = ProbeFamily::ALL
        .into_iter()
        .find(|family| family.directory() == directory)?;
    let stock = STOCK
        .iter()
        .any(|(of, names)| *of == family && names.contains(&name));
    (!stock && !name.starts_with('.')).then_some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("plerion-probes-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).expect("made");
            Self(path)
        }

        fn write(&self, path: &str, text: &str, mode: u32) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn own_probes_are_found_and_those_of_7_4_are_not_run() {
        let tree = Tree::new("found");
        tree.write("im/kvm-probes.d/host/monitor/battery.sh", "#!/bin/sh\n", 0o755);
        tree.write("im/kvm-probes.d/host/monitor/linux_usage.rb", "", 0o755);
        tree.write("im/kvm-probes.d/host/monitor/README", "", 0o644);
        tree.write("im/kvm-probes.d/vm/status/state.rb", "", 0o755);
        tree.write("im/kvm-probes.d/vm/status/own.rb", "", 0o755);
        tree.write("im/kvm-probes.d/flat.sh", "", 0o755);
        tree.write("im/lxc-probes.d/host/monitor/other.sh", "", 0o755);
        tree.write("etc/im/kvm-probes.d/battery.conf", ":a: b\n", 0o644);
        tree.write("etc/vmm/secret", "", 0o600);
        std::os::unix::fs::symlink("/etc/passwd", tree.0.join("im/out")).expect("linked");
        std::os::unix::fs::symlink("kvm-probes.d", tree.0.join("im/qemu-probes.d")).expect("linked");
        let mut files = ProbeFiles::new(tree.0.clone());
        assert!(files.changed(Instant::now()));
        let set = files.set_of("kvm", 3, "node3");
        let probes: Vec<&str> = set.probes.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(
            probes,
            [
                "im/kvm-probes.d/host/monitor/battery.sh",
                "im/kvm-probes.d/vm/status/own.rb"
            ]
        );
        assert_eq!(set.probes[1].0, ProbeFamily::VmStatus);
        let has = |path: &str| set.files.iter().any(|file| file.path == path);
        assert!(
            has("etc/im/kvm-probes.d/battery.conf") && has("im/kvm-probes.d/host/monitor/linux_usage.rb")
        );
        assert!(!has("im/out") && !has("etc/vmm/secret"));
        assert_eq!(
            files.set_of("qemu", 3, "node3").probes.len(),
            2,
            "by a link to a directory"
        );
        let none = files.set_of("vcenter", 3, "node3");
        assert!(none.probes.is_empty() && none.files.is_empty());
    }

    #[test]
    fn changes_and_the_token_are_seen() {
        let tree = Tree::new("changes");
        let mut files = ProbeFiles::new(tree.0.join("remotes"));
        let mut now = Instant::now();
        assert!(files.changed(now), "the first look");
        assert!(!files.changed(now), "not yet time");
        let mut look = |files: &mut ProbeFiles| {
            now += LOOK_EVERY;
            files.changed(now)
        };
        assert!(!look(&mut files));
        tree.write("remotes/im/kvm-probes.d/host/system/a", "1", 0o755);
        assert!(look(&mut files));
        assert_eq!(
            files.set_of("kvm", 0, "n").files[0].content,
            BASE64_STANDARD.encode("1")
        );
        tree.write("remotes/im/kvm-probes.d/host/system/a", "22", 0o755);
        assert!(look(&mut files));
        assert_eq!(
            files.set_of("kvm", 0, "n").files[0].content,
            BASE64_STANDARD.encode("22")
        );
        tree.write("remotes/.update", "word\n", 0o644);
        assert!(look(&mut files));
        assert_eq!(files.set_of("kvm", 0, "n").token, "word");
        for number in 0..=FILES_MAX {
            tree.write(&format!("remotes/im/{number}"), "", 0o644);
        }
        assert!(!look(&mut files), "too many are not taken");
        assert_eq!(files.set_of("kvm", 0, "n").probes.len(), 1);
    }
}
