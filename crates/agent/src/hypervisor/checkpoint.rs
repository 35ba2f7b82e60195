//! Checkpoints of a running domain: since which moment its disks know what was written to them.
//!
//! What is known lies in the QCOW2 files themselves (persistent bitmaps) and outlives the domain; that libvirt knows of it does
//! not. So a checkpoint is made known again before it is used, which tells as well whether the disks still have it: QEMU that
//! was killed leaves bitmaps that are not used any more.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plerion_protocol::{DiskFormat, DiskTaken, Mark};

use super::device::STDIN;
use super::domain::Hypervisor;
use super::xml::checkpoint_xml;
use crate::fault::{Act, IoContext, refused};
use crate::limits::Limits;
use crate::names;
use crate::state::{file_write, sibling};
use crate::storage::{CHECKPOINT, MIB, entry_delete};

/// What names of checkpoints of this cloud begin with.
const PREFIX: &str = "plerion-";
/// Checkpoints that are looked for: the last backup is the usual one, a few before it may have been taken while the VM was off.
const TRIES_MAX: usize = 8;
const FILE_MODE: u32 = 0o600;

/// The name that libvirt knows a mark by.
fn checkpoint_name(mark: &str) -> String {
    format!("{PREFIX}{mark}")
}

fn targets(disks: &[DiskTaken]) -> Vec<&str> {
    disks.iter().map(|disk| disk.target.as_str()).collect()
}

/// The description of a new checkpoint in a file; it goes when this is dropped.
pub(super) struct CheckpointFile(PathBuf);

impl CheckpointFile {
    pub(super) fn make(mark: &str, disks: &[DiskTaken]) -> Act<Self> {
        let first = disks.first().ok_or_else(|| refused("no disk to copy"))?;
        let path = sibling(Path::new(&first.destination), CHECKPOINT);
        let xml = checkpoint_xml(&checkpoint_name(mark), &targets(disks), false);
        file_write(&path, xml.as_bytes(), FILE_MODE)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for CheckpointFile {
    fn drop(&mut self) {
        if let Err(error) = entry_delete(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the description of a checkpoint");
        }
    }
}

impl Hypervisor {
    /// The first of the earlier marks that all the disks still have, by the name that libvirt knows it by. The domain's other
    /// checkpoints, of backups that came to nothing or are not needed any more, go.
    pub(super) fn mark_prepare(
        &self,
        uuid: &str,
        disks: &[DiskTaken],
        mark: &Mark,
        limits: &Limits,
    ) -> Act<Option<String>> {
        for name in mark.since.iter().chain([&mark.name]) {
            names::snapshot_check(name)?;
        }
        if disks.iter().any(|disk| disk.format != DiskFormat::Qcow2) {
            return Err(refused(
                "only QCOW2 disks know what was written to them since a backup",
            ));
        }
        if !mark.since.is_empty() && mark.below.len() != disks.len() {
            return Err(refused("a file below is to be named for each disk"));
        }
        let mut usable = None;
        for name in mark
            .since
            .iter()
            .take(TRIES_MAX)
            .map(|name| checkpoint_name(name))
        {
            let xml = checkpoint_xml(&name, &targets(disks), true);
            let redefine = [
                "checkpoint-create",
                uuid,
                STDIN,
                "--redefine",
                "--redefine-validate",
            ];
            match self.told(&redefine, &xml, limits) {
                Ok(()) => {
                    usable = Some(name);
                    break;
                }
                Err(error) => {
                    tracing::info!(uuid, name, %error, "the disks do not have this checkpoint any more")
                }
            }
        }
        for name in self.checkpoints(uuid, limits)? {
            if name.starts_with(PREFIX) && usable.as_ref() != Some(&name) {
                self.done(&["checkpoint-delete", uuid, &name], limits)?;
            }
        }
        Ok(usable)
    }

    fn checkpoints(&self, uuid: &str, limits: &Limits) -> Act<Vec<String>> {
        let listed = self.virsh().ask(&["checkpoint-list", uuid, "--name"], limits)?;
        let text = listed.done().unwrap_or_default();
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        Ok(names.map(str::to_owned).collect())
    }
}

/// What the copies take up, in MiB, at least one.
pub(super) fn mib_of(disks: &[DiskTaken]) -> Act<u64> {
    let mut bytes: u64 = 0;
    for disk in disks {
        let path = Path::new(&disk.destination);
        let metadata = path.metadata().at("cannot look at", path)?;
        bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
    }
    Ok(bytes.div_ceil(MIB).max(1))
}
