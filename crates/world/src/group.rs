//! Commands on groups.

use plerion_model::group::Group;
use plerion_model::quota::Quotas;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::PackedTemplate;

use crate::acl::rules_forget;
use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::txn::Txn;
use crate::vdc::{vdc_join, vdcs_forget};

/// `one.group.allocate`.
pub(crate) fn group_allocate(txn: &mut Txn<'_>, caller: &Caller, name: &str) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Group))],
    )?;
    name_check_new(&txn.world, Kind::Group, -1, name)?;
    let id = txn.id_next(Kind::Group);
    let group = Group {
        id,
        name: name.to_owned(),
        admins: Vec::new(),
        template: PackedTemplate::default(),
        quotas: Quotas::default(),
        vlan_rules: Vec::new(),
    };
    txn.create(group);
    vdc_join(txn, id);
    Ok(id)
}

/// A group may go when it is not one of the first and nobody is in it.
pub(crate) fn group_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    if id < 100 {
        return Err(ApiError::action(
            "Cannot delete group. System Groups (ID < 100) cannot be deleted.",
        ));
    }
    let members = txn
        .world
        .users
        .values()
        .filter(|user| user.groups.contains(&id))
        .count();
    if members > 0 {
        return Err(ApiError::action(format!(
            "Cannot delete group. Group is not empty, it has {members} users."
        )));
    }
    txn.delete(Kind::Group, id);
    vdcs_forget(txn, Kind::Group, id);
    rules_forget(txn, Kind::Group, id);
    Ok(())
}
