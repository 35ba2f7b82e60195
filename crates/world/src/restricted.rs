//! Restricted attributes: those that only administrators may set.

use plerion_model::{ApiError, Kind};
use plerion_template::{Template, Value, Vector};

use crate::auth::Caller;
use crate::vm_right::is_right_list;
use crate::world::World;

/// Refuses attributes that only administrators may set.
pub(crate) fn restricted_check(
    world: &World,
    caller: &Caller,
    kind: Kind,
    template: &Template,
) -> Result<(), ApiError> {
    let list = match kind {
        Kind::Vm | Kind::Template | Kind::Vrouter => "VM_RESTRICTED_ATTR",
        Kind::Image => "IMAGE_RESTRICTED_ATTR",
        Kind::Vnet | Kind::VnTemplate => "VNET_RESTRICTED_ATTR",
        Kind::User => "USER_RESTRICTED_ATTR",
        Kind::Group => "GROUP_RESTRICTED_ATTR",
        _ => return Ok(()),
    };
    if caller.is_admin() {
        return Ok(());
    }
    let own = matches!(kind, Kind::User | Kind::Group);
    let rights = template
        .iter()
        .find(|attribute| own && is_right_list(&attribute.name))
        .map(|attribute| attribute.name.clone());
    match rights.or_else(|| restricted_find(world, list, template)) {
        // Recorded: the text names the attribute without its vector.
        Some(name) => Err(ApiError::authorization(
            caller.uid,
            &format!(
                "{} includes a restricted attribute {name}",
                if kind == Kind::Image {
                    "Template"
                } else {
                    "VM Template"
                }
            ),
        )),
        None => Ok(()),
    }
}

/// The same for a change: what stays as it is needs no right.
pub(crate) fn restricted_check_changed(
    world: &World,
    caller: &Caller,
    given: &Template,
    old: &Template,
) -> Result<(), ApiError> {
    if caller.is_admin() {
        return Ok(());
    }
    let mut changed = Template::new();
    for attribute in given.iter() {
        let Value::Vector(vector) = &attribute.value else {
            if old.get(&attribute.name) != given.get(&attribute.name) {
                changed.add(&attribute.name, attribute.value.clone());
            }
            continue;
        };
        let known = old.vector(&attribute.name);
        let mut rest = Vector::new();
        for (key, value) in vector.iter() {
            if known.and_then(|known| known.get(key)) != Some(value) {
                rest.set(key, value);
            }
        }
        changed.add_vector(&attribute.name, rest);
    }
    restricted_check(world, caller, Kind::Vm, &changed)
}

/// Whether an attribute within a vector of a VM is for administrators only.
pub(crate) fn is_restricted_key(world: &World, vector: &str, key: &str) -> bool {
    let list = "VM_RESTRICTED_ATTR";
    world.config.is_restricted(list, vector) || world.config.is_restricted(list, &format!("{vector}/{key}"))
}

fn restricted_find(world: &World, list: &str, template: &Template) -> Option<String> {
    for attribute in template.iter() {
        if world.config.is_restricted(list, &attribute.name) {
            return Some(attribute.name.clone());
        }
        if let Value::Vector(vector) = &attribute.value {
            for (key, _) in vector.iter() {
                if world
                    .config
                    .is_restricted(list, &format!("{}/{key}", attribute.name))
                {
                    return Some(key.to_owned());
                }
            }
        }
    }
    None
}
