//! Changes of a domain that runs: devices come and go, disks grow, snapshots are taken.

use std::time::{Duration, Instant};

use plerion_protocol::{ActionError, ActionOutput, Device, DomainChange, ErrorKind};

use super::domain::{Hypervisor, output};
use super::virsh::Reply;
use super::xml::{device_xml_check, devices_find, disk_links_resolve};
use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::names;
use crate::network;

/// Longest wait for an event; then it is looked at.
const EVENT_WAIT_S: &str = "2";
/// A guest that was still booting has missed the request to let go of a device: it is asked again after this.
const DETACH_REPEAT: Duration = Duration::from_secs(10);
/// Where virsh finds a description that it is given.
pub(super) const STDIN: &str = "/dev/stdin";

impl Hypervisor {
    /// See [`plerion_protocol::Action::DomainChange`].
    pub(crate) fn domain_change(
        &self,
        name: &str,
        uuid: &str,
        change: &DomainChange,
        limits: &Limits,
    ) -> Act<ActionOutput> {
        names::domain_check(name)?;
        names::uuid_check(uuid)?;
        let began = Instant::now();
        match change {
            DomainChange::Attach { device, xml, bridges } => {
                device_xml_check(xml, device)?;
                if self.device_of(uuid, device, limits)?.is_none() {
                    network::bridges_make(bridges, limits)?;
                    self.told(
                        &["attach-device", uuid, STDIN, "--live"],
                        &disk_links_resolve(xml)?,
                        limits,
                    )?;
                }
            }
            DomainChange::Detach { device } => self.detach(name, uuid, device, limits)?,
            DomainChange::Update { device, xml } => {
                device_xml_check(xml, device)?;
                self.told(&["update-device", uuid, STDIN, "--live"], xml, limits)?;
            }
            DomainChange::Grow { target, size_mib } => {
                names::target_check(target)?;
                let size = format!("{size_mib}M");
                self.done(&["blockresize", uuid, target, "--size", &size], limits)?;
            }
            DomainChange::SnapshotTake { snapshot } => {
                names::snapshot_check(snapshot)?;
                if !self.has_snapshot(uuid, snapshot, limits)? {
                    self.done(&["snapshot-create-as", uuid, snapshot], limits)
                        .map_err(snapshot_advice)?;
                }
            }
            DomainChange::SnapshotRevert { snapshot } => {
                names::snapshot_check(snapshot)?;
                self.done(&["snapshot-revert", uuid, snapshot, "--running"], limits)?;
            }
            DomainChange::SnapshotDelete { snapshot } => {
                names::snapshot_check(snapshot)?;
                if self.has_snapshot(uuid, snapshot, limits)? {
                    self.done(&["snapshot-delete", uuid, snapshot], limits)?;
                }
            }
        }
        Ok(output(None, began))
    }

    /// Asks the guest to let go of a device, and waits until it has.
    fn detach(&self, name: &str, uuid: &str, device: &Device, limits: &Limits) -> Act<()> {
        let mut asked: Option<Instant> = None;
        while let Some(xml) = self.device_of(uuid, device, limits)? {
            if asked.is_none_or(|time| time.elapsed() >= DETACH_REPEAT) {
                let told = self.told(&["detach-device", uuid, STDIN, "--live"], &xml, limits);
                match (told, asked) {
                    (Err(error), None) => return Err(error),
                    // QEMU refuses to be asked again while it waits for the guest.
                    (Err(error), Some(_)) => {
                        tracing::debug!(name, %error, "asked again to let go of a device")
                    }
                    (Ok(()), _) => {}
                }
                asked = Some(Instant::now());
                continue;
            }
            self.event_await(uuid, "device-removed", limits)
                .map_err(|error| late(name, device, &error))?;
        }
        Ok(())
    }

    /// Waits until something happens to the domain, or for a while.
    pub(super) fn event_await(&self, uuid: &str, event: &str, limits: &Limits) -> Act<()> {
        limits.remaining()?;
        let arguments = ["event", uuid, "--event", event, "--timeout", EVENT_WAIT_S];
        match self.virsh().ask(&arguments, limits) {
            Ok(_) => Ok(()),
            // It says that it has timed out by its exit status; whatever else it may be, the next look tells.
            Err(error) if error.kind == ErrorKind::Failed => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The description of a device of a running domain; none where it is not there.
    fn device_of(&self, uuid: &str, device: &Device, limits: &Limits) -> Act<Option<String>> {
        match self.virsh().ask(&["dumpxml", uuid], limits)? {
            Reply::Done(xml) => devices_find(&xml, device),
            Reply::NoDomain | Reply::NotRunning => Err(failed("the domain does not run on this host")),
        }
    }

    fn has_snapshot(&self, uuid: &str, snapshot: &str, limits: &Limits) -> Act<bool> {
        match self.virsh().ask(&["snapshot-list", uuid, "--name"], limits)? {
            Reply::Done(names) => Ok(names.lines().any(|name| name.trim() == snapshot)),
            Reply::NoDomain | Reply::NotRunning => Err(failed("the domain does not run on this host")),
        }
    }

    /// A call that reads a description from its standard input, and must find its domain.
    pub(super) fn told(&self, arguments: &[&str], xml: &str, limits: &Limits) -> Act<()> {
        match self.virsh().change_with(arguments, xml, limits)? {
            Reply::Done(_) => Ok(()),
            Reply::NoDomain | Reply::NotRunning => Err(failed(format!(
                "virsh {}: the domain does not run on this host",
                arguments.join(" ")
            ))),
        }
    }
}

fn late(name: &str, device: &Device, error: &ActionError) -> ActionError {
    let what = match device {
        Device::Disk(target) => format!("disk {target}"),
        Device::Nic(mac) => format!("network interface {mac}"),
    };
    ActionError::new(
        error.kind,
        format!(
            "the guest of {name} did not let go of its {what} in time: it has not booted yet, or its kernel cannot unplug \
             devices; try again, or power the VM off and detach it then"
        ),
    )
}

fn snapshot_advice(error: ActionError) -> ActionError {
    if !error.text.contains("internal snapshot") {
        return error;
    }
    ActionError::new(
        error.kind,
        format!(
            "{}; a snapshot with memory is kept within the disks, so all disks of the VM that can be written must be of the \
             format qcow2",
            error.text
        ),
    )
}
