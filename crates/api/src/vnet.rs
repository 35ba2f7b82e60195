//! Calls on virtual networks, and what a caller sees of their leases.

use plerion_model::vnet_range::Holder;
use plerion_model::{ApiError, Kind, Operation};
use plerion_world::{Caller, Command, Target, VnetCommand, VnetRecover, World, may_see, require_right};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let manage = Right::On(Operation::Manage, Kind::Vnet);
    vec![
        command(
            "one.vn.update_ar",
            "id:int, template:string",
            manage,
            "changes an address range",
            range_update,
        ),
        command(
            "one.vn.free_ar",
            "id:int, range:int",
            manage,
            "gives a reserved address range back",
            range_free,
        ),
        command(
            "one.vn.reserve",
            "id:int, template:string",
            Right::On(Operation::Use, Kind::Vnet),
            "reserves addresses of a network for another",
            reserve,
        ),
        command(
            "one.vn.recover",
            "id:int, operation:int",
            manage,
            "takes a network out of a state that it is stuck in",
            recover,
        ),
    ]
}

fn range_update(params: &mut Params) -> Decoded {
    Ok(Command::Vnet(VnetCommand::RangeUpdate {
        id: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn range_free(params: &mut Params) -> Decoded {
    Ok(Command::Vnet(VnetCommand::RangeFree {
        id: params.int()?,
        range: params.int()?,
    }))
}

fn reserve(params: &mut Params) -> Decoded {
    Ok(Command::Vnet(VnetCommand::Reserve {
        id: params.int()?,
        template: template(&params.string()?)?,
    }))
}

fn recover(params: &mut Params) -> Decoded {
    let (id, operation) = (params.int()?, params.int()?);
    let recover = match operation {
        0 => VnetRecover::Failure,
        1 => VnetRecover::Success,
        2 => VnetRecover::Delete,
        3 => VnetRecover::Retry,
        _ => {
            let text = "Wrong recovery operation: it is 0 (failure), 1 (success), 2 (delete) or 3 (retry)";
            return Err(ApiError::action(text).into());
        }
    };
    Ok(Command::Vnet(VnetCommand::Recover { id, recover }))
}

/// Whether a caller sees who has a lease: whoever may change the network sees all, others what they see anyway.
pub(crate) fn lease_seen(world: &World, caller: &Caller, network: &Target, holder: Holder) -> bool {
    let sees = |kind, id| Target::of(world, kind, id).is_ok_and(|target| may_see(world, caller, &target));
    if require_right(world, caller, Operation::Manage, network).is_ok() {
        return true;
    }
    match holder {
        Holder::Hold => false,
        Holder::Vm(id) => sees(Kind::Vm, id),
        Holder::Vnet(id) => sees(Kind::Vnet, id),
        Holder::Vrouter(id) => sees(Kind::Vrouter, id),
    }
}
