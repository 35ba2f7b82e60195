//! Marks of directories: agents that read the same mark see the same files.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the mark within a root.
const MARK: &str = ".plerion-place";
/// Longest mark that is read, in bytes.
const MARK_BYTES_MAX: usize = 128;

/// The mark of a directory, made if there is none; empty where that cannot be done.
pub(crate) fn place_of(root: &Path) -> String {
    match place_read_or_make(root) {
        Ok(mark) => mark,
        Err(error) => {
            tracing::warn!(root = %root.display(), %error, "the directory cannot be marked");
            String::new()
        }
    }
}

fn place_read_or_make(root: &Path) -> std::io::Result<String> {
    let path = root.join(MARK);
    if let Some(mark) = mark_read(&path)? {
        return Ok(mark);
    }
    std::fs::create_dir_all(root)?;
    // A name of its own for each maker; whose link comes first gives the mark.
    let mark = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned();
    let own = root.join(format!("{MARK}.{mark}"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&own)?;
    file.write_all(mark.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&own, &path);
    std::fs::remove_file(&own)?;
    match linked {
        Ok(()) => Ok(mark),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(mark_read(&path)?.unwrap_or_default())
        }
        Err(error) => Err(error),
    }
}

fn mark_read(path: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(mark) if mark.len() <= MARK_BYTES_MAX => Ok(Some(mark.trim().to_owned())),
        Ok(_) => Err(std::io::Error::other("the mark is too long")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn all_who_ask_at_once_read_the_same_mark_and_other_directories_have_another() {
        let scratch = Scratch::new("place");
        let root = scratch.path().join("a");
        let marks: Vec<String> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| place_of(&root))).collect();
            asking
                .into_iter()
                .map(|thread| thread.join().expect("asked"))
                .collect()
        });
        assert!(!marks[0].is_empty());
        assert!(marks.iter().all(|mark| *mark == marks[0]));
        assert_ne!(place_of(&scratch.path().join("b")), marks[0]);
        assert_eq!(
            std::fs::read_dir(&root).expect("listed").count(),
            1,
            "nothing but the mark is left"
        );
    }
}
