//! Looks into the template of a VM, and changes to it.

use std::sync::Arc;

use plerion_model::vm::{Demand, Vm};
use plerion_model::{ApiError, Id};
use plerion_template::{PackedTemplate, Template, Vector};

/// Name of the vectors of disks.
pub(crate) const DISK: &str = "DISK";

/// Whether a VM is one of a virtual router, whose devices are changed through it.
pub(crate) fn is_router(vm: &Vm) -> bool {
    vm.template.get("VROUTER_ID").is_some_and(|id| !id.is_empty())
}

/// Gives a VM a new template.
pub(crate) fn template_set(vm: &mut Vm, template: &Template) {
    vm.template = PackedTemplate::new(template);
    vm.demand = Arc::new(Demand::read(&vm.template));
}

/// An error about what a device's template says, which the code for new VMs made: an error of an action here.
pub(crate) fn as_action(error: ApiError) -> ApiError {
    if error.code != plerion_model::ErrorCode::Allocate {
        return error;
    }
    let prefix = ApiError::allocate(plerion_model::Kind::Vm, "").text;
    let text = error.text.strip_prefix(&prefix).unwrap_or(&error.text);
    ApiError::action(text)
}

pub(crate) fn disk_id(disk: &Vector) -> Id {
    disk.get("DISK_ID")
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1)
}

/// A number in a disk.
pub(crate) fn number(disk: &Vector, key: &str) -> Option<u64> {
    disk.get(key).and_then(|text| text.parse().ok())
}

/// Whether what is written to the disk stays in its image.
pub(crate) fn saves(disk: &Vector) -> bool {
    disk.get("SAVE")
        .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
}

/// A disk of a VM. (The context disk is none.)
pub(crate) fn disk_find(template: &mut Template, disk: Id) -> Result<&mut Vector, ApiError> {
    template
        .vectors_mut(DISK)
        .find(|vector| disk_id(vector) == disk)
        .ok_or_else(|| ApiError::action("VM disk does not exist"))
}

/// Writes a message into the user's template, or takes it away. Returns whether that is news.
pub(crate) fn user_note(vm: &mut Vm, name: &str, message: Option<&str>) -> bool {
    let news = vm.user_template.get(name) != message;
    if news {
        vm.user_template.note(name, message);
    }
    news
}
