//! What must hold after every commit and after every start of a domain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plerion_lifecycle::{Ask, Recover, transient};
use plerion_model::image::Image;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id, Kind};
use plerion_protocol::ActionKey;
use plerion_store::{Store, StoreReader};
use plerion_world::{Command, FailureCommand, LogEntry, Reply, Task, World};

use crate::files::TORN;
use crate::front_end::config;
use crate::node::vm_of;
use crate::queue::{Millis, NodeId};
use crate::restarts::{vm_named, vm_touched};
use crate::rows::{edge_row, row_of};
use crate::simulation::Simulation;
use crate::table::{Edge, edges};
use crate::write::{Entry, host_overcommitted};

/// After this many commits the database is loaded again and compared.
const RELOAD_EVERY: u64 = 40;

/// Longest time after which a message or a decision still tells of a domain that was there before the one that runs.
const SEEN_LATE_MAX: Millis = 180_000;

/// Why nothing is promised about the domain of a VM any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiver {
    /// An administrator has said how something ended that had not.
    Recovered,
    /// See [`KNOWN`].
    Known(&'static str),
}

/// Shortcomings that are known and not mended: what they are called, and between which phases a domain is left running.
/// A VM that meets one is left out of the checks of domains from then on.
pub(crate) const KNOWN: &[(&str, &[&str], &[&str])] = &[
    (
        "a cleanup that failed leaves the domain",
        &["CLEANUP_DELETE", "CLEANUP_RESUBMIT"],
        &["DONE", "PENDING"],
    ),
    (
        "files are taken from a VM at rest without a look at its domain",
        &["POWEROFF", "SUSPENDED"],
        &["EPILOG", "EPILOG_STOP", "EPILOG_UNDEPLOY"],
    ),
    (
        "an epilog that is tried again after a cleanup ends the domain itself",
        &["EPILOG_FAILURE"],
        &["EPILOG"],
    ),
];

/// A known shortcoming: while a VM whose files are on the front-end is ended, it counts on the host where it was last.
const HOST_HELD_AGAIN: &str = "a VM that was stopped or undeployed holds capacity while it is ended";

/// Phases from which a VM is DONE with its domain destroyed, or without ever having had one; from all others it is
/// only forgotten.
const ENDS: &[&str] = &["PENDING", "HOLD", "EPILOG", "CLEANUP_DELETE"];

/// Phases in which no domain of a VM may run.
const WITHOUT_DOMAIN: &[&str] = &[
    "PENDING",
    "EPILOG",
    "EPILOG_STOP",
    "EPILOG_UNDEPLOY",
    "STOPPED",
    "UNDEPLOYED",
    "DONE",
];

/// What the checks remember.
#[derive(Debug)]
pub(crate) struct Checker {
    allowed: BTreeSet<Edge>,
    /// Edges that were taken, and how often.
    pub(crate) seen: BTreeMap<Edge, u64>,
    /// Phase of each VM, as the change log says.
    phases: BTreeMap<Id, String>,
    pub(crate) waivers: BTreeMap<Id, Waiver>,
    /// Shortcomings that were met, and how often.
    pub(crate) known: BTreeMap<&'static str, u64>,
    /// Hosts that somebody has filled by hand beyond what they have.
    overcommitted: BTreeSet<Id>,
    /// What was written to each disk before what was written last.
    pub(crate) stale: BTreeMap<(String, String), BTreeSet<u64>>,
    /// Rows of the table of the life cycle that were begun, and how often.
    pub(crate) rows: BTreeMap<&'static str, u64>,
    /// Commands that were run in guests.
    pub(crate) executed: BTreeSet<ActionKey>,
    /// Since when hosts do not answer, by host and number of the loss.
    lost: BTreeMap<(Id, u64), Millis>,
    /// What the database holds, as far as that is known.
    pub(crate) committed: Option<Arc<World>>,
    /// VMs that ran when their host went down, and that nobody has touched since.
    pub(crate) to_run: BTreeSet<Id>,
    pub(crate) commits: u64,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            allowed: edges(),
            seen: BTreeMap::new(),
            phases: BTreeMap::new(),
            waivers: BTreeMap::new(),
            known: BTreeMap::new(),
            overcommitted: BTreeSet::new(),
            stale: BTreeMap::new(),
            rows: BTreeMap::new(),
            executed: BTreeSet::new(),
            lost: BTreeMap::new(),
            committed: None,
            to_run: BTreeSet::new(),
            commits: 0,
        }
    }

    /// Number of VMs that were made.
    pub(crate) fn vms_made(&self) -> usize {
        self.phases.len()
    }

    /// Number of edges that can be taken.
    pub(crate) fn edges_all(&self) -> usize {
        self.allowed.len()
    }
}

impl Simulation {
    /// Something was committed, and nothing else has happened yet.
    pub(crate) fn committed(
        &mut self,
        before: &Arc<World>,
        after: &Arc<World>,
        entries: &[Entry],
        outcomes: &[Result<Reply, ApiError>],
    ) {
        let mut touched = BTreeSet::new();
        for (entry, outcome) in entries.iter().zip(outcomes) {
            if outcome.is_ok() {
                self.order_judge(entry, before);
                self.row_count(entry, before, &mut touched);
                self.seen_check(entry, before, after);
                self.fence_check(entry, before);
            }
        }
        self.losses_note(after);
        if Arc::ptr_eq(before, after) {
            return;
        }
        self.log_check(after);
        self.checker.commits += 1;
        self.checker.committed = Some(after.clone());
        let problem = after
            .check()
            .and_then(|()| outbox_check(after))
            .and_then(|()| leases_check(after))
            .and_then(|()| cloning_check(after))
            .and_then(|()| devices_check(after))
            .and_then(|()| self.capacity_check(before, after));
        if let Err(problem) = problem {
            self.violate(problem);
        }
        if self.checker.commits.is_multiple_of(RELOAD_EVERY) {
            self.store_check();
        }
    }

    /// Whether something was committed is not known.
    pub(crate) fn commit_failed(&mut self, entries: &[Entry]) {
        if let Some(world) = self.checker.committed.take() {
            for entry in entries {
                self.order_judge(entry, &world);
            }
        }
    }

    /// A front-end has loaded the database.
    pub(crate) fn front_end_started(&mut self, world: &Arc<World>) {
        self.log_check(world);
        self.losses_note(world);
        if let Some(committed) = &self.checker.committed
            && committed != world
        {
            let difference = difference(committed, world);
            return self.violate(format!("what was loaded is not what was committed: {difference}"));
        }
        self.checker.committed = Some(world.clone());
        let problem = world
            .check()
            .and_then(|()| outbox_check(world))
            .and_then(|()| leases_check(world))
            .and_then(|()| self.ledger.check(world, &self.store.inner));
        if let Err(problem) = problem {
            self.violate(problem);
        }
    }

    /// Loads the database and compares it with what was committed.
    pub(crate) fn store_check(&mut self) {
        let Some(committed) = self.checker.committed.clone() else {
            return;
        };
        match self.store.clone().load(config()) {
            Ok(Some(world)) if world == *committed => {}
            Ok(Some(world)) => {
                let difference = difference(&committed, &world);
                self.violate(format!(
                    "the database does not hold what was committed: {difference}"
                ));
            }
            Ok(None) => self.violate("the database is empty".into()),
            Err(error) => self.violate(format!("the database cannot be loaded: {error}")),
        }
        if let Err(problem) = self.ledger.check(&committed, &self.store.inner) {
            self.violate(problem);
        }
    }

    /// Counts the row of the table that an order begins. Of more than one order on a VM in a batch the first counts: what
    /// phase the others found is not known.
    fn row_count(&mut self, (order, _): &Entry, before: &World, touched: &mut BTreeSet<Id>) {
        let command = &order.command;
        if let Command::VmAllocate { .. } | Command::TemplateInstantiate { .. } = command {
            *self.checker.rows.entry("create").or_insert(0) += 1;
        }
        let Some(id) = vm_named(command).filter(|id| touched.insert(*id)) else {
            return;
        };
        let Some(vm) = before.vms.get(id) else { return };
        let row = match command {
            Command::DomainSeen { end: Some(_), .. } => Some("seen: off"),
            Command::DomainSeen { end: None, .. } => Some("seen: running"),
            _ => row_of(command, vm.phase),
        };
        if let Some(row) = row {
            *self.checker.rows.entry(row).or_insert(0) += 1;
        }
    }

    /// A VM whose domain is said to be gone has not had it for long, and without an end, since.
    fn seen_check(&mut self, (order, _): &Entry, before: &World, after: &World) {
        let Command::DomainSeen {
            vm: id,
            end: Some(_),
            host,
        } = &order.command
        else {
            return;
        };
        let phase = |world: &World| world.vms.get(*id).map(|vm| vm.phase);
        let running = phase(before) == Some(Phase::active(LcmState::Running));
        let stays = phase(before) == phase(after);
        let Some(name) = before.hosts.get(*host).map(|host| host.name.clone()) else {
            return;
        };
        let domain = self
            .nodes
            .iter()
            .find(|node| node.name == name)
            .and_then(|node| node.domains.get(&format!("one-{id}")));
        let long = domain.is_some_and(|domain| self.now >= domain.since + SEEN_LATE_MAX);
        if running && !stays && long && !self.checker.waivers.contains_key(id) {
            self.violate(format!(
                "VM {id} was said to be off, and its domain runs on {name}"
            ));
        }
    }

    /// A host is not fenced before it has been silent for as long as the settings say.
    fn fence_check(&mut self, (order, _): &Entry, before: &World) {
        let Command::Failure(FailureCommand::Fence { host }) = &order.command else {
            return;
        };
        let loss = before.hosts.get(*host).and_then(|host| host.loss.as_ref());
        let since = loss.and_then(|loss| self.checker.lost.get(&(*host, loss.number)));
        let least = before.config.host_failure_s * 1000;
        if since.is_some_and(|since| self.now < since + least) {
            self.violate(format!(
                "host {host} is fenced before it was silent for {least} ms"
            ));
        }
    }

    /// Notes since when hosts do not answer.
    fn losses_note(&mut self, world: &World) {
        let now = self.now;
        let lost = world.hosts.values();
        for key in lost.filter_map(|host| Some((host.id, host.loss.as_ref()?.number))) {
            self.checker.lost.entry(key).or_insert(now);
        }
    }

    /// Notes orders after which less is promised.
    fn order_judge(&mut self, entry: &Entry, before: &World) {
        self.checker.overcommitted.extend(host_overcommitted(entry));
        if let Some(id) = vm_touched(&entry.0.command) {
            self.checker.to_run.remove(&id);
        }
        if let Command::SchedDue { id, .. } = &entry.0.command
            && let Some(action) = before.sched_actions.get(*id)
        {
            self.checker.to_run.remove(&action.parent);
        }
        let Command::VmRecover { id, recover } = entry.0.command else {
            return;
        };
        // Whoever has the files of a VM moved back takes the room for it, whether there is any or not.
        let left = before.vms.get(id).and_then(|vm| vm.moving_from);
        self.checker.overcommitted.extend(left.map(|place| place.host));
        let phase = before.vms.get(id).map(|vm| vm.phase);
        let cleans =
            phase.is_none_or(|phase| matches!(transient(phase.lcm).map(|row| row.ask), Some(Ask::Cleanup)));
        let waived = match recover {
            Recover::Success | Recover::DeleteDb => true,
            // A domain that is on its way may arrive after somebody has said that it does not.
            Recover::Failure => cleans || phase == Some(Phase::active(LcmState::Migrate)),
            // Nobody waits for its disks to come home.
            Recover::Delete => phase == Some(Phase::active(LcmState::Epilog)),
            Recover::Retry | Recover::DeleteRecreate => false,
        };
        if waived {
            self.checker.waivers.entry(id).or_insert(Waiver::Recovered);
        }
    }

    fn log_check(&mut self, after: &World) {
        for entry in self.store.log_take() {
            if entry.kind != Kind::Vm {
                continue;
            }
            if entry.operation == "failure" && entry.message.starts_with("given up") {
                self.fault_count("VM given up on a fenced host");
            }
            if let Err(problem) = self.vm_log_check(&entry) {
                return self.violate(problem);
            }
            let ends = matches!(
                (entry.old_state.as_str(), entry.new_state.as_str()),
                (
                    // Pending again, with its files on the front-end, is the same.
                    "STOPPED" | "UNDEPLOYED" | "PENDING" | "HOLD",
                    "EPILOG" | "CLEANUP_DELETE" | "CLEANUP_RESUBMIT"
                )
            );
            if ends && let Some(host) = after.vms.get(entry.id).and_then(|vm| vm.held_host()) {
                *self.checker.known.entry(HOST_HELD_AGAIN).or_insert(0) += 1;
                self.checker.overcommitted.insert(host);
            }
        }
        for vm in after.vms.values() {
            let logged = self.checker.phases.get(&vm.id).map(String::as_str);
            if logged != Some(vm.phase.as_str()) {
                let phase = vm.phase.as_str();
                return self.violate(format!(
                    "VM {} is {phase}, and the change log says {logged:?}",
                    vm.id
                ));
            }
        }
    }

    fn vm_log_check(&mut self, entry: &LogEntry) -> Result<(), String> {
        let (id, new) = (entry.id, entry.new_state.clone());
        if entry.operation == "create" {
            return match self.checker.phases.insert(id, new) {
                Some(old) => Err(format!("VM {id} is made again, and was {old}")),
                None => Ok(()),
            };
        }
        if entry.operation != "state" {
            return Ok(());
        }
        let old = self.checker.phases.insert(id, new.clone());
        if old.as_deref() != Some(&entry.old_state) {
            return Err(format!("VM {id} goes from {} and was {old:?}", entry.old_state));
        }
        let found = self
            .checker
            .allowed
            .iter()
            .find(|(from, to)| *from == entry.old_state && *to == new)
            .copied();
        let Some(edge) = found else {
            return Err(format!("VM {id} goes from {} to {new}", entry.old_state));
        };
        *self.checker.seen.entry(edge).or_insert(0) += 1;
        if let Some(row) = edge_row(edge.0, edge.1) {
            *self.checker.rows.entry(row).or_insert(0) += 1;
        }
        self.say(&format!("vm {id} {} > {new}", entry.old_state));
        if new == "PROLOG" {
            let name = format!("one-{id}");
            self.written.retain(|(domain, _), _| *domain != name);
            self.checker.stale.retain(|(domain, _), _| *domain != name);
        }
        self.no_domain_check(id, edge)?;
        if edge == ("EPILOG", "DONE") {
            self.disks_home_check(id)?;
        }
        Ok(())
    }

    fn no_domain_check(&mut self, id: Id, (old, new): Edge) -> Result<(), String> {
        if !WITHOUT_DOMAIN.contains(&new) || self.checker.waivers.contains_key(&id) {
            return Ok(());
        }
        if new == "DONE" && !ENDS.contains(&old) {
            // Somebody had it forgotten, or deleted while its host did not answer.
            self.checker.waivers.insert(id, Waiver::Recovered);
            return Ok(());
        }
        let name = format!("one-{id}");
        let Some(node) = self
            .nodes
            .iter()
            .position(|node| node.domains.contains_key(&name))
        else {
            return Ok(());
        };
        let known = KNOWN
            .iter()
            .find(|(_, from, to)| from.contains(&old) && to.contains(&new));
        match known {
            Some((what, _, _)) => {
                *self.checker.known.entry(what).or_insert(0) += 1;
                self.say(&format!("known: {what}: VM {id} on n{node}"));
                self.checker.waivers.insert(id, Waiver::Known(what));
                Ok(())
            }
            None => Err(format!(
                "VM {id} goes from {old} to {new}, and its domain runs on n{node}"
            )),
        }
    }

    /// What a guest wrote to a persistent disk must be in the image.
    fn disks_home_check(&mut self, id: Id) -> Result<(), String> {
        if self.checker.waivers.contains_key(&id) {
            return Ok(());
        }
        let vm = self.store.inner.vm(id).map_err(|error| error.to_string())?;
        let Some(vm) = vm else {
            return Err(format!("VM {id} is DONE and not in the database"));
        };
        for disk in vm.template.vectors("DISK") {
            let (Some(source), Some("YES")) = (disk.get("SOURCE"), disk.get("SAVE")) else {
                continue;
            };
            let name = format!("disk.{}", disk.get("DISK_ID").unwrap_or_default());
            let Some(written) = self.written.get(&(vm.domain_name(), name.clone())) else {
                continue;
            };
            let home = self.nodes.first().and_then(|node| node.files.get(source));
            if home.map(|file| file.content) != Some(*written) {
                return Err(format!(
                    "VM {id} is DONE, and what it wrote to {name} is not in the image {source}"
                ));
            }
        }
        Ok(())
    }

    /// A domain is about to start: it must not run elsewhere, and its disks must hold what it wrote.
    pub(crate) fn domain_start_check(&mut self, number: NodeId, name: &str, uuid: &str, disks: &[String]) {
        for path in disks {
            let disk = path.rsplit('/').next().unwrap_or(path).to_owned();
            let key = (name.to_owned(), disk);
            let content = self
                .nodes
                .get(number)
                .and_then(|node| node.files.get(path))
                .map(|file| file.content);
            let last = self.written.get(&key).copied();
            let stale = self.checker.stale.entry(key).or_default();
            stale.extend(last);
            let old = content != last && content.is_some_and(|content| stale.contains(&content));
            let waived = vm_of(name).is_some_and(|id| self.checker.waivers.contains_key(&id));
            if old && !waived {
                self.violate(format!("{name} starts on n{number} with an old {path}"));
            }
            if content == Some(TORN) && !waived {
                self.violate(format!("{name} starts on n{number} with half of {path}"));
            }
        }
        let waived = vm_of(name).is_some_and(|id| self.checker.waivers.contains_key(&id));
        if waived {
            return;
        }
        let elsewhere = self.nodes.iter().position(|node| {
            node.domains.get(name).is_some_and(|domain| domain.uuid == uuid)
                || node.domains.values().any(|domain| domain.uuid == uuid)
        });
        if let Some(other) = elsewhere {
            self.violate(format!(
                "{name} ({uuid}) starts on n{number} and runs on n{other}"
            ));
        }
    }

    fn capacity_check(&mut self, before: &World, after: &World) -> Result<(), String> {
        for host in after.hosts.values() {
            let usage = after.host_usage(host.id);
            let over = usage.cpu > usage.max_cpu || usage.memory_kib > usage.max_memory_kib;
            if !over {
                self.checker.overcommitted.remove(&host.id);
                continue;
            }
            let was = before.host_usage(host.id);
            let grown = usage.cpu > was.cpu || usage.memory_kib > was.memory_kib;
            if grown && !self.checker.overcommitted.contains(&host.id) {
                return Err(format!("host {} holds more than it has: {usage:?}", host.id));
            }
        }
        Ok(())
    }
}

/// The outbox holds intents of current steps only, and every phase that waits has one.
fn outbox_check(world: &World) -> Result<(), String> {
    for (key, intent) in &world.outbox {
        let fits = match (key.kind, intent.task) {
            (Kind::Vm, Task::Vm(ask)) => world
                .vms
                .get(key.id)
                .is_some_and(|vm| vm_asks(vm, ask, key.step, key.part)),
            (Kind::Image, Task::Image(_)) => world
                .images
                .get(key.id)
                .is_some_and(|image| image.step == key.step),
            _ => false,
        };
        if !fits {
            return Err(format!("the outbox holds {key:?}, which nobody waits for"));
        }
    }
    for vm in world.vms.values() {
        let waits = vm.phase.state == VmState::Active && transient(vm.phase.lcm).is_some();
        let asked = world
            .outbox
            .keys()
            .any(|key| key.kind == Kind::Vm && key.id == vm.id && key.step == vm.step);
        if waits && !asked {
            return Err(format!(
                "VM {} is {} and waits for nothing",
                vm.id,
                vm.phase.as_str()
            ));
        }
    }
    Ok(())
}

/// Whether a VM waits for a part of a step. A guest can be told to restart again before it has.
fn vm_asks(vm: &Vm, ask: Ask, step: u64, part: u32) -> bool {
    if matches!(ask, Ask::Reboot | Ask::Reset) {
        return step <= vm.step && vm.phase == Phase::active(LcmState::Running);
    }
    if ask == Ask::GuestAwait {
        return step <= vm.step && vm.phase.state == VmState::Active;
    }
    step == vm.step && vm.parts.contains(&part) && transient(vm.phase.lcm).is_some_and(|row| row.ask == ask)
}

/// No PCI device of a host is held twice.
fn devices_check(world: &World) -> Result<(), String> {
    let mut held = BTreeMap::new();
    for vm in world.vms.values() {
        let Some(host) = vm.held_host() else {
            continue;
        };
        let devices = vm
            .template
            .vectors("PCI")
            .filter_map(|pci| pci.get("ADDRESS").map(str::to_owned));
        for device in devices.collect::<Vec<_>>() {
            if let Some(other) = held.insert((host, device.clone()), vm.id) {
                return Err(format!(
                    "VMs {other} and {} hold device {device} of host {host}",
                    vm.id
                ));
            }
        }
    }
    Ok(())
}

/// No lease is held twice.
fn leases_check(world: &World) -> Result<(), String> {
    let mut held = BTreeMap::new();
    for vm in world.vms.values().filter(|vm| vm.holds().leases) {
        for lease in &vm.demand.leases {
            if let Some(other) = held.insert((lease.vnet, lease.mac.0), vm.id) {
                return Err(format!("VMs {other} and {} hold lease {lease:?}", vm.id));
            }
        }
    }
    Ok(())
}

/// Who waits for images waits for some that are being made, or knows of one that could not be; nobody else does.
fn cloning_check(world: &World) -> Result<(), String> {
    for vm in world.vms.values() {
        let awaited: Vec<&Image> = vm
            .template
            .vectors("DISK")
            .filter(|disk| disk.get("CLONING").is_some())
            .filter_map(|disk| disk.get("IMAGE_ID")?.parse().ok())
            .filter_map(|image| world.images.get(image).map(|image| &**image))
            .collect();
        let failed = |image: &&&Image| !image.is_coming();
        let good = match vm.phase.state {
            VmState::Cloning => !awaited.is_empty() && awaited.iter().find(failed).is_none(),
            VmState::CloningFailure => awaited.iter().find(failed).is_some(),
            _ => awaited.is_empty(),
        };
        if !good {
            let states: Vec<_> = awaited.iter().map(|image| (image.id, image.state)).collect();
            let phase = vm.phase.as_str();
            return Err(format!(
                "VM {} is {phase}, and the images it waits for: {states:?}",
                vm.id
            ));
        }
    }
    Ok(())
}

/// What is different between two worlds, in a few words.
fn difference(expected: &World, found: &World) -> String {
    let mut parts = Vec::new();
    for (id, vm) in expected.vms.iter() {
        if found.vms.get(id) != Some(vm) {
            parts.push(format!("VM {id}: expected {vm:?}, found {:?}", found.vms.get(id)));
        }
    }
    for (id, vm) in found.vms.iter().filter(|(id, _)| expected.vms.get(*id).is_none()) {
        parts.push(format!("VM {id}: expected none, found {}", vm.phase.as_str()));
    }
    if expected.outbox != found.outbox {
        parts.push(format!(
            "outbox: expected {:?}, found {:?}",
            expected.outbox, found.outbox
        ));
    }
    if expected.last_ids != found.last_ids {
        parts.push(format!(
            "ids: expected {:?}, found {:?}",
            expected.last_ids, found.last_ids
        ));
    }
    for (name, same) in [
        ("hosts", expected.hosts == found.hosts),
        ("images", expected.images == found.images),
        ("vnets", expected.vnets == found.vnets),
        ("users", expected.users == found.users),
        ("templates", expected.templates == found.templates),
        ("datastores", expected.datastores == found.datastores),
    ] {
        if !same {
            parts.push(name.to_owned());
        }
    }
    if parts.is_empty() {
        parts.push("what is derived".into());
    }
    parts.join("; ")
}
