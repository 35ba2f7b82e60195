//! Disks of a new VM: from images, and volatile ones; their device names.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::image::{Image, ImageState, ImageType};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target};
use crate::disk_size::size_read;
use crate::image_shareable::{is_shareable, shareable_refusal};
use crate::vm_disk_image::disk_take;
use crate::world::World;

/// Most disks of a VM.
pub(crate) const DISKS_MAX: usize = 256;
/// Most disks on an IDE bus.
const IDE_DISKS_MAX: usize = 4;

/// What the disks of a VM need.
#[derive(Default)]
pub(crate) struct DiskPlan {
    pub(crate) rights: Vec<(Operation, Target)>,
    /// Clusters of each disk's datastore.
    pub(crate) clusters: Vec<Vec<Id>>,
    /// An image that is still being made or changed.
    pub(crate) coming: Option<Id>,
    /// Images that are a disk of this VM alone.
    kept: BTreeSet<Id>,
}

/// What says which image a vector means.
pub(crate) const IMAGE_KEYS: [&str; 4] = ["IMAGE_ID", "IMAGE", "IMAGE_UID", "IMAGE_UNAME"];

/// The object that a vector means: by id, or by name and owner.
pub(crate) fn named_id(
    world: &World,
    caller: &Caller,
    kind: Kind,
    vector: &Vector,
    keys: [&str; 4],
) -> Result<Option<Id>, ApiError> {
    let [id_key, name_key, owner_key, owner_name_key] = keys;
    if let Some(text) = vector.get(id_key).filter(|text| !text.is_empty()) {
        return text.parse().map(Some).map_err(|_| {
            ApiError::allocate(Kind::Vm, &format!("Wrong {id_key} \"{text}\": it is a number."))
        });
    }
    let Some(name) = vector.get(name_key).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let owner = match (vector.get(owner_key), vector.get(owner_name_key)) {
        (Some(id), _) if !id.is_empty() => id.parse().unwrap_or(-1),
        (_, Some(user)) if !user.is_empty() => world.user_by_name(user).map_or(-1, |user| user.id),
        _ => caller.uid,
    };
    match world.id_by_name(kind, owner, name) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::allocate(
            Kind::Vm,
            &format!(
                "User {owner} does not own a {} with name: {name} . Set {owner_name_key} or {owner_key} of owner.",
                kind.error_name()
            ),
        )),
    }
}

/// Completes the DISK vectors of a new VM.
pub(crate) fn disks_complete(
    world: &World,
    caller: &Caller,
    template: &mut Template,
) -> Result<DiskPlan, ApiError> {
    let mut plan = DiskPlan::default();
    let count = template.vectors("DISK").count();
    if count > DISKS_MAX {
        return Err(ApiError::allocate(
            Kind::Vm,
            &format!("{count} disks are more than the {DISKS_MAX} allowed."),
        ));
    }
    for (index, disk) in template.vectors_mut("DISK").enumerate() {
        disk_complete(world, caller, index, disk, &mut plan)?;
    }
    Ok(plan)
}

/// Completes one DISK. Answers its image; `None` for a volatile disk.
pub(crate) fn disk_complete(
    world: &World,
    caller: &Caller,
    index: usize,
    disk: &mut Vector,
    plan: &mut DiskPlan,
) -> Result<Option<Arc<Image>>, ApiError> {
    disk.set("DISK_ID", index.to_string());
    let Some(id) = named_id(world, caller, Kind::Image, disk, IMAGE_KEYS)? else {
        disk_volatile(world, disk)?;
        return Ok(None);
    };
    let image = world.image(id)?.clone();
    plan.rights
        .push((Operation::Use, Target::of(world, Kind::Image, id)?));
    plan.clusters.push(disk_of_image(world, disk, &image)?);
    if image.persistent && !is_shareable(&image) && !plan.kept.insert(id) {
        return Err(refused(&format!(
            "Image [{id}] is persistent, and two disks cannot both be it."
        )));
    }
    if image.is_coming() {
        plan.coming = plan.coming.or(Some(id));
    }
    Ok(Some(image))
}

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Vm, reason)
}

/// Takes what follows from the image and its datastore into a DISK.
fn disk_of_image(world: &World, disk: &mut Vector, image: &Arc<Image>) -> Result<Vec<Id>, ApiError> {
    let id = image.id;
    if image.state != ImageState::Ready && !image.is_coming() {
        return Err(refused(&format!(
            "Image [{id}] cannot be used: it is in state {}.",
            image.state
        )));
    }
    if !matches!(
        image.kind,
        ImageType::Os | ImageType::CdRom | ImageType::Datablock
    ) {
        return Err(refused(&format!(
            "Image [{id}] is of type {} and cannot be a disk.",
            image.kind
        )));
    }
    let store = world.datastore(image.datastore_id)?.clone();
    let user = crate::index::member_first(&world.index.image_vms, id);
    if is_shareable(image) {
        shareable_refusal(image, &store).map_or(Ok(()), |why| Err(refused(&why)))?;
    } else if let Some(vm) = user.filter(|_| image.persistent) {
        return Err(refused(&format!(
            "Image [{id}] is persistent and in use by VM {vm}."
        )));
    }
    size_set(disk, image)?;
    disk_take(world, disk, image, &store);
    disk.set("IMAGE_STATE", image.state_shown(1, 0).number().to_string());
    Ok(store.clusters.clone())
}

/// The image that a DISK waited for is there, and may be larger than was known.
pub(crate) fn disk_arrived(world: &World, disk: &mut Vector, image: &Arc<Image>) -> Result<(), ApiError> {
    size_set(disk, image)?;
    disk_take(world, disk, image, world.datastore(image.datastore_id)?);
    disk.set("IMAGE_STATE", image.state_shown(1, 0).number().to_string());
    Ok(())
}

/// A DISK may be larger than its image, not smaller.
fn size_set(disk: &mut Vector, image: &Image) -> Result<(), ApiError> {
    let size = match disk.get("SIZE").filter(|text| !text.is_empty()) {
        None => image.size_mib,
        Some(text) => size_read(text)
            .ok_or_else(|| {
                refused(&format!(
                    "Wrong SIZE \"{text}\" of a DISK: it is a number of MiB."
                ))
            })?
            .max(image.size_mib),
    };
    disk.set("SIZE", size.to_string());
    Ok(())
}

/// A disk that lives as long as the VM.
fn disk_volatile(world: &World, disk: &mut Vector) -> Result<(), ApiError> {
    let kind = disk.get("TYPE").unwrap_or_default().to_owned();
    if !matches!(kind.to_ascii_lowercase().as_str(), "fs" | "swap") {
        return Err(refused(
            "A DISK names no image (IMAGE_ID or IMAGE), and its TYPE is neither fs nor swap, so it is no volatile disk.",
        ));
    }
    let size = disk.get("SIZE").and_then(size_read).filter(|size| *size > 0);
    let Some(size) = size else {
        return Err(refused("A volatile DISK needs a SIZE: a number of MiB."));
    };
    disk.set("SIZE", size.to_string());
    disk.set_if_missing("FORMAT", "raw");
    let format = disk.get("FORMAT").unwrap_or_default().to_owned();
    if !matches!(format.as_str(), "raw" | "qcow2") {
        return Err(refused(&format!(
            "A volatile DISK cannot have the FORMAT {format}: it is raw or qcow2."
        )));
    }
    disk.set_if_missing("DEV_PREFIX", world.config.device_prefix.clone());
    Ok(())
}

/// Gives each disk its device name: those that name one keep it; then the first OS image, the CD-ROMs (the context disk
/// last), and the rest, in order of the template.
pub(crate) fn targets_assign(template: &mut Template) -> Result<(), ApiError> {
    let q35 = template
        .pair("OS", "MACHINE")
        .is_some_and(|machine| machine.contains("q35"));
    let mut used = BTreeSet::new();
    for target in template
        .vectors("DISK")
        .filter_map(|disk| disk.get("TARGET"))
        .filter(|text| !text.is_empty())
    {
        if !used.insert(target.to_owned()) {
            return Err(refused(&format!("Two disks have the TARGET {target}.")));
        }
    }
    let is_cdrom = |disk: &Vector| disk.get("TYPE") == Some("CDROM");
    let waits = |disk: &&mut Vector| disk.get("TARGET").is_none_or(str::is_empty);
    if let Some(disk) = template
        .vectors_mut("DISK")
        .filter(waits)
        .find(|disk| disk.get("IMAGE_ID").is_some() && !is_cdrom(disk))
    {
        target_set(disk, &mut used);
    }
    template
        .vectors_mut("DISK")
        .filter(waits)
        .filter(|disk| is_cdrom(disk))
        .for_each(|disk| target_set(disk, &mut used));
    if let Some(context) = template.vectors_mut("CONTEXT").next()
        && context.get("TARGET").is_none_or(str::is_empty)
    {
        let target = free_target(if q35 { "sd" } else { "hd" }, &used);
        used.insert(target.clone());
        context.set("TARGET", target);
    }
    template
        .vectors_mut("DISK")
        .filter(waits)
        .for_each(|disk| target_set(disk, &mut used));
    ide_check(template, &used)
}

/// Gives a disk that comes later its device name: the one it names, or the first free one.
pub(crate) fn target_assign(template: &Template, disk: &mut Vector) -> Result<(), ApiError> {
    let mut used: BTreeSet<String> = ["DISK", "CONTEXT"]
        .into_iter()
        .flat_map(|name| template.vectors(name))
        .filter_map(|other| other.get("TARGET"))
        .map(str::to_owned)
        .collect();
    match disk.get("TARGET").filter(|target| !target.is_empty()) {
        Some(target) if used.contains(target) => {
            return Err(refused(&format!("Another disk has the TARGET {target}.")));
        }
        Some(target) => {
            used.insert(target.to_owned());
        }
        None => target_set(disk, &mut used),
    }
    ide_check(template, &used)
}

/// An IDE bus takes few disks.
fn ide_check(template: &Template, used: &BTreeSet<String>) -> Result<(), ApiError> {
    let q35 = template
        .pair("OS", "MACHINE")
        .is_some_and(|machine| machine.contains("q35"));
    let ide = used.iter().filter(|target| target.starts_with("hd")).count();
    if ide > IDE_DISKS_MAX && !q35 {
        return Err(refused(&format!(
            "{ide} disks have an hd TARGET, and an IDE bus takes {IDE_DISKS_MAX}: use DEV_PREFIX=\"vd\" or \"sd\"."
        )));
    }
    Ok(())
}

fn target_set(disk: &mut Vector, used: &mut BTreeSet<String>) {
    let target = free_target(disk.get("DEV_PREFIX").unwrap_or("sd"), used);
    used.insert(target.clone());
    disk.set("TARGET", target);
}

fn free_target(prefix: &str, used: &BTreeSet<String>) -> String {
    (0..)
        .map(|index| format!("{prefix}{}", letters(index)))
        .find(|target| !used.contains(target))
        .unwrap_or_default()
}

/// a … z, aa, ab, …
fn letters(index: usize) -> String {
    let mut text = String::new();
    let mut rest = index;
    loop {
        let letter = u8::try_from(rest % 26).unwrap_or_default();
        text.insert(0, char::from(b'a'.saturating_add(letter)));
        match (rest / 26).checked_sub(1) {
            Some(next) => rest = next,
            None => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn letters_go_on_after_z() {
        let names: Vec<String> = [0, 25, 26, 27, 51, 52, 701, 702]
            .into_iter()
            .map(letters)
            .collect();
        assert_eq!(names, ["a", "z", "aa", "ab", "az", "ba", "zz", "aaa"]);
    }
}
