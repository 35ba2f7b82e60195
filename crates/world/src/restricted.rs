//! Restricted attributes: those that only administrators may set.

use plerion_model::{ApiError, Kind};
use plerion_template::{Template, Value};

use crate::auth::Caller;
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
    match restricted_find(world, list, template) {
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
