//! What was stored before its attributes were to be encrypted.

use crate::change::Change;
use crate::context::Context;
use crate::encrypted::objects_to_seal;
use crate::txn::Txn;
use crate::world::World;

/// Encrypts what a list of oned.conf names and nobody has encrypted yet. `None` where there is nothing to do.
#[must_use]
pub fn secrets_begin(world: &World, context: &Context) -> Option<(World, Change)> {
    let objects = objects_to_seal(world);
    if objects.is_empty() {
        return None;
    }
    let mut txn = Txn::new(world, context);
    for object in objects {
        txn.update(object);
    }
    Some(txn.finish())
}
