//! Fencing, as the thread of hooks does it, and what the program does to a host.

use plerion_model::Id;
use plerion_model::hook::{ExecutionResult, ExecutionState};
use plerion_world::{Command, HookCommand, Order, World};

use crate::plant::Bug;
use crate::queue::{Event, FrontEndId, Millis};
use crate::simulation::Simulation;

/// Longest time that the program takes.
const PROGRAM_MAX: Millis = 20_000;

impl Simulation {
    /// What ran when the front-end before ended is not begun again.
    pub(crate) fn fences_interrupted(&mut self, id: FrontEndId, world: &World) {
        let executions = world.hook_executions.values();
        let open: Vec<Id> = executions
            .filter(|execution| execution.state == ExecutionState::Running)
            .map(|execution| execution.id)
            .collect();
        for execution in open {
            self.fence_ended(id, execution, 255);
        }
    }

    /// Takes up executions that wait.
    pub(crate) fn fences_begin(&mut self, id: FrontEndId, world: &World) {
        let executions = world.hook_executions.values();
        let waiting: Vec<Id> = executions
            .filter(|execution| execution.state == ExecutionState::Waiting)
            .map(|execution| execution.id)
            .collect();
        for execution in waiting {
            let Some(front_end) = self.alive(id) else { return };
            if !front_end.fencing.insert(execution) {
                continue;
            }
            self.order(
                id,
                Order {
                    caller: plerion_world::Caller::system(),
                    command: Command::Hook(HookCommand::Begun { id: execution }),
                },
            );
            let time = self.now + self.random.between(500, PROGRAM_MAX);
            self.queue.put(time, Event::FenceEnd(id, execution));
        }
    }

    /// The program ends: the host was switched off and on, or it was not.
    pub(crate) fn fence_end(&mut self, id: FrontEndId, execution: Id) {
        let pretends = self.plant.has(Bug::FencePretended);
        let fails = !self.calm && self.random.chance(350);
        let Some(front_end) = self.alive(id) else { return };
        let known = front_end.published.hook_executions.get(execution);
        let begun = known.filter(|known| known.state == ExecutionState::Running);
        let Some(name) = begun.and_then(|known| known.arguments.split_whitespace().last().map(str::to_owned))
        else {
            return;
        };
        let node = self.nodes.iter().position(|node| node.name == name);
        if fails {
            self.fault_count("host could not be fenced");
            return self.fence_ended(id, execution, 1);
        }
        if let (Some(node), false) = (node, pretends) {
            self.say(&format!("n{node} is fenced"));
            self.host_reboot(node);
        }
        self.fault_count("host fenced");
        self.fence_ended(id, execution, 0);
    }

    fn fence_ended(&mut self, id: FrontEndId, execution: Id, code: i32) {
        let result = ExecutionResult {
            code,
            ..ExecutionResult::default()
        };
        self.order(
            id,
            Order {
                caller: plerion_world::Caller::system(),
                command: Command::Hook(HookCommand::Ended {
                    id: execution,
                    result,
                }),
            },
        );
    }
}
