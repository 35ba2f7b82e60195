//! Snapshots of images: those that came home with the disk of a VM.

use std::sync::Arc;

use plerion_model::image::{Image, ImageState};
use plerion_model::snapshot::{Orphans, SnapshotTree};
use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, require};
use crate::change::{ImageAsk, ImageSnapshot, IntentKey, IntentResult};
use crate::image::{ask_for, image_settle};
use crate::index::member_first;
use crate::txn::Txn;

/// `one.image.snapshotdelete`, `snapshotrevert` and `snapshotflatten`: the image is LOCKED until the driver has done it.
pub(crate) fn image_snapshot(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    work: ImageSnapshot,
) -> Result<Id, ApiError> {
    let rights = [(Operation::Manage, Target::of(&txn.world, Kind::Image, id)?)];
    require(&txn.world, caller, &rights)?;
    let mut image = txn.world.image(id)?.clone();
    // That it is used is derived, and no state of its own.
    if let Some(vm) = member_first(&txn.world.index.image_vms, id) {
        return Err(ApiError::action(format!(
            "Image {id} has to be READY, and no VM may use it: VM {vm} does"
        )));
    }
    check(&image, work)?;
    let own = Arc::make_mut(&mut image);
    let old = own.state;
    own.state = ImageState::Locked;
    own.prev_state = ImageState::Locked;
    ask_for(txn, own, ImageAsk::Snapshot(work));
    txn.log(Kind::Image, id, "state", old.as_str(), image.state.as_str(), "");
    txn.put(image);
    Ok(id)
}

fn check(image: &Image, work: ImageSnapshot) -> Result<(), ApiError> {
    let (id, tree, snapshot) = (image.id, &image.snapshots, work.id());
    if image.state != ImageState::Ready {
        return Err(ApiError::action(format!(
            "Image {id} has to be READY: it is {}",
            image.state
        )));
    }
    if tree.get(snapshot).is_none() {
        return Err(ApiError::action(format!(
            "Image {id} has no snapshot {snapshot}: see oneimage show {id}"
        )));
    }
    let reason = match work {
        ImageSnapshot::Delete(_) if tree.active == snapshot => "it is the active one",
        ImageSnapshot::Delete(_) if tree.orphans != Orphans::Yes && has_children(tree, snapshot) => {
            "others follow from it"
        }
        ImageSnapshot::Revert(_) if tree.active == snapshot => "it is the active one already",
        ImageSnapshot::Delete(_) | ImageSnapshot::Revert(_) | ImageSnapshot::Flatten(_) => return Ok(()),
    };
    let what = match work {
        ImageSnapshot::Delete(_) => "deleted",
        ImageSnapshot::Revert(_) => "gone back to",
        ImageSnapshot::Flatten(_) => "flattened",
    };
    Err(ApiError::action(format!(
        "Snapshot {snapshot} of image {id} cannot be {what}: {reason}"
    )))
}

fn has_children(tree: &SnapshotTree, id: Id) -> bool {
    tree.snapshots.iter().any(|snapshot| snapshot.parent == id)
}

/// The driver has changed a snapshot, or could not; then the image is as it was, and says why in ERROR.
pub(crate) fn image_snapshot_ended(
    txn: &mut Txn<'_>,
    key: IntentKey,
    work: ImageSnapshot,
    result: &IntentResult,
) {
    let image = txn
        .world
        .images
        .get(key.id)
        .filter(|image| image.step == key.step);
    let Some(mut image) = image.cloned() else {
        return;
    };
    let own = Arc::make_mut(&mut image);
    let reason = result.as_ref().err().map(String::as_str);
    own.template.note("ERROR", reason);
    if reason.is_none() {
        done(&mut own.snapshots, work);
    }
    image_settle(txn, image, ImageState::Ready, reason.unwrap_or_default());
}

fn done(tree: &mut SnapshotTree, work: ImageSnapshot) {
    match work {
        ImageSnapshot::Delete(id) => tree.remove(id),
        ImageSnapshot::Revert(id) => tree.revert(id),
        ImageSnapshot::Flatten(_) => *tree = SnapshotTree::new(tree.orphans),
    }
}
