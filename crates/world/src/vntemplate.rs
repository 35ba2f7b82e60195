//! Commands on network templates.

use plerion_model::numbers::id_list;
use plerion_model::vntemplate::VnTemplate;
use plerion_model::{ApiError, Id, Kind, Operation, cluster};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::on_behalf::on_behalf;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
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
        VnTemplateCommand::Allocate { template } => {
            let right = (Operation::Create, Target::new_of(Kind::VnTemplate));
            require(&txn.world, caller, &[right])?;
            restricted_check(&txn.world, caller, Kind::VnTemplate, template)?;
            let mut template = template.clone();
            let name = template.get("NAME").unwrap_or_default().to_owned();
            template.remove("NAME");
            create(txn, caller, &name, &template)
        }
        VnTemplateCommand::Clone { id, name } => {
            let rights = [
                (Operation::Create, Target::new_of(Kind::VnTemplate)),
                (Operation::Use, Target::of(&txn.world, Kind::VnTemplate, *id)?),
            ];
            require(&txn.world, caller, &rights)?;
            let template = txn.world.vntemplate(*id)?.template.unpack();
            create(txn, caller, name, &template)
        }
        VnTemplateCommand::Instantiate { id, name, extra } => instantiate(txn, caller, *id, name, extra),
    }
}

fn create(txn: &mut Txn<'_>, caller: &Caller, name: &str, template: &Template) -> Result<Id, ApiError> {
    name_check_new(&txn.world, Kind::VnTemplate, caller.uid, name)?;
    let id = txn.id_next(Kind::VnTemplate);
    txn.create(VnTemplate {
        id,
        name: name.to_owned(),
        owned: owned_new(&txn.world, caller),
        regtime: txn.context.now,
        template: PackedTemplate::new(template),
    });
    Ok(id)
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
    restricted_check(&txn.world, caller, Kind::VnTemplate, extra)?;
    let mut template = txn.world.vntemplate(id)?.template.unpack();
    template.merge(extra);
    let acting = on_behalf(&txn.world, caller, &mut template)?;
    require(&txn.world, &acting, &[right])?;
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

/// The name is no attribute of the template.
pub(crate) fn vntemplate_updated(object: &mut VnTemplate, mut new: Template) {
    new.remove("NAME");
    object.template = PackedTemplate::new(&new);
}
