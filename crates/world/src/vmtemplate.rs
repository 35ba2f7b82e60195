//! Commands on VM templates.

use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;

/// `one.template.allocate`.
pub(crate) fn template_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Template))],
    )?;
    restricted_check(&txn.world, caller, Kind::Template, template)?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    template_create(txn, caller, &name, &template)
}

/// Makes a template that may be made.
pub(crate) fn template_create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    name: &str,
    template: &Template,
) -> Result<Id, ApiError> {
    name_check_new(&txn.world, Kind::Template, caller.uid, name)?;
    let id = txn.id_next(Kind::Template);
    let object = VmTemplate {
        id,
        name: name.to_owned(),
        owned: owned_new(&txn.world, caller),
        regtime: txn.context.now,
        template: PackedTemplate::new(template),
    };
    txn.create(object);
    Ok(id)
}

/// `one.template.clone`.
pub(crate) fn template_clone(txn: &mut Txn<'_>, caller: &Caller, id: Id, name: &str) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Create, Target::new_of(Kind::Template)),
        (Operation::Use, Target::of(&txn.world, Kind::Template, id)?),
    ];
    require(&txn.world, caller, &rights)?;
    let template = txn.world.template(id)?.template.unpack();
    template_create(txn, caller, name, &template)
}

/// The name is no attribute of the template.
pub(crate) fn template_updated(object: &mut VmTemplate, mut new: Template) {
    new.remove("NAME");
    object.template = PackedTemplate::new(&new);
}
