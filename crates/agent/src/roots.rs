//! Which paths an action may touch.
//!
//! Every path must be absolute, without `.` or `..`, and beneath one of the roots of the hello; links in its parent
//! directories must not lead out of them. What is read is opened first and then asked where it really is, so that
//! nobody can exchange it between check and use.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use crate::fault::{Act, IoContext, failed, io_failed, refused};

/// How often a path is looked at that comes and goes.
const REAL_LOOKS_MAX: u32 = 100;
/// Longest path.
const PATH_BYTES_MAX: usize = 4096;
/// Directories beneath a root that a path to be deleted or replaced must have at least: a datastore itself is safe.
const DELETE_DEPTH_MIN: usize = 2;

/// The directories below which the agent may touch files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    roots: Vec<PathBuf>,
}

impl Roots {
    /// Takes over the roots of a hello; each must be a normalized absolute path other than `/`.
    pub(crate) fn new(roots: &[String]) -> Act<Self> {
        let roots = roots
            .iter()
            .map(|root| normalized(root))
            .collect::<Act<Vec<_>>>()?;
        if roots.iter().any(|root| root.parent().is_none()) {
            return Err(refused(
                "'/' cannot be a root: name the directory of the datastores",
            ));
        }
        Ok(Self { roots })
    }

    /// The roots as texts.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.roots
            .iter()
            .map(|root| root.to_string_lossy().into_owned())
            .collect()
    }

    /// A path to make, replace or link: its parents are resolved, itself is not.
    pub(crate) fn target(&self, path: &str) -> Act<PathBuf> {
        let path = self.beneath(path)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        self.resolved_check(parent, &path)?;
        Ok(path)
    }

    /// A path to delete or to replace: as [`Roots::target`], and deep enough not to be a datastore itself.
    pub(crate) fn disposable(&self, path: &str) -> Act<PathBuf> {
        let path = self.target(path)?;
        let depth = self
            .roots
            .iter()
            .filter_map(|root| path.strip_prefix(root).ok())
            .map(|rest| rest.iter().count());
        if depth.max().unwrap_or(0) < DELETE_DEPTH_MIN {
            return Err(refused(format!(
                "{} is a whole datastore: it is not deleted",
                path.display()
            )));
        }
        Ok(path)
    }

    /// A path to read, which must exist: links are followed, but not out of the roots. Gives the real path.
    pub(crate) fn source(&self, path: &str) -> Act<PathBuf> {
        let path = self.beneath(path)?;
        let real = path.canonicalize().at("cannot find", &path)?;
        self.real_check(&real, &path)?;
        Ok(real)
    }

    /// Opens a file to read, as [`Roots::source`], safe against an exchange after the check.
    pub(crate) fn source_open(&self, path: &str) -> Act<(File, PathBuf)> {
        let real = self.source(path)?;
        let (file, real) = regular_open(&real)?;
        self.real_check(&real, Path::new(path))?;
        Ok((file, real))
    }

    /// Whether the text of a link at `link` leads to somewhere beneath the roots (by its text alone).
    pub(crate) fn link_is_inside(&self, link: &Path, text: &Path) -> bool {
        let mut resolved = if text.is_absolute() {
            PathBuf::from("/")
        } else {
            link.parent().map(Path::to_path_buf).unwrap_or_default()
        };
        for component in text.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir => {
                    resolved.pop();
                }
                Component::Normal(name) => resolved.push(name),
                Component::Prefix(_) => return false,
            }
        }
        self.roots.iter().any(|root| resolved.starts_with(root))
    }

    fn beneath(&self, path: &str) -> Act<PathBuf> {
        let path = normalized(path)?;
        if self
            .roots
            .iter()
            .any(|root| path.starts_with(root) && path != *root)
        {
            return Ok(path);
        }
        Err(refused(format!(
            "{} lies outside of the directories this cloud may use ({})",
            path.display(),
            self.texts().join(", ")
        )))
    }

    /// Resolves the part of `directory` that exists and checks where it is.
    fn resolved_check(&self, directory: &Path, path: &Path) -> Act<()> {
        for ancestor in directory.ancestors() {
            let Some(real) = real_path(ancestor)? else {
                continue;
            };
            // A parent above the root exists while the root does not yet: nothing can lead out of it.
            if self
                .roots
                .iter()
                .any(|root| root.starts_with(ancestor) && root != ancestor)
            {
                return Ok(());
            }
            return self.real_check(&real, path);
        }
        Ok(())
    }

    fn real_check(&self, real: &Path, path: &Path) -> Act<()> {
        let inside = self.roots.iter().any(|root| match root.canonicalize() {
            Ok(root) => real.starts_with(root),
            Err(_) => real.starts_with(root),
        });
        if inside {
            return Ok(());
        }
        Err(refused(format!(
            "{} leads by a link to {}, outside of the directories this cloud may use ({}); to keep data elsewhere, \
             mount it there instead of linking",
            path.display(),
            real.display(),
            self.texts().join(", ")
        )))
    }
}

/// Where a path really is; none where there is nothing. Another action may make it at this moment, and then it is looked at
/// again.
fn real_path(path: &Path) -> Act<Option<PathBuf>> {
    use std::io::ErrorKind::NotFound;
    for _ in 0..REAL_LOOKS_MAX {
        match path.canonicalize() {
            Ok(real) => return Ok(Some(real)),
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(io_failed("cannot look at", path, &error)),
        }
        match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                return Err(refused(format!("{} is a link to nowhere", path.display())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == NotFound => return Ok(None),
            Err(error) => return Err(io_failed("cannot look at", path, &error)),
        }
    }
    Err(failed(format!(
        "{} comes and goes: see what else makes and removes it",
        path.display()
    )))
}

/// Opens a regular file and says where it really is.
pub(crate) fn regular_open(path: &Path) -> Act<(File, PathBuf)> {
    // Without NONBLOCK the opening of a FIFO would wait for a writer for ever.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .at("cannot open", path)?;
    if !file.metadata().at("cannot look at", path)?.is_file() {
        return Err(failed(format!("{} is not a regular file", path.display())));
    }
    let real = file_path(&file, path)?;
    Ok((file, real))
}

/// Where an open file really is.
pub(crate) fn file_path(file: &File, path: &Path) -> Act<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .at("cannot find out the real path of", path)
}

/// Turns a path into the text that programs and XML carry.
pub(crate) fn path_text(path: &Path) -> Act<&str> {
    path.to_str()
        .ok_or_else(|| refused(format!("{} is not valid UTF-8", path.display())))
}

/// Checks that a path is absolute and normalized.
pub(crate) fn normalized(path: &str) -> Act<PathBuf> {
    let wrong = !path.starts_with('/')
        || path.len() > PATH_BYTES_MAX
        || path.contains(['\0', '\n'])
        || (path != "/"
            && path[1..]
                .split('/')
                .any(|part| part.is_empty() || part == "." || part == ".."));
    if wrong {
        return Err(refused(format!("{path:?} is not a normalized absolute path")));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    /// At each a directory may come or go.
    const LOOKS: u32 = 20_000;

    #[test]
    fn only_normalized_paths_are_taken() {
        for bad in ["", "a", "/a/../b", "/a/./b", "/a//b", "/a/", "/a\0b", "/a/.."] {
            assert!(normalized(bad).is_err(), "{bad:?}");
        }
        for good in ["/", "/a", "/a/b.c/..d"] {
            assert!(normalized(good).is_ok(), "{good:?}");
        }
        assert!(Roots::new(&["/".to_owned()]).is_err());
    }

    #[test]
    fn a_directory_that_comes_meanwhile_is_no_link() {
        // Two disks of a VM come at the same time: either of them makes its directory.
        let scratch = Scratch::new("roots");
        let root = scratch.path().canonicalize().expect("real");
        let roots = Roots::new(&[root.to_string_lossy().into_owned()]).expect("roots");
        let directory = root.join("5");
        let disk = format!("{}/disk.0", directory.display());
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::create_dir(&directory).expect("made");
                    std::fs::remove_dir(&directory).expect("removed");
                }
            });
            let refusal = (0..LOOKS).find_map(|_| roots.target(&disk).err());
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(refusal.is_none(), "{refusal:?}");
        });
    }

    #[test]
    fn links_do_not_lead_out() {
        let scratch = Scratch::new("roots");
        let (inside, outside) = (scratch.path().join("in"), scratch.path().join("out"));
        std::fs::create_dir_all(inside.join("100/5")).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        std::fs::write(outside.join("secret"), "x").expect("written");
        std::os::unix::fs::symlink(&outside, inside.join("100/away")).expect("linked");
        std::os::unix::fs::symlink(outside.join("secret"), inside.join("100/5/disk.0")).expect("linked");
        let roots = Roots::new(&[inside.to_string_lossy().into_owned()]).expect("roots");
        let text = |rest: &str| format!("{}/{rest}", inside.display());
        assert!(roots.target(&text("100/5/disk.1")).is_ok());
        assert!(
            roots.target(&text("100/6/new/disk.1")).is_ok(),
            "missing parents are fine"
        );
        assert!(
            roots.target(&text("100/away/disk.1")).is_err(),
            "a link in a parent"
        );
        assert!(
            roots.target(&text("100/away/new/disk.1")).is_err(),
            "a link in a parent further up"
        );
        assert!(
            roots.source(&text("100/5/disk.0")).is_err(),
            "the last part is a link out"
        );
        assert!(
            roots.target(&text("100/5/disk.0")).is_ok(),
            "a link may be replaced or deleted"
        );
        assert!(roots.target(&outside.join("x").to_string_lossy()).is_err());
        assert!(roots.disposable(&text("100")).is_err(), "a whole datastore");
        assert!(roots.disposable(&text("100/5")).is_ok());
        assert!(
            roots.target(&inside.to_string_lossy()).is_err(),
            "the root itself"
        );
    }

    #[test]
    fn texts_of_links_are_judged() {
        let roots = Roots::new(&["/ds".to_owned()]).expect("roots");
        let link = Path::new("/ds/0/5/disk.0");
        for good in ["disk.0.snap/0", ".", "../../1/image", "/ds/1/image"] {
            assert!(roots.link_is_inside(link, Path::new(good)), "{good}");
        }
        for bad in ["/etc/passwd", "../../../etc/passwd", "/ds/../etc", "/"] {
            assert!(!roots.link_is_inside(link, Path::new(bad)), "{bad}");
        }
    }
}
