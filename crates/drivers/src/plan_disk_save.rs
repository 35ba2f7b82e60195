//! What the copy of a disk to a new image means, and how disks of a running machine are copied.

use plerion_model::Id;
use plerion_protocol::{Action, DiskTaken, Freeze, Location, Mark};
use plerion_template::Vector;

use crate::plan::{COPY_DEADLINE_S, Environment, Plan, Stay};
use crate::plan_domain::Driver;
use crate::plan_snapshot::snapshot_file;
use crate::transfer::{Transfer, disk_format};

/// Copies a disk to where its new image is to be; `live` where the machine goes on running.
pub(crate) fn disk_save(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    disk: &Vector,
    (image, snapshot): (Id, Id),
    environment: &Environment<'_>,
    live: bool,
) -> Result<(), String> {
    let transfer = Transfer::of_disk(stay, disk);
    if driver == Driver::Dummy || transfer == Transfer::Dummy {
        return Ok(());
    }
    let image = stay
        .world
        .images
        .get(image)
        .ok_or_else(|| format!("image {image} is gone"))?;
    let destination = image.source.clone();
    let id = disk.get("DISK_ID").unwrap_or_default();
    let on_host = if snapshot < 0 {
        stay.disk_path(id)
    } else {
        snapshot_file(stay, disk, snapshot)
    };
    // Nothing writes to snapshots, and to what guests may only read.
    let written = live && snapshot < 0 && !is_read_only(disk);
    let flatten = |source: String| -> Result<Action, String> {
        Ok(Action::DiskFlatten {
            source,
            destination: destination.clone(),
            format: disk_format(disk)?,
        })
    };
    match transfer {
        _ if stay.vm.files_at_front_end => {
            // What lies elsewhere is an image that all see.
            let rest = on_host.strip_prefix(stay.directory.as_str());
            let at_home = rest.map_or_else(|| on_host.clone(), |rest| format!("{}{rest}", stay.home));
            plan.front_end(flatten(at_home)?, COPY_DEADLINE_S);
        }
        // Its file refers to no other there.
        Transfer::Ssh => {
            let source = if written {
                let copy = passing_copy(stay, id);
                disks_take(
                    plan,
                    stay,
                    vec![taken(disk, copy.clone())?],
                    Freeze::None,
                    true,
                    None,
                );
                copy
            } else {
                on_host
            };
            let action = Action::Transfer {
                source: Location::There((environment.ssh_target)(&stay.host.name), source),
                destination: Location::Here(destination),
            };
            plan.front_end(action, COPY_DEADLINE_S);
        }
        Transfer::Shared if written => {
            disks_take(
                plan,
                stay,
                vec![taken(disk, destination)?],
                Freeze::None,
                false,
                None,
            );
        }
        Transfer::Shared => plan.host(stay.host.id, flatten(on_host)?, COPY_DEADLINE_S),
        Transfer::Dummy | Transfer::Script(_) => {
            return Err(format!(
                "disk {id} cannot be saved: the transfer driver of its datastore does not do that yet"
            ));
        }
    }
    Ok(())
}

fn is_read_only(disk: &Vector) -> bool {
    let is = |name: &str, word: &str| disk.get(name).is_some_and(|text| text.eq_ignore_ascii_case(word));
    is("READONLY", "YES") || is("TYPE", "CDROM")
}

/// Where the copy of a disk is on the host until it has come home. The step makes the name one that no other copy has:
/// what is left of an older one may go late.
pub(crate) fn passing_copy(stay: &Stay<'_>, disk: &str) -> String {
    format!("{}.copy-{}", stay.disk_path(disk), stay.vm.step)
}

/// A disk of a running machine and the file that it is copied to.
pub(crate) fn taken(disk: &Vector, destination: String) -> Result<DiskTaken, String> {
    Ok(DiskTaken {
        target: disk.get("TARGET").unwrap_or_default().to_owned(),
        destination,
        format: disk_format(disk)?,
    })
}

/// Copies disks of a running machine, all as they are at one moment; `passing` where the copies go again with this plan.
pub(crate) fn disks_take(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disks: Vec<DiskTaken>,
    freeze: Freeze,
    passing: bool,
    mark: Option<Mark>,
) {
    let (name, uuid) = stay.domain();
    let action = Action::DomainDisksCopy {
        name,
        uuid,
        disks,
        freeze,
        passing,
        mark,
    };
    plan.host(stay.host.id, action, COPY_DEADLINE_S);
}
