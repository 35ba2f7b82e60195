//! What owners of VMs may use: their VMs go where they themselves could put them, and nowhere else.

use plerion_model::{Id, Operation};
use plerion_world::{Caller, Target, World, require_right};

/// Whether a user has a right on something. One who is gone has none.
pub(crate) fn owner_may(world: &World, uid: Id, right: Operation, target: &Target) -> bool {
    let user = world.users.get(uid);
    user.is_some_and(|user| require_right(world, &Caller::of(user), right, target).is_ok())
}
