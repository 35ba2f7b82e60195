//! [`Plan::commands`]: a plan as commands for the world.

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
                        relocation: world.config.resched,
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
