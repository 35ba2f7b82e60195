//! What backups and restores mean: disks go to the front-end's files and come back.

use plerion_model::Id;
use plerion_model::image::{Image, Increment};
use plerion_model::vm_backup::{BackupMode, BackupRun, FsFreeze};
use plerion_protocol::{Action, DiskTaken, Freeze, Location, Mark};

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
        let mark = mark_of(stay, run)?;
        disks_take(plan, stay, copies(stay, run)?, freeze_of(run.freeze), true, mark);
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
    if let Some(chain) = run.chain {
        oldest_merge(plan, stay, run, chain)?;
    }
    Ok(())
}

/// Increments hold what has changed since an earlier one, as far as the disks know.
fn mark_of(stay: &Stay<'_>, run: &BackupRun) -> Result<Option<Mark>, String> {
    if run.mode != BackupMode::Increment {
        return Ok(None);
    }
    let increments = match run.chain {
        Some(image) => increments_of(image_of(stay, image)?),
        None => &[],
    };
    let names: Vec<&str> = increments.iter().map(|own| name_of(&own.source)).collect();
    let below = names.last().map_or(Vec::new(), |last| {
        let file = |disk: &Id| format!("../{last}/disk.{disk}");
        run.disks.iter().map(file).collect()
    });
    Ok(Some(Mark {
        name: name_of(&run.place).to_owned(),
        since: names.into_iter().rev().map(str::to_owned).collect(),
        below,
    }))
}

/// The last part of the path of an increment, which no other has.
fn name_of(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or(place)
}

/// Where more increments are than are to be kept, the oldest become one with the one after them: its files then hold all, and
/// theirs go last.
fn oldest_merge(plan: &mut Plan, stay: &Stay<'_>, run: &BackupRun, chain: Id) -> Result<(), String> {
    let image = image_of(stay, chain)?;
    let mut places: Vec<&str> = increments_of(image)
        .iter()
        .map(|own| own.source.as_str())
        .collect();
    places.push(&run.place);
    let keep = usize::try_from(run.keep_last).unwrap_or(usize::MAX);
    let Some(gone) = places
        .len()
        .checked_sub(keep)
        .filter(|gone| keep > 0 && *gone > 0)
    else {
        return Ok(());
    };
    let (merged, left) = (
        places.get(..=gone).unwrap_or(&places),
        places.get(..gone).unwrap_or(&[]),
    );
    for disk in disks_in(image) {
        let layers = layers_in(merged, disk);
        let destination = layers.last().cloned().unwrap_or_default();
        plan.front_end(Action::LayersMerge { layers, destination }, COPY_DEADLINE_S);
    }
    for place in left {
        let path = (*place).to_owned();
        plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
    }
    Ok(())
}

fn layers_in(places: &[&str], disk: Id) -> Vec<String> {
    places
        .iter()
        .map(|place| format!("{place}/disk.{disk}"))
        .collect()
}

fn image_of<'a>(stay: &Stay<'a>, id: Id) -> Result<&'a Image, String> {
    let image = stay.world.images.get(id);
    image
        .map(AsRef::as_ref)
        .ok_or_else(|| format!("image {id} is gone"))
}

fn increments_of(image: &Image) -> &[Increment] {
    image
        .backup
        .as_ref()
        .map_or(&[], |backup| backup.increments.as_slice())
}

/// What makes a file of a disk out of a backup as it was in an increment (-1 the last): by name of the file or, of a chain,
/// by its layers.
pub(crate) enum Kept {
    /// The file.
    File(String),
    /// The layers, the oldest first.
    Layers(Vec<String>),
}

impl Kept {
    pub(crate) fn of(image: &Image, increment: Id, disk: Id) -> Result<Self, String> {
        let increments = increments_of(image);
        if increments.is_empty() {
            return Ok(Self::File(format!("{}/disk.{disk}", image.source)));
        }
        let last = match increment {
            ..0 => increments.len().checked_sub(1),
            wanted => increments.iter().position(|own| own.id == wanted),
        };
        let last = last.ok_or_else(|| format!("image {} has no increment {increment}", image.id))?;
        let places: Vec<&str> = increments
            .iter()
            .take(last + 1)
            .map(|own| own.source.as_str())
            .collect();
        Ok(Self::Layers(layers_in(&places, disk)))
    }
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
    let image = image_of(stay, run.image)?;
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
        let (file, passing) = match Kept::of(image, run.increment, *id)? {
            Kept::File(file) => (file, false),
            Kept::Layers(layers) => {
                let destination = format!("{}/restored.{}-{id}", image.source, stay.vm.step);
                let action = Action::LayersMerge {
                    layers,
                    destination: destination.clone(),
                };
                plan.front_end(action, COPY_DEADLINE_S);
                (destination, true)
            }
        };
        let action = Action::Transfer {
            source: Location::Here(file.clone()),
            destination: there,
        };
        plan.front_end(action, COPY_DEADLINE_S);
        if passing {
            plan.front_end(Action::PathDelete { path: file }, QUICK_DEADLINE_S);
        }
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
