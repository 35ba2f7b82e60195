//! Templates as objects, of VMs and of networks: what both kinds do alike.

use plerion_model::vmtemplate::VmTemplate;
use plerion_model::vntemplate::VnTemplate;
use plerion_model::{ApiError, Entity, Id, Kind, Operation, Owned, Seconds};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::object::Object;
use crate::owner::owned_new;
use crate::restricted::restricted_check;
use crate::txn::Txn;

/// A template of VMs or of networks: a name, an owner and attributes, of which the name is none.
pub(crate) trait Stencil: Entity + Into<Object> {
    /// Its kind.
    const KIND: Kind;

    fn made(id: Id, name: &str, owned: Owned, regtime: Seconds, template: PackedTemplate) -> Self;
}

macro_rules! stencil {
    ($($kind:ident $type:ident;)*) => {
        $(
            impl Stencil for $type {
                const KIND: Kind = Kind::$kind;

                fn made(id: Id, name: &str, owned: Owned, regtime: Seconds, template: PackedTemplate) -> Self {
                    Self {
                        id,
                        name: name.to_owned(),
                        owned,
                        regtime,
                        template,
                    }
                }
            }
        )*
    };
}

stencil! {
    Template VmTemplate;
    VnTemplate VnTemplate;
}

/// Makes one of a text, for one who may.
pub(crate) fn stencil_allocate<T: Stencil>(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(T::KIND))],
    )?;
    restricted_check(&txn.world, caller, T::KIND, template)?;
    let name = template.get("NAME").unwrap_or_default();
    stencil_create::<T>(txn, caller, name, template)
}

/// Makes one that may be made.
pub(crate) fn stencil_create<T: Stencil>(
    txn: &mut Txn<'_>,
    caller: &Caller,
    name: &str,
    template: &Template,
) -> Result<Id, ApiError> {
    name_check_new(&txn.world, T::KIND, caller.uid, name)?;
    let id = txn.id_next(T::KIND);
    let (owned, now) = (owned_new(&txn.world, caller), txn.context.now);
    txn.create(T::made(id, name, owned, now, nameless(template.clone())));
    Ok(id)
}

/// Copies one, for one who may.
pub(crate) fn stencil_clone<T: Stencil>(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    name: &str,
) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Create, Target::new_of(T::KIND)),
        (Operation::Use, Target::of(&txn.world, T::KIND, id)?),
    ];
    require(&txn.world, caller, &rights)?;
    let source = txn.world.object(T::KIND, id)?;
    let template = source.entity().template().map(PackedTemplate::unpack);
    stencil_create::<T>(txn, caller, name, &template.unwrap_or_default())
}

/// What is kept of a text.
pub(crate) fn nameless(mut template: Template) -> PackedTemplate {
    template.remove("NAME");
    PackedTemplate::new(&template)
}
