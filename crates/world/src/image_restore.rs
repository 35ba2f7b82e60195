//! `one.image.restore`: the disks in a backup become images, and the VM becomes a template that uses them.

use plerion_model::datastore::{Datastore, DatastoreType};
use plerion_model::image::{Image, ImageBackup, ImageState, ImageType};
use plerion_model::snapshot::SnapshotTree;
use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template, Value, Vector};

use crate::auth::{Caller, Target, require};
use crate::change::ImageAsk;
use crate::image::{ask_for, source_new};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::stencil::stencil_create;
use crate::txn::Txn;
use crate::vm_template::disk_id;

/// The driver of datastores that are none.
const DUMMY: &str = "dummy";
/// Attributes of a VM that its template has not: the system wrote them.
const COMPUTED: &[&str] = &[
    "AUTOMATIC_DS_REQUIREMENTS",
    "AUTOMATIC_NIC_REQUIREMENTS",
    "AUTOMATIC_REQUIREMENTS",
    "BACKUP_CONFIG",
    "SECURITY_GROUP_RULE",
    "SNAPSHOT",
    "SUBMIT_ON_HOLD",
    "TEMPLATE_ID",
    "TM_MAD_SYSTEM",
    "VMID",
    "VROUTER_ID",
    "VROUTER_KEEPALIVED_ID",
    "VROUTER_KEEPALIVED_PASSWORD",
];
/// Attributes of a NIC that a template says, besides its addresses.
const NIC_KEPT: &[&str] = &[
    "NETWORK_ID",
    "SECURITY_GROUPS",
    "MODEL",
    "VIRTIO_QUEUES",
    "PARENT",
];
/// Attributes of a volatile disk that a template says.
const DISK_KEPT: &[&str] = &[
    "TYPE",
    "SIZE",
    "FORMAT",
    "FS",
    "IMAGE_ID",
    "DEV_PREFIX",
    "CACHE",
    "DRIVER",
];

/// What the options say.
struct Options {
    name: String,
    no_nic: bool,
    no_ip: bool,
    /// One disk alone, and no template.
    disk: Option<Id>,
    /// Where the backup is, or the increment of it that is restored.
    place: String,
}

/// Answers the id of the VM template, -1 where one disk alone is restored; all ids are in the answer's text.
pub(crate) fn image_restore(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    datastore: Id,
    given: &Template,
) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Use, Target::of(&txn.world, Kind::Image, id)?),
        (
            Operation::Use,
            Target::of(&txn.world, Kind::Datastore, datastore)?,
        ),
        (Operation::Create, Target::new_of(Kind::Image)),
        (Operation::Create, Target::new_of(Kind::Template)),
    ];
    require(&txn.world, caller, &rights)?;
    let image = txn.world.image(id)?.clone();
    let store = txn.world.datastore(datastore)?.clone();
    let backup = backup_of(txn, &image, &store)?;
    let options = options_read(&image, backup, given)?;
    let mut vm = PackedTemplate::from_json(&backup.vm_template)
        .map_err(|error| ApiError::internal(format!("Image {id}: the VM in it cannot be read: {error}")))?
        .unpack();
    let wanted = backup
        .disks
        .iter()
        .filter(|disk| options.disk.is_none_or(|only| only == **disk));
    let mut made = Vec::new();
    for disk in wanted {
        let first = made.is_empty() && options.disk.is_none();
        made.push((
            *disk,
            disk_restore(txn, caller, &image, &store, &options, (*disk, first), &vm)?,
        ));
    }
    let template = if options.disk.is_some() {
        -1
    } else {
        template_clean(caller, &mut vm, &options, &made);
        template_put(txn, caller, &options.name, &vm)?
    };
    let ids = std::iter::once(template).chain(made.iter().map(|(_, image)| *image));
    txn.answer = Some(ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" "));
    Ok(template)
}

fn backup_of<'a>(txn: &Txn<'_>, image: &'a Image, store: &Datastore) -> Result<&'a ImageBackup, ApiError> {
    let Some(backup) = &image.backup else {
        return Err(ApiError::action("Image has to be of type BACKUP"));
    };
    if image.state != ImageState::Ready {
        return Err(ApiError::action(format!(
            "Image {} cannot be restored: it is in state {}",
            image.id, image.state
        )));
    }
    if store.kind != DatastoreType::Image {
        return Err(ApiError::action(format!(
            "Datastore {} is no image datastore (TYPE=IMAGE_DS)",
            store.id
        )));
    }
    let home = txn.world.datastore(image.datastore_id)?;
    if home.ds_mad != store.ds_mad || ![DUMMY, "fs"].contains(&store.ds_mad.as_str()) {
        return Err(ApiError::action(format!(
            "Restoring from a datastore of the driver {} to one of the driver {} is not supported yet",
            home.ds_mad, store.ds_mad
        )));
    }
    Ok(backup)
}

fn options_read(image: &Image, backup: &ImageBackup, given: &Template) -> Result<Options, ApiError> {
    let number = |name: &str| match given.get(name).map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text
            .parse::<Id>()
            .map(|number| Some(number).filter(|number| *number >= 0))
            .map_err(|_| ApiError::action(format!("{name} is \"{text}\": it is a number"))),
    };
    let disk = number("DISK_ID")?;
    if let Some(disk) = disk.filter(|disk| !backup.disks.contains(disk)) {
        return Err(ApiError::action(format!(
            "Image {}: disk {disk} is not in it",
            image.id
        )));
    }
    let increment = match number("INCREMENT_ID")? {
        None => backup.increments.last(),
        Some(wanted) => Some(
            backup
                .increments
                .iter()
                .find(|own| own.id == wanted)
                .ok_or_else(|| {
                    ApiError::action(format!("Image {}: it has no increment {wanted}", image.id))
                })?,
        ),
    };
    let name = given.get("NAME").map(str::trim).filter(|name| !name.is_empty());
    Ok(Options {
        name: name.map_or_else(|| format!("{}-{}", backup.vm, image.id), str::to_owned),
        no_nic: given.get_bool("NO_NIC").unwrap_or(false),
        no_ip: given.get_bool("NO_IP").unwrap_or(false),
        disk,
        place: increment.map_or(&image.source, |own| &own.source).clone(),
    })
}

/// A disk becomes an image; the first one of a VM is what it boots from.
fn disk_restore(
    txn: &mut Txn<'_>,
    caller: &Caller,
    backup: &Image,
    store: &Datastore,
    options: &Options,
    (disk, first): (Id, bool),
    vm: &Template,
) -> Result<Id, ApiError> {
    let name = format!("{}-disk-{disk}", options.name);
    name_check_new(&txn.world, Kind::Image, caller.uid, &name)?;
    let known = vm.vectors("DISK").find(|own| disk_id(own) == disk);
    let of_disk = |key: &str| known.and_then(|known| known.get(key)).unwrap_or_default();
    let mut template = Template::new();
    if !of_disk("DEV_PREFIX").is_empty() {
        template.set("DEV_PREFIX", of_disk("DEV_PREFIX"));
    }
    template.set("FROM_BACKUP_DS", backup.datastore_id.to_string());
    let files = store.ds_mad != DUMMY;
    let format = if files { of_disk("FORMAT") } else { &backup.format };
    let mut image = Image {
        id: txn.id_next(Kind::Image),
        name,
        owned: owned_new(&txn.world, caller),
        kind: if first {
            ImageType::Os
        } else {
            ImageType::Datablock
        },
        disk_type: store.disk_type,
        persistent: false,
        regtime: txn.context.now,
        modtime: txn.context.now,
        source: source_new(txn, store),
        path: if files {
            format!("{}/disk.{disk}", options.place)
        } else {
            String::new()
        },
        format: format.to_owned(),
        fs: String::new(),
        size_mib: of_disk("SIZE").parse().unwrap_or(backup.size_mib),
        state: ImageState::Locked,
        prev_state: ImageState::Locked,
        cloning_id: backup.id,
        datastore_id: store.id,
        step: 0,
        snapshots: SnapshotTree::default(),
        backup: None,
        template: PackedTemplate::new(&template),
    };
    ask_for(txn, &mut image, ImageAsk::Clone);
    let id = image.id;
    txn.create(image);
    Ok(id)
}

/// Makes of a VM's template one that other VMs can be made of.
fn template_clean(caller: &Caller, vm: &mut Template, options: &Options, made: &[(Id, Id)]) {
    vm.retain(|attribute| !COMPUTED.contains(&attribute.name.as_str()));
    if options.no_nic {
        vm.remove("NIC");
        vm.remove("NIC_ALIAS");
    }
    for disk in vm.vectors_mut("DISK") {
        let image = made.iter().find(|(own, _)| disk_id(disk) == *own);
        *disk = match image {
            Some((_, image)) => {
                let mut vector = Vector::new();
                vector.set("IMAGE_ID", image.to_string());
                vector
            }
            None => kept(disk, DISK_KEPT),
        };
    }
    for name in ["NIC", "NIC_ALIAS"] {
        for nic in vm.vectors_mut(name) {
            let mut vector = kept(nic, NIC_KEPT);
            for address in ["IP", "IP6", "MAC"] {
                // Only administrators choose MAC addresses.
                let given = !options.no_ip && (address != "MAC" || caller.is_admin());
                if let Some(value) = nic.get(address).filter(|_| given) {
                    vector.set(address, value);
                }
            }
            *nic = vector;
        }
    }
    for (name, keys) in [
        ("OS", &["UUID"][..]),
        ("GRAPHICS", &["PORT"]),
        ("CONTEXT", &["DISK_ID", "TARGET"]),
    ] {
        for vector in vm.vectors_mut(name) {
            for key in keys {
                vector.remove(key);
            }
        }
    }
    context_clean(vm);
}

/// What the context says of NICs is made anew with each VM.
fn context_clean(vm: &mut Template) {
    for context in vm.vectors_mut("CONTEXT") {
        let of_nics: Vec<String> = context
            .iter()
            .map(|(name, _)| name.to_owned())
            .filter(|name| {
                name.strip_prefix("ETH")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .collect();
        for name in of_nics {
            context.remove(&name);
        }
    }
}

fn kept(vector: &Vector, names: &[&str]) -> Vector {
    let mut new = Vector::new();
    for name in names {
        if let Some(value) = vector.get(name) {
            new.set(name, value);
        }
    }
    new
}

fn template_put(txn: &mut Txn<'_>, caller: &Caller, name: &str, vm: &Template) -> Result<Id, ApiError> {
    let mut template = Template::new();
    for attribute in vm.iter() {
        let empty = matches!(&attribute.value, Value::Vector(vector) if vector.is_empty());
        if !empty {
            template.add(&attribute.name, attribute.value.clone());
        }
    }
    restricted_check(&txn.world, caller, Kind::Template, &template)?;
    stencil_create::<VmTemplate>(txn, caller, name, &template)
}
