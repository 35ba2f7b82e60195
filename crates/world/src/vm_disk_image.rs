//! What a DISK takes of its image and of the image's datastore.

use plerion_model::Id;
use plerion_model::datastore::Datastore;
use plerion_model::image::{Image, ImageType};
use plerion_template::Vector;

use crate::image_shareable::is_shareable;
use crate::world::World;

/// Takes what follows from the image and its datastore into a DISK, whatever state the image is in.
pub(crate) fn disk_take(world: &World, disk: &mut Vector, image: &Image, store: &Datastore) {
    of_image(world, disk, image);
    of_store(disk, image, store);
    inherit(world, "INHERIT_DATASTORE_ATTR", disk, |name| {
        store.template.get(name)
    });
    inherit(world, "INHERIT_IMAGE_ATTR", disk, |name| image.template.get(name));
}

fn of_image(world: &World, disk: &mut Vector, image: &Image) {
    let yes = |says: bool| if says { "YES" } else { "NO" };
    let prefix = image
        .template
        .get("DEV_PREFIX")
        .unwrap_or(&world.config.device_prefix)
        .to_owned();
    disk.set_if_missing("DEV_PREFIX", prefix);
    // Whatever the DISK says: its bytes are read as what they were found to be, or a raw image could name files of the host.
    disk.set("DRIVER", image.format.clone());
    if disk.get("SIZE").is_none_or(str::is_empty) {
        disk.set("SIZE", image.size_mib.to_string());
    }
    disk.set("CLONE", yes(!image.persistent));
    disk.set("DISK_SNAPSHOT_TOTAL_SIZE", "0");
    disk.set("FORMAT", image.format.clone());
    disk.set("IMAGE", image.name.clone());
    disk.set("IMAGE_ID", image.id.to_string());
    disk.set("ORIGINAL_SIZE", image.size_mib.to_string());
    disk.set("READONLY", yes(image.kind == ImageType::CdRom));
    disk.set("SAVE", yes(image.persistent));
    disk.set("SOURCE", image.source.clone());
    if image.persistent {
        disk.set("PERSISTENT", "YES");
    }
    if is_shareable(image) {
        disk.set("SHAREABLE", "YES");
    }
    if image.is_coming() {
        disk.set("CLONING", "YES");
    } else {
        disk.remove("CLONING");
    }
}

fn of_store(disk: &mut Vector, image: &Image, store: &Datastore) {
    let from_store = |name: &str, default: &str| store.template.get(name).unwrap_or(default).to_owned();
    disk.set(
        "ALLOW_ORPHANS",
        orphans(&from_store("ALLOW_ORPHANS", "NO"), &image.format),
    );
    disk.set("CLONE_TARGET", from_store("CLONE_TARGET", "SYSTEM"));
    disk.set("CLUSTER_ID", join(&store.clusters));
    disk.set("DATASTORE", store.name.clone());
    disk.set("DATASTORE_ID", store.id.to_string());
    disk.set("DISK_TYPE", store.disk_type.as_str());
    disk.set("LN_TARGET", from_store("LN_TARGET", "NONE"));
    disk.set("PERSISTENT_SNAPSHOTS", from_store("PERSISTENT_SNAPSHOTS", "YES"));
    disk.set("TM_MAD", store.tm_mad.clone());
    let cdrom = image.kind == ImageType::CdRom;
    disk.set("TYPE", if cdrom { "CDROM" } else { store.disk_type.as_str() });
}

/// FORMAT lets the format decide: snapshots of qcow2 files are a chain, copies of raw files are not.
fn orphans(mode: &str, format: &str) -> String {
    match mode {
        "FORMAT" if format == "qcow2" => "NO".into(),
        "FORMAT" => "YES".into(),
        other => other.into(),
    }
}

/// Copies attributes that a list of oned.conf names, where the vector has none.
pub(crate) fn inherit<'a>(
    world: &World,
    list: &str,
    vector: &mut Vector,
    source: impl Fn(&str) -> Option<&'a str>,
) {
    for value in world.config.attributes.all(list) {
        if let plerion_template::Value::Single(name) = value
            && let Some(found) = source(name).filter(|text| !text.is_empty())
        {
            vector.set_if_missing(name, found);
        }
    }
}

pub(crate) fn join(ids: &[Id]) -> String {
    ids.iter().map(Id::to_string).collect::<Vec<_>>().join(",")
}
