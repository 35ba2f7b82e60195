//! Commands on VM templates together with the images of their disks (`recursive`).

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::Caller;
use crate::on_behalf::ON_BEHALF;
use crate::stencil::stencil_clone;
use crate::txn::Txn;
use crate::vm_disk::{IMAGE_KEYS, named_id};
use crate::world::World;
use crate::{generic, image};

/// A command on a template and its images.
#[derive(Clone, Debug)]
pub enum TemplateImagesCommand {
    /// `one.template.clone` with `recursive`.
    Clone {
        /// Template.
        id: Id,
        /// Name of the copy; those of the images follow from it.
        name: String,
    },
    /// `one.template.chmod` with `recursive`.
    Chmod {
        /// Template.
        id: Id,
        /// See [`crate::Command::Chmod`].
        bits: [i32; 9],
    },
    /// `one.template.delete` with `recursive`.
    Delete {
        /// Template.
        id: Id,
    },
}

/// Does a command; answers the template's id.
pub(crate) fn template_images_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &TemplateImagesCommand,
) -> Result<Id, ApiError> {
    match command {
        TemplateImagesCommand::Clone { id, name } => {
            let copy = Copy {
                id: *id,
                name,
                extra: &Template::new(),
                persistent: false,
            };
            clone_all(txn, caller, &copy)
        }
        TemplateImagesCommand::Chmod { id, bits } => chmod_all(txn, caller, *id, bits),
        TemplateImagesCommand::Delete { id } => delete_all(txn, caller, *id),
    }
}

/// A template to copy with its images.
pub(crate) struct Copy<'a> {
    /// Template.
    pub(crate) id: Id,
    /// Name of the copy; those of the images follow from it.
    pub(crate) name: &'a str,
    /// Attributes to merge into the copy.
    pub(crate) extra: &'a Template,
    /// Whether the copies of the images are persistent although the images are not.
    pub(crate) persistent: bool,
}

/// Each disk of the copy has a copy of its image, named `<template>-disk-<number of the disk>`. If one image cannot be
/// copied nothing is.
pub(crate) fn clone_all(txn: &mut Txn<'_>, caller: &Caller, wanted: &Copy<'_>) -> Result<Id, ApiError> {
    let (id, name) = (wanted.id, wanted.name);
    let copy = stencil_clone::<VmTemplate>(txn, caller, id, name)?;
    let mut object = txn.world.template(copy)?.clone();
    let mut template = object.template.unpack();
    template.merge(wanted.extra);
    template.remove("NAME");
    if wanted.persistent {
        // On whose behalf the copy was made is no matter of the VMs that are made of it.
        for name in ON_BEHALF {
            template.remove(name);
        }
    }
    for (number, disk) in template.vectors_mut("DISK").enumerate() {
        let failed = |error: ApiError| {
            ApiError::action(format!(
                "The image of disk {number} of template {id} cannot be cloned: {}",
                error.text
            ))
        };
        let Some(source) = named_id(&txn.world, caller, Kind::Image, disk, IMAGE_KEYS).map_err(failed)?
        else {
            continue;
        };
        let name = format!("{name}-disk-{number}");
        let image = image::image_clone(txn, caller, source, &name, -1, wanted.persistent).map_err(failed)?;
        image_set(disk, image);
    }
    Arc::make_mut(&mut object).template = PackedTemplate::new(&template);
    txn.update(object);
    Ok(copy)
}

fn image_set(disk: &mut Vector, image: Id) {
    for key in IMAGE_KEYS {
        disk.remove(key);
    }
    disk.set("IMAGE_ID", image.to_string());
}

/// The same bits for all. If those of one image cannot be changed nothing is.
fn chmod_all(txn: &mut Txn<'_>, caller: &Caller, id: Id, bits: &[i32; 9]) -> Result<Id, ApiError> {
    generic::chmod(txn, caller, Kind::Template, id, bits)?;
    for image in images_of(&txn.world, caller, &txn.world.template(id)?.template.unpack()) {
        generic::chmod(txn, caller, Kind::Image, image, bits).map_err(|error| ApiError {
            text: format!(
                "Nothing was changed, because of image {image} of the template: {}",
                error.text
            ),
            ..error
        })?;
    }
    Ok(id)
}

/// Images that the caller may not delete, or that VMs use, stay, as with 7.4.
fn delete_all(txn: &mut Txn<'_>, caller: &Caller, id: Id) -> Result<Id, ApiError> {
    let template = txn.world.template(id)?.template.unpack();
    let images = images_of(&txn.world, caller, &template);
    generic::delete(txn, caller, Kind::Template, id)?;
    for image in images {
        // A refusal has changed nothing: the image is there to be seen, and says why when it is deleted by itself.
        let _stays = generic::delete(txn, caller, Kind::Image, image).is_err();
    }
    Ok(id)
}

/// Images of the disks, each once; what a disk names and is not there is nobody's.
fn images_of(world: &World, caller: &Caller, template: &Template) -> BTreeSet<Id> {
    template
        .vectors("DISK")
        .filter_map(|disk| {
            named_id(world, caller, Kind::Image, disk, IMAGE_KEYS)
                .ok()
                .flatten()
        })
        .filter(|image| world.image(*image).is_ok())
        .collect()
}
