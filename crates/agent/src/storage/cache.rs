//! The cache of images beside the VMs of a system datastore: what has not been used for long goes, and what has not been
//! used longest when space runs short.
//!
//! A file's time of access is its last use: a transfer that finds it here sets it. Nothing goes that was used within
//! [`REST_MIN`], that another transfer is at, or that a disk of a VM is a link to or an overlay on.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plerion_protocol::CacheWatch;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::header::{HEADER_BYTES, backing_file};
use super::part::missing_is_fine;
use super::{datastore_space, entry_delete};
use crate::fault::{Act, IoContext};
use crate::state::{lock_take, part_path, sibling};

/// Directory of cached images within a system datastore.
pub(crate) const CACHE: &str = ".images";
/// A file stays at least so long after its last use: as long as an action may take that was planned with it.
const REST_MIN: Duration = Duration::from_secs(6 * 3600);

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// Names of the files.
    pub(crate) names: Vec<String>,
    /// Their size in bytes, as they said.
    pub(crate) bytes: u64,
}

struct Cached {
    name: String,
    path: PathBuf,
    used: SystemTime,
    metadata: Metadata,
}

/// Notes that a file of a cache is used now. Its other times stay: by them it is known.
pub(crate) fn use_note(path: &Path) -> Act<()> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(rustix::fs::UTIME_NOW),
        last_modification: time(rustix::fs::UTIME_OMIT),
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).at("cannot set the time of", path)
}

/// Prunes the cache of a system datastore; `store` is the datastore's directory.
///
/// # Errors
/// When it cannot be told what is in use, or a file cannot be removed; what was removed before that is gone.
pub(crate) fn cache_prune(store: &Path, watch: &CacheWatch) -> Act<Pruned> {
    let free_percent = |path: &Path| -> Act<u64> {
        let space = datastore_space(-1, path)?;
        Ok(space.free_mib.saturating_mul(100) / space.total_mib.max(1))
    };
    prune(store, watch, SystemTime::now(), &free_percent)
}

fn prune(
    store: &Path,
    watch: &CacheWatch,
    now: SystemTime,
    free_percent: &dyn Fn(&Path) -> Act<u64>,
) -> Act<Pruned> {
    let cache = store.join(CACHE);
    let mut pruned = Pruned::default();
    let mut cached = cached_files(&cache)?;
    cached.sort_by_key(|file| file.used);
    let mut in_use = None;
    for file in cached {
        let age = now.duration_since(file.used).unwrap_or_default();
        if age < REST_MIN {
            break;
        }
        let old = age >= Duration::from_secs(watch.unused_s);
        if !old && free_percent(&cache)? >= u64::from(watch.free_percent) {
            break;
        }
        // Looked at only when something is to go: it costs a look at every disk.
        if in_use.is_none() {
            in_use = Some(files_in_use(store)?);
        }
        let key = (file.metadata.dev(), file.metadata.ino());
        if in_use.as_ref().is_some_and(|in_use| in_use.contains(&key)) {
            continue;
        }
        if file_remove(&file)? {
            pruned.bytes = pruned.bytes.saturating_add(file.metadata.len());
            pruned.names.push(file.name);
        }
    }
    Ok(pruned)
}

/// The images in a cache, and what is left of transfers that broke and were not tried again.
fn cached_files(cache: &Path) -> Act<Vec<Cached>> {
    let entries = match std::fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("cannot read", cache),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.at("cannot read", cache)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        // Of a broken transfer the part stands for all that belongs to it.
        let name = match name.strip_prefix('.') {
            Some(hidden) => match hidden.strip_suffix(".part") {
                Some(name) => name.to_owned(),
                None => continue,
            },
            None => name.to_owned(),
        };
        let metadata = path.symlink_metadata().at("cannot look at", &path)?;
        if !metadata.is_file() {
            continue;
        }
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        files.push(Cached {
            used: time(metadata.atime()).max(time(metadata.mtime())),
            name,
            path,
            metadata,
        });
    }
    Ok(files)
}

/// Removes a file and what belongs to it, unless a transfer is at it.
fn file_remove(file: &Cached) -> Act<bool> {
    let named = file.path.with_file_name(&file.name);
    let resume = sibling(&named, ".resume");
    let Ok(lock) = lock_take(&resume, Duration::ZERO, "a transfer") else {
        return Ok(false);
    };
    // Only now nobody can come back to it: a use that was noted in between counts.
    let now = file.path.symlink_metadata().at("cannot look at", &file.path)?;
    if (now.ino(), now.atime(), now.mtime())
        == (file.metadata.ino(), file.metadata.atime(), file.metadata.mtime())
    {
        entry_delete(&file.path)?;
        let belongings = [part_path(&named), sibling(&named, ".origin")];
        for path in belongings.iter().filter(|_| file.path == named) {
            entry_delete(path)?;
        }
        missing_is_fine(std::fs::remove_file(&resume)).at("cannot remove", &resume)?;
        drop(lock);
        return Ok(true);
    }
    Ok(false)
}

/// Device and inode of every file that a disk of a VM is a link to or an overlay on.
fn files_in_use(store: &Path) -> Act<BTreeSet<(u64, u64)>> {
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(store).at("cannot read", store)? {
        let directory = entry.at("cannot read", store)?.path();
        let is_vm = directory
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_vm && directory.is_dir() {
            disks_in_use(&directory, &mut used)?;
        }
    }
    Ok(used)
}

/// What the files of one directory refer to; snapshots lie one directory deeper.
fn disks_in_use(directory: &Path, used: &mut BTreeSet<(u64, u64)>) -> Act<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        // The VM has just ended.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).at("cannot read", directory),
    };
    for entry in entries {
        let path = entry.at("cannot read", directory)?.path();
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() {
            disks_in_use(&path, used)?;
        } else if metadata.is_symlink() {
            // A link that leads nowhere uses nothing.
            used.extend(path.metadata().ok().map(|target| (target.dev(), target.ino())));
        } else if metadata.is_file() {
            used.extend(backing_of(&path)?);
        }
    }
    Ok(())
}

fn backing_of(path: &Path) -> Act<Option<(u64, u64)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("cannot open", path),
    };
    let mut header = vec![0; HEADER_BYTES];
    let mut filled = 0;
    while filled < header.len() {
        match file
            .read_at(&mut header[filled..], filled as u64)
            .at("cannot read", path)?
        {
            0 => break,
            count => filled += count,
        }
    }
    header.truncate(filled);
    let backing = backing_file(&header).map(|name| path.parent().unwrap_or(Path::new("/")).join(name));
    Ok(backing
        .and_then(|backing| backing.metadata().ok())
        .map(|metadata| (metadata.dev(), metadata.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    const DAY: u64 = 24 * 3600;
    const WATCH: CacheWatch = CacheWatch {
        directory: String::new(),
        unused_s: 30 * DAY,
        free_percent: 10,
    };

    struct Store {
        scratch: Scratch,
        now: SystemTime,
    }

    impl Store {
        fn new(name: &str) -> Self {
            let scratch = Scratch::new(name);
            std::fs::create_dir(scratch.path().join(CACHE)).expect("made");
            Self {
                scratch,
                now: SystemTime::now(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.scratch.path().join(name)
        }

        /// A file of 10 bytes in the cache, used so long ago.
        fn image(&self, name: &str, age_s: u64) -> PathBuf {
            let path = self.path(CACHE).join(name);
            std::fs::write(&path, [7; 10]).expect("written");
            let then = self.now - Duration::from_secs(age_s);
            let file = File::options().write(true).open(&path).expect("opened");
            let times = std::fs::FileTimes::new().set_accessed(then).set_modified(then);
            file.set_times(times).expect("set");
            path
        }

        fn disk(&self, name: &str, content: &[u8]) {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            std::fs::write(path, content).expect("written");
        }

        /// Prunes on a file system where so much is free; each file that goes makes ten percent more free.
        fn prune(&self, free_percent: u64) -> Vec<String> {
            let before = std::fs::read_dir(self.path(CACHE)).expect("read").count() as u64;
            let free = |cache: &Path| {
                let left = std::fs::read_dir(cache).expect("read").count() as u64;
                Ok(free_percent + (before - left) * 10)
            };
            prune(self.scratch.path(), &WATCH, self.now, &free)
                .expect("pruned")
                .names
        }
    }

    #[test]
    fn what_was_not_used_for_long_goes() {
        let store = Store::new("cache-old");
        store.image("old", 31 * DAY);
        store.image("young", 29 * DAY);
        store.image("now", 0);
        assert_eq!(store.prune(50), ["old"]);
        assert!(!store.path(".images/old").exists() && store.path(".images/young").exists());
        assert_eq!(store.prune(50), [""; 0]);
    }

    #[test]
    fn what_was_not_used_longest_goes_until_there_is_space() {
        let store = Store::new("cache-space");
        for (name, days) in [("b", 2), ("d", 4), ("a", 1), ("c", 3)] {
            store.image(name, days * DAY);
        }
        store.image("in-an-action", 3600);
        assert_eq!(store.prune(9), ["d"]);
        assert_eq!(store.prune(0), ["c"]);
        assert!(store.path(".images/in-an-action").exists());
    }

    #[test]
    fn nothing_that_was_used_just_now_goes_however_little_space_is_left() {
        let store = Store::new("cache-rest");
        store.image("a", 3600);
        let path = store.image("b", 40 * DAY);
        let free = |_: &Path| Ok(0);
        use_note(&path).expect("noted");
        let modified = path.metadata().expect("there").modified().expect("a time");
        assert!(
            modified < store.now - Duration::from_secs(DAY),
            "only its use is new"
        );
        let pruned = prune(store.scratch.path(), &WATCH, SystemTime::now(), &free).expect("pruned");
        assert_eq!(pruned, Pruned::default());
    }

    #[test]
    fn what_a_disk_refers_to_stays() {
        let store = Store::new("cache-used");
        store.image("linked", 40 * DAY);
        store.image("backing", 40 * DAY);
        store.image("deep", 40 * DAY);
        store.image("free", 40 * DAY);
        store.disk("7/disk.1", b"raw");
        store.disk("7/disk.2", &overlay("../.images/backing"));
        let deep = store.path(".images/deep");
        store.disk("8/disk.0.snap/1", &overlay(deep.to_str().expect("text")));
        std::os::unix::fs::symlink("../.images/linked", store.path("7/disk.0")).expect("linked");
        assert_eq!(store.prune(50), ["free"]);
        std::fs::remove_dir_all(store.path("7")).expect("ended");
        let mut gone = store.prune(50);
        gone.sort();
        assert_eq!(gone, ["backing", "linked"]);
    }

    #[test]
    fn what_a_transfer_is_at_stays() {
        let store = Store::new("cache-lock");
        let path = store.image("busy", 40 * DAY);
        let lock = lock_take(&sibling(&path, ".resume"), Duration::ZERO, "a test").expect("free");
        assert_eq!(store.prune(50), [""; 0]);
        drop(lock);
        assert_eq!(store.prune(50), ["busy"]);
    }

    #[test]
    fn what_belongs_to_a_file_goes_with_it_and_so_do_broken_transfers() {
        let store = Store::new("cache-rests");
        store.image("whole", 40 * DAY);
        store.image(".whole.origin", 40 * DAY);
        store.image(".broken.part", 40 * DAY);
        store.image(".broken.resume", 40 * DAY);
        store.image(".young.part", DAY);
        store.image(".young.resume", DAY);
        let mut gone = store.prune(50);
        gone.sort();
        assert_eq!(gone, ["broken", "whole"]);
        let mut left: Vec<_> = std::fs::read_dir(store.path(CACHE))
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".young.part", ".young.resume"]);
    }

    #[test]
    fn a_datastore_without_a_cache_is_left_alone() {
        let scratch = Scratch::new("cache-none");
        let pruned = cache_prune(scratch.path(), &WATCH).expect("nothing to do");
        assert_eq!(pruned, Pruned::default());
    }

    /// The header of a QCOW2 overlay.
    fn overlay(backing: &str) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        header[8..16].copy_from_slice(&256_u64.to_be_bytes());
        header[16..20].copy_from_slice(&u32::try_from(backing.len()).expect("short").to_be_bytes());
        header[256..256 + backing.len()].copy_from_slice(backing.as_bytes());
        header
    }
}
