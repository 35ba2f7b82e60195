//! VMs that wait for images which are still being made (CLONING, CLONING_FAILURE).

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_lifecycle::{Awaited, Event};
use plerion_model::image::ImageState;
use plerion_model::vm::Vm;
use plerion_model::{Id, Kind};
use plerion_template::{Template, Vector};

use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_disk::disk_arrived;
use crate::vm_disk_snapshot_end::snapshots_take;
use crate::vm_state::vm_event;
use crate::vm_template::{DISK, disk_id, number, template_set};
use crate::world::World;

/// VMs that wait for images which the transaction has changed go on, or are told that there is nothing to wait for.
pub(crate) fn cloning_go_on(txn: &mut Txn<'_>) {
    if txn.world.index.cloning.is_empty() {
        return;
    }
    let changed: BTreeSet<Id> = txn
        .puts()
        .iter()
        .filter(|object| object.kind() == Kind::Image)
        .map(crate::object::Object::id)
        .collect();
    if changed.is_empty() {
        return;
    }
    let awaits = |vm: &Arc<Vm>| vm.demand.disks.iter().any(|disk| changed.contains(&disk.image));
    let waiting: Vec<Id> = txn
        .world
        .index
        .cloning
        .iter()
        .copied()
        .filter(|id| txn.world.vms.get(*id).is_some_and(awaits))
        .collect();
    for id in waiting {
        cloning_settle(txn, id);
    }
}

/// Looks at the images that a VM waits for.
pub(crate) fn cloning_settle(txn: &mut Txn<'_>, id: Id) {
    if !txn.world.index.cloning.contains(&id) {
        return;
    }
    let Some(mut vm) = txn.world.vms.get(id).cloned() else {
        return;
    };
    let mut template = vm.template.unpack();
    let seen = images_look(&txn.world, &mut template);
    if seen.arrived {
        let own = Arc::make_mut(&mut vm);
        template_set(own, &template);
        snapshots_take(txn, own);
        txn.update(vm);
    }
    let hold = template.get_bool("SUBMIT_ON_HOLD").unwrap_or(false);
    let (awaited, message) = match seen.failed {
        Some(reason) => (Awaited::Failed, reason),
        None if seen.coming => (Awaited::Coming, String::new()),
        None => (Awaited::Ready { hold }, String::new()),
    };
    // Refused only where the VM waits for nothing.
    let _ = vm_event(txn, id, Event::Images(awaited), &Cause::system(&message));
}

/// What was seen of the images of a VM.
#[derive(Default)]
struct Seen {
    /// One that was waited for is there.
    arrived: bool,
    /// One is still being made.
    coming: bool,
    /// Why one will not come.
    failed: Option<String>,
}

fn images_look(world: &World, template: &mut Template) -> Seen {
    let mut seen = Seen::default();
    let waits = |disk: &&mut Vector| disk.get("CLONING").is_some();
    for disk in template.vectors_mut(DISK).filter(waits) {
        let named = number(disk, "IMAGE_ID").and_then(|image| Id::try_from(image).ok());
        let Some(image) = named.and_then(|image| world.images.get(image)) else {
            continue;
        };
        if image.is_coming() {
            seen.coming = true;
            continue;
        }
        let outcome = match image.state {
            ImageState::Ready => disk_arrived(world, disk, image).map_err(|error| error.text),
            state => Err(match image.template.get("ERROR") {
                Some(reason) => format!("it is in state {state}: {reason}"),
                None => format!("it is in state {state}"),
            }),
        };
        match outcome {
            Ok(()) => seen.arrived = true,
            Err(reason) => {
                let text = format!(
                    "Image {} of disk {} did not come: {reason}",
                    image.id,
                    disk_id(disk)
                );
                seen.failed.get_or_insert(text);
            }
        }
    }
    seen
}
