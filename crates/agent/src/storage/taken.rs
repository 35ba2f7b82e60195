//! Files of copies of disks that a running domain writes to. QEMU fills QCOW2 files, whatever the format of the disk: into a
//! raw file it would write the holes of the disk, too, as allocated blocks.

use std::path::{Path, PathBuf};

use plerion_protocol::{DiskFormat, DiskTaken};

use super::file::entry_delete;
use super::part::{DISK_MODE, PartFile, taken_path};
use super::qemu_img;
use crate::fault::{Act, refused};
use crate::limits::Limits;
use crate::roots::Roots;
use crate::state::{part_path, sibling};

/// Suffix of the description of a checkpoint that begins with a copy.
pub(crate) const CHECKPOINT: &str = ".checkpoint";

/// Copies that are being made; what is unfinished goes when this is dropped, so nothing may write to it by then.
pub(crate) struct Copies {
    copies: Vec<Copy>,
}

struct Copy {
    part: PartFile,
    destination: PathBuf,
    format: DiskFormat,
}

/// The file that QEMU fills for a copy.
pub(crate) fn filled_path(disk: &DiskTaken) -> PathBuf {
    let destination = Path::new(&disk.destination);
    match disk.format {
        DiskFormat::Qcow2 => part_path(destination),
        DiskFormat::Raw => part_path(&taken_path(destination)),
    }
}

impl Copies {
    /// Makes the files for QEMU to fill: those of disks of these sizes in bytes. Where `below` names files, the copies are
    /// to hold changes only, each on top of one of them.
    pub(crate) fn begin(
        roots: &Roots,
        disks: &[(&DiskTaken, u64)],
        below: &[String],
        limits: &Limits,
    ) -> Act<Self> {
        let mut copies = Vec::new();
        for (place, (disk, bytes)) in disks.iter().enumerate() {
            let destination = roots.target(&disk.destination)?;
            if filled_path(disk).parent() != destination.parent() {
                return Err(refused(format!("{} is no normalized path", disk.destination)));
            }
            let part = match disk.format {
                DiskFormat::Qcow2 => PartFile::begin(&destination, DISK_MODE)?,
                DiskFormat::Raw => PartFile::begin(&taken_path(&destination), DISK_MODE)?,
            };
            // qemu-img writes into the existing file, which keeps its mode.
            match below.get(place) {
                // It is not here, and nobody reads it while the copy is filled.
                Some(below) => {
                    qemu_img::overlay_unopened(part.part_path(), Path::new(below), *bytes, limits)?;
                }
                None => qemu_img::create(part.part_path(), *bytes, limits)?,
            }
            copies.push(Copy {
                part,
                destination,
                format: disk.format,
            });
        }
        Ok(Self { copies })
    }

    /// Puts what QEMU has filled in place: all of it or nothing.
    pub(crate) fn finish(self, limits: &Limits) -> Act<()> {
        let destinations: Vec<PathBuf> = self.copies.iter().map(|copy| copy.destination.clone()).collect();
        let whole: Vec<PartFile> = self
            .copies
            .into_iter()
            .map(|copy| copy.whole(limits))
            .collect::<Act<_>>()?;
        let put = whole.into_iter().try_for_each(PartFile::commit);
        if put.is_err() {
            for path in &destinations {
                if let Err(error) = entry_delete(path) {
                    tracing::warn!(%error, "left after disks that were not copied");
                }
            }
        }
        put
    }
}

impl Copy {
    /// The file in the format that is wanted.
    fn whole(self, limits: &Limits) -> Act<PartFile> {
        match self.format {
            DiskFormat::Qcow2 => Ok(self.part),
            DiskFormat::Raw => {
                let raw = PartFile::begin(&self.destination, DISK_MODE)?;
                qemu_img::to_raw(self.part.part_path(), raw.part_path(), limits)?;
                Ok(raw)
            }
        }
    }
}

/// Deletes what an action has left that nobody waits for: unfinished files, and where the copies served its next steps only,
/// the copies.
pub(crate) fn copies_tidy(roots: &Roots, disks: &[DiskTaken], passing: bool) -> Act<()> {
    for disk in disks {
        let path = roots.disposable(&disk.destination)?;
        entry_delete(&part_path(&path))?;
        entry_delete(&part_path(&taken_path(&path)))?;
        entry_delete(&sibling(&path, CHECKPOINT))?;
        if passing {
            entry_delete(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Program;
    use crate::roots::path_text;
    use crate::state::tests::Scratch;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    const BYTES: u64 = 64 * 1024 * 1024;

    struct Bench {
        scratch: Scratch,
        roots: Roots,
        disks: Vec<DiskTaken>,
        limits: Limits,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let scratch = Scratch::new(name);
            let directory = scratch.path().join("ds/0/7");
            std::fs::create_dir_all(&directory).expect("made");
            let root = path_text(&scratch.path().join("ds")).expect("text").to_owned();
            let disk = |number: u32, format| DiskTaken {
                target: format!("vd{number}"),
                destination: format!("{root}/0/7/disk.{number}.copy"),
                format,
            };
            let disks = vec![disk(0, DiskFormat::Raw), disk(1, DiskFormat::Qcow2)];
            let roots = Roots::new(&[root]).expect("roots");
            let limits = Limits::new(Duration::from_secs(60));
            Self {
                scratch,
                roots,
                disks,
                limits,
            }
        }

        fn begin(&self) -> Copies {
            let sizes: Vec<(&DiskTaken, u64)> = self.disks.iter().map(|disk| (disk, BYTES)).collect();
            Copies::begin(&self.roots, &sizes, &[], &self.limits).expect("begun")
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = std::fs::read_dir(self.scratch.path().join("ds/0/7"))
                .expect("read")
                .map(|entry| {
                    entry
                        .expect("an entry")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn what_was_filled_is_put_in_place_with_its_holes() {
        let bench = Bench::new("taken");
        let copies = bench.begin();
        let source = bench.scratch.path().join("source");
        let mut content = vec![0; usize::try_from(BYTES).expect("fits")];
        content[4096..8192].fill(7);
        std::fs::write(&source, &content).expect("written");
        for disk in &bench.disks {
            Program::new("qemu-img")
                .args(["convert", "-n", "-f", "raw", "-O", "qcow2"])
                .args([
                    path_text(&source).expect("text"),
                    path_text(&filled_path(disk)).expect("text"),
                ])
                .run_ok(&bench.limits)
                .expect("filled");
        }
        copies.finish(&bench.limits).expect("put in place");
        assert_eq!(bench.names(), ["disk.0.copy", "disk.1.copy"]);
        let raw = Path::new(&bench.disks[0].destination);
        assert!(std::fs::read(raw).expect("read") == content);
        let blocks = raw.metadata().expect("there").blocks() * 512;
        assert!(blocks < BYTES / 8, "{blocks} bytes are taken up");
        copies_tidy(&bench.roots, &bench.disks, false).expect("tidied");
        assert_eq!(bench.names(), ["disk.0.copy", "disk.1.copy"], "they are images");
        copies_tidy(&bench.roots, &bench.disks, true).expect("tidied");
        assert!(bench.names().is_empty());
    }

    #[test]
    fn nothing_stays_of_copies_that_were_given_up_or_left() {
        let bench = Bench::new("given-up");
        let copies = bench.begin();
        assert_eq!(bench.names(), [".disk.0.copy.taken.part", ".disk.1.copy.part"]);
        drop(copies);
        assert!(bench.names().is_empty());
        for disk in &bench.disks {
            std::fs::write(filled_path(disk), "left by an agent that was killed").expect("written");
        }
        copies_tidy(&bench.roots, &bench.disks, false).expect("tidied");
        assert!(bench.names().is_empty());
    }
}
