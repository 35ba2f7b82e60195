//! [`StrangerWatch`]: domains that run on a host and are no VMs of this cloud there.
//!
//! They are shown in the host's template and told to the log, and nothing else is done to them: a database that was put
//! back from a copy, or begun anew, does not know whose they are.

use std::collections::{BTreeSet, HashMap};

use plerion_model::host::Host;
use plerion_model::{Id, Kind};
use plerion_protocol::{VmSample, WildSample};
use plerion_world::{Strangers, Wild, World, strangers_differ};

/// Samples in a row in which a domain must be a stranger before it counts as one: a sample may have been taken before the
/// domain of a VM was destroyed whose end came before the sample.
const SIGHTINGS_MIN: u32 = 2;

/// What is remembered of strangers: how often each was seen in a row, by host.
#[derive(Default)]
pub(crate) struct StrangerWatch {
    sightings: HashMap<Id, HashMap<String, u32>>,
}

/// The VM that a domain's name is of: `one-<id>`.
pub(crate) fn vm_of(name: &str) -> Option<Id> {
    name.strip_prefix("one-")?.parse().ok().filter(|id| *id >= 0)
}

/// Whether a domain with the name of a VM may be that VM's: it is not when its UUID is another one.
pub(crate) fn is_domain_of(world: &World, vm: Id, uuid: &str) -> bool {
    let Some(vm) = world.vms.get(vm) else { return true };
    uuid.is_empty() || vm.uuid().is_empty() || vm.uuid().eq_ignore_ascii_case(uuid)
}

impl StrangerWatch {
    /// Looks through a sample. Gives the strangers where the host does not show them already.
    pub(crate) fn sample(
        &mut self,
        world: &World,
        host: &Host,
        vms: &[VmSample],
        wilds: &[WildSample],
    ) -> Option<Strangers> {
        let shown = host.template.get("ZOMBIES").unwrap_or_default();
        let before = self.sightings.remove(&host.id).unwrap_or_default();
        let mut now = HashMap::new();
        let mut zombies = BTreeSet::new();
        for vm in vms {
            let Some(id) = vm_of(&vm.name).filter(|id| is_zombie(world, host, *id, &vm.uuid)) else {
                continue;
            };
            let sightings = before.get(&vm.uuid).copied().unwrap_or(0).saturating_add(1);
            now.insert(vm.uuid.clone(), sightings);
            let shown = shown.split(", ").any(|name| *name == vm.name);
            if sightings >= SIGHTINGS_MIN || shown || was_never(world, id) {
                zombies.insert(id);
            }
            if sightings == SIGHTINGS_MIN {
                zombie_log(world, host, id, &vm.uuid);
            }
        }
        if !now.is_empty() {
            self.sightings.insert(host.id, now);
        }
        let strangers = Strangers {
            zombies: zombies.into_iter().collect(),
            wilds: wilds.iter().map(wild_of).collect(),
        };
        strangers_differ(&host.template, &strangers).then_some(strangers)
    }

    /// Forgets a host.
    pub(crate) fn host_gone(&mut self, host: Id) {
        self.sightings.remove(&host);
    }
}

fn wild_of(sample: &WildSample) -> Wild {
    Wild {
        name: sample.name.clone(),
        uuid: sample.uuid.clone(),
        cpus: sample.cpus,
        memory_kib: sample.memory_kib,
    }
}

/// Whether a domain with the name of a VM is none that this cloud has there.
fn is_zombie(world: &World, host: &Host, id: Id, uuid: &str) -> bool {
    let held = world
        .vms
        .get(id)
        .is_some_and(|vm| vm.held_hosts().any(|held| held == host.id));
    !held || !is_domain_of(world, id, uuid)
}

/// Whether this cloud has not given out an id yet.
fn was_never(world: &World, id: Id) -> bool {
    world.last_ids.get(&Kind::Vm).is_none_or(|last| *last < id)
}

fn zombie_log(world: &World, host: &Host, id: Id, uuid: &str) {
    let why = match world.vms.get(id) {
        Some(_) if !is_domain_of(world, id, uuid) => {
            format!(
                "VM {id} of this cloud has another UUID, so the domain is another cloud's or an older VM's"
            )
        }
        Some(vm) => match vm.held_host().and_then(|host| world.hosts.get(host)) {
            Some(other) => format!("this cloud has VM {id} on host {}", other.name),
            None => format!("VM {id} is {} in this cloud and on no host", vm.phase.as_str()),
        },
        None if was_never(world, id) => format!(
            "this cloud has never had a VM {id}: its database was begun anew or put back from an older copy, or the domain \
             is another cloud's"
        ),
        None => format!("VM {id} is DONE in this cloud"),
    };
    tracing::warn!(
        host = %host.name,
        vm = id,
        uuid,
        "domain one-{id} runs on the host and is a zombie: {why}. It is left alone, and its files too. Look whose it is; \
         when nobody needs it, end it there with: virsh -c qemu:///system destroy {uuid}"
    );
}
