//! [`Plan::commands`]: a plan as commands for the world.

use plerion_lifecycle::Relocation;
use plerion_model::Id;
use plerion_world::{Command, Migration, World};

use crate::plan::Plan;

impl Plan {
    /// The commands that carry the plan out: its placements, then why VMs wait. `world` is the one that was planned
    /// for; a VM that says the same already is not written again.
    #[must_use]
    pub fn commands(self, world: &World) -> Vec<Command> {
        let mut commands = Vec::with_capacity(self.placements.len() + self.refused.len());
        for placement in self.placements {
            if placement.moves {
                commands.push(Command::VmMigrate {
                    id: placement.vm,
                    migration: Migration {
                        host: placement.host,
                        relocation: relocation_of(world, placement.vm),
                        enforce: true,
                        datastore: -1,
                    },
                });
                continue;
            }
            commands.push(Command::VmDeploy {
                id: placement.vm,
                host: placement.host,
                enforce: true,
                datastore: placement.datastore,
            });
        }
        for refusal in self.refused {
            let known = world
                .vms
                .get(refusal.vm)
                .and_then(|vm| vm.user_template.get("SCHED_MESSAGE"));
            if known == Some(&refusal.summary) {
                continue;
            }
            let verdicts = refusal
                .hosts
                .into_iter()
                .map(|verdict| (verdict.host, verdict.code.code().to_owned(), verdict.reason));
            commands.push(Command::VmPlacementRefused {
                id: refusal.vm,
                message: refusal.summary,
                verdicts: verdicts.collect(),
            });
        }
        commands
    }
}

/// How a VM that is marked is moved. One that is bound to CPUs or a NUMA node of its host cannot be moved while it runs.
fn relocation_of(world: &World, vm: Id) -> Relocation {
    let bound = world.vms.get(vm).is_some_and(|vm| vm.demand.numa.is_some());
    match world.config.resched {
        Relocation::Live if bound => Relocation::Save,
        relocation => relocation,
    }
}
