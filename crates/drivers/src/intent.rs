//! [`intent_plan`]: what an intent means.

use plerion_world::{Intent, Task, World};

use crate::plan::{Environment, Plan};
use crate::plan_image::image_plan;
use crate::plan_vm::vm_plan;

/// Plans an intent.
///
/// # Errors
/// Why it cannot be done, for people: the object is gone, a driver is not known, a template is wrong.
pub fn intent_plan(world: &World, intent: &Intent, environment: &Environment<'_>) -> Result<Plan, String> {
    match intent.task {
        Task::Vm(ask) => vm_plan(world, intent, ask, environment),
        Task::Image(ask) => image_plan(world, intent, ask),
    }
}
