//! Actions on domains.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plerion_protocol::{ActionError, ActionOutput, Bridge, ContextFile, DiskTaken, Freeze, WildSample};

use super::stats::{Measured, dominfo_read};
use super::virsh::{Reply, Virsh};
use super::watch::{DomainWatch, Emit, Gone};
use super::xml::{disk_links_resolve, domain_xml_check};
use crate::evidence::DomainLook;
use crate::fault::{Act, IoContext, failed};
use crate::limits::Limits;
use crate::names;
use crate::network;
use crate::roots::path_text;
use crate::state::{file_write, part_path, sibling};
use crate::storage::directory_make;

/// A guest that is still booting misses the first request to shut down; it is asked again after this.
const SHUTDOWN_REPEAT: Duration = Duration::from_secs(20);
/// Time for a domain to be gone after a call about it has failed.
const GONE_GRACE: Duration = Duration::from_secs(1);
/// Mode of the files beside the disks. The XML may hold a VNC password.
const FILE_MODE: u32 = 0o640;
/// Mode of checkpoints: they hold the guest's memory.
const CHECKPOINT_MODE: u32 = 0o600;
/// Time for looking at a domain outside of an action.
const LOOK_TIME_MAX: Duration = Duration::from_secs(20);

/// The door to libvirt.
#[derive(Clone)]
pub(crate) struct Hypervisor {
    virsh: Arc<Virsh>,
    watch: Arc<DomainWatch>,
}

/// A domain to start.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) uuid: &'a str,
    pub(crate) directory: &'a Path,
    pub(crate) xml: &'a str,
    pub(crate) deployment_file: &'a str,
    pub(crate) files: &'a [ContextFile],
}

impl Hypervisor {
    pub(crate) fn new(emit: Box<Emit>) -> Self {
        let virsh: Arc<Virsh> = Arc::default();
        let watch = DomainWatch::new(Arc::clone(&virsh), emit);
        Self { virsh, watch }
    }

    pub(super) fn virsh(&self) -> &Virsh {
        &self.virsh
    }

    /// Begins to follow events, and reports the state of all domains.
    pub(crate) fn follow(&self) {
        self.watch.start();
        self.watch.announce();
    }

    /// Measures all domains.
    pub(crate) fn measure(&self) -> Act<Measured> {
        self.watch.read()
    }

    /// What a domain is that no cloud manages; `None` when it is gone by now.
    pub(crate) fn wild(&self, name: &str) -> Act<Option<WildSample>> {
        match self.virsh.ask(&["dominfo", name], &Limits::new(LOOK_TIME_MAX))? {
            Reply::Done(text) => Ok(dominfo_read(name, &text)),
            Reply::NoDomain | Reply::NotRunning => Ok(None),
        }
    }

    /// See [`plerion_protocol::Action::DomainStart`].
    pub(crate) fn domain_start(
        &self,
        start: &Start<'_>,
        bridges: &[Bridge],
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(start.name)?;
        names::uuid_check(start.uuid)?;
        names::deployment_check(start.deployment_file)?;
        domain_xml_check(start.xml, start.name, start.uuid)?;
        let began = Instant::now();
        if self.runs_already(start.name, start.uuid, limits)? {
            return Ok(output(Some(start.uuid), began));
        }
        files_write(start.directory, start.files)?;
        let deployment = start.directory.join(start.deployment_file);
        file_write(&deployment, disk_links_resolve(start.xml)?.as_bytes(), FILE_MODE)?;
        network::bridges_make(bridges, limits)?;
        self.watch.expect(start.name, start.uuid);
        let began = Instant::now();
        tracing::info!(name = start.name, uuid = start.uuid, "a domain is started");
        self.done(&["create", path_text(&deployment)?], limits)?;
        Ok(output(Some(start.uuid), began))
    }

    /// See [`plerion_protocol::Action::DomainReceive`].
    pub(crate) fn domain_receive(
        &self,
        name: &str,
        uuid: &str,
        directory: &Path,
        files: &[ContextFile],
        bridges: &[Bridge],
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        self.runs_already(name, uuid, limits)?;
        files_write(directory, files)?;
        network::bridges_make(bridges, limits)?;
        self.watch.expect(name, uuid);
        Ok(output(None, began))
    }

    /// See [`plerion_protocol::Action::DomainRestore`].
    pub(crate) fn domain_restore(
        &self,
        name: &str,
        uuid: &str,
        checkpoint: &Path,
        xml: &str,
        bridges: &[Bridge],
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        domain_xml_check(xml, name, uuid)?;
        let began = Instant::now();
        if !self.runs_already(name, uuid, limits)? {
            network::bridges_make(bridges, limits)?;
            let text = sibling(checkpoint, ".xml");
            file_write(&text, disk_links_resolve(xml)?.as_bytes(), FILE_MODE)?;
            self.watch.expect(name, uuid);
            let restored = self.done(
                &["restore", path_text(checkpoint)?, "--xml", path_text(&text)?],
                limits,
            );
            std::fs::remove_file(&text).at("cannot remove", &text)?;
            restored?;
        }
        crate::storage::entry_delete(checkpoint)?;
        Ok(output(Some(uuid), began))
    }

    /// See [`plerion_protocol::Action::DomainAbsent`]. Events tell what is there, so libvirt is asked only as long as its
    /// domains have not been read.
    pub(crate) fn domain_absent(&self, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        let found = match self.watch.uuid_known(name) {
            Some(found) => found,
            None => self.running(name, limits)?,
        };
        stranger_refuse(name, uuid, found.as_deref()).map(|()| output(None, began))
    }

    /// See [`plerion_protocol::Action::DomainShutdown`].
    pub(crate) fn domain_shutdown(&self, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        let gone = self.watch.gone_subscribe(name);
        loop {
            match self.virsh.change(&["shutdown", uuid], limits) {
                Ok(Reply::NoDomain | Reply::NotRunning) => return Ok(output(None, began)),
                Ok(Reply::Done(_)) => {}
                Err(error) => {
                    return self
                        .gone_or(name, uuid, &gone, error, limits)
                        .map(|()| output(None, began));
                }
            }
            let left = limits.remaining().map_err(|error| shutdown_late(name, error))?;
            if gone.is_within(left.min(SHUTDOWN_REPEAT)) {
                return Ok(output(None, began));
            }
            limits.remaining().map_err(|error| shutdown_late(name, error))?;
        }
    }

    /// See [`plerion_protocol::Action::DomainDestroy`].
    pub(crate) fn domain_destroy(&self, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        let gone = self.watch.gone_subscribe(name);
        match self.virsh.change(&["destroy", uuid], limits) {
            Ok(Reply::Done(_)) => Ok(output(None, began)),
            Ok(Reply::NoDomain | Reply::NotRunning) => {
                stranger_refuse(name, uuid, self.running(name, limits)?.as_deref())?;
                Ok(output(None, began))
            }
            Err(error) => self
                .gone_or(name, uuid, &gone, error, limits)
                .map(|()| output(None, began)),
        }
    }

    /// A call that fails because the domain ends at that very moment has reached what it was for.
    fn gone_or(&self, name: &str, uuid: &str, gone: &Gone, error: ActionError, limits: &Limits) -> Act<()> {
        limits.remaining()?;
        let runs = |found: String| found.eq_ignore_ascii_case(uuid);
        if gone.is_within(GONE_GRACE) || !self.running(name, limits)?.is_some_and(runs) {
            return Ok(());
        }
        Err(error)
    }

    /// See [`plerion_protocol::Action::DomainSave`]. The checkpoint appears under its name when it is whole; a domain
    /// that is gone with a checkpoint in place has been saved before.
    pub(crate) fn domain_save(
        &self,
        name: &str,
        uuid: &str,
        checkpoint: &Path,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        if let Some(directory) = checkpoint.parent() {
            directory_make(directory)?;
        }
        let part = part_path(checkpoint);
        // libvirt writes as root, and into a file that exists it writes without taking it over: so the checkpoint
        // belongs to the agent's user, who has to move it and to delete it.
        if !part.exists() {
            file_write(&part, b"", CHECKPOINT_MODE)?;
        }
        match self.virsh.change(&["save", uuid, path_text(&part)?], limits)? {
            Reply::Done(_) => {}
            Reply::NoDomain | Reply::NotRunning if file_holds(&part) && !checkpoint.exists() => {
                tracing::info!(name, "an earlier save was complete but for its name");
            }
            Reply::NoDomain | Reply::NotRunning if checkpoint.is_file() => return Ok(output(None, began)),
            Reply::NoDomain | Reply::NotRunning => {
                return Err(failed(format!(
                    "there is no running domain {name} to save, and no checkpoint of it"
                )));
            }
        }
        std::fs::rename(&part, checkpoint).at("cannot put in place", checkpoint)?;
        crate::state::directory_sync(checkpoint)?;
        Ok(output(None, began))
    }

    /// See [`plerion_protocol::Action::DomainReboot`].
    pub(crate) fn domain_reboot(&self, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        self.domain_tell("reboot", name, uuid, limits)
    }

    /// See [`plerion_protocol::Action::DomainReset`].
    pub(crate) fn domain_reset(&self, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        self.domain_tell("reset", name, uuid, limits)
    }

    /// See [`plerion_protocol::Action::DomainMedia`]. The drive is emptied and filled again.
    pub(crate) fn domain_media(
        &self,
        name: &str,
        uuid: &str,
        target: &str,
        path: &Path,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        names::target_check(target)?;
        let began = Instant::now();
        let path = path.to_string_lossy();
        // libvirt takes the same path for the same medium: the drive is emptied first. One that is empty already, as after
        // an attempt that was interrupted, cannot be; whether all is well the insertion tells.
        let eject = ["change-media", uuid, target, "--eject", "--live", "--force"];
        if let Err(error) = self.virsh.change(&eject, limits) {
            tracing::info!(name, target, %error, "the drive could not be emptied");
        }
        self.done(
            &[
                "change-media",
                uuid,
                target,
                &path,
                "--insert",
                "--live",
                "--force",
            ],
            limits,
        )?;
        Ok(output(None, began))
    }

    /// See [`plerion_protocol::Action::DomainResize`]. CPUs first: the guest may not let go of one.
    pub(crate) fn domain_resize(
        &self,
        name: &str,
        uuid: &str,
        vcpus: Option<u32>,
        memory_kib: Option<u64>,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        if let Some(vcpus) = vcpus {
            self.done(&["setvcpus", uuid, &vcpus.to_string(), "--live"], limits)?;
        }
        if let Some(kib) = memory_kib {
            self.done(&["setmem", uuid, &kib.to_string(), "--live"], limits)?;
        }
        Ok(output(None, began))
    }

    fn domain_tell(&self, what: &str, name: &str, uuid: &str, limits: &Limits) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        self.done(&[what, uuid], limits)?;
        Ok(output(None, began))
    }

    /// A call that must find its domain.
    pub(super) fn done(&self, arguments: &[&str], limits: &Limits) -> Act<()> {
        match self.virsh.change(arguments, limits)? {
            Reply::Done(_) => Ok(()),
            Reply::NoDomain | Reply::NotRunning => Err(failed(format!(
                "virsh {}: the domain does not run on this host",
                arguments.join(" ")
            ))),
        }
    }

    /// Whether a domain of that name and UUID runs. One of the same name and another UUID is somebody else's.
    fn runs_already(&self, name: &str, uuid: &str, limits: &Limits) -> Act<bool> {
        let running = self.running(name, limits)?;
        stranger_refuse(name, uuid, running.as_deref())?;
        Ok(running.is_some())
    }

    /// UUID of the running domain of that name.
    fn running(&self, name: &str, limits: &Limits) -> Act<Option<String>> {
        let Reply::Done(uuid) = self.virsh.ask(&["domuuid", name], limits)? else {
            return Ok(None);
        };
        match self.virsh.ask(&["domstate", name], limits)? {
            Reply::Done(state) if state.trim() != "shut off" => Ok(Some(uuid.trim().to_owned())),
            _ => Ok(None),
        }
    }
}

impl DomainLook for Hypervisor {
    fn running_uuid(&self, name: &str) -> Result<Option<String>, ActionError> {
        names::domain_check(name)?;
        self.running(name, &Limits::new(LOOK_TIME_MAX))
    }

    fn copies_end(&self, uuid: &str, disks: &[DiskTaken], freeze: Freeze) -> Result<(), ActionError> {
        names::uuid_check(uuid)?;
        let thawed = self.thaw(uuid, freeze);
        self.copy_job_end(uuid, disks).and(thawed)
    }
}

/// Writes small files into the directory of a VM, which is made where it is missing.
fn files_write(directory: &Path, files: &[ContextFile]) -> Act<()> {
    directory_make(directory)?;
    for file in files {
        names::file_check(&file.name)?;
        file_write(&directory.join(&file.name), file.text.as_bytes(), FILE_MODE)?;
    }
    Ok(())
}

/// Refuses to touch what belongs to a running domain of the same name that is not the one meant: one that a database
/// put back from a copy does not know, or one of another cloud.
fn stranger_refuse(name: &str, uuid: &str, running: Option<&str>) -> Act<()> {
    match running {
        Some(found) if !found.eq_ignore_ascii_case(uuid) => Err(failed(format!(
            "a domain {name} with UUID {found}, not {uuid}, runs on this host, and neither it nor its files were touched: \
             look whose it is, and destroy it with `virsh destroy {name}` if it is a leftover"
        ))),
        _ => Ok(()),
    }
}

fn shutdown_late(name: &str, error: ActionError) -> ActionError {
    ActionError::new(
        error.kind,
        format!(
            "{name} did not shut down in time: its guest does not react to the power button (ACPI, guest agent); \
             power it off hard, or install acpid or the guest agent in it"
        ),
    )
}

/// Whether there is a file with something in it.
fn file_holds(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

pub(super) fn output(uuid: Option<&str>, began: Instant) -> ActionOutput {
    let virsh_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    ActionOutput {
        uuid: uuid.map(str::to_owned),
        virsh_us,
        ..ActionOutput::default()
    }
}
