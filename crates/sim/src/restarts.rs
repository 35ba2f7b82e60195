//! VMs that must run again after their host was restarted, as seen from outside: what ran there in truth, what the database
//! said of it, and what users have done since.

use std::sync::Arc;

use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{Id, Kind};
use plerion_world::{Command, SchedCommand, VmGroupCommand, World};

use crate::node::vm_of;
use crate::queue::NodeId;
use crate::simulation::Simulation;

/// A VM's policy, as its user wrote it.
const POLICY: &str = "AUTOSTART";

impl Simulation {
    /// A host goes down now. Its VMs are to run again that ran, of which the database knows that, and whose users want it.
    pub(crate) fn restarts_expect(&mut self, number: NodeId) {
        let Some(world) = self.checker.committed.clone() else {
            return;
        };
        let Some(node) = self.nodes.get(number) else {
            return;
        };
        let expected: Vec<Id> = node
            .domains
            .iter()
            .filter_map(|(name, domain)| Some((world.vms.get(vm_of(name)?)?, domain)))
            .filter(|(vm, domain)| {
                let host = vm.held_host().and_then(|host| world.hosts.get(host));
                vm.phase == Phase::active(LcmState::Running)
                    && vm.uuid() == domain.uuid
                    && host.is_some_and(|host| host.name == node.name)
                    && vm.user_template.get(POLICY) == Some("YES")
            })
            .map(|(vm, _)| vm.id)
            .collect();
        self.checker.to_run.extend(expected);
    }

    /// What was to run again, and does not, although it has not failed so often that it was given up.
    pub(crate) fn restarts_done(&self, world: &Arc<World>) -> Option<String> {
        self.checker.to_run.iter().find_map(|id| {
            let vm = world.vms.get(*id)?;
            let given_up = vm.restart.is_some_and(|restart| restart.next_try().is_none());
            let runs = vm.phase == Phase::active(LcmState::Running);
            (!runs && !given_up && !self.checker.waivers.contains_key(id)).then(|| {
                format!(
                    "at rest, VM {id} is {}, although it ran when its host was restarted",
                    vm.phase.as_str()
                )
            })
        })
    }
}

/// The VM that somebody does something with that changes whether it is to run.
pub(crate) fn vm_touched(command: &Command) -> Option<Id> {
    match command {
        Command::VmAction { id, .. }
        | Command::VmRecover { id, .. }
        | Command::VmMigrate { id, .. }
        | Command::VmDeploy { id, .. } => Some(*id),
        _ => None,
    }
}

/// The VM that a command is about.
pub(crate) fn vm_named(command: &Command) -> Option<Id> {
    match command {
        Command::VmAction { id, .. }
        | Command::VmRecover { id, .. }
        | Command::VmMigrate { id, .. }
        | Command::VmDeploy { id, .. }
        | Command::VmResize { id, .. }
        | Command::VmUpdateConf { id, .. }
        | Command::VmDevice { id, .. }
        | Command::VmExec { id, .. }
        | Command::VmBackup { id, .. } => Some(*id),
        Command::DomainSeen { vm, .. }
        | Command::VmGroup(VmGroupCommand::VmAdd { vm, .. } | VmGroupCommand::VmRemove { vm }) => Some(*vm),
        Command::Rename { kind, id, .. }
        | Command::Update { kind, id, .. }
        | Command::Chown { kind, id, .. }
        | Command::Chmod { kind, id, .. }
        | Command::Lock { kind, id, .. }
        | Command::Sched(SchedCommand::Add { kind, id, .. }) => (*kind == Kind::Vm).then_some(*id),
        _ => None,
    }
}
