//! To whom a new object belongs, and what others may do with it.

use plerion_model::{Owned, Permissions};

use crate::auth::Caller;
use crate::world::World;

/// A new object of a caller: its own, of its primary group, with the permissions that its mask leaves.
///
/// The mask is `UMASK` of the user's template, else `DEFAULT_UMASK`. Its bits are taken from 777 for administrators,
/// from 666 for others (nobody gets ADMIN by it), from 660 where permissions for others are switched off.
pub(crate) fn owned_new(world: &World, caller: &Caller) -> Owned {
    let base = if caller.uid == 0 || caller.gid == plerion_model::group::ONEADMIN {
        0o777
    } else if others_allowed(world) {
        0o666
    } else {
        0o660
    };
    Owned::new(caller.uid, caller.gid, Permissions(base & !umask(world, caller)))
}

/// Whether permissions for everybody may be given (`ENABLE_OTHER_PERMISSIONS`).
pub(crate) fn others_allowed(world: &World) -> bool {
    let setting = world.config.attributes.get_bool("ENABLE_OTHER_PERMISSIONS");
    setting.unwrap_or(true)
}

fn umask(world: &World, caller: &Caller) -> u16 {
    let octal = |text: &str| u16::from_str_radix(text.trim(), 8).ok();
    let own = world.users.get(caller.uid);
    own.and_then(|user| user.template.get("UMASK").and_then(octal))
        .unwrap_or(world.config.umask)
}
