//! From an action to the module that does it.

use std::sync::{PoisonError, RwLock};

use plerion_protocol::{Action, ActionOutput, Location};

use crate::evidence::Evidence;
use crate::fault::{Act, refused};
use crate::hypervisor::Hypervisor;
use crate::limits::Limits;
use crate::migrate::{Move, domain_migrate};
use crate::roots::Roots;
use crate::script::Scripts;
use crate::storage::{self, TransferContext};

/// What actions need of the agent.
pub(crate) struct Means {
    /// Directories that may be touched; replaced by every hello.
    pub(crate) roots: RwLock<Roots>,
    /// The door to libvirt.
    pub(crate) hypervisor: Hypervisor,
    /// Who this agent works for, for the other end of a transfer.
    pub(crate) transfer: TransferContext,
    /// The drivers' scripts; none on hosts.
    pub(crate) scripts: Option<Scripts>,
}

impl Means {
    fn roots(&self) -> Roots {
        self.roots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes away what is left of an action that nobody waits for any more.
    pub(crate) fn tidy(&self, evidence: &Evidence) -> Act<()> {
        match evidence {
            Evidence::Copies { disks, passing, .. } => storage::copies_tidy(&self.roots(), disks, *passing),
            Evidence::Nothing
            | Evidence::Once
            | Evidence::File { .. }
            | Evidence::Gone { .. }
            | Evidence::Moved { .. }
            | Evidence::DomainRuns { .. }
            | Evidence::DomainGone { .. } => Ok(()),
        }
    }

    /// Does one action to its end.
    pub(crate) fn act(&self, action: &Action, limits: &Limits) -> Act<ActionOutput> {
        let roots = self.roots();
        match action {
            Action::DiskCopy {
                source,
                destination,
                format,
                size_mib,
            } => storage::disk_copy(&roots, source, destination, *format, *size_mib, limits),
            Action::DiskOverlay {
                backing,
                backing_format,
                destination,
                size_mib,
            } => storage::disk_overlay(&roots, backing, *backing_format, destination, *size_mib, limits),
            Action::DiskFlatten {
                source,
                destination,
                format,
            } => storage::disk_flatten(&roots, source, destination, *format, limits),
            Action::DiskSnapshot { path, snapshot, work } => {
                storage::disk_snapshot(&roots, path, *snapshot, *work, limits)
            }
            Action::DomainDiskSnapshot {
                name,
                uuid,
                target,
                path,
                snapshot,
            } => self.hypervisor.disk_snapshot(name, uuid, target, limits, || {
                storage::snapshot_take(&roots, path, *snapshot, limits)
            }),
            Action::DomainDisksCopy {
                name,
                uuid,
                disks,
                freeze,
                mark,
                ..
            } => self
                .hypervisor
                .disks_copy(&roots, (name, uuid), disks, *freeze, mark.as_ref(), limits),
            Action::LayersMerge { layers, destination } => {
                storage::layers_merge(&roots, layers, destination, limits)
            }
            Action::DiskLink {
                source,
                destination,
                format,
            } => storage::disk_link(&roots, source, destination, *format),
            Action::DiskMake {
                destination,
                format,
                size_mib,
                file_system,
                swap,
            } => {
                let content = storage::DiskContent::of(file_system.as_deref(), *swap)?;
                storage::disk_make(&roots, destination, *format, *size_mib, &content, limits)
            }
            Action::PathDelete { path } => storage::path_delete(&roots, path),
            Action::FileReplace { source, destination } => {
                storage::file_replace(&roots, source, destination, limits)
            }
            Action::Transfer { source, destination } => self.transfer(&roots, source, destination, limits),
            Action::ContextMake {
                destination,
                files,
                copies,
            } => storage::context_make(&roots, destination, files, copies),
            Action::ImageRegister {
                source,
                destination,
                format,
                checksum,
                size_limit_mib,
            } => {
                let wanted = storage::Wanted {
                    format: *format,
                    checksum: checksum.as_deref(),
                    size_limit_mib: *size_limit_mib,
                };
                storage::image_register(&roots, source, destination, &wanted, limits)
            }
            Action::ImageStat { source } => storage::image_stat(source, limits),
            Action::DatastoreStat { path } => storage::datastore_stat(&roots, path),
            Action::DomainStart { .. }
            | Action::DomainRestore { .. }
            | Action::DomainAbsent { .. }
            | Action::DomainShutdown { .. }
            | Action::DomainDestroy { .. }
            | Action::DomainSave { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. }
            | Action::DomainResize { .. }
            | Action::DomainMedia { .. }
            | Action::DomainReceive { .. }
            | Action::GuestExec { .. }
            | Action::GuestAwait { .. }
            | Action::GuestKill { .. }
            | Action::DomainChange { .. } => self.domain(&roots, action, limits),
            Action::DomainMigrate {
                name,
                uuid,
                directory,
                from,
                to,
                disks,
            } => {
                let wanted = Move {
                    name,
                    uuid,
                    directory,
                    from,
                    to,
                    disks,
                };
                domain_migrate(&roots, &self.transfer, &wanted, limits)
            }
            Action::ScriptRun(call) => match &self.scripts {
                Some(scripts) => scripts.run(call, limits),
                None => Err(refused(
                    "scripts of drivers are run by the front-end's own agent, not on hosts",
                )),
            },
        }
    }

    fn transfer(&self, roots: &Roots, from: &Location, to: &Location, limits: &Limits) -> Act<ActionOutput> {
        match (from, to) {
            (Location::Here(path), Location::There(target, other)) => {
                storage::transfer_push(roots, &self.transfer, path, target, other, limits)
            }
            (Location::There(target, other), Location::Here(path)) => {
                storage::transfer_pull(roots, &self.transfer, target, other, path, limits)
            }
            _ => Err(refused(
                "exactly one end of a transfer must be on the host that does it",
            )),
        }
    }

    fn domain(&self, roots: &Roots, action: &Action, limits: &Limits) -> Act<ActionOutput> {
        let domains = &self.hypervisor;
        match action {
            Action::DomainStart {
                name,
                uuid,
                directory,
                xml,
                deployment_file,
                files,
                bridges,
            } => {
                let directory = roots.target(directory)?;
                let start = crate::hypervisor::Start {
                    name,
                    uuid,
                    directory: &directory,
                    xml,
                    deployment_file,
                    files,
                };
                domains.domain_start(&start, bridges, limits)
            }
            Action::DomainRestore {
                name,
                uuid,
                checkpoint,
                xml,
                bridges,
            } => {
                let checkpoint = roots.target(checkpoint)?;
                domains.domain_restore(name, uuid, &checkpoint, xml, bridges, limits)
            }
            Action::DomainAbsent { name, uuid } => domains.domain_absent(name, uuid, limits),
            Action::DomainShutdown { name, uuid } => domains.domain_shutdown(name, uuid, limits),
            Action::DomainDestroy { name, uuid } => domains.domain_destroy(name, uuid, limits),
            Action::DomainSave {
                name,
                uuid,
                checkpoint,
            } => {
                let checkpoint = roots.target(checkpoint)?;
                domains.domain_save(name, uuid, &checkpoint, limits)
            }
            Action::DomainReboot { name, uuid } => domains.domain_reboot(name, uuid, limits),
            Action::DomainMedia {
                name,
                uuid,
                target,
                path,
            } => {
                let path = roots.target(path)?;
                domains.domain_media(name, uuid, target, &path, limits)
            }
            Action::DomainResize {
                name,
                uuid,
                vcpus,
                memory_kib,
            } => domains.domain_resize(name, uuid, *vcpus, *memory_kib, limits),
            Action::DomainReceive {
                name,
                uuid,
                directory,
                files,
                bridges,
            } => {
                let directory = roots.target(directory)?;
                domains.domain_receive(name, uuid, &directory, files, bridges, limits)
            }
            Action::DomainChange { name, uuid, change } => domains.domain_change(name, uuid, change, limits),
            Action::DomainReset { name, uuid } => domains.domain_reset(name, uuid, limits),
            Action::GuestExec {
                name,
                uuid,
                command,
                stdin,
            } => domains.guest_exec(name, uuid, command, stdin, limits),
            Action::GuestAwait { name, uuid, pid } => domains.guest_await(name, uuid, *pid, limits),
            Action::GuestKill { name, uuid, pid } => domains.guest_kill(name, uuid, *pid, limits),
            _ => Err(refused("this action is not about a domain")),
        }
    }
}
