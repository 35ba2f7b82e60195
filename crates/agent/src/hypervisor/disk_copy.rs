//! Copies of disks of a domain that runs, all as they are at one moment, by a backup job of libvirt.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plerion_protocol::{ActionError, ActionOutput, DiskTaken, Freeze, Mark};

use super::checkpoint::{CheckpointFile, mib_of};
use super::device::STDIN;
use super::domain::Hypervisor;
use super::virsh::Reply;
use super::xml::{backup_targets, backup_xml};
use crate::fault::{Act, failed, refused};
use crate::limits::Limits;
use crate::names;
use crate::roots::{Roots, path_text};
use crate::storage::{Copies, filled_path};

/// Time for a job to end that was told to.
const END_TIME_MAX: Duration = Duration::from_secs(60);
/// Time for a guest to freeze or to go on.
const FREEZE_TIME_MAX: Duration = Duration::from_secs(30);
/// What virsh says where no backup job is.
const NO_JOB: &str = "no domain backup job present";
const ENDED: &str = "the domain ended while its disks were copied";

/// What `virsh domjobinfo` says.
#[derive(Debug, PartialEq, Eq)]
struct JobInfo {
    /// `None`, `Unbounded`, `Completed`, `Failed`, `Cancelled`.
    kind: String,
    message: Option<String>,
}

/// What copies are to hold: what has changed since one checkpoint, up to another one that is made.
struct Span<'a> {
    mark: Option<&'a str>,
    since: Option<&'a str>,
}

impl Hypervisor {
    /// See [`plerion_protocol::Action::DomainDisksCopy`].
    pub(crate) fn disks_copy(
        &self,
        roots: &Roots,
        (name, uuid): (&str, &str),
        disks: &[DiskTaken],
        freeze: Freeze,
        mark: Option<&Mark>,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        self.disks_check(name, uuid, disks, limits)?;
        // An agent that was killed in the middle of this may have left the job.
        self.copy_job_end(uuid, disks)?;
        let sizes = disks
            .iter()
            .map(|disk| Ok((disk, self.disk_bytes(uuid, &disk.target, limits)?)))
            .collect::<Act<Vec<_>>>()?;
        let since = match mark {
            Some(mark) => self.mark_prepare(uuid, disks, mark, limits)?,
            None => None,
        };
        let below = mark
            .filter(|_| since.is_some())
            .map_or(&[][..], |mark| &mark.below);
        let copies = Copies::begin(roots, &sizes, below, limits)?;
        let span = Span {
            mark: mark.map(|mark| mark.name.as_str()),
            since: since.as_deref(),
        };
        if let Err(error) = self.copy_job_run((name, uuid), disks, freeze, &span, limits) {
            // The files go only when nothing writes to them.
            if let Err(left) = self.copy_job_end(uuid, disks) {
                tracing::error!(name, %left, "a backup job that failed may go on");
            }
            return Err(error);
        }
        copies.finish(limits)?;
        Ok(ActionOutput {
            size_mib: mark.map(|_| mib_of(disks)).transpose()?,
            copy_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..ActionOutput::default()
        })
    }

    fn disks_check(&self, name: &str, uuid: &str, disks: &[DiskTaken], limits: &Limits) -> Act<()> {
        if disks.is_empty() {
            return Err(refused("no disk to copy"));
        }
        let sources = self.disk_sources(uuid, limits)?;
        for disk in disks {
            names::target_check(&disk.target)?;
            if !sources.iter().any(|source| source.target == disk.target) {
                return Err(failed(format!("domain {name} has no disk {}", disk.target)));
            }
        }
        Ok(())
    }

    /// Size in bytes of a disk as its guest sees it.
    fn disk_bytes(&self, uuid: &str, target: &str, limits: &Limits) -> Act<u64> {
        let text = self.virsh().ask(&["domblkinfo", uuid, target], limits)?;
        let text = text.done().ok_or_else(|| failed(ENDED))?;
        field(&text, "Capacity")
            .and_then(|bytes| bytes.parse().ok())
            .ok_or_else(|| {
                failed(format!(
                    "virsh domblkinfo does not say how large disk {target} is: {text}"
                ))
            })
    }

    /// Has QEMU fill the files; they are whole when this returns without an error.
    fn copy_job_run(
        &self,
        (name, uuid): (&str, &str),
        disks: &[DiskTaken],
        freeze: Freeze,
        span: &Span<'_>,
        limits: &Limits,
    ) -> Act<()> {
        let targets: Vec<(&str, PathBuf)> = disks
            .iter()
            .map(|disk| (disk.target.as_str(), filled_path(disk)))
            .collect();
        let xml = backup_xml(&targets, span.since)?;
        let checkpoint = span
            .mark
            .map(|mark| CheckpointFile::make(mark, disks))
            .transpose()?;
        // What is known of an earlier job goes by being asked for.
        self.virsh().ask(&["domjobinfo", uuid, "--completed"], limits)?;
        tracing::info!(
            name,
            uuid,
            disks = disks.len(),
            since = span.since,
            "disks are copied while the domain runs"
        );
        self.frozen(uuid, freeze, limits, || {
            let mut begin = vec!["backup-begin", uuid, "--backupxml", STDIN, "--reuse-external"];
            if let Some(file) = &checkpoint {
                begin.extend(["--checkpointxml", path_text(file.path())?]);
            }
            self.told(&begin, &xml, limits)
        })?;
        drop(checkpoint);
        while self.job_info(&["domjobinfo", uuid], limits)?.kind != "None" {
            self.event_await(uuid, "job-completed", limits)?;
        }
        let ended = self.job_info(&["domjobinfo", uuid, "--completed"], limits)?;
        if ended.kind == "Completed" {
            return Ok(());
        }
        let message = ended
            .message
            .unwrap_or_else(|| "libvirt names no reason".to_owned());
        Err(failed(format!(
            "the disks of {name} were not copied: the backup job ended as {}: {message}",
            ended.kind.to_lowercase()
        )))
    }

    /// Does something while the guest does not write. It goes on whatever comes of that.
    fn frozen(&self, uuid: &str, freeze: Freeze, limits: &Limits, work: impl FnOnce() -> Act<()>) -> Act<()> {
        let held = match freeze {
            Freeze::None => return work(),
            Freeze::Agent => self
                .done(&["domfsfreeze", uuid], &limits.at_most(FREEZE_TIME_MAX))
                .map_err(freeze_advice),
            Freeze::Suspend => self.done(&["suspend", uuid], limits),
        };
        let worked = held.and_then(|()| work());
        let thawed = self.thaw(uuid, freeze);
        // Of both errors the first one is the cause. That nothing thaws what was not frozen is none.
        worked.and(thawed)
    }

    /// Lets a guest go on; one that does so already is left alone.
    pub(crate) fn thaw(&self, uuid: &str, freeze: Freeze) -> Act<()> {
        let limits = Limits::new(FREEZE_TIME_MAX);
        match freeze {
            Freeze::None => Ok(()),
            Freeze::Agent => self.done(&["domfsthaw", uuid], &limits),
            Freeze::Suspend => match self.virsh().ask(&["domstate", uuid], &limits)? {
                Reply::Done(state) if state.trim() == "paused" => self.done(&["resume", uuid], &limits),
                Reply::Done(_) | Reply::NoDomain | Reply::NotRunning => Ok(()),
            },
        }
    }

    fn job_info(&self, arguments: &[&str], limits: &Limits) -> Act<JobInfo> {
        let text = self
            .virsh()
            .ask(arguments, limits)?
            .done()
            .ok_or_else(|| failed(ENDED))?;
        job_info_read(&text)
    }

    /// Ends the job that copies to the files of these disks, if there is one.
    pub(crate) fn copy_job_end(&self, uuid: &str, disks: &[DiskTaken]) -> Act<()> {
        let limits = Limits::new(END_TIME_MAX);
        while self.copies_to(uuid, disks, &limits)? {
            // That it has just ended is an error for virsh; the next look tells.
            if let Err(error) = self.virsh().change(&["domjobabort", uuid], &limits) {
                tracing::info!(uuid, %error, "a backup job was told to end");
            }
            if self.copies_to(uuid, disks, &limits)? {
                self.event_await(uuid, "job-completed", &limits)?;
            }
        }
        Ok(())
    }

    fn copies_to(&self, uuid: &str, disks: &[DiskTaken], limits: &Limits) -> Act<bool> {
        match self.virsh().ask(&["backup-dumpxml", uuid], limits) {
            Ok(Reply::Done(xml)) => {
                let targets = backup_targets(&xml)?;
                Ok(disks
                    .iter()
                    .any(|disk| targets.iter().any(|file| *file == filled_path(disk))))
            }
            Ok(Reply::NoDomain | Reply::NotRunning) => Ok(false),
            Err(error) if error.text.contains(NO_JOB) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn freeze_advice(error: ActionError) -> ActionError {
    ActionError::new(
        error.kind,
        format!(
            "the guest's file systems were not frozen: {}; have qemu-guest-agent run in the guest and FEATURES = [ \
             GUEST_AGENT = YES ] in the VM's template, or set FS_FREEZE to NONE or SUSPEND",
            error.text
        ),
    )
}

/// The value in a line `NAME: VALUE`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn job_info_read(text: &str) -> Act<JobInfo> {
    let kind = field(text, "Job type")
        .ok_or_else(|| failed(format!("cannot understand what virsh says of a job: {text}")))?;
    Ok(JobInfo {
        kind: kind.to_owned(),
        message: field(text, "Error message").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_jobs_is_read() {
        let failed = "Job type:         Failed      \nOperation:        Backup      \nFile processed:   12.000 MiB\n\
                      Error message:    No space left on device: x\n";
        assert_eq!(
            job_info_read(failed).expect("read"),
            JobInfo {
                kind: "Failed".into(),
                message: Some("No space left on device: x".into())
            }
        );
        let none = job_info_read("Job type:         None        \n").expect("read");
        assert_eq!((none.kind.as_str(), none.message), ("None", None));
        assert!(job_info_read("").is_err());
        let info = "Capacity:       549755813888\nAllocation:     4194304\n";
        assert_eq!(field(info, "Capacity"), Some("549755813888"));
    }
}
