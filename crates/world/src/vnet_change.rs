//! Changing a network.

use std::sync::Arc;

use plerion_model::vnet::{Vnet, VnetState};
use plerion_model::{ApiError, Id, Kind, Operation};

use crate::auth::{Caller, Target, require};
use crate::txn::Txn;

/// Changes a network that takes changes.
pub(crate) fn changed(
    txn: &mut Txn<'_>,
    caller: &Caller,
    right: Operation,
    id: Id,
    change: impl FnOnce(&mut Txn<'_>, &mut Vnet) -> Result<(), ApiError>,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(right, Target::of(&txn.world, Kind::Vnet, id)?)],
    )?;
    let mut vnet = txn.world.vnet(id)?.clone();
    if !matches!(vnet.state, VnetState::Ready | VnetState::UpdateFailure) {
        return Err(ApiError::action(format!(
            "Virtual Network is in wrong state: {}",
            vnet.state
        )));
    }
    change(txn, Arc::make_mut(&mut vnet))?;
    txn.update(vnet);
    Ok(id)
}
