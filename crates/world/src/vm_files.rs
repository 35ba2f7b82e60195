//! File images that a VM takes from a files datastore: for its CONTEXT disk, and to boot a kernel directly.

use std::sync::Arc;

use plerion_model::image::{Image, ImageState, ImageType};
use plerion_model::{ApiError, Kind, Operation};
use plerion_template::substitute::{FileImage, FileOwner, FileReference, file_references};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target};
use crate::vm_disk::{IMAGE_KEYS, named_id};
use crate::world::World;

/// Name of the file that every CONTEXT disk has.
const CONTEXT_SCRIPT: &str = "context.sh";
/// Attributes of OS that name a file image, and the type that it must have.
const BOOT_FILES: [(&str, ImageType); 2] = [
    ("KERNEL_DS", ImageType::Kernel),
    ("INITRD_DS", ImageType::Ramdisk),
];

fn refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::Vm, reason)
}

/// Completes CONTEXT/FILES_DS, OS/KERNEL_DS and OS/INITRD_DS of a new VM. Answers the rights that they need.
pub(crate) fn files_complete(
    world: &World,
    caller: &Caller,
    template: &mut Template,
) -> Result<Vec<(Operation, Target)>, ApiError> {
    let mut rights = Vec::new();
    if let Some(context) = template.vector("CONTEXT") {
        let mut context = context.clone();
        if context_files(world, caller, &mut context, &mut rights)? {
            template.set_vector("CONTEXT", context);
        }
    }
    if let Some(os) = template.vector("OS") {
        let mut os = os.clone();
        for (key, kind) in BOOT_FILES {
            boot_file(world, caller, &mut os, (key, kind), &mut rights)?;
        }
        template.set_vector("OS", os);
    }
    Ok(rights)
}

/// FILES_DS becomes `SOURCE:'NAME'` for each image, separated by blanks, as scripts read it. Whether there was anything.
fn context_files(
    world: &World,
    caller: &Caller,
    context: &mut Vector,
    rights: &mut Vec<(Operation, Target)>,
) -> Result<bool, ApiError> {
    if context.get("FILES").is_some_and(|text| !text.trim().is_empty()) {
        return Err(refused(
            "CONTEXT/FILES is not supported: register the files as images of type CONTEXT in a files datastore and name \
             them in CONTEXT/FILES_DS, or put what the guest needs in START_SCRIPT.",
        ));
    }
    let Some(text) = context.get("FILES_DS").filter(|text| !text.trim().is_empty()) else {
        return Ok(false);
    };
    let mut files = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for image in images(world, caller, "CONTEXT/FILES_DS", text, ImageType::Context)? {
        let name = &image.name;
        if !is_file_name(name) {
            return Err(refused(&format!(
                "Image [{}] cannot be a file of the CONTEXT disk by the name {name:?}: rename it.",
                image.id
            )));
        }
        if names.contains(name) {
            return Err(refused(&format!(
                "CONTEXT/FILES_DS names two images with the name {name:?}: rename one."
            )));
        }
        files.push(format!("{}:'{name}'", image.source));
        names.push(name.clone());
        rights.push((Operation::Use, Target::of(world, Kind::Image, image.id)?));
    }
    context.set("FILES_DS", files.join(" "));
    Ok(true)
}

/// Whether a file on the CONTEXT disk may have the name, and scripts can read it in `SOURCE:'NAME'`.
fn is_file_name(name: &str) -> bool {
    name != CONTEXT_SCRIPT && !name.starts_with(['.', '-']) && !name.contains(['/', '\'', '\0', '\n'])
}

/// What the reference stands for is written beside it.
fn boot_file(
    world: &World,
    caller: &Caller,
    os: &mut Vector,
    (key, kind): (&str, ImageType),
    rights: &mut Vec<(Operation, Target)>,
) -> Result<(), ApiError> {
    let Some(text) = os.get(key).filter(|text| !text.trim().is_empty()) else {
        return Ok(());
    };
    let found = images(world, caller, &format!("OS/{key}"), text, kind)?;
    let [image] = found.as_slice() else {
        return Err(refused(&format!("OS/{key} names more than one image.")));
    };
    let datastore = world.datastore(image.datastore_id)?;
    let clusters: Vec<String> = datastore.clusters.iter().map(ToString::to_string).collect();
    for (suffix, value) in [
        ("ID", image.id.to_string()),
        ("SOURCE", image.source.clone()),
        ("DSID", image.datastore_id.to_string()),
        ("TM", datastore.tm_mad.clone()),
        ("CLUSTER_ID", clusters.join(",")),
    ] {
        os.set(&format!("{key}_{suffix}"), value);
    }
    rights.push((Operation::Use, Target::of(world, Kind::Image, image.id)?));
    Ok(())
}

/// The images that a value refers to, each of the type wanted and ready.
fn images(
    world: &World,
    caller: &Caller,
    attribute: &str,
    text: &str,
    kind: ImageType,
) -> Result<Vec<Arc<Image>>, ApiError> {
    let references =
        file_references(text).map_err(|error| refused(&format!("Wrong value of {attribute}: {error}.")))?;
    references
        .iter()
        .map(|reference| {
            let image = image_of(world, caller, attribute, reference)?;
            usable(attribute, &image, kind)?;
            Ok(image)
        })
        .collect()
}

fn image_of(
    world: &World,
    caller: &Caller,
    attribute: &str,
    reference: &FileReference,
) -> Result<Arc<Image>, ApiError> {
    let mut named = Vector::new();
    match &reference.image {
        FileImage::Id(id) => named.set("IMAGE_ID", id.to_string()),
        FileImage::Name(name) => named.set("IMAGE", name.as_str()),
    }
    match &reference.owner {
        Some(FileOwner::Id(id)) => named.set("IMAGE_UID", id.to_string()),
        Some(FileOwner::Name(name)) => named.set("IMAGE_UNAME", name.as_str()),
        None => {}
    }
    match named_id(world, caller, Kind::Image, &named, IMAGE_KEYS)? {
        Some(id) => Ok(world.image(id)?.clone()),
        None => Err(refused(&format!("{attribute} names no image."))),
    }
}

fn usable(attribute: &str, image: &Image, kind: ImageType) -> Result<(), ApiError> {
    if image.kind != kind {
        return Err(refused(&format!(
            "Image [{}] of {attribute} is of type {}, not {kind}.",
            image.id, image.kind
        )));
    }
    if image.state != ImageState::Ready {
        return Err(refused(&format!(
            "Image [{}] of {attribute} cannot be used: it is in state {}.",
            image.id, image.state
        )));
    }
    Ok(())
}
