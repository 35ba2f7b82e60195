//! Whether a file system is one on which a lock that is gone proves something.
//!
//! It is where who has lost a lock can never write again by what it had open. Of those that were measured only GlusterFS with
//! `client.strict-locks` does so; its mount tells the setting beneath `.meta` (docs/en/failure.md has the figures).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::fault::{Act, IoContext, failed};

const MOUNTS: &str = "/proc/self/mountinfo";
const TYPE: &str = "fuse.glusterfs";
/// Where a mount shows the parts of its client.
const GRAPH: &str = ".meta/graphs/active";
const SETTING: &str = "options/strict-locks";
/// Copies of a file of which a majority can be told.
const COPIES_MIN: usize = 3;

/// Refuses a file on which the end of a lock proves nothing; says why.
pub(super) fn strict_check(path: &Path) -> Act<()> {
    let device = path.metadata().at("cannot look at", path)?.dev();
    let mounts = std::fs::read_to_string(MOUNTS).at("cannot read", Path::new(MOUNTS))?;
    let point = mount_point(&mounts, device).ok_or_else(|| {
        failed(format!(
            "{} is not on a mounted GlusterFS volume: on no other file system locks are known to prove anything",
            path.display()
        ))
    })?;
    graph_check(&point)
}

/// Every connection to a brick must have the setting, and there must be one. What else the client is made of must be of the kinds
/// that were measured: shards and dispersed volumes write by files that nobody has locked, and of two copies without a quorum
/// each may be the only one that somebody sees.
fn graph_check(point: &Path) -> Act<()> {
    let graph = point.join(GRAPH);
    let mut connections = 0_u32;
    for entry in std::fs::read_dir(&graph).at("cannot read", &graph)? {
        let part = entry.at("cannot read", &graph)?.path();
        let Some(kind) = text_of(&part.join("type"))? else {
            // It is a file beside the parts.
            continue;
        };
        match kind.as_str() {
            "protocol/client" => {
                if !text_of(&part.join(SETTING))?.is_some_and(|setting| is_on(&setting)) {
                    return Err(strict_missing(point));
                }
                connections = connections.saturating_add(1);
            }
            "cluster/replicate" => replicate_check(&part)?,
            "meta" | "debug/io-stats" | "cluster/distribute" | "features/utime" => {}
            kind if kind.starts_with("performance/") => {}
            kind => {
                return Err(failed(format!(
                    "the volume at {} uses {kind}, with which locks are not known to prove anything",
                    point.display()
                )));
            }
        }
    }
    if connections == 0 {
        return Err(strict_missing(point));
    }
    Ok(())
}

/// Copies need a quorum, which three have by default.
fn replicate_check(part: &Path) -> Act<()> {
    let copies = part.join("subvolumes");
    let count = std::fs::read_dir(&copies).at("cannot read", &copies)?.count();
    let quorum = text_of(&part.join("options/quorum-type"))?;
    if count >= COPIES_MIN && quorum.is_none_or(|kind| kind == "auto") {
        return Ok(());
    }
    Err(failed(format!(
        "{} has {count} copies without a quorum: use three, one of which may be an arbiter, and cluster.quorum-type auto",
        part.display()
    )))
}

/// What a file says; nothing where there is none.
fn text_of(path: &Path) -> Act<Option<String>> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error).at("cannot read", path),
    }
}

fn strict_missing(point: &Path) -> plerion_protocol::ActionError {
    failed(format!(
        "the volume at {} was mounted without client.strict-locks: set it (gluster volume set … client.strict-locks on) and \
         mount it again",
        point.display()
    ))
}

fn is_on(setting: &str) -> bool {
    ["on", "yes", "true", "enable", "1"]
        .iter()
        .any(|word| setting.eq_ignore_ascii_case(word))
}

/// Where the GlusterFS volume of a device number is mounted as a whole.
fn mount_point(mounts: &str, device: u64) -> Option<PathBuf> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (number, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = number == wanted && root == "/" && kind.split(' ').next() == Some(TYPE);
        is_it.then(|| PathBuf::from(unescaped(point)))
    })
}

/// The kernel writes space, tab, line feed and backslash as `\ooo`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn only_a_whole_volume_of_glusterfs_is_found() {
        let mounts = "94 70 0:48 / /var/log rw - tmpfs t rw\n\
                      95 70 0:54 /sub /bound rw - fuse.glusterfs gs:/ds rw\n\
                      96 70 0:54 / /a\\040b rw,relatime shared:1 - fuse.glusterfs gs:/ds rw\n";
        let found = |minor| mount_point(mounts, rustix::fs::makedev(0, minor));
        assert_eq!(found(54), Some(PathBuf::from("/a b")));
        assert_eq!(found(48), None);
        assert_eq!(found(1), None);
        let scratch = Scratch::new("strict");
        let error = strict_check(scratch.path()).expect_err("an ordinary directory");
        assert!(error.text.contains("GlusterFS"), "{error}");
    }

    #[test]
    fn every_connection_must_be_strict_and_every_part_known() {
        let scratch = Scratch::new("graph");
        let set = |file: &str, text: &str| {
            let path = scratch.path().join(GRAPH).join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let is_good = || graph_check(scratch.path()).is_ok();
        assert!(!is_good(), "no such directory");
        set("volfile", "strict-locks on");
        set("ds-dht/type", "cluster/distribute\n");
        assert!(!is_good(), "no connection");
        set("ds-client-0/type", "protocol/client\n");
        assert!(!is_good(), "no setting");
        set("ds-client-0/options/strict-locks", "on\n");
        assert!(is_good());
        set("ds-client-1/type", "protocol/client\n");
        set("ds-client-1/options/strict-locks", "off\n");
        assert!(!is_good());
        set("ds-client-1/options/strict-locks", "on\n");
        set("ds-replicate-0/type", "cluster/replicate\n");
        set("ds-replicate-0/subvolumes/0", "");
        set("ds-replicate-0/subvolumes/1", "");
        assert!(!is_good(), "two copies");
        set("ds-replicate-0/subvolumes/2", "");
        assert!(is_good());
        set("ds-replicate-0/options/quorum-type", "none\n");
        assert!(!is_good(), "no quorum");
        set("ds-replicate-0/options/quorum-type", "auto\n");
        assert!(is_good());
        set("ds-shard/type", "features/shard\n");
        assert!(!is_good(), "writes to other files than the one that is locked");
    }
}
