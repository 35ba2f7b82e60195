//! What must hold when nothing has broken for a while and nobody has asked for anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use plerion_lifecycle::transient;
use plerion_model::Id;
use plerion_model::image::ImageState;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_world::World;

use crate::node::{Node, vm_of};
use crate::simulation::Simulation;

/// A known shortcoming: what could not be deleted while a VM was ended is not tried again.
const FILES_LEFT: &str = "files of a VM that is gone are left";

impl Simulation {
    /// Looks at everything at rest.
    pub(crate) fn rest_check(&mut self) {
        let alive = self.front_ends_alive();
        let Some(world) = alive
            .first()
            .and_then(|id| self.front_ends.get(*id))
            .map(|front_end| front_end.published.clone())
        else {
            return self.violate("no front-end runs".into());
        };
        self.store_check();
        self.files_count(&world);
        let checks = [
            self.journals_empty(&world),
            self.nothing_waits(&world),
            self.vms_run(&world),
            self.domains_wanted(&world),
            self.restarts_done(&world),
        ];
        for problem in checks.into_iter().flatten() {
            self.violate(problem);
        }
    }

    fn nothing_waits(&self, world: &Arc<World>) -> Option<String> {
        if let Some(key) = world.outbox.keys().next() {
            return Some(format!("at rest, {key:?} is still to be done"));
        }
        for vm in world.vms.values().filter(|vm| vm.phase.state == VmState::Active) {
            if transient(vm.phase.lcm).is_some() || vm.phase.lcm == LcmState::Unknown {
                return Some(format!("at rest, VM {} is {}", vm.id, vm.phase.as_str()));
            }
        }
        let moving = [ImageState::Init, ImageState::Locked, ImageState::Delete];
        let image = world
            .images
            .values()
            .find(|image| moving.contains(&image.state))?;
        Some(format!("at rest, image {} is {}", image.id, image.state))
    }

    /// Every VM that runs has its domain.
    fn vms_run(&self, world: &Arc<World>) -> Option<String> {
        for vm in world
            .vms
            .values()
            .filter(|vm| vm.phase == Phase::active(LcmState::Running))
        {
            if self.checker.waivers.contains_key(&vm.id) {
                continue;
            }
            let host = vm.held_host().and_then(|host| world.hosts.get(host))?;
            let node = self.nodes.iter().find(|node| node.name == host.name)?;
            let domain = node.domains.get(&vm.domain_name());
            if domain.is_none_or(|domain| domain.uuid != vm.uuid()) {
                return Some(format!(
                    "at rest, VM {} is RUNNING and not on {}",
                    vm.id, host.name
                ));
            }
        }
        None
    }

    /// Every domain has its VM. A VM whose start failed may have it, too: `recover` settles that.
    fn domains_wanted(&self, world: &Arc<World>) -> Option<String> {
        for node in &self.nodes {
            for name in node.domains.keys() {
                let Some(id) = vm_of(name) else {
                    return Some(format!("at rest, {name} runs on {}", node.name));
                };
                if !self.checker.waivers.contains_key(&id) && !domain_wanted(world, id, &node.name) {
                    let phase = world.vms.get(id).map_or("gone", |vm| vm.phase.as_str());
                    return Some(format!(
                        "at rest, VM {id} is {phase}, and its domain runs on {}",
                        node.name
                    ));
                }
            }
        }
        None
    }

    /// No agent keeps a result that nobody will ever ask for. Those of hosts that were deleted are not told any more.
    fn journals_empty(&self, world: &World) -> Option<String> {
        let hosts: BTreeSet<&str> = world.hosts.values().map(|host| host.name.as_str()).collect();
        let told = |node: &&Node| node.is_front_end() || hosts.contains(node.name.as_str());
        self.nodes.iter().filter(told).find_map(|node| {
            let key = node.journal.keys().next()?;
            Some(format!(
                "at rest, the agent of {:?} keeps {} results, the first of {key}",
                node.name,
                node.journal.len()
            ))
        })
    }
}

impl Simulation {
    /// Counts the directories of VMs that are gone.
    fn files_count(&mut self, world: &World) {
        let mut left = BTreeSet::new();
        for (number, node) in self.nodes.iter().enumerate() {
            for path in node.files.paths() {
                let Some(rest) = path.strip_prefix(&world.config.datastore_location) else {
                    continue;
                };
                let mut parts = rest.split('/').skip(2);
                let vm: Option<Id> = parts.next().and_then(|part| part.parse().ok());
                if let (Some(vm), Some(_)) = (vm, parts.next())
                    && world.vms.get(vm).is_none()
                    && !self.checker.waivers.contains_key(&vm)
                {
                    left.insert((number, vm));
                }
            }
        }
        for (number, vm) in left {
            self.say(&format!("n{number} keeps files of VM {vm}, which is gone"));
            *self.checker.known.entry(FILES_LEFT).or_insert(0) += 1;
        }
    }
}

fn domain_wanted(world: &World, id: Id, node: &str) -> bool {
    let Some(vm) = world.vms.get(id) else { return false };
    let is_node = |host: Option<Id>| {
        host.and_then(|host| world.hosts.get(host))
            .is_some_and(|host| host.name == node)
    };
    let here = is_node(vm.held_host());
    // A move that failed may have left it where it was: `recover` brings the VM back there, or on.
    let left = is_node(vm.moving_from.map(|place| place.host));
    let failed = vm.phase.as_str().ends_with("_FAILURE");
    (here && vm.phase == Phase::active(LcmState::Running)) || (failed && (here || left))
}
