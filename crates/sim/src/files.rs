//! [`Files`]: the files of a machine: not their bytes, but whose bytes they are and how new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The directories that all machines see.
const SHARED: &[&str] = &["/var/lib/one/datastores/101/", "/var/lib/one/datastores/102/"];
/// Content of a file of which only a part was written.
pub(crate) const TORN: u64 = 0;

fn is_shared(path: &str) -> bool {
    SHARED.iter().any(|directory| path.starts_with(directory))
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Tells it from every other file that was ever made.
    pub(crate) identity: u64,
    /// What was put into it last: each write of a guest has a number of its own, which copies keep.
    pub(crate) content: u64,
}

/// Files by path.
type Paths = BTreeMap<String, File>;

/// The files of a machine: its own, and those that it shares with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: Paths,
    shared: Arc<Mutex<Paths>>,
}

impl Files {
    /// No files but those that another machine shares with it.
    pub(crate) fn beside(other: &Self) -> Self {
        Self {
            files: Paths::new(),
            shared: Arc::clone(&other.shared),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Paths> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, path: &str) -> Option<File> {
        if is_shared(path) {
            return self.shared().get(path).copied();
        }
        self.files.get(path).copied()
    }

    pub(crate) fn put(&mut self, path: &str, file: File) {
        if is_shared(path) {
            self.shared().insert(path.to_owned(), file);
        } else {
            self.files.insert(path.to_owned(), file);
        }
    }

    /// The identity of a file, or of the first one of a directory.
    pub(crate) fn identity(&self, path: &str) -> Option<u64> {
        self.tree(path).first().map(|(_, file)| file.identity)
    }

    /// Whether a file or directory is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.identity(path).is_some()
    }

    /// The paths of its own files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A file, or all files of a directory, with their paths below `path`.
    pub(crate) fn tree(&self, path: &str) -> Vec<(String, File)> {
        if is_shared(path) {
            return tree_of(&self.shared(), path);
        }
        tree_of(&self.files, path)
    }

    /// Deletes a file or directory.
    pub(crate) fn delete(&mut self, path: &str) {
        for (name, _) in self.tree(path) {
            let path = format!("{path}{name}");
            if is_shared(&path) {
                self.shared().remove(&path);
            } else {
                self.files.remove(&path);
            }
        }
    }
}

fn tree_of(files: &Paths, path: &str) -> Vec<(String, File)> {
    let below = format!("{path}/");
    files
        .range(path.to_owned()..)
        .take_while(|(name, _)| name.starts_with(path))
        .filter(|(name, _)| *name == path || name.starts_with(&below))
        .map(|(name, file)| (name.get(path.len()..).unwrap_or_default().to_owned(), *file))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File = File {
        identity: 1,
        content: 1,
    };

    #[test]
    fn a_directory_is_its_files_and_not_its_namesakes() {
        let mut files = Files::default();
        for path in ["/d/1", "/d/1/disk.0", "/d/1/disk.1", "/d/10/disk.0", "/d/1.x"] {
            files.put(path, FILE);
        }
        files.delete("/d/1");
        assert!(!files.exists("/d/1"));
        assert!(files.exists("/d/10") && files.exists("/d/1.x") && files.exists("/d/10/disk.0"));
    }

    #[test]
    fn what_is_shared_is_seen_by_those_beside() {
        let mut one = Files::default();
        let mut two = Files::beside(&one);
        let path = format!("{}7/disk.0", SHARED[0]);
        one.put(&path, FILE);
        one.put("/own", FILE);
        assert_eq!((two.get(&path), two.get("/own")), (Some(FILE), None));
        two.delete(&format!("{}7", SHARED[0]));
        assert!(!one.exists(&path) && one.exists("/own"));
    }
}
