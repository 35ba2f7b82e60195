//! Snapshots of disks of a domain that runs: it goes on in another file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use plerion_protocol::ActionOutput;

use super::domain::{Hypervisor, output};
use super::virsh::Reply;
use super::xml::{DiskSource, disk_sources};
use crate::fault::{Act, failed, refused};
use crate::limits::Limits;
use crate::names;
use crate::roots::path_text;
use crate::storage::Taken;

impl Hypervisor {
    /// See [`plerion_protocol::Action::DomainDiskSnapshot`]. `take` does what is to be done to files.
    pub(crate) fn disk_snapshot(
        &self,
        name: &str,
        uuid: &str,
        target: &str,
        limits: &Limits,
        take: impl FnOnce() -> Act<Taken>,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        names::target_check(target)?;
        let began = Instant::now();
        // Nothing is done to files of a domain that is not there.
        self.disk_sources(uuid, limits)?;
        let taken = take()?;
        if taken.is_first() {
            taken.undo()?;
            return Err(refused(format!(
                "disk {target} of {name} is a file of its own, whose name the hypervisor cannot exchange while it runs: power \
                 the VM off for its first snapshot"
            )));
        }
        match self.go_on_in(uuid, target, &taken.file, limits) {
            Ok(()) => Ok(output(None, began)),
            Err(error) => {
                // What cannot be asked may have gone on there; the new file shows what the old one holds in either case.
                let sources = self.disk_sources(uuid, limits)?;
                if is_source(&sources, target, &taken.file) {
                    return Ok(output(None, began));
                }
                taken.undo()?;
                Err(error)
            }
        }
    }

    /// Has a running domain write to a file that lies on the one it has.
    fn go_on_in(&self, uuid: &str, target: &str, file: &Path, limits: &Limits) -> Act<()> {
        let sources = self.disk_sources(uuid, limits)?;
        if is_source(&sources, target, file) {
            return Ok(());
        }
        let real = real_of(file);
        let chosen = format!(
            "{target},snapshot=external,driver=qcow2,file={}",
            path_text(&real)?.replace(',', ",,")
        );
        let others: Vec<String> = sources
            .iter()
            .filter(|disk| disk.target != target)
            .map(|disk| format!("{},snapshot=no", disk.target))
            .collect();
        let mut arguments = vec![
            "snapshot-create-as",
            uuid,
            "--disk-only",
            "--atomic",
            "--no-metadata",
            "--reuse-external",
            "--diskspec",
            &chosen,
        ];
        for other in &others {
            arguments.extend(["--diskspec", other]);
        }
        self.done(&arguments, limits)
    }

    pub(super) fn disk_sources(&self, uuid: &str, limits: &Limits) -> Act<Vec<DiskSource>> {
        match self.virsh().ask(&["dumpxml", uuid], limits)? {
            Reply::Done(xml) => disk_sources(&xml),
            Reply::NoDomain | Reply::NotRunning => Err(failed("the domain does not run on this host")),
        }
    }
}

fn is_source(sources: &[DiskSource], target: &str, file: &Path) -> bool {
    sources.iter().any(|disk| {
        disk.target == target
            && disk
                .file
                .as_deref()
                .is_some_and(|now| real_of(now) == real_of(file))
    })
}

/// The path that libvirt was given when the domain started: links resolved.
fn real_of(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}
