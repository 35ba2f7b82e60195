//! Names: what is allowed, and that they are not taken.

use plerion_model::{ApiError, ErrorCode, Id, Kind};

use crate::object::name_scope;
use crate::world::World;

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 128;

/// Why a text is no name for an object of a kind.
fn fault(kind: Kind, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("Invalid NAME, it cannot be empty".into());
    }
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Some(format!(
            "Invalid NAME, it is longer than {NAME_CHARACTERS_MAX} characters"
        ));
    }
    if name.chars().any(char::is_control) {
        return Some("Invalid NAME, it holds a control character".into());
    }
    let forbidden: &str = match kind {
        // A colon ends the user name in a session, and blanks end it in many clients. Commas are in names from directories.
        Kind::User => ":& <>\t",
        // Host names become arguments of ssh.
        Kind::Host => " <>&'\"`$;|\\/",
        Kind::Group | Kind::Cluster | Kind::Datastore => "&",
        _ => "",
    };
    if let Some(bad) = name.chars().find(|character| forbidden.contains(*character)) {
        return Some(format!("Invalid NAME, it holds the character '{bad}'"));
    }
    if kind == Kind::Host && name.starts_with('-') {
        return Some("Invalid NAME, it starts with '-'".into());
    }
    None
}

/// The names of drivers become parts of paths. A refusal's text.
pub(crate) fn driver_name_check(name: &str) -> Result<(), String> {
    let good = !name.starts_with('.')
        && name.len() <= NAME_CHARACTERS_MAX
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if good {
        Ok(())
    } else {
        Err(format!(
            "\"{name}\" is no name of a driver: letters, digits, '_', '.' and '-' only, {NAME_CHARACTERS_MAX} of them at most."
        ))
    }
}

/// The object that has the name already, if names must differ.
fn taken(world: &World, kind: Kind, owner: Id, name: &str) -> Option<Id> {
    name_scope(kind, owner).and_then(|scope| world.id_by_name(kind, scope, name))
}

/// How the text about a taken name calls a kind (recorded: `CLUSTER 0`, but `Vdc 100`).
const fn holder_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Vdc => "Vdc",
        _ => kind.acl_name(),
    }
}

/// Checks the name of a new object.
pub(crate) fn name_check_new(world: &World, kind: Kind, owner: Id, name: &str) -> Result<(), ApiError> {
    if let Some(fault) = fault(kind, name) {
        return Err(ApiError::allocate(kind, &format!("{fault}.")));
    }
    match taken(world, kind, owner, name) {
        Some(id) => Err(ApiError::allocate(
            kind,
            &format!("NAME is already taken by {} {id}.", holder_name(kind)),
        )),
        None => Ok(()),
    }
}

/// Checks the new name of an object.
pub(crate) fn name_check_rename(
    world: &World,
    kind: Kind,
    owner: Id,
    id: Id,
    name: &str,
) -> Result<(), ApiError> {
    if let Some(fault) = fault(kind, name) {
        return Err(ApiError::action(fault));
    }
    match taken(world, kind, owner, name) {
        Some(other) if other != id => Err(ApiError::action(format!(
            "{} cannot be renamed: NAME is already taken by {} {other}",
            kind.error_name(),
            kind.acl_name()
        ))),
        _ => Ok(()),
    }
}

/// Checks that an object's name is free among those of its new owner.
pub(crate) fn name_check_owner(
    world: &World,
    kind: Kind,
    owner: Id,
    id: Id,
    name: &str,
) -> Result<(), ApiError> {
    match taken(world, kind, owner, name) {
        Some(other) if other != id => Err(ApiError::new(
            ErrorCode::Internal,
            format!(
                "The new owner has an object of the same NAME already: {} {other}",
                kind.acl_name()
            ),
        )),
        _ => Ok(()),
    }
}
