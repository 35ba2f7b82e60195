//! Templates that are instantiated on behalf of others (`AS_UID`, `AS_GID`).

use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::Template;

use crate::auth::{Caller, Target, require};
use crate::world::World;

/// What a template says of it; never an attribute of what is made.
pub(crate) const ON_BEHALF: [&str; 2] = ["AS_UID", "AS_GID"];

/// For whom a template is instantiated: for the user and the group that it names, which the caller must be able to manage, else
/// for the caller. From here on the rights and quotas of these count. The attributes are taken out.
///
/// As with 7.4, 0 names nobody, and somebody who acts for a user has the groups of the caller unless a group is named.
pub(crate) fn on_behalf(world: &World, caller: &Caller, template: &mut Template) -> Result<Caller, ApiError> {
    let [user, group] = ON_BEHALF;
    let user = named(world, template, user, Kind::User)?;
    let group = named(world, template, group, Kind::Group)?;
    let mut needed = Vec::new();
    for (kind, id) in [(Kind::User, user), (Kind::Group, group)] {
        if let Some(id) = id {
            needed.push((Operation::Manage, Target::of(world, kind, id)?));
        }
    }
    require(world, caller, &needed)?;
    let mut acting = caller.clone();
    if let Some(user) = user {
        acting.uid = user;
    }
    if let Some(group) = group {
        acting.gid = group;
        acting.groups = vec![group];
    }
    Ok(acting)
}

fn named(
    world: &World,
    template: &mut Template,
    attribute: &str,
    kind: Kind,
) -> Result<Option<Id>, ApiError> {
    let text = template.get(attribute).unwrap_or_default().trim().to_owned();
    template.remove(attribute);
    if text.is_empty() {
        return Ok(None);
    }
    let id: Id = text.parse().map_err(|_| {
        let what = kind.error_name();
        ApiError::action(format!("Wrong {attribute} \"{text}\": it is the id of a {what}"))
    })?;
    world.object(kind, id)?;
    Ok(Some(id).filter(|id| *id > 0))
}
