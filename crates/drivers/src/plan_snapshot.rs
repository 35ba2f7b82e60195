//! Where the snapshots of a disk are, and what taking, going back to and deleting one means.
//!
//! QCOW2 disks of the shared and qcow2 drivers are chains of files, of which each snapshot is one. Other disks have a copy for
//! each, in the same directory `NAME.snap`.

use plerion_model::Id;
use plerion_model::vm_device::DeviceChange;
use plerion_protocol::{Action, DiskFormat, Location, SnapshotWork};
use plerion_template::Vector;
use plerion_world::ImageSnapshot;

use crate::plan::{COPY_DEADLINE_S, DOMAIN_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::transfer::{Transfer, disk_format};

/// The directory of the snapshots of a disk whose file has this path.
fn beside(file: &str) -> String {
    format!("{file}.snap")
}

fn saves(disk: &Vector) -> bool {
    disk.get("SAVE")
        .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
}

/// The file of a disk on its host: that of its image where that itself is used.
fn disk_file(stay: &Stay<'_>, disk: &Vector) -> String {
    match disk.get("SOURCE") {
        Some(source) if saves(disk) && Transfer::of_disk(stay, disk) == Transfer::Shared => source.to_owned(),
        _ => stay.disk_path(disk.get("DISK_ID").unwrap_or_default()),
    }
}

/// The file of a snapshot of a disk on its host.
pub(crate) fn snapshot_file(stay: &Stay<'_>, disk: &Vector, snapshot: Id) -> String {
    format!("{}/{snapshot}", beside(&disk_file(stay, disk)))
}

/// Plans the change of a snapshot of a disk; `live` where the machine goes on running.
pub(crate) fn disk_snapshot_plan(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    change: DeviceChange,
    live: bool,
) -> Result<(), String> {
    let (work, snapshot) = match change {
        DeviceChange::DiskSnapshotCreate { snapshot, .. } => (SnapshotWork::Take, snapshot),
        DeviceChange::DiskSnapshotRevert { snapshot, .. } => (SnapshotWork::Revert, snapshot),
        DeviceChange::DiskSnapshotDelete { snapshot, .. } => (SnapshotWork::Delete, snapshot),
        _ => return Ok(()),
    };
    let id = disk.get("DISK_ID").unwrap_or_default();
    let transfer = Transfer::of_disk(stay, disk);
    let format = disk_format(disk)?;
    match transfer {
        Transfer::Dummy => return Ok(()),
        Transfer::Script(driver) => {
            return Err(format!(
                "snapshots of disk {id} are not supported yet: the transfer driver {driver} is a script"
            ));
        }
        Transfer::Shared if format == DiskFormat::Qcow2 => {
            let path = stay.disk_path(id);
            let number = u32::try_from(snapshot).map_err(|_| format!("{snapshot} is no snapshot"))?;
            if live && work == SnapshotWork::Take {
                let (name, uuid) = stay.domain();
                let action = Action::DomainDiskSnapshot {
                    name,
                    uuid,
                    target: disk.get("TARGET").unwrap_or_default().to_owned(),
                    path,
                    snapshot: number,
                };
                plan.host(stay.host.id, action, DOMAIN_DEADLINE_S);
            } else {
                let action = Action::DiskSnapshot {
                    path,
                    snapshot: number,
                    work,
                };
                plan.host(stay.host.id, action, QUICK_DEADLINE_S);
            }
            return Ok(());
        }
        Transfer::Ssh | Transfer::Shared => {}
    }
    let (file, copy) = (disk_file(stay, disk), snapshot_file(stay, disk, snapshot));
    let (source, destination) = match work {
        SnapshotWork::Delete => {
            plan.host(stay.host.id, Action::PathDelete { path: copy }, QUICK_DEADLINE_S);
            return Ok(());
        }
        // A copy of a file that is written to meanwhile would be torn.
        SnapshotWork::Take if live => {
            return Err(format!(
                "disk {id} is copied for a snapshot, which cannot be done while the VM runs: power it off or suspend it first"
            ));
        }
        SnapshotWork::Take => (file, copy),
        SnapshotWork::Revert => (copy, file),
    };
    let action = Action::DiskCopy {
        source,
        destination,
        format,
        size_mib: None,
    };
    plan.host(stay.host.id, action, COPY_DEADLINE_S);
    Ok(())
}

/// Plans the change of a snapshot of an image whose file has this path, in the layout of the transfer driver of its
/// datastore: that in which VMs left it there.
pub(crate) fn image_snapshot_plan(
    plan: &mut Plan,
    file: &str,
    format: DiskFormat,
    driver: &str,
    work: ImageSnapshot,
) -> Result<(), String> {
    let chain = format == DiskFormat::Qcow2 && keeps_chains(driver);
    let copy = format!("{}/{}", beside(file), work.id());
    let (path, source, destination) = (file.to_owned(), copy.clone(), file.to_owned());
    let snapshot = u32::try_from(work.id()).map_err(|_| format!("{} is no snapshot", work.id()))?;
    let of_chain = |work| Action::DiskSnapshot { path, snapshot, work };
    let copied = Action::DiskCopy {
        source: source.clone(),
        destination: destination.clone(),
        format,
        size_mib: None,
    };
    match work {
        ImageSnapshot::Delete(_) if chain => plan.front_end(of_chain(SnapshotWork::Delete), QUICK_DEADLINE_S),
        ImageSnapshot::Delete(_) => plan.front_end(Action::PathDelete { path: copy }, QUICK_DEADLINE_S),
        ImageSnapshot::Revert(_) if chain => plan.front_end(of_chain(SnapshotWork::Revert), QUICK_DEADLINE_S),
        ImageSnapshot::Revert(_) => plan.front_end(copied, COPY_DEADLINE_S),
        ImageSnapshot::Flatten(_) => {
            let whole = match chain {
                true => Action::DiskFlatten {
                    source,
                    destination,
                    format,
                },
                false => copied,
            };
            plan.front_end(whole, COPY_DEADLINE_S);
            plan.front_end(Action::PathDelete { path: beside(file) }, QUICK_DEADLINE_S);
        }
    }
    Ok(())
}

/// Whether a transfer driver keeps the snapshots of QCOW2 disks as chains of files.
fn keeps_chains(driver: &str) -> bool {
    matches!(driver, "shared" | "qcow2")
}

/// Refuses an image whose snapshots the VM's storage would not find, or not understand.
pub(crate) fn snapshots_fit(stay: &Stay<'_>, disk: &Vector) -> Result<(), String> {
    let image = disk.get("IMAGE_ID").and_then(|id| id.parse().ok());
    let Some(image) = image.and_then(|id: Id| stay.world.images.get(id)) else {
        return Ok(());
    };
    let chain = disk_format(disk)? == DiskFormat::Qcow2;
    let own = disk.get("TM_MAD").unwrap_or_default();
    if image.snapshots.snapshots.is_empty() || !chain {
        return Ok(());
    }
    if !saves(disk) {
        return Err(format!(
            "image {} has snapshots, of which copies know nothing: make it persistent again",
            image.id
        ));
    }
    if keeps_chains(own) == keeps_chains(&stay.system.tm_mad) {
        return Ok(());
    }
    Err(format!(
        "image {} has snapshots in the layout of the transfer driver {own}, which is not that of {} of datastore {}: place the \
         VM on a system datastore of the driver {own}",
        image.id, stay.system.tm_mad, stay.system.id
    ))
}

/// Snapshots of an image that is copied to its host go there as well.
pub(crate) fn snapshots_bring(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
) {
    let image = disk.get("IMAGE_ID").and_then(|id| id.parse().ok());
    let image = image.and_then(|id: Id| stay.world.images.get(id));
    let (Some(source), Some(image)) = (disk.get("SOURCE"), image) else {
        return;
    };
    if !saves(disk) || image.snapshots.snapshots.is_empty() {
        return;
    }
    let there = beside(&stay.disk_path(disk.get("DISK_ID").unwrap_or_default()));
    let action = Action::Transfer {
        source: Location::Here(beside(source)),
        destination: Location::There((environment.ssh_target)(&stay.host.name), there),
    };
    plan.front_end(action, COPY_DEADLINE_S);
}

/// Snapshots of a disk that was copied to its host, and is kept, come home.
pub(crate) fn snapshots_bring_home(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
) {
    let id = disk.get("DISK_ID").unwrap_or_default();
    let tree = id.parse().ok().and_then(|id: Id| stay.vm.disk_snapshots.get(&id));
    let kept = disk
        .get("PERSISTENT_SNAPSHOTS")
        .is_none_or(|text| text.eq_ignore_ascii_case("yes"));
    let (Some(source), Some(tree), true) = (disk.get("SOURCE"), tree, kept) else {
        return;
    };
    if tree.snapshots.is_empty() {
        return;
    }
    let destination = beside(source);
    if stay.vm.files_at_front_end {
        for snapshot in &tree.snapshots {
            let action = Action::FileReplace {
                source: format!("{}/{}", beside(&format!("{}/disk.{id}", stay.home)), snapshot.id),
                destination: format!("{destination}/{}", snapshot.id),
            };
            plan.front_end(action, COPY_DEADLINE_S);
        }
        return;
    }
    let action = Action::Transfer {
        source: Location::There(
            (environment.ssh_target)(&stay.host.name),
            beside(&stay.disk_path(id)),
        ),
        destination: Location::Here(destination),
    };
    plan.front_end(action, COPY_DEADLINE_S);
}

/// Refuses to move a running VM whose disks are copied and have snapshots, which the hypervisor does not know of.
pub(crate) fn snapshots_stay(stay: &Stay<'_>) -> Result<(), String> {
    let with = stay
        .vm
        .disk_snapshots
        .iter()
        .find(|(_, tree)| !tree.snapshots.is_empty());
    match with {
        Some((disk, _)) => Err(format!(
            "disk {disk} has snapshots, which are not copied while the VM runs: migrate it without --live, or delete them first"
        )),
        None => Ok(()),
    }
}
