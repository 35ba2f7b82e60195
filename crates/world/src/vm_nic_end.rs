//! What becomes of a NIC when a change of it ends.

use std::collections::BTreeSet;

use plerion_model::Id;
use plerion_model::numbers::id_list;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_template::{Template, Value, Vector};

use crate::txn::Txn;
use crate::vm_context::context_nic_set;
use crate::vm_disk_image::join;
use crate::vm_nic::rules_add;
use crate::vm_template::template_set;
use crate::world::World;

pub(crate) const NIC: &str = "NIC";

pub(crate) const ALIAS: &str = "NIC_ALIAS";

pub(crate) fn nic_id(nic: &Vector) -> Id {
    nic_number(nic, "NIC_ID")
}

pub(crate) fn nic_number(nic: &Vector, key: &str) -> Id {
    nic.get(key).and_then(|text| text.parse().ok()).unwrap_or(-1)
}

/// A NIC has come or gone, or has not.
pub(crate) fn nic_change_end(txn: &Txn<'_>, vm: &mut Vm, change: DeviceChange, success: bool) {
    let mut template = vm.template.unpack();
    match change {
        DeviceChange::NicAttach { nic } if !success => nic_remove(&txn.world, &mut template, nic),
        DeviceChange::NicDetach { nic } if success => nic_remove(&txn.world, &mut template, nic),
        DeviceChange::NicAttach { nic } | DeviceChange::NicDetach { nic } => {
            for name in [NIC, ALIAS] {
                template
                    .vectors_mut(name)
                    .filter(|vector| nic_id(vector) == nic)
                    .for_each(|vector| {
                        vector.remove("ATTACH");
                    });
            }
        }
        // Recorded: new attributes stay, even where they could not be set.
        _ => return,
    }
    template_set(vm, &template);
}

/// Takes a NIC away with its aliases (recorded), or an alias.
pub(crate) fn nic_remove(world: &World, template: &mut Template, number: Id) {
    let gone: Vec<Vector> = [NIC, ALIAS]
        .into_iter()
        .flat_map(|name| template.vectors(name))
        .filter(|nic| nic_id(nic) == number || nic_number(nic, "PARENT_ID") == number)
        .cloned()
        .collect();
    for nic in &gone {
        context_nic_set(world, template, nic, false);
    }
    template.retain(|attribute| match &attribute.value {
        Value::Vector(nic) if attribute.name == NIC || attribute.name == ALIAS => !gone.contains(nic),
        _ => true,
    });
    // Recorded: a NIC whose last alias went keeps an empty list.
    for nic in template.vectors_mut(NIC) {
        let Some(ids) = nic.get("ALIAS_IDS").map(str::to_owned) else {
            continue;
        };
        let left: Vec<Id> = id_list(&ids).filter(|id| *id != number).collect();
        nic.set("ALIAS_IDS", join(&left));
    }
    rules_renew(world, template);
}

/// A VM as it is once a NIC or an alias has gone, for what its guest is told meanwhile.
#[must_use]
pub fn vm_without_nic(world: &World, vm: &Vm, nic: Id) -> Vm {
    let mut vm = vm.clone();
    let mut template = vm.template.unpack();
    nic_remove(world, &mut template, nic);
    template_set(&mut vm, &template);
    vm
}

/// The rules of the security groups of all NICs.
pub(crate) fn rules_renew(world: &World, template: &mut Template) {
    let groups: BTreeSet<Id> = [NIC, ALIAS]
        .into_iter()
        .flat_map(|name| template.vectors(name))
        .flat_map(|nic| id_list(nic.get("SECURITY_GROUPS").unwrap_or_default()).collect::<Vec<_>>())
        .collect();
    rules_add(world, &groups, template);
}
