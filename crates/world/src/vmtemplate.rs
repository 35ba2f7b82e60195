//! Commands on VM templates.

use plerion_model::vmtemplate::VmTemplate;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;
use crate::vm_allocate::{VmOrigin, vm_create};

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

/// `one.template.instantiate`.
pub(crate) fn template_instantiate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
    hold: bool,
    extra: &Template,
) -> Result<Id, ApiError> {
    let mut rights = vec![(Operation::Use, Target::of(&txn.world, Kind::Template, id)?)];
    if !extra.is_empty() {
        rights.push((Operation::Create, Target::new_of(Kind::Template)));
    }
    require(&txn.world, caller, &rights)?;
    restricted_check(&txn.world, caller, Kind::Template, extra)?;
    let source = txn.world.template(id)?.clone();
    let mut template = source.template.unpack();
    template.merge(extra);
    if template.get_bool("VROUTER").unwrap_or(false) {
        return Err(ApiError::action(
            "Virtual router templates cannot be instantiated: make a virtual router and instantiate that (onevrouter instantiate)",
        ));
    }
    let name = if name.is_empty() {
        extra.get("NAME").unwrap_or_default().to_owned()
    } else {
        name.to_owned()
    };
    let origin = VmOrigin {
        template: Some(id),
        name,
        name_default: format!("{}-", source.name),
        hold,
        system: Vec::new(),
    };
    vm_create(txn, caller, template, &origin)
}

/// The name is no attribute of the template.
pub(crate) fn template_updated(object: &mut VmTemplate, mut new: Template) {
    new.remove("NAME");
    object.template = PackedTemplate::new(&new);
}
