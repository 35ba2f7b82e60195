//! Commands on clusters.

use std::sync::Arc;

use plerion_model::cluster::{self, Cluster};
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::txn::Txn;
use crate::world::World;

/// Which member of a cluster is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A host.
    Host(Id),
    /// A datastore.
    Datastore(Id),
    /// A virtual network.
    Vnet(Id),
}

/// The cluster that a call means: -1 is the default one. Naming one needs ADMIN on it (recorded: so does -1).
pub(crate) fn cluster_named(world: &World, id: Id) -> Result<(Id, (Operation, Target)), ApiError> {
    let id = if id == -1 { cluster::DEFAULT } else { id };
    Ok((id, (Operation::Admin, Target::of(world, Kind::Cluster, id)?)))
}

/// `one.cluster.allocate`.
pub(crate) fn cluster_allocate(txn: &mut Txn<'_>, caller: &Caller, name: &str) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Cluster))],
    )?;
    name_check_new(&txn.world, Kind::Cluster, -1, name)?;
    let id = txn.id_next(Kind::Cluster);
    let mut template = Template::new();
    template.set("RESERVED_CPU", "");
    template.set("RESERVED_MEM", "");
    let cluster = Cluster {
        id,
        name: name.to_owned(),
        template: PackedTemplate::new(&template),
    };
    txn.create(cluster);
    Ok(id)
}

/// A cluster may go when it is not one of the first and nothing is in it.
pub(crate) fn cluster_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if id < 100 {
        return Err(ApiError::action(
            "Cannot delete cluster. System Clusters (ID < 100) cannot be deleted.",
        ));
    }
    let world = &txn.world;
    let rest = [
        ("hosts", world.hosts.values().any(|host| host.cluster_id == id)),
        (
            "datastores",
            world
                .datastores
                .values()
                .any(|datastore| datastore.clusters.contains(&id)),
        ),
        (
            "virtual networks",
            world.vnets.values().any(|vnet| vnet.clusters.contains(&id)),
        ),
    ];
    if let Some((what, _)) = rest.iter().find(|(_, some)| *some) {
        return Err(ApiError::action(format!(
            "Cannot delete cluster. Cluster {id} is not empty, it contains {what}."
        )));
    }
    txn.delete(Kind::Cluster, id);
    Ok(())
}

/// `one.cluster.add*` and `del*`: hosts are in one cluster, datastores and networks in any number.
pub(crate) fn cluster_member(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    member: Member,
    add: bool,
) -> Result<Id, ApiError> {
    let (kind, member_id) = match member {
        Member::Host(id) => (Kind::Host, id),
        Member::Datastore(id) => (Kind::Datastore, id),
        Member::Vnet(id) => (Kind::Vnet, id),
    };
    let rights = [
        (Operation::Admin, Target::of(&txn.world, Kind::Cluster, id)?),
        (Operation::Admin, Target::of(&txn.world, kind, member_id)?),
    ];
    require(&txn.world, caller, &rights)?;
    match member {
        Member::Host(host) => {
            let mut host = txn.world.host(host)?.clone();
            let cluster = if add { id } else { cluster::DEFAULT };
            if host.cluster_id != cluster {
                Arc::make_mut(&mut host).cluster_id = cluster;
                txn.update(host);
            }
        }
        Member::Datastore(datastore) => {
            let mut datastore = txn.world.datastore(datastore)?.clone();
            if set_member(&mut Arc::make_mut(&mut datastore).clusters, id, add) {
                txn.update(datastore);
            }
        }
        Member::Vnet(vnet) => {
            let mut vnet = txn.world.vnet(vnet)?.clone();
            if set_member(&mut Arc::make_mut(&mut vnet).clusters, id, add) {
                txn.update(vnet);
            }
        }
    }
    Ok(id)
}

/// Puts an id in an ascending list or takes it out. Returns whether the list changed.
fn set_member(list: &mut Vec<Id>, id: Id, add: bool) -> bool {
    match (list.binary_search(&id), add) {
        (Err(at), true) => list.insert(at, id),
        (Ok(at), false) => {
            list.remove(at);
        }
        _ => return false,
    }
    true
}
