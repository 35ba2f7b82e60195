//! What backups and restores mean: disks go to the front-end's files and come back.

use plerion_model::Id;
use plerion_model::image::Image;
use plerion_model::vm_backup::{BackupRun, FsFreeze};
use plerion_protocol::{Action, DiskTaken, Freeze, Location};

use crate::plan::{COPY_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_device::is_live;
use crate::plan_disk_save::{disks_take, passing_copy, taken};
use crate::plan_domain::{Driver, domain_absent};
use crate::plan_script_disk::disk_of;
use crate::plan_transfer::number;
use crate::transfer::{Transfer, disk_format};

/// Size that the dummy datastore driver says a backup has, in MiB (recorded).
const DUMMY_MIB: u64 = 1024;

/// Disks are copied to a directory of their own: of a VM that is off as they lie on its host, of one that runs from copies that
/// its hypervisor makes there, all of one moment.
pub(crate) fn backup(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if driver == Driver::Dummy {
        plan.output.source = Some("dummy-backup-id".into());
        plan.output.size_mib = Some(DUMMY_MIB);
        plan.output.format = Some("raw".into());
        return Ok(());
    }
    let run = stay
        .vm
        .backup_run()
        .ok_or_else(|| format!("no backup of VM {} was asked for", stay.vm.id))?;
    if run.place.is_empty() || Transfer::of(stay) != Transfer::Ssh {
        return Err(unsupported(stay));
    }
    let live = is_live(stay.vm);
    if live {
        disks_take(plan, stay, copies(stay, run)?, freeze_of(run.freeze), true);
    } else {
        // The disks must be nobody's meanwhile.
        domain_absent(plan, stay, driver);
    }
    let mut size_mib: u64 = 0;
    for id in &run.disks {
        let disk = disk_of(stay, *id)?;
        let format = disk_format(&disk)?;
        plan.output
            .format
            .get_or_insert_with(|| format.as_str().to_owned());
        size_mib = size_mib.saturating_add(number(&disk, "SIZE").unwrap_or(0));
        let number = id.to_string();
        let path = if live {
            passing_copy(stay, &number)
        } else {
            stay.disk_path(&number)
        };
        let action = Action::Transfer {
            source: Location::There((environment.ssh_target)(&stay.host.name), path),
            destination: Location::Here(format!("{}/disk.{id}", run.place)),
        };
        plan.front_end(action, COPY_DEADLINE_S);
    }
    plan.output.source = Some(run.place.clone());
    plan.output.size_mib = Some(size_mib);
    Ok(())
}

fn copies(stay: &Stay<'_>, run: &BackupRun) -> Result<Vec<DiskTaken>, String> {
    let copy = |id: &Id| taken(&disk_of(stay, *id)?, passing_copy(stay, &id.to_string()));
    run.disks.iter().map(copy).collect()
}

fn freeze_of(freeze: FsFreeze) -> Freeze {
    match freeze {
        FsFreeze::None => Freeze::None,
        FsFreeze::Agent => Freeze::Agent,
        FsFreeze::Suspend => Freeze::Suspend,
    }
}

/// Disks come back under names of their own and take the places of those that were there: a transfer that fails leaves them.
pub(crate) fn disks_restore(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if driver == Driver::Dummy {
        return Ok(());
    }
    let run = stay
        .vm
        .restore_run()
        .ok_or_else(|| format!("no restore of VM {} was asked for", stay.vm.id))?;
    let image = stay
        .world
        .images
        .get(run.image)
        .ok_or_else(|| format!("image {} is gone", run.image))?;
    if Transfer::of(stay) != Transfer::Ssh {
        return Err(unsupported(stay));
    }
    domain_absent(plan, stay, driver);
    let disks: Vec<Id> = disks_in(image)
        .into_iter()
        .filter(|disk| run.disk < 0 || run.disk == *disk)
        .collect();
    for id in &disks {
        let disk = disk_of(stay, *id)?;
        let destination = stay.disk_path(&id.to_string());
        let restored = format!("{destination}.restored");
        let there = Location::There((environment.ssh_target)(&stay.host.name), restored.clone());
        let action = Action::Transfer {
            source: Location::Here(format!("{}/disk.{id}", image.source)),
            destination: there,
        };
        plan.front_end(action, COPY_DEADLINE_S);
        // It may have grown since.
        let grow = Action::DiskCopy {
            source: restored.clone(),
            destination: restored,
            format: disk_format(&disk)?,
            size_mib: number(&disk, "SIZE"),
        };
        plan.host(stay.host.id, grow, COPY_DEADLINE_S);
    }
    for id in disks {
        let destination = stay.disk_path(&id.to_string());
        let action = Action::FileReplace {
            source: format!("{destination}.restored"),
            destination: destination.clone(),
        };
        plan.host(stay.host.id, action, QUICK_DEADLINE_S);
        // Its snapshots are forgotten.
        let path = format!("{destination}.snap");
        plan.host(stay.host.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
    }
    Ok(())
}

fn disks_in(image: &Image) -> Vec<Id> {
    image
        .backup
        .as_ref()
        .map(|backup| backup.disks.clone())
        .unwrap_or_default()
}

fn unsupported(stay: &Stay<'_>) -> String {
    format!(
        "backups are not supported yet with the transfer driver {} on hosts of the driver {}",
        stay.system.tm_mad, stay.host.vm_mad
    )
}
