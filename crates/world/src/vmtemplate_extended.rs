//! A VM template together with what its images say (`one.template.info` with `extended`).

use plerion_model::numbers::id_list;
use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Kind};
use plerion_template::{PackedTemplate, Template, Vector};

use crate::auth::{Caller, Target, require_see_all};
use crate::index::members;
use crate::vm_disk::{IMAGE_KEYS, named_id};
use crate::vm_disk_image::disk_take;
use crate::vm_nic::NETWORK_KEYS;
use crate::vm_nic_mode::is_auto;
use crate::vmgroup::VMGROUP_KEYS;
use crate::world::World;

/// The template with the attributes that its disks would take of their images and datastores, and the ids of its networks,
/// for one who may use it and all that it names. (As 7.4: locks aside, what is not there is left as it is, and of networks
/// there is no more than their ids.)
///
/// # Errors
/// When the template does not exist, or the caller may not use it, or something that it names.
pub fn template_extended(world: &World, caller: &Caller, id: Id) -> Result<VmTemplate, ApiError> {
    let mut object = (**world.template(id)?).clone();
    let mut template = object.template.unpack();
    let mut needed = vec![Target::of(world, Kind::Template, id)?];
    for (number, disk) in template.vectors_mut("DISK").enumerate() {
        needed.extend(disk_extend(world, caller, number, disk)?);
    }
    for name in ["NIC", "NIC_ALIAS"] {
        for nic in template.vectors_mut(name) {
            needed.extend(nic_extend(world, caller, nic));
        }
    }
    needed.extend(vmgroup(world, caller, &template));
    require_see_all(world, caller, &needed)?;
    object.template = PackedTemplate::new(&template);
    Ok(object)
}

/// What a vector names, if that is there.
fn named(
    world: &World,
    caller: &Caller,
    kind: Kind,
    vector: &Vector,
    keys: [&str; 4],
) -> Option<(Id, Target)> {
    let id = named_id(world, caller, kind, vector, keys).ok().flatten()?;
    Some((id, Target::of(world, kind, id).ok()?))
}

fn disk_extend(
    world: &World,
    caller: &Caller,
    number: usize,
    disk: &mut Vector,
) -> Result<Option<Target>, ApiError> {
    disk.set("DISK_ID", number.to_string());
    let Some((id, target)) = named(world, caller, Kind::Image, disk, IMAGE_KEYS) else {
        return Ok(None);
    };
    let image = world.image(id)?;
    disk_take(world, disk, image, world.datastore(image.datastore_id)?);
    let vms = members(&world.index.image_vms, id).len();
    let state = image.state_shown(vms, world.image_clones(id).len());
    disk.set("IMAGE_STATE", state.number().to_string());
    Ok(Some(target))
}

fn nic_extend(world: &World, caller: &Caller, nic: &mut Vector) -> Vec<Target> {
    if is_auto(nic) {
        return Vec::new();
    }
    let groups = nic.get("SECURITY_GROUPS").unwrap_or_default();
    let mut needed: Vec<Target> = id_list(groups)
        .filter_map(|group| Target::of(world, Kind::SecurityGroup, group).ok())
        .collect();
    if let Some((id, target)) = named(world, caller, Kind::Vnet, nic, NETWORK_KEYS) {
        nic.set("NETWORK_ID", id.to_string());
        needed.push(target);
    }
    needed
}

fn vmgroup(world: &World, caller: &Caller, template: &Template) -> Option<Target> {
    let vector = template.vector("VMGROUP")?;
    named(world, caller, Kind::VmGroup, vector, VMGROUP_KEYS).map(|(_, target)| target)
}
