//! What becomes of a VM's capacity when its change ends.

use plerion_model::vm::Vm;

use crate::vm_template::template_set;

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
    template_set(vm, &template);
}
