//! What becomes of a disk when a change of it ends.

use std::sync::Arc;

use plerion_model::Id;
use plerion_model::image::ImageState;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_template::Value;

use crate::image::image_settle;
use crate::txn::Txn;
use crate::vm_disk_snapshot_end::snapshots_give;
use crate::vm_template::{DISK, disk_find, disk_id, number, saves, template_set};

/// A disk has grown, or has not and keeps its size. An image that is the disk grows with it.
pub(crate) fn disk_resize_end(txn: &mut Txn<'_>, vm: &mut Vm, disk: Id, before_mib: u64, success: bool) {
    let mut template = vm.template.unpack();
    let Ok(found) = disk_find(&mut template, disk) else {
        return;
    };
    if !success {
        found.set("SIZE", before_mib.to_string());
    } else if saves(found)
        && let Some(size_mib) = number(found, "SIZE")
        && let Some(mut image) = number(found, "IMAGE_ID")
            .and_then(|image| Id::try_from(image).ok())
            .and_then(|image| txn.world.images.get(image))
            .cloned()
    {
        found.set("ORIGINAL_SIZE", size_mib.to_string());
        std::sync::Arc::make_mut(&mut image).size_mib = size_mib;
        txn.update(image);
    }
    template_set(vm, &template);
}

/// A disk has come or gone, or has not.
pub(crate) fn disk_change_end(txn: &mut Txn<'_>, vm: &mut Vm, change: DeviceChange, success: bool) {
    let (number, stays) = match change {
        DeviceChange::DiskAttach { disk } => (disk, success),
        DeviceChange::DiskDetach { disk } => (disk, !success),
        _ => return,
    };
    let mut template = vm.template.unpack();
    if stays {
        if let Ok(disk) = disk_find(&mut template, number) {
            disk.remove("ATTACH");
        }
    } else {
        if let (DeviceChange::DiskDetach { .. }, Ok(disk)) = (change, disk_find(&mut template, number)) {
            snapshots_give(txn, vm, disk);
        }
        vm.disk_snapshots.remove(&number);
        template.retain(|attribute| match &attribute.value {
            Value::Vector(disk) if attribute.name == DISK => disk_id(disk) != number,
            _ => true,
        });
    }
    template_set(vm, &template);
}

/// The file of the image is there, or will never be for the reason given.
pub(crate) fn disk_save_end(txn: &mut Txn<'_>, image: Id, result: Result<(), &str>) {
    let Some(mut image) = txn.world.images.get(image).cloned() else {
        return;
    };
    let own = Arc::make_mut(&mut image);
    let state = match result {
        Ok(()) => ImageState::Ready,
        Err(reason) => {
            let text = format!("The disk could not be saved: {reason}");
            own.template.note("ERROR", Some(&text));
            ImageState::Error
        }
    };
    if result.is_ok() && own.source.is_empty() {
        // Recorded: what the dummy datastore driver calls every file.
        own.source = "dummy_path".into();
    }
    image_settle(txn, image, state, result.err().unwrap_or_default());
}
