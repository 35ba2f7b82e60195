//! What becomes of a VM's capacity when its change ends.

use std::sync::Arc;

use plerion_model::vm::{Demand, Vm};
use plerion_template::PackedTemplate;

/// The running domain has got its new size, or has not and keeps the old one.
pub(crate) fn resize_end(vm: &mut Vm, success: bool) {
    let Some(before) = vm.capacity_before.take().filter(|_| !success) else {
        return;
    };
    let mut template = vm.template.unpack();
    for (name, value) in [
        ("CPU", before.cpu),
        ("VCPU", before.vcpu),
        ("MEMORY", before.memory),
    ] {
        match value {
            Some(value) => template.set(name, value),
            None => {
                template.remove(name);
            }
        }
    }
    vm.template = PackedTemplate::new(&template);
    vm.demand = Arc::new(Demand::read(&vm.template));
}
