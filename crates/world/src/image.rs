//! Commands on images, and what becomes of their files.

use std::sync::Arc;

use plerion_model::datastore::{Datastore, DatastoreType, DiskType};
use plerion_model::image::{Image, ImageState, ImageType};
use plerion_model::snapshot::SnapshotTree;
use plerion_model::{ApiError, ErrorCode, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::change::{ImageAsk, Intent, IntentKey, IntentResult, Site, Task};
use crate::disk_size::size_read;
use crate::image_default::{OF_COPIES, OF_NEW, persistent_default};
use crate::index::members;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::world::World;

/// What a new image is made of, as far as it had to be found out before (size and format of its source).
#[derive(Clone, Debug, Default)]
pub struct ImageSpec {
    /// Size of the source in MiB, when known.
    pub size_mib: Option<u64>,
}

/// Attributes of an image template that have fields of their own.
const FIELDS: &[&str] = &[
    "NAME",
    "TYPE",
    "PATH",
    "SOURCE",
    "SIZE",
    "FORMAT",
    "DRIVER",
    "FS",
    "PERSISTENT",
    "DISK_TYPE",
    "DATASTORE",
    "DATASTORE_ID",
];

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Image, reason)
}

impl World {
    /// Images that are being made from an image.
    pub(crate) fn image_clones(&self, id: Id) -> Vec<Id> {
        let from = IntentKey {
            kind: Kind::Image,
            id: Id::MIN,
            step: 0,
            part: 0,
        };
        let to = IntentKey {
            kind: Kind::Image,
            id: Id::MAX,
            step: u64::MAX,
            part: u32::MAX,
        };
        self.outbox
            .range(from..=to)
            .filter(|(_, intent)| intent.task == Task::Image(ImageAsk::Clone))
            .filter(|(key, _)| {
                self.images
                    .get(key.id)
                    .is_some_and(|image| image.cloning_id == id)
            })
            .map(|(key, _)| key.id)
            .collect()
    }
}

/// `one.image.allocate`.
pub(crate) fn image_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    datastore: Id,
    spec: &ImageSpec,
) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Create, Target::new_of(Kind::Image)),
        (
            Operation::Use,
            Target::of(&txn.world, Kind::Datastore, datastore)?,
        ),
    ];
    require(&txn.world, caller, &rights)?;
    restricted_check(&txn.world, caller, Kind::Image, template)?;
    let store = txn.world.datastore(datastore)?.clone();
    let name = template.get("NAME").unwrap_or_default();
    name_check_new(&txn.world, Kind::Image, caller.uid, name)?;
    let kind = type_of(&txn.world, template)?;
    datastore_check(&store, kind)?;
    let mut image = image_new(txn, caller, template, &store, kind)?;
    let ask = source_of(txn, template, &mut image, &store, spec)?;
    let id = image.id;
    match ask {
        Some(ask) => {
            image.state = ImageState::Locked;
            image.prev_state = ImageState::Locked;
            ask_for(txn, &mut image, ask);
        }
        None => image.state = ImageState::Ready,
    }
    txn.create(image);
    Ok(id)
}

fn type_of(world: &World, template: &Template) -> Result<ImageType, ApiError> {
    let text = template
        .get("TYPE")
        .filter(|text| !text.is_empty())
        .unwrap_or(&world.config.image_type);
    ImageType::from_name(text)
        .filter(|kind| *kind != ImageType::Backup)
        .ok_or_else(|| {
            refused(&format!(
                "Incorrect TYPE in template: {text} is not OS, CDROM, DATABLOCK, KERNEL, RAMDISK or CONTEXT."
            ))
        })
}

fn datastore_check(store: &Datastore, kind: ImageType) -> Result<(), ApiError> {
    let wanted = if kind.is_file() {
        DatastoreType::File
    } else {
        DatastoreType::Image
    };
    if store.kind == wanted {
        return Ok(());
    }
    Err(refused(&format!(
        "An image of type {kind} needs a datastore of type {wanted}, and datastore {} is of type {}.",
        store.id, store.kind
    )))
}

fn image_new(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    store: &Datastore,
    kind: ImageType,
) -> Result<Image, ApiError> {
    let text = |name: &str| template.get(name).unwrap_or_default().to_owned();
    let persistent = match template.get_bool("PERSISTENT") {
        Some(said) => said,
        // A default is none of files, which cannot be persistent.
        None => !kind.is_file() && persistent_default(&txn.world, caller, OF_NEW).unwrap_or(false),
    };
    if persistent && kind.is_file() {
        return Err(refused(
            "KERNEL, RAMDISK and CONTEXT images cannot be persistent.",
        ));
    }
    let mut rest = template.clone();
    rest.retain(|attribute| !FIELDS.contains(&attribute.name.as_str()));
    if !kind.is_file() {
        let config = &txn.world.config;
        let prefix = if kind == ImageType::CdRom {
            config.cdrom_device_prefix.clone()
        } else {
            config.device_prefix.clone()
        };
        rest.set_if_missing("DEV_PREFIX", prefix);
    }
    let format = [
        text("FORMAT"),
        text("DRIVER"),
        store.template.get("DRIVER").unwrap_or_default().to_owned(),
    ]
    .into_iter()
    .find(|format| !format.is_empty())
    .unwrap_or_default();
    Ok(Image {
        id: txn.id_next(Kind::Image),
        name: text("NAME"),
        owned: owned_new(&txn.world, caller),
        kind,
        disk_type: if kind == ImageType::CdRom {
            DiskType::CdRom
        } else {
            store.disk_type
        },
        persistent,
        regtime: txn.context.now,
        modtime: txn.context.now,
        source: String::new(),
        path: text("PATH"),
        format,
        fs: text("FS"),
        size_mib: 0,
        state: ImageState::Init,
        prev_state: ImageState::Init,
        cloning_id: -1,
        datastore_id: store.id,
        step: 0,
        snapshots: SnapshotTree::default(),
        backup: None,
        template: PackedTemplate::new(&rest),
    })
}

/// Where the file comes from and how large it is: a SOURCE that exists, a PATH to take, or an empty disk of a SIZE.
fn source_of(
    txn: &mut Txn<'_>,
    template: &Template,
    image: &mut Image,
    store: &Datastore,
    spec: &ImageSpec,
) -> Result<Option<ImageAsk>, ApiError> {
    let size = match template.get("SIZE").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(size_read(text).filter(|size| *size > 0).ok_or_else(|| {
            refused(&format!(
                "Wrong SIZE \"{text}\" in template: it is a number of MiB."
            ))
        })?),
    };
    let source = template.get("SOURCE").unwrap_or_default();
    if !source.is_empty() {
        let Some(size) = size else {
            return Err(refused("An image with a SOURCE needs a SIZE, too."));
        };
        image.source = source.to_owned();
        image.size_mib = size;
        return Ok(None);
    }
    image.source = source_new(txn, store);
    if !image.path.is_empty() {
        image.size_mib = spec.size_mib.or(size).unwrap_or(0);
        return Ok(Some(ImageAsk::Register));
    }
    let Some(size) = size else {
        return Err(refused(
            "No PATH in template: name the file or URL to take, or the SIZE of an empty disk.",
        ));
    };
    if image.kind.is_file() || image.kind == ImageType::CdRom {
        return Err(refused(&format!("An image of type {} needs a PATH.", image.kind)));
    }
    image.size_mib = size;
    if image.format.is_empty() {
        image.format = "raw".into();
    }
    Ok(Some(ImageAsk::Make))
}

/// Where the built-in driver is to store a new image; other drivers choose by themselves and say so at the end.
pub(crate) fn source_new(txn: &mut Txn<'_>, store: &Datastore) -> String {
    if store.ds_mad == "fs" {
        format!("{}/{:032x}", store.base_path, txn.random())
    } else {
        String::new()
    }
}

pub(crate) fn ask_for(txn: &mut Txn<'_>, image: &mut Image, ask: ImageAsk) {
    image.step = image.step.saturating_add(1);
    let key = IntentKey {
        kind: Kind::Image,
        id: image.id,
        step: image.step,
        part: 0,
    };
    txn.intent(Intent {
        key,
        site: Site::FrontEnd,
        task: Task::Image(ask),
        time: txn.context.now,
    });
}

/// The file of an image was made, or not, or is gone.
pub(crate) fn image_ended(txn: &mut Txn<'_>, key: IntentKey, result: &IntentResult) {
    let Some(mut image) = txn
        .world
        .images
        .get(key.id)
        .filter(|image| image.step == key.step)
        .cloned()
    else {
        return;
    };
    if image.state == ImageState::Delete {
        // A file that could not be deleted is said in the log; the image goes all the same, as its owner asked.
        if let Err(reason) = result {
            txn.log(Kind::Image, key.id, "error", "", "", reason);
        }
        txn.delete(Kind::Image, key.id);
        return;
    }
    let own = Arc::make_mut(&mut image);
    own.cloning_id = -1;
    let state = match result {
        Ok(output) => {
            if let Some(size) = output.size_mib {
                own.size_mib = size;
            }
            if let Some(format) = &output.format {
                format.clone_into(&mut own.format);
            }
            if let Some(source) = &output.source {
                source.clone_into(&mut own.source);
            }
            ImageState::Ready
        }
        Err(reason) => {
            own.template.note("ERROR", Some(reason));
            ImageState::Error
        }
    };
    image_settle(
        txn,
        image,
        state,
        result.as_ref().err().map_or("", String::as_str),
    );
}

/// Gives an image its new state, and says so.
pub(crate) fn image_settle(txn: &mut Txn<'_>, mut image: Arc<Image>, new: ImageState, reason: &str) {
    let own = Arc::make_mut(&mut image);
    let old = own.state;
    own.state = new;
    own.prev_state = new;
    txn.log(Kind::Image, image.id, "state", old.as_str(), new.as_str(), reason);
    txn.put(image);
}

fn changed(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    change: impl FnOnce(&Txn<'_>, &mut Image) -> Result<(), ApiError>,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Manage, Target::of(&txn.world, Kind::Image, id)?)],
    )?;
    let mut image = txn.world.image(id)?.clone();
    change(txn, Arc::make_mut(&mut image))?;
    txn.update(image);
    Ok(id)
}

fn unused(txn: &Txn<'_>, image: &Image, what: &str) -> Result<(), ApiError> {
    match members(&txn.world.index.image_vms, image.id).first() {
        Some(vm) => Err(ApiError::new(
            ErrorCode::Internal,
            format!("Could not {what}: the image is in use by VM {vm}"),
        )),
        None => Ok(()),
    }
}

fn backup_refuse(image: &Image, what: &str) -> Result<(), ApiError> {
    if image.kind == ImageType::Backup {
        return Err(ApiError::internal(format!(
            "An image of type BACKUP cannot {what}"
        )));
    }
    Ok(())
}

/// `one.image.enable`.
pub(crate) fn image_enable(txn: &mut Txn<'_>, caller: &Caller, id: Id, enable: bool) -> Result<Id, ApiError> {
    changed(txn, caller, id, |txn, image| {
        backup_refuse(image, "be enabled or disabled")?;
        // VMs may be waiting for one that could not be made, and was made by hand.
        if !(enable && image.state == ImageState::Error) {
            unused(txn, image, if enable { "enable image" } else { "disable image" })?;
        }
        let next = match (image.state, enable) {
            (ImageState::Disabled | ImageState::Error | ImageState::Ready, true) => ImageState::Ready,
            (ImageState::Ready | ImageState::Error | ImageState::Disabled, false) => ImageState::Disabled,
            (state, _) => {
                return Err(ApiError::internal(format!(
                    "Could not change the image, it is in state {state}"
                )));
            }
        };
        image.state = next;
        image.prev_state = next;
        Ok(())
    })
}

/// `one.image.persistent`.
pub(crate) fn image_persistent(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    persistent: bool,
) -> Result<Id, ApiError> {
    changed(txn, caller, id, |txn, image| {
        backup_refuse(image, "be made persistent or not")?;
        unused(txn, image, "change the persistence of the image")?;
        if persistent && image.kind.is_file() {
            return Err(ApiError::internal(
                "KERNEL, RAMDISK and CONTEXT images cannot be persistent",
            ));
        }
        // The file of a real image is only the oldest of those that it is made of then.
        let of_dummy = txn.world.datastore(image.datastore_id)?.ds_mad == "dummy";
        if !persistent && !of_dummy && !image.snapshots.snapshots.is_empty() {
            return Err(ApiError::action(format!(
                "Image {id} has snapshots, and stays persistent: `onevm disk-saveas` makes an image without"
            )));
        }
        image.persistent = persistent;
        Ok(())
    })
}

/// `one.image.chtype`.
pub(crate) fn image_chtype(txn: &mut Txn<'_>, caller: &Caller, id: Id, kind: &str) -> Result<Id, ApiError> {
    let Some(kind) = ImageType::from_name(kind) else {
        return Err(ApiError::internal(format!("Unknown type {kind}")));
    };
    changed(txn, caller, id, |txn, image| {
        unused(txn, image, "change the type of the image")?;
        let fits = kind.is_file() == image.kind.is_file()
            && kind != ImageType::Backup
            && image.kind != ImageType::Backup;
        if !fits {
            return Err(ApiError::internal(format!(
                "Cannot change the type from {} to {kind}",
                image.kind
            )));
        }
        image.kind = kind;
        Ok(())
    })
}

/// `one.image.clone`; `persistent` where the copy is to be so whatever its source is.
pub(crate) fn image_clone(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
    datastore: Id,
    persistent: bool,
) -> Result<Id, ApiError> {
    let source = txn.world.image(id)?.clone();
    let store_id = if datastore < 0 {
        source.datastore_id
    } else {
        datastore
    };
    let rights = [
        (Operation::Create, Target::new_of(Kind::Image)),
        (Operation::Use, Target::of(&txn.world, Kind::Image, id)?),
        (Operation::Use, Target::of(&txn.world, Kind::Datastore, store_id)?),
    ];
    require(&txn.world, caller, &rights)?;
    name_check_new(&txn.world, Kind::Image, caller.uid, name)?;
    if source.state != ImageState::Ready || source.kind.is_file() || source.kind == ImageType::Backup {
        return Err(refused(&format!(
            "Image {id} cannot be cloned: it is of type {} and in state {}.",
            source.kind, source.state
        )));
    }
    if !source.snapshots.snapshots.is_empty() {
        return Err(refused(&format!(
            "Image {id} cannot be cloned: it has snapshots."
        )));
    }
    let store = txn.world.datastore(store_id)?.clone();
    let home = txn.world.datastore(source.datastore_id)?;
    datastore_check(&store, source.kind)?;
    if store.ds_mad != home.ds_mad || store.tm_mad != home.tm_mad {
        return Err(refused("The datastores have different drivers."));
    }
    let mut image = (*source).clone();
    image.id = txn.id_next(Kind::Image);
    name.clone_into(&mut image.name);
    image.owned = owned_new(&txn.world, caller);
    image.regtime = txn.context.now;
    image.modtime = txn.context.now;
    image.path = String::new();
    image.source = source_new(txn, &store);
    image.datastore_id = store_id;
    image.state = ImageState::Locked;
    image.prev_state = ImageState::Locked;
    let default = persistent_default(&txn.world, caller, OF_COPIES);
    image.persistent = persistent || default.unwrap_or(source.persistent);
    image.cloning_id = id;
    image.step = 0;
    image.snapshots = SnapshotTree::default();
    ask_for(txn, &mut image, ImageAsk::Clone);
    let new = image.id;
    txn.create(image);
    Ok(new)
}

/// The next increment of a VM begins a chain of its own.
fn chain_forget(txn: &mut Txn<'_>, vm: Id, image: Id) -> Result<(), ApiError> {
    let Some(mut vm) = txn.world.vms.get(vm).cloned() else {
        return Ok(());
    };
    let used = vm.backup_run().is_some_and(|run| run.chain == Some(image));
    if used || vm.restore_run().is_some_and(|run| run.image == image) {
        return Err(ApiError::action(format!(
            "Cannot delete image. A backup or restore of VM {} uses it: wait for its end, or cancel it.",
            vm.id
        )));
    }
    if vm.backup_chain().is_some_and(|chain| chain.image == image) {
        Arc::make_mut(&mut vm).backup_set(|backup| backup.chain = None);
        txn.update(vm);
    }
    Ok(())
}

/// An image may go when no VM holds it and nothing is copied from it; its file goes first.
pub(crate) fn image_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let mut image = txn.world.image(id)?.clone();
    let own = Arc::make_mut(&mut image);
    if let Some(vm) = members(&txn.world.index.image_vms, id).first() {
        return Err(ApiError::action(format!(
            "Cannot delete image. There are VMs using it: VM {vm}."
        )));
    }
    if !txn.world.image_clones(id).is_empty() {
        return Err(ApiError::action("Cannot delete image. It is being cloned."));
    }
    if own.state == ImageState::Delete {
        return Ok(());
    }
    if own.state == ImageState::LockedUsed {
        return Err(ApiError::action(
            "Cannot delete image. A disk is being saved in it: recover the VM of the disk if that does not end.",
        ));
    }
    if let Some(backup) = &own.backup {
        chain_forget(txn, backup.vm, id)?;
    }
    txn.intents_over(Kind::Image, id);
    let old = own.state;
    own.state = ImageState::Delete;
    ask_for(txn, own, ImageAsk::Delete);
    txn.log(
        Kind::Image,
        id,
        "state",
        old.as_str(),
        ImageState::Delete.as_str(),
        "",
    );
    txn.put(image);
    Ok(())
}
