//! The transfer drivers: how disks and directories get where they are needed.

use plerion_protocol::{Action, DiskFormat, Location};
use plerion_template::Vector;

use crate::plan::{COPY_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_script_disk::{
    Side, directory_script_delete, directory_script_move, disk_script_end, disk_script_prepare,
    disk_scripts_end, disk_scripts_move, disks_of,
};
use crate::plan_snapshot::{snapshots_bring, snapshots_bring_home, snapshots_fit};
use crate::transfer::{Transfer, disk_format};

/// Directory on a host for copies of images that several VMs use.
const CACHE: &str = ".images";

/// A number in a disk.
pub(crate) fn number(disk: &Vector, key: &str) -> Option<u64> {
    disk.get(key).and_then(|text| text.parse().ok())
}

/// Makes one disk ready on the host.
pub(crate) fn disk_prepare(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if disk_script_prepare(plan, stay, disk)? {
        return Ok(());
    }
    let destination = stay.disk_path(disk.get("DISK_ID").unwrap_or_default());
    if disk.get("IMAGE_ID").is_none() {
        return disk_volatile(plan, stay, disk, destination);
    }
    let transfer = Transfer::of_disk(stay, disk);
    // What the dummy drivers call a format is none, and nothing is done with it.
    if transfer == Transfer::Dummy {
        return Ok(());
    }
    let source = disk.get("SOURCE").unwrap_or_default().to_owned();
    let format = disk_format(disk)?;
    snapshots_fit(stay, disk)?;
    let size_mib =
        number(disk, "SIZE").filter(|size| number(disk, "ORIGINAL_SIZE").is_some_and(|old| *size > old));
    let clone = disk
        .get("CLONE")
        .is_none_or(|text| text.eq_ignore_ascii_case("yes"));
    match (transfer, clone) {
        (Transfer::Dummy | Transfer::Script(_), _) => {}
        (Transfer::Ssh, true) => {
            let cached = image_cached(plan, stay, &source, environment);
            let action = Action::DiskCopy {
                source: cached,
                destination,
                format,
                size_mib,
            };
            plan.host(stay.host.id, action, COPY_DEADLINE_S);
        }
        (Transfer::Ssh, false) => {
            let there = Location::There((environment.ssh_target)(&stay.host.name), destination);
            plan.front_end(
                Action::Transfer {
                    source: Location::Here(source),
                    destination: there,
                },
                COPY_DEADLINE_S,
            );
            snapshots_bring(plan, stay, disk, environment);
        }
        (Transfer::Shared, true) if format == DiskFormat::Qcow2 => {
            let action = Action::DiskOverlay {
                backing: source,
                backing_format: format,
                destination,
                size_mib,
            };
            plan.host(stay.host.id, action, COPY_DEADLINE_S);
        }
        (Transfer::Shared, true) => {
            plan.host(
                stay.host.id,
                Action::DiskCopy {
                    source,
                    destination,
                    format,
                    size_mib,
                },
                COPY_DEADLINE_S,
            );
        }
        (Transfer::Shared, false) => {
            plan.host(
                stay.host.id,
                Action::DiskLink {
                    source,
                    destination,
                    format,
                },
                QUICK_DEADLINE_S,
            );
        }
    }
    Ok(())
}

/// Brings an image to the host's cache; one that is there already is found to be so by the transfer itself.
fn image_cached(plan: &mut Plan, stay: &Stay<'_>, source: &str, environment: &Environment<'_>) -> String {
    let name = source.rsplit('/').next().unwrap_or(source);
    let store = stay
        .directory
        .rsplit_once('/')
        .map_or(stay.directory.as_str(), |(parent, _)| parent);
    let cached = format!("{store}/{CACHE}/{name}");
    let there = Location::There((environment.ssh_target)(&stay.host.name), cached.clone());
    let action = Action::Transfer {
        source: Location::Here(source.to_owned()),
        destination: there,
    };
    plan.front_end(action, COPY_DEADLINE_S);
    cached
}

fn disk_volatile(plan: &mut Plan, stay: &Stay<'_>, disk: &Vector, destination: String) -> Result<(), String> {
    if Transfer::of(stay) == Transfer::Dummy {
        return Ok(());
    }
    let swap = disk
        .get("TYPE")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("swap"));
    let action = Action::DiskMake {
        destination,
        format: disk_format(disk)?,
        size_mib: number(disk, "SIZE").unwrap_or(0),
        file_system: disk.get("FS").filter(|fs| !fs.is_empty()).map(str::to_owned),
        swap,
    };
    plan.host(stay.host.id, action, COPY_DEADLINE_S);
    Ok(())
}

/// Brings the disks home that are to be kept, and deletes the VM's files where they are.
pub(crate) fn files_end(
    plan: &mut Plan,
    stay: &Stay<'_>,
    environment: &Environment<'_>,
) -> Result<(), String> {
    let at_home = stay.vm.files_at_front_end;
    let side = if at_home { Side::FrontEnd } else { Side::Host };
    disk_scripts_end(plan, stay, side)?;
    for disk in &disks_of(stay) {
        if Transfer::of_disk(stay, disk) == Transfer::Ssh {
            disk_bring_home(plan, stay, disk, environment);
        }
    }
    match Transfer::of(stay) {
        Transfer::Dummy => {}
        Transfer::Script(driver) => directory_script_delete(plan, stay, driver, side),
        Transfer::Ssh if at_home => {
            let path = stay.home.clone();
            plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
        }
        Transfer::Ssh | Transfer::Shared => {
            let path = stay.directory.clone();
            plan.host(stay.host.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
        }
    }
    Ok(())
}

/// Brings one disk home where it is to be kept, and deletes its file on the host.
pub(crate) fn disk_end(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if disk_script_end(plan, stay, disk, Side::Host)? {
        return Ok(());
    }
    match Transfer::of_disk(stay, disk) {
        Transfer::Dummy | Transfer::Script(_) => return Ok(()),
        Transfer::Ssh => disk_bring_home(plan, stay, disk, environment),
        Transfer::Shared => {}
    }
    let path = stay.disk_path(disk.get("DISK_ID").unwrap_or_default());
    plan.host(stay.host.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
    Ok(())
}

/// Puts a disk that is to be kept back in the place of its image.
pub(crate) fn disk_bring_home(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
) {
    let (Some(source), Some("YES")) = (disk.get("SOURCE"), disk.get("SAVE")) else {
        return;
    };
    let name = disk.get("DISK_ID").unwrap_or_default();
    let action = if stay.vm.files_at_front_end {
        Action::FileReplace {
            source: format!("{}/disk.{name}", stay.home),
            destination: source.to_owned(),
        }
    } else {
        Action::Transfer {
            source: Location::There((environment.ssh_target)(&stay.host.name), stay.disk_path(name)),
            destination: Location::Here(source.to_owned()),
        }
    };
    plan.front_end(action, COPY_DEADLINE_S);
    snapshots_bring_home(plan, stay, disk, environment);
}

/// Moves the VM's directory from the host to the front-end.
pub(crate) fn files_to_front_end(
    plan: &mut Plan,
    stay: &Stay<'_>,
    environment: &Environment<'_>,
) -> Result<(), String> {
    disk_scripts_move(plan, stay, Side::Host, Side::FrontEnd)?;
    if let Transfer::Script(driver) = Transfer::of(stay) {
        directory_script_move(plan, stay, driver, Side::Host, Side::FrontEnd);
    }
    if Transfer::of(stay) == Transfer::Ssh {
        let there = Location::There((environment.ssh_target)(&stay.host.name), stay.directory.clone());
        let here = Location::Here(stay.home.clone());
        // Where host and front-end are one machine, the files are at home already.
        if !same_place(stay) {
            plan.front_end(
                Action::Transfer {
                    source: there,
                    destination: here,
                },
                COPY_DEADLINE_S,
            );
            plan.host(
                stay.host.id,
                Action::PathDelete {
                    path: stay.directory.clone(),
                },
                QUICK_DEADLINE_S,
            );
        }
    }
    Ok(())
}

/// Moves the VM's directory from the front-end to the host.
pub(crate) fn files_to_host(
    plan: &mut Plan,
    stay: &Stay<'_>,
    environment: &Environment<'_>,
) -> Result<(), String> {
    disk_scripts_move(plan, stay, Side::FrontEnd, Side::Host)?;
    if let Transfer::Script(driver) = Transfer::of(stay) {
        directory_script_move(plan, stay, driver, Side::FrontEnd, Side::Host);
    }
    if Transfer::of(stay) == Transfer::Ssh && !same_place(stay) {
        let there = Location::There((environment.ssh_target)(&stay.host.name), stay.directory.clone());
        let here = Location::Here(stay.home.clone());
        plan.front_end(
            Action::Transfer {
                source: here,
                destination: there,
            },
            COPY_DEADLINE_S,
        );
        plan.front_end(
            Action::PathDelete {
                path: stay.home.clone(),
            },
            QUICK_DEADLINE_S,
        );
    }
    Ok(())
}

/// Whether host and front-end see the same files: the host's agent found the mark that the front-end's agent made. A
/// transfer of a directory onto itself, and the deletion after it, would lose it.
pub(crate) fn same_place(stay: &Stay<'_>) -> bool {
    stay.directory == stay.home && stay.host.template.get("FRONT_END_STORAGE") == Some("YES")
}
