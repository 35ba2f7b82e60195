//! Commands on network templates.

use plerion_model::numbers::id_list;
use plerion_model::vntemplate::VnTemplate;
use plerion_model::{ApiError, Id, Kind, Operation, cluster};
use plerion_template::Template;

use crate::auth::{Caller, Target, require};
use crate::group_vlan::vlans_allowed;
use crate::on_behalf::on_behalf;
use crate::restricted::restricted_merge;
use crate::stencil::{stencil_allocate, stencil_clone};
use crate::txn::Txn;
use crate::vnet::vnet_create;
use crate::world::World;

/// What can be asked of network templates beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum VnTemplateCommand {
    /// `one.vntemplate.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
    },
    /// `one.vntemplate.clone`.
    Clone {
        /// Network template.
        id: Id,
        /// Name of the copy.
        name: String,
    },
    /// `one.vntemplate.instantiate`.
    Instantiate {
        /// Network template.
        id: Id,
        /// Name of the network.
        name: String,
        /// Attributes to merge.
        extra: Template,
    },
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn vntemplate_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &VnTemplateCommand,
) -> Result<Id, ApiError> {
    match command {
        VnTemplateCommand::Allocate { template } => stencil_allocate::<VnTemplate>(txn, caller, template),
        VnTemplateCommand::Clone { id, name } => stencil_clone::<VnTemplate>(txn, caller, *id, name),
        VnTemplateCommand::Instantiate { id, name, extra } => instantiate(txn, caller, *id, name, extra),
    }
}

/// The network belongs to the caller, or to whom the template names. Whoever made the template has said which clusters it is in, and what administrators
/// alone may set: the caller needs no right on those.
fn instantiate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
    extra: &Template,
) -> Result<Id, ApiError> {
    let right = (Operation::Use, Target::of(&txn.world, Kind::VnTemplate, id)?);
    let old = txn.world.vntemplate(id)?.template.unpack();
    let mut template = old.clone();
    template.merge(extra);
    let acting = on_behalf(&txn.world, caller, &mut template)?;
    require(&txn.world, &acting, &[right])?;
    restricted_merge(&txn.world, caller, Kind::VnTemplate, &old, extra)?;
    vlans_allowed(&txn.world, &acting, extra, &old, Some(id))?;
    if !name.is_empty() {
        template.set("NAME", name);
    }
    let clusters = clusters_named(&txn.world, template.get("CLUSTER_IDS").unwrap_or_default())?;
    template.remove("CLUSTER_IDS");
    vnet_create(txn, &acting, &template, clusters, Some(id))
}

/// The clusters of a list, ascending; the default one where it names none.
fn clusters_named(world: &World, text: &str) -> Result<Vec<Id>, ApiError> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty()).count();
    let mut ids: Vec<Id> = id_list(text).collect();
    if ids.len() != parts {
        return Err(ApiError::allocate(
            Kind::Vnet,
            &format!("Wrong CLUSTER_IDS \"{text}\": it is a list of ids such as 0,100."),
        ));
    }
    for id in &ids {
        world.cluster(*id)?;
    }
    if ids.is_empty() {
        ids.push(cluster::DEFAULT);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
