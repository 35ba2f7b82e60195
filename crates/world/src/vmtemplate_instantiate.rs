//! VMs that are made of templates.

use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::Template;

use crate::auth::{Caller, Target, require};
use crate::on_behalf::on_behalf;
use crate::restricted::restricted_merge;
use crate::txn::Txn;
use crate::vm_allocate::{CLONING_TEMPLATE_ID, VmOrigin, vm_create};
use crate::vmtemplate_images::{Copy, clone_all};

/// What `one.template.instantiate` asks for.
#[derive(Clone, Copy)]
pub(crate) struct Instantiate<'a> {
    /// Template.
    pub(crate) id: Id,
    /// Name of the VM; empty for one made of the template's.
    pub(crate) name: &'a str,
    /// On hold.
    pub(crate) hold: bool,
    /// Attributes to merge.
    pub(crate) extra: &'a Template,
}

/// `one.template.instantiate`, on behalf of whom the template names.
pub(crate) fn template_instantiate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    wanted: &Instantiate<'_>,
) -> Result<Id, ApiError> {
    vm_of(txn, caller, wanted, Vec::new())
}

/// The same of a copy of the template, with copies of the images that keep what the VM writes: it waits for them (CLONING).
/// They belong to whom the VM belongs to. All is made, or nothing is.
pub(crate) fn instantiate_persistent(
    txn: &mut Txn<'_>,
    caller: &Caller,
    wanted: &Instantiate<'_>,
) -> Result<Id, ApiError> {
    let source = txn.world.template(wanted.id)?.clone();
    let mut whole = merged(&source.template.unpack(), wanted.extra);
    let acting = on_behalf(&txn.world, caller, &mut whole)?;
    let name = if wanted.name.is_empty() {
        format!("{}-copy", source.name)
    } else {
        wanted.name.to_owned()
    };
    let copy = Copy {
        id: wanted.id,
        name: &name,
        extra: wanted.extra,
        persistent: true,
    };
    let of_copy = Instantiate {
        id: clone_all(txn, &acting, &copy)?,
        extra: &Template::new(),
        ..*wanted
    };
    // After the right on the template: a refusal tells of it.
    let old = source.template.unpack();
    restricted_merge(&txn.world, caller, Kind::Template, &old, wanted.extra)?;
    let origin = vec![(CLONING_TEMPLATE_ID, wanted.id.to_string())];
    vm_of(txn, &acting, &of_copy, origin)
}

fn merged(template: &Template, extra: &Template) -> Template {
    let mut template = template.clone();
    template.merge(extra);
    template
}

fn vrouter_refuse(template: &Template) -> Result<(), ApiError> {
    if template.get_bool("VROUTER").unwrap_or(false) {
        return Err(ApiError::action(
            "Virtual router templates cannot be instantiated: make a virtual router and instantiate that (onevrouter instantiate)",
        ));
    }
    Ok(())
}

/// Makes the VM; `system` are attributes that the system gives it.
fn vm_of(
    txn: &mut Txn<'_>,
    caller: &Caller,
    wanted: &Instantiate<'_>,
    system: Vec<(&'static str, String)>,
) -> Result<Id, ApiError> {
    let using = Target::of(&txn.world, Kind::Template, wanted.id)?;
    let source = txn.world.template(wanted.id)?.clone();
    let mut template = merged(&source.template.unpack(), wanted.extra);
    let acting = on_behalf(&txn.world, caller, &mut template)?;
    let mut rights = vec![(Operation::Use, using)];
    if !wanted.extra.is_empty() {
        rights.push((Operation::Create, Target::new_of(Kind::Template)));
    }
    require(&txn.world, &acting, &rights)?;
    let old = source.template.unpack();
    restricted_merge(&txn.world, caller, Kind::Template, &old, wanted.extra)?;
    vrouter_refuse(&template)?;
    let name = if wanted.name.is_empty() {
        wanted.extra.get("NAME").unwrap_or_default()
    } else {
        wanted.name
    };
    let origin = VmOrigin {
        template: Some(wanted.id),
        name: name.to_owned(),
        name_default: format!("{}-", source.name),
        hold: wanted.hold,
        system,
    };
    vm_create(txn, &acting, template, &origin)
}
