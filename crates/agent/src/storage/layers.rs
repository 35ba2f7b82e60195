//! Files of a disk of which each holds what has changed since the one before it, made one.
//!
//! They came from hosts: what they name as the file below is a claim, and QEMU would read whatever it names. So it is compared
//! with the file that it must be before QEMU sees any of them.

use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use plerion_protocol::ActionOutput;

use super::header::{HEADER_BYTES, backing_file, qcow2_read, without_backing};
use super::part::{DISK_MODE, PartFile};
use super::qemu_img;
use crate::fault::{Act, IoContext, refused};
use crate::limits::Limits;
use crate::roots::Roots;

/// See [`plerion_protocol::Action::LayersMerge`].
pub(crate) fn layers_merge(
    roots: &Roots,
    layers: &[String],
    destination: &str,
    limits: &Limits,
) -> Act<ActionOutput> {
    let began = Instant::now();
    let destination = roots.target(destination)?;
    let whole = chain_check(roots, layers)?;
    let top = layers.last().ok_or_else(|| refused("no layer to merge"))?;
    let top = roots.source(top)?;
    if whole && destination == top {
        return Ok(ActionOutput::default());
    }
    let part = PartFile::begin(&destination, DISK_MODE)?;
    // qemu-img writes into the existing file, which keeps its mode.
    qemu_img::flatten(&top, part.part_path(), limits)?;
    part.commit()?;
    Ok(ActionOutput {
        copy_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        ..ActionOutput::default()
    })
}

/// Checks what each layer names as the file below it, from the last one down to one that holds all. Gives whether that is the
/// last one.
fn chain_check(roots: &Roots, layers: &[String]) -> Act<bool> {
    for (place, layer) in layers.iter().enumerate().rev() {
        let (file, path) = roots.source_open(layer)?;
        let mut header = [0; HEADER_BYTES];
        let count = std::os::unix::fs::FileExt::read_at(&file, &mut header, 0).at("cannot read", &path)?;
        let header = header.get(..count).unwrap_or_default();
        let Some(named) = backing_file(header) else {
            qcow2_read(header)?;
            return Ok(place + 1 == layers.len());
        };
        // Nothing but the file below may be referred to.
        qcow2_read(&without_backing(header))?;
        let below = place
            .checked_sub(1)
            .and_then(|place| layers.get(place))
            .map(|below| roots.source(below))
            .transpose()?;
        if below.is_none() || below != lexical(&path, named) {
            return Err(refused(format!(
                "{} names {} as the file below it, which is not the one of the backup before: it is not read",
                path.display(),
                named.display()
            )));
        }
    }
    Err(refused("no layer to merge"))
}

/// Where a name leads to from the directory of a file, by its text alone.
fn lexical(file: &Path, name: &Path) -> Option<PathBuf> {
    let mut path = file.parent()?.to_owned();
    for component in name.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Program;
    use crate::roots::path_text;
    use crate::state::tests::Scratch;
    use std::time::Duration;

    struct Bench {
        scratch: Scratch,
        roots: Roots,
        limits: Limits,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let scratch = Scratch::new(name);
            for directory in ["ds/1/7/a", "ds/1/7/b", "ds/1/7/c", "ds/1/8/a"] {
                std::fs::create_dir_all(scratch.path().join(directory)).expect("made");
            }
            let root = path_text(&scratch.path().join("ds")).expect("text").to_owned();
            Self {
                roots: Roots::new(&[root]).expect("roots"),
                limits: Limits::new(Duration::from_secs(60)),
                scratch,
            }
        }

        fn path(&self, directory: &str) -> String {
            let path = self.scratch.path().join("ds/1/7").join(directory).join("disk.0");
            path_text(&path).expect("text").to_owned()
        }

        /// A layer with a byte of its own at its own place.
        fn layer(&self, directory: &str, below: Option<&str>, byte: u8) -> String {
            let path = PathBuf::from(self.path(directory));
            match below {
                None => qemu_img::create(&path, 1 << 20, &self.limits),
                Some(below) => qemu_img::overlay_unopened(&path, Path::new(below), 1 << 20, &self.limits),
            }
            .expect("made");
            let write = format!("write -P {byte} {}k 64k", u32::from(byte) * 64);
            Program::new("qemu-io")
                .args(["-f", "qcow2", "-c", &write])
                .arg(path_text(&path).expect("text"))
                .run_ok(&self.limits)
                .expect("written");
            path_text(&path).expect("text").to_owned()
        }

        fn shows(&self, path: &str) -> Vec<u8> {
            let raw = self.scratch.path().join("raw");
            qemu_img::to_raw(Path::new(path), &raw, &self.limits).expect("read");
            let content = std::fs::read(raw).expect("read");
            (0..4).map(|place| content[place * 65536]).collect()
        }

        fn merge(&self, layers: &[&String], destination: &str) -> Act<ActionOutput> {
            let layers: Vec<String> = layers.iter().map(|layer| (*layer).clone()).collect();
            layers_merge(&self.roots, &layers, destination, &self.limits)
        }
    }

    #[test]
    fn layers_become_one_also_in_the_place_of_the_last() {
        let bench = Bench::new("layers");
        let a = bench.layer("a", None, 1);
        let b = bench.layer("b", Some("../a/disk.0"), 2);
        let c = bench.layer("c", Some("../b/disk.0"), 3);
        let out = bench.path("out");
        bench.merge(&[&a, &b, &c], &out).expect("merged");
        assert_eq!(bench.shows(&out), [0, 1, 2, 3]);
        bench.merge(&[&a, &b], &b).expect("merged");
        std::fs::remove_file(&a).expect("removed");
        assert_eq!(bench.shows(&b), [0, 1, 2, 0]);
        bench.merge(&[&b], &b).expect("it is whole already");
        bench.merge(&[&b, &c], &out).expect("merged");
        assert_eq!(bench.shows(&out), [0, 1, 2, 3]);
        // What holds all needs nothing of what is before it.
        bench.merge(&[&c, &b], &out).expect("merged");
        assert_eq!(bench.shows(&out), [0, 1, 2, 0]);
    }

    #[test]
    fn a_layer_that_names_another_file_is_not_read() {
        let bench = Bench::new("layers-foreign");
        let a = bench.layer("a", None, 1);
        let out = bench.path("out");
        for named in ["../../8/a/disk.0", "/etc/passwd", "json:{}", "../a/../a/x"] {
            let path = PathBuf::from(bench.path("b"));
            qemu_img::overlay_unopened(&path, Path::new(named), 1 << 20, &bench.limits).expect("made");
            let b = bench.path("b");
            let refused = bench.merge(&[&a, &b], &out).expect_err(named);
            assert!(
                refused.text.contains("not the one of the backup before"),
                "{}",
                refused.text
            );
        }
        let b = bench.path("b");
        qemu_img::overlay_unopened(Path::new(&b), Path::new("../a/disk.0"), 1 << 20, &bench.limits)
            .expect("made");
        bench.merge(&[&b], &out).expect_err("nothing is below it");
        bench.merge(&[], &out).expect_err("nothing");
        assert!(!Path::new(&out).exists());
    }
}
