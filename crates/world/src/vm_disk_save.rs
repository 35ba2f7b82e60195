//! `one.vm.disksaveas`: a disk of a VM becomes an image of its own.

use plerion_lifecycle::DeviceWork;
use plerion_model::image::{Image, ImageState, ImageType};
use plerion_model::snapshot::SnapshotTree;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::image::source_new;
use crate::image_default::{OF_COPIES, persistent_default};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;
use crate::vm_device::device_begin;
use crate::vm_disk_real::{is_on_real_host, storage_check};
use crate::vm_require::device_vm;
use crate::vm_template::{disk_find, number};

const WHAT: &str = "Saving a disk as an image";
/// What is asked for.
pub(crate) struct SaveAs<'a> {
    /// DISK_ID.
    pub(crate) disk: Id,
    /// Name of the image.
    pub(crate) name: &'a str,
    /// Type of the image; empty for that of the image that the disk was made of.
    pub(crate) kind: &'a str,
    /// Snapshot of the disk; -1 for what the disk is now.
    pub(crate) snapshot: Id,
}

/// Answers the id of the image, which is locked until its file is there.
pub(crate) fn vm_disk_save_as(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    wanted: &SaveAs<'_>,
) -> Result<Id, ApiError> {
    let vm = device_vm(txn, caller, id)?;
    let template = vm.template.unpack();
    let disk = disk_find(&mut template.clone(), wanted.disk)?.clone();
    let begun = device_begin(vm.clone(), DeviceWork::DiskSaveAs, "").map_err(|_| {
        // Recorded, though a VM that is stopped or undeployed will do, too.
        ApiError::internal("VM has to be RUNNING, POWEROFF or SUSPENDED to save disks.")
    })?;
    let real = is_on_real_host(&vm);
    if real {
        storage_check(&vm, &disk, WHAT)?;
    } else {
        begun.only_dummy_storage(WHAT)?;
    }
    if wanted.snapshot >= 0 && !snapshot_is_there(&vm, wanted) {
        return Err(ApiError::action("Snapshot does not exist"));
    }
    let image = image_of(txn, caller, (id, real), &disk, wanted)?;
    let image_id = image.id;
    txn.create(image);
    let change = DeviceChange::DiskSaveAs {
        disk: wanted.disk,
        image: image_id,
        snapshot: wanted.snapshot,
    };
    begun.go(txn, caller, &template, change, None);
    Ok(image_id)
}

fn snapshot_is_there(vm: &Vm, wanted: &SaveAs<'_>) -> bool {
    vm.disk_snapshots
        .get(&wanted.disk)
        .is_some_and(|tree| tree.get(wanted.snapshot).is_some())
}

/// The image that the disk is to become, for one who may make it.
fn image_of(
    txn: &mut Txn<'_>,
    caller: &Caller,
    (vm, real): (Id, bool),
    disk: &Vector,
    wanted: &SaveAs<'_>,
) -> Result<Image, ApiError> {
    let original = number(disk, "IMAGE_ID").and_then(|image| Id::try_from(image).ok());
    let Some(original) = original else {
        return Err(ApiError::action(format!(
            "Disk {} is volatile: there is no image datastore to save it in",
            wanted.disk
        )));
    };
    let source = txn.world.image(original)?.clone();
    let target = Target::of(&txn.world, Kind::Datastore, source.datastore_id)?;
    let rights = [
        (Operation::Create, Target::new_of(Kind::Image)),
        (Operation::Use, target),
    ];
    require(&txn.world, caller, &rights)?;
    name_check_new(&txn.world, Kind::Image, caller.uid, wanted.name)?;
    let kind = kind_of(&source, wanted.kind)?;
    let store = txn.world.datastore(source.datastore_id)?.clone();
    // A dummy host has no file to save, and what a real one has needs a place.
    if store.ds_mad != if real { "fs" } else { "dummy" } {
        return Err(ApiError::action(format!(
            "{WHAT} in datastore {} of the driver {} is not supported yet",
            store.id, store.ds_mad
        )));
    }
    let mut template = Template::new();
    if let Some(prefix) = source.template.get("DEV_PREFIX") {
        template.set("DEV_PREFIX", prefix);
    }
    template.set("SAVED_DISK_ID", wanted.disk.to_string());
    template.set("SAVED_IMAGE_ID", original.to_string());
    template.set("SAVED_VM_ID", vm.to_string());
    Ok(Image {
        id: txn.id_next(Kind::Image),
        name: wanted.name.to_owned(),
        owned: owned_new(&txn.world, caller),
        kind,
        disk_type: source.disk_type,
        persistent: persistent_default(&txn.world, caller, OF_COPIES).unwrap_or(false),
        regtime: txn.context.now,
        modtime: txn.context.now,
        source: source_new(txn, &store),
        path: String::new(),
        format: disk.get("FORMAT").unwrap_or(&source.format).to_owned(),
        fs: source.fs.clone(),
        size_mib: number(disk, "SIZE").unwrap_or(source.size_mib),
        state: ImageState::LockedUsed,
        prev_state: ImageState::LockedUsed,
        cloning_id: -1,
        datastore_id: source.datastore_id,
        step: 0,
        snapshots: SnapshotTree::default(),
        backup: None,
        template: PackedTemplate::new(&template),
    })
}

fn kind_of(source: &Image, text: &str) -> Result<ImageType, ApiError> {
    let kind = if text.is_empty() {
        Some(source.kind)
    } else {
        ImageType::from_name(text)
    };
    kind.filter(|kind| matches!(kind, ImageType::Os | ImageType::Datablock | ImageType::CdRom))
        .ok_or_else(|| {
            ApiError::internal(format!(
                "Wrong image type {text}: a disk can be saved as OS, DATABLOCK or CDROM"
            ))
        })
}
