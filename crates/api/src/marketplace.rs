//! Calls on marketplaces and their appliances.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, MarketCommand};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    vec![
        command(
            "one.market.allocate",
            "template:string",
            Right::On(Operation::Create, Kind::Marketplace),
            "makes a marketplace",
            allocate,
        ),
        command(
            "one.market.enable",
            "id:int, enable:bool",
            Right::On(Operation::Manage, Kind::Marketplace),
            "enables or disables a marketplace",
            enable,
        ),
        command(
            "one.marketapp.allocate",
            "template:string, market:int",
            Right::On(Operation::Create, Kind::MarketplaceApp),
            "puts an appliance into a marketplace",
            app_allocate,
        ),
        command(
            "one.marketapp.enable",
            "id:int, enable:bool",
            Right::On(Operation::Manage, Kind::MarketplaceApp),
            "enables or disables an appliance",
            app_enable,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::Market(MarketCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn enable(params: &mut Params) -> Decoded {
    Ok(Command::Market(MarketCommand::Enable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    }))
}

fn app_allocate(params: &mut Params) -> Decoded {
    let (text, market) = (params.string()?, params.int()?);
    Ok(Command::Market(MarketCommand::AppAllocate {
        template: template(&text)?,
        market,
    }))
}

fn app_enable(params: &mut Params) -> Decoded {
    Ok(Command::Market(MarketCommand::AppEnable {
        id: params.int()?,
        enable: params.bool_or_int()?,
    }))
}
