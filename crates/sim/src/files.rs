//! [`Files`]: the files of a machine: not their bytes, but whose bytes they are and how new.

use std::collections::BTreeMap;

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Tells it from every other file that was ever made.
    pub(crate) identity: u64,
    /// What was put into it last: each write of a guest has a number of its own, which copies keep.
    pub(crate) content: u64,
}

/// Files by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<String, File>,
}

impl Files {
    pub(crate) fn get(&self, path: &str) -> Option<File> {
        self.files.get(path).copied()
    }

    pub(crate) fn put(&mut self, path: &str, file: File) {
        self.files.insert(path.to_owned(), file);
    }

    /// The identity of a file, or of the first one of a directory.
    pub(crate) fn identity(&self, path: &str) -> Option<u64> {
        self.tree(path).first().map(|(_, file)| file.identity)
    }

    /// Whether a file or directory is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.identity(path).is_some()
    }

    /// All paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A file, or all files of a directory, with their paths below `path`.
    pub(crate) fn tree(&self, path: &str) -> Vec<(String, File)> {
        let below = format!("{path}/");
        self.files
            .range(path.to_owned()..)
            .take_while(|(name, _)| name.starts_with(path))
            .filter(|(name, _)| *name == path || name.starts_with(&below))
            .map(|(name, file)| (name.get(path.len()..).unwrap_or_default().to_owned(), *file))
            .collect()
    }

    /// Deletes a file or directory.
    pub(crate) fn delete(&mut self, path: &str) {
        for (name, _) in self.tree(path) {
            self.files.remove(&format!("{path}{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_files_and_not_its_namesakes() {
        let mut files = Files::default();
        let file = File {
            identity: 1,
            content: 1,
        };
        for path in ["/d/1", "/d/1/disk.0", "/d/1/disk.1", "/d/10/disk.0", "/d/1.x"] {
            files.put(path, file);
        }
        files.delete("/d/1");
        assert!(!files.exists("/d/1"));
        assert!(files.exists("/d/10") && files.exists("/d/1.x") && files.exists("/d/10/disk.0"));
    }
}
