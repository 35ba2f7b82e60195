//! Where the agent keeps what must survive it: directories, locks, small files written whole.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::fault::{Act, IoContext, failed};

/// State directory when the agent runs as root.
const ROOT_STATE_DIRECTORY: &str = "/var/lib/plerion/node";

/// What an agent process serves; each kind has a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The agent of a host, behind a unix socket.
    Host,
    /// The front-end's own agent, behind its standard input.
    FrontEnd,
}

/// The state directory when none is given. Home directories may be shared between hosts, so the machine id is part
/// of it.
pub(crate) fn base_default() -> Act<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(ROOT_STATE_DIRECTORY));
    }
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .ok_or_else(|| failed("HOME is not set: give a directory for the agent's state with --state-dir"))?;
    Ok(PathBuf::from(home).join(".plerion").join(machine_id()))
}

/// The directory of one cloud and role, made when missing, accessible to this user only.
pub(crate) fn directory_open(base: &Path, cloud: &str, role: Role) -> Act<PathBuf> {
    let directory = base.join(cloud).join(match role {
        Role::Host => "host",
        Role::FrontEnd => "front-end",
    });
    private_directory_make(&directory)?;
    Ok(directory)
}

/// Makes a directory of mode 0700, or checks that an existing one belongs to this user and is closed to others.
pub(crate) fn private_directory_make(directory: &Path) -> Act<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .at("cannot make", directory)?;
    let metadata = directory.symlink_metadata().at("cannot look at", directory)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(failed(format!(
            "{} does not belong to the user the agent runs as; remove it or change its owner",
            directory.display()
        )));
    }
    if metadata.mode() & 0o077 != 0 {
        directory.set_permissions_mode(0o700)?;
    }
    Ok(())
}

trait PermissionsMode {
    fn set_permissions_mode(&self, mode: u32) -> Act<()>;
}

impl PermissionsMode for Path {
    fn set_permissions_mode(&self, mode: u32) -> Act<()> {
        std::fs::set_permissions(self, Permissions::from_mode(mode)).at("cannot set the mode of", self)
    }
}

/// Writes a small file whole or not at all, mode `mode`, durable when this returns.
pub(crate) fn file_write(path: &Path, content: &[u8], mode: u32) -> Act<()> {
    let part = part_path(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(&part)
        .at("cannot write", &part)?;
    file.set_permissions(Permissions::from_mode(mode))
        .at("cannot set the mode of", &part)?;
    file.write_all(content).at("cannot write", &part)?;
    file.sync_all().at("cannot sync", &part)?;
    std::fs::rename(&part, path).at("cannot put in place", path)?;
    directory_sync(path)
}

/// Makes the name of `path` durable.
pub(crate) fn directory_sync(path: &Path) -> Act<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|file| file.sync_all())
        .at("cannot sync", directory)
}

/// The name under which a file is written until it is whole: `.NAME.part` beside it.
pub(crate) fn part_path(path: &Path) -> PathBuf {
    sibling(path, ".part")
}

/// `.NAME<suffix>` beside `path`.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// Opens a lock file and takes the lock, waiting at most `patience`. Held until the file is dropped.
pub(crate) fn lock_take(path: &Path, patience: Duration, holder: &str) -> Act<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .at("cannot open", path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error).at("cannot lock", path),
    }
    // flock has no time limit: a thread waits, and if it comes too late its lock goes with the dropped file.
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let result = rustix::fs::flock(&file, FlockOperation::LockExclusive).map(|()| file);
        drop(sender.send(result));
    });
    match receiver.recv_timeout(patience) {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(error).at("cannot lock", path),
        Err(_) => Err(failed(format!(
            "{} is held by {holder} for more than {} s; look what it does, or end it",
            path.display(),
            patience.as_secs()
        ))),
    }
}

/// The kernel's boot id.
pub(crate) fn boot_id() -> String {
    trimmed("/proc/sys/kernel/random/boot_id")
}

fn machine_id() -> String {
    let id = trimmed("/etc/machine-id");
    if id.is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        id
    }
}

fn trimmed(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Identity of the program that runs: its version and the file it was started from. Two processes of one file agree;
/// a program that was replaced differs.
pub(crate) fn program_identity() -> Act<String> {
    let path = Path::new("/proc/self/exe");
    let metadata = path.metadata().at("cannot look at", path)?;
    Ok(format!(
        "{}:{}:{}:{}.{}",
        env!("CARGO_PKG_VERSION"),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec()
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory for one test, removed at its end.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("plerion-agent-{name}-{}-{count}", std::process::id()));
            std::fs::create_dir_all(&path).expect("scratch directory");
            Self(path.canonicalize().expect("scratch directory"))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            if let Err(error) = std::fs::remove_dir_all(&self.0) {
                eprintln!("cannot remove {}: {error}", self.0.display());
            }
        }
    }

    #[test]
    fn a_lock_is_waited_for_and_given_up() {
        let scratch = Scratch::new("lock");
        let path = scratch.path().join("lock");
        let held = lock_take(&path, Duration::from_millis(1), "a test").expect("free");
        let error = lock_take(&path, Duration::from_millis(50), "a test").expect_err("held");
        assert!(error.text.contains("a test"), "{}", error.text);
        drop(held);
        lock_take(&path, Duration::from_secs(5), "a test").expect("free again");
    }

    #[test]
    fn state_directories_are_private() {
        let scratch = Scratch::new("private");
        let path = scratch.path().join("a/b");
        std::fs::create_dir_all(&path).expect("made");
        private_directory_make(&path).expect("taken over");
        assert_eq!(path.metadata().expect("there").mode() & 0o777, 0o700);
    }
}
