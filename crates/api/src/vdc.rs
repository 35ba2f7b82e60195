//! Calls on VDCs.

use plerion_model::vdc::VdcResource;
use plerion_model::{Kind, Operation};
use plerion_world::{Command, VdcCommand};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
#[rustfmt::skip]
pub(crate) fn methods() -> Vec<Method> {
    let create = Right::On(Operation::Create, Kind::Vdc);
    let admin = Right::On(Operation::Admin, Kind::Vdc);
    let row = |name, parameters, summary, decode| command(name, parameters, admin, summary, decode);
    vec![
        command("one.vdc.allocate", "template:string", create, "makes a VDC", allocate),
        row("one.vdc.addgroup", "id:int, group:int", "puts a group into a VDC", |params| group(params, true)),
        row("one.vdc.delgroup", "id:int, group:int", "takes a group out of a VDC", |params| group(params, false)),
        row("one.vdc.addcluster", "id:int, zone:int, cluster:int (-10 all)", "puts a cluster into a VDC", |params| resource(params, VdcResource::Cluster, true)),
        row("one.vdc.delcluster", "id:int, zone:int, cluster:int (-10 all)", "takes a cluster out of a VDC", |params| resource(params, VdcResource::Cluster, false)),
        row("one.vdc.addhost", "id:int, zone:int, host:int (-10 all)", "puts a host into a VDC", |params| resource(params, VdcResource::Host, true)),
        row("one.vdc.delhost", "id:int, zone:int, host:int (-10 all)", "takes a host out of a VDC", |params| resource(params, VdcResource::Host, false)),
        row("one.vdc.adddatastore", "id:int, zone:int, datastore:int (-10 all)", "puts a datastore into a VDC", |params| resource(params, VdcResource::Datastore, true)),
        row("one.vdc.deldatastore", "id:int, zone:int, datastore:int (-10 all)", "takes a datastore out of a VDC", |params| resource(params, VdcResource::Datastore, false)),
        row("one.vdc.addvnet", "id:int, zone:int, vnet:int (-10 all)", "puts a network into a VDC", |params| resource(params, VdcResource::Vnet, true)),
        row("one.vdc.delvnet", "id:int, zone:int, vnet:int (-10 all)", "takes a network out of a VDC", |params| resource(params, VdcResource::Vnet, false)),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::Vdc(VdcCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn group(params: &mut Params, add: bool) -> Decoded {
    Ok(Command::Vdc(VdcCommand::Group {
        id: params.int()?,
        group: params.int()?,
        add,
    }))
}

fn resource(params: &mut Params, resource: VdcResource, add: bool) -> Decoded {
    Ok(Command::Vdc(VdcCommand::Resource {
        id: params.int()?,
        zone: params.int()?,
        member: params.int()?,
        resource,
        add,
    }))
}
