//! The locks that QEMU holds on the disks of a VM.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::OFlags;

use crate::fault::{Act, IoContext, failed};
use crate::roots::Roots;

/// Disks of one VM.
const DISKS_MAX: usize = 256;

/// The files of a VM's disks (`disk.N` in its directory, links followed). A VM without any is an error, as no lock can tell
/// of it.
pub(super) fn disks(directory: &Path, roots: &Roots) -> Act<Vec<PathBuf>> {
    let mut disks = Vec::new();
    for entry in std::fs::read_dir(directory).at("cannot read", directory)? {
        let path = entry.at("cannot read", directory)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("disk."));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            disks.push(roots.source(&path.to_string_lossy())?);
        }
    }
    match disks.len() {
        0 => Err(failed(format!(
            "{} has no disk whose lock could tell anything",
            directory.display()
        ))),
        count if count > DISKS_MAX => Err(failed(format!("{} has too many disks", directory.display()))),
        _ => Ok(disks),
    }
}

/// Whether somebody else holds a lock on a file.
pub(super) fn is_locked(path: &Path) -> Act<bool> {
    let file = disk_open(path)?;
    let mut lock = whole_file();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))
        .map_err(std::io::Error::from)
        .at("cannot ask for the locks on", path)?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Whether a file could be locked against everybody. The lock is let go of at once. Unlike the mere question this asks all
/// copies of the file where the file system keeps several, and one that knows of a lock is enough.
pub(super) fn is_free(path: &Path) -> Act<bool> {
    let file = disk_open(path)?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(error) => Err(std::io::Error::from(error)).at("cannot lock", path),
    }
}

fn disk_open(path: &Path) -> Act<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or(0);
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .at("cannot open", path)?;
    if !file.metadata().at("cannot look at", path)?.is_file() {
        return Err(failed(format!("{} is not a regular file", path.display())));
    }
    Ok(file)
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    fn read_lock(file: &File) {
        let lock = libc::flock {
            l_type: i16::try_from(libc::F_RDLCK).expect("small"),
            l_start: 100,
            l_len: 1,
            ..whole_file()
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).expect("locked");
    }

    #[test]
    fn a_lock_on_one_byte_is_seen_as_long_as_it_is_held() {
        let place = Scratch::new("lease");
        let path = place.path().join("disk.0");
        std::fs::write(&path, "x").expect("written");
        let seen = || (is_locked(&path).expect("asked"), is_free(&path).expect("tried"));
        assert_eq!(seen(), (false, true));
        let holder = File::open(&path).expect("open");
        read_lock(&holder);
        assert_eq!(seen(), (true, false));
        drop(holder);
        assert_eq!(seen(), (false, true), "nothing is left of the looks either");
    }

    #[test]
    fn disks_are_what_is_called_so() {
        let place = Scratch::new("lease");
        let root = place.path().canonicalize().expect("real");
        let roots = Roots::new(&[root.to_string_lossy().into_owned()]).expect("roots");
        let directory = root.join("100").join("7");
        std::fs::create_dir_all(directory.join("disk.0.snap")).expect("made");
        assert!(disks(&directory, &roots).is_err(), "no disk, no proof");
        std::fs::write(directory.join("deployment.0"), "").expect("written");
        std::fs::write(directory.join("disk.0.snap/0"), "").expect("written");
        std::os::unix::fs::symlink("disk.0.snap/0", directory.join("disk.0")).expect("linked");
        std::fs::write(directory.join("disk.1"), "").expect("written");
        let mut found = disks(&directory, &roots).expect("found");
        found.sort();
        assert_eq!(found, [directory.join("disk.0.snap/0"), directory.join("disk.1")]);
        std::os::unix::fs::symlink("nowhere", directory.join("disk.2")).expect("linked");
        assert!(disks(&directory, &roots).is_err(), "one that cannot be looked at");
    }
}
