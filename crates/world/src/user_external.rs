//! Users for whom an authentication driver answers: they are made at their first login, and their groups may come from it.

use std::sync::Arc;

use plerion_model::{ApiError, Id, Kind, group};

use crate::acl::group_admin_set;
use crate::auth::Caller;
use crate::bootstrap::user_new;
use crate::name::name_check_new;
use crate::txn::Txn;
use crate::user::tokens_drop_foreign;
use crate::world::World;

/// What follows from the word of an authentication driver. Orders of the front-end itself.
#[derive(Clone, Debug)]
pub enum ExternalCommand {
    /// The first login of a user: the reply is its id, also if it was made meanwhile.
    Make {
        /// Name.
        name: String,
        /// Authentication driver.
        driver: String,
        /// What the driver wants to be shown as password at the next login.
        password: String,
        /// Groups, the primary one first.
        groups: Vec<VouchedGroup>,
    },
    /// The groups of a user of a driver that manages them (`DRIVER_MANAGED_GROUPS`).
    Groups {
        /// User.
        id: Id,
        /// Groups, the primary one first.
        groups: Vec<VouchedGroup>,
    },
}

/// A group in which a driver says that a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VouchedGroup {
    /// Group.
    pub id: Id,
    /// Whether the user administers it; it counts where the driver manages that (`DRIVER_MANAGED_GROUP_ADMIN`).
    pub admin: bool,
}

/// Whether the groups of a user are other ones than its driver says; groups that do not exist do not count.
#[must_use]
pub fn groups_differ(world: &World, id: Id, groups: &[VouchedGroup]) -> bool {
    let Some(user) = world.users.get(id) else {
        return false;
    };
    let known = existing(world, groups);
    let admins = world.config.auth.conf(&user.auth_driver).managed_group_admin;
    let admin_differs = |vouched: &VouchedGroup| {
        let group = world.groups.get(vouched.id);
        group.is_some_and(|group| group.admins.contains(&id) != vouched.admin)
    };
    !known.is_empty() && (ids_of(&known) != user.groups || (admins && known.iter().any(admin_differs)))
}

pub(crate) fn user_external(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &ExternalCommand,
) -> Result<Id, ApiError> {
    if !caller.is_admin() {
        return Err(ApiError::authorization(
            caller.uid,
            "Only the front-end itself speaks for an authentication driver",
        ));
    }
    match command {
        ExternalCommand::Make {
            name,
            driver,
            password,
            groups,
        } => make(txn, name, driver, password, groups),
        ExternalCommand::Groups { id, groups } => groups_set(txn, *id, groups),
    }
}

fn make(
    txn: &mut Txn<'_>,
    name: &str,
    driver: &str,
    password: &str,
    groups: &[VouchedGroup],
) -> Result<Id, ApiError> {
    if let Some(user) = txn.world.user_by_name(name)
        && user.auth_driver == driver
    {
        return Ok(user.id);
    }
    name_check_new(&txn.world, Kind::User, -1, name)?;
    let mut groups = existing(&txn.world, groups);
    if groups.is_empty() {
        groups.push(VouchedGroup {
            id: group::USERS,
            admin: false,
        });
    }
    let id = txn.id_next(Kind::User);
    let gids = groups.iter().map(|group| group.id).collect();
    let user = user_new(txn, id, name, password, driver, gids);
    txn.create(user);
    admins_set(txn, id, driver, &groups)?;
    Ok(id)
}

/// The primary group stays where the user is still in it. A driver that names no group that exists changes nothing.
fn groups_set(txn: &mut Txn<'_>, id: Id, groups: &[VouchedGroup]) -> Result<Id, ApiError> {
    let mut user = txn.world.user(id)?.clone();
    let driver = user.auth_driver.clone();
    let groups = existing(&txn.world, groups);
    let Some(first) = groups.first() else {
        return Ok(id);
    };
    let ids = ids_of(&groups);
    let left: Vec<Id> = user
        .groups
        .iter()
        .copied()
        .filter(|gid| !ids.contains(gid))
        .collect();
    let changed = Arc::make_mut(&mut user);
    if !ids.contains(&changed.gid) {
        changed.gid = first.id;
    }
    changed.groups = ids;
    tokens_drop_foreign(changed);
    txn.update(user);
    for gid in left {
        group_admin_set(txn, gid, id, false)?;
    }
    admins_set(txn, id, &driver, &groups)?;
    Ok(id)
}

fn admins_set(txn: &mut Txn<'_>, id: Id, driver: &str, groups: &[VouchedGroup]) -> Result<(), ApiError> {
    if !txn.world.config.auth.conf(driver).managed_group_admin {
        return Ok(());
    }
    groups
        .iter()
        .try_for_each(|group| group_admin_set(txn, group.id, id, group.admin))
}

fn existing(world: &World, groups: &[VouchedGroup]) -> Vec<VouchedGroup> {
    groups
        .iter()
        .copied()
        .filter(|group| world.groups.get(group.id).is_some())
        .collect()
}

fn ids_of(groups: &[VouchedGroup]) -> Vec<Id> {
    let mut ids: Vec<Id> = groups.iter().map(|group| group.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
