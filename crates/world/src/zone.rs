//! Commands on zones.

use std::sync::Arc;

use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;

const ENABLED: i32 = 0;
const DISABLED: i32 = 1;

/// `one.zone.enable`: a zone that is disabled answers reading calls only.
pub(crate) fn zone_enable(txn: &mut Txn<'_>, caller: &Caller, id: Id, enable: bool) -> Result<Id, ApiError> {
    let rights = [(Operation::Admin, Target::of(&txn.world, Kind::Zone, id)?)];
    require(&txn.world, caller, &rights)?;
    let mut zone = txn.world.zone(id)?.clone();
    Arc::make_mut(&mut zone).state = if enable { ENABLED } else { DISABLED };
    txn.update(zone);
    Ok(id)
}
