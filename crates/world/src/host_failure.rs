//! Hosts that do not answer: what is asked for their VMs, what is known of fencing them, and what is decided.

use std::sync::Arc;

use plerion_model::hook::{ExecutionResult, Hook, HookExecution, HookType};
use plerion_model::host::{Host, HostState};
use plerion_model::host_failure::{Fence, FenceState, HostLoss, OnHostFailure};
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_model::{Id, Kind, Seconds};
use plerion_template::{PackedTemplate, Template};

use crate::elsewhere::{Fencing, HostStanding, Lease, LeaseWord, Standing, Verdict, may_start_elsewhere};
use crate::hook_fire::fence_firing;
use crate::pairs::TRANSFER_BUILT_IN;
use crate::txn::Txn;
use crate::vm_template::user_note;
use crate::world::World;

/// Where a VM is told why it is not started elsewhere.
pub const FAILURE_MESSAGE: &str = "ON_HOST_FAILURE_MESSAGE";
/// Where a host is told how it went with fencing it.
pub(crate) const FENCE_MESSAGE: &str = "FENCE_MESSAGE";
/// By what an administrator says that he has switched a host off that does not answer.
pub(crate) const FENCED_BY_HAND: &str = "FENCED_BY_HAND";
/// Most that is shown of what a program said, in characters.
const WORDS_MAX: usize = 200;

/// What is decided about hosts that do not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureCommand {
    /// Fence a host.
    Fence {
        /// Host.
        host: Id,
    },
    /// Give a VM up on its host and have it placed elsewhere.
    GiveUp {
        /// VM.
        id: Id,
        /// Number of the loss of its host after which its lease was seen to have ended, where that is the proof.
        lease: Option<u64>,
    },
    /// Say why a VM is not started elsewhere. Written to the VM only when it differs.
    Wait {
        /// VM.
        id: Id,
        /// Why.
        message: String,
    },
}

impl World {
    /// What `ON_HOST_FAILURE` asks for a VM: what its user template says, else its host, else the host's cluster, else
    /// oned.conf.
    #[must_use]
    pub fn on_host_failure(&self, vm: &Vm) -> OnHostFailure {
        let host = vm.held_host().and_then(|id| self.hosts.get(id));
        let cluster = host.and_then(|host| self.clusters.get(host.cluster_id));
        OnHostFailure::of(&vm.user_template)
            .or_else(|| OnHostFailure::of(&host?.template))
            .or_else(|| OnHostFailure::of(&cluster?.template))
            .unwrap_or(self.config.on_host_failure)
    }

    /// VMs of which nobody knows whether they run, by ascending id.
    pub fn lost_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.index.lost.iter().filter_map(|id| self.vms.get(*id))
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_lost_vms(&self) -> bool {
        !self.index.lost.is_empty()
    }

    /// How a VM stands whose host may have failed. `silent_s` is for how long the host was seen not to answer, `word` what
    /// another host says of its lease. `None` for a VM that is not lost.
    #[must_use]
    pub fn standing(
        &self,
        vm: &Vm,
        silent_s: u64,
        word: Option<&LeaseWord>,
        now: Seconds,
    ) -> Option<Standing> {
        if vm.phase != Phase::active(LcmState::Unknown) {
            return None;
        }
        let host = self.hosts.get(vm.held_host()?)?;
        Some(Standing {
            policy: self.on_host_failure(vm),
            host_id: host.id,
            host: match (&host.loss, host.state) {
                (_, HostState::Offline) => HostStanding::Offline,
                (None, _) => HostStanding::Answers,
                (Some(_), _) => HostStanding::Silent(silent_s),
            },
            wait_s: self.config.host_failure_s,
            others_answer: self.hosts.values().any(|other| {
                other.id != host.id && other.loss.is_none() && other.state == HostState::Monitored
            }),
            storage: storage(self, vm),
            fencing: fencing(self, host, now),
            lease: lease(self, vm, host, word),
        })
    }

    /// The host that looks at the lease of a lost VM's host: the first one that answers and has the system datastore.
    #[must_use]
    pub fn lease_observer(&self, vm: &Vm) -> Option<Id> {
        let store = self.datastores.get(vm.last_history()?.datastore)?;
        store.lease_seconds()?;
        let lost = vm.held_host()?;
        let sees = |host: &&Arc<Host>| {
            host.id != lost
                && host.loss.is_none()
                && host.state == HostState::Monitored
                && store.clusters.contains(&host.cluster_id)
        };
        self.hosts.values().find(sees).map(|host| host.id)
    }
}

fn lease(world: &World, vm: &Vm, host: &Host, word: Option<&LeaseWord>) -> Lease {
    let store = vm
        .last_history()
        .and_then(|record| world.datastores.get(record.datastore));
    if store.and_then(|store| store.lease_seconds()).is_none() {
        return Lease::None;
    }
    let loss = host.loss.as_ref().map(|loss| loss.number);
    match word.filter(|word| Some(word.loss) == loss) {
        None => Lease::Holds(format!(
            "no other host has looked at the lease of host {} yet.",
            host.id
        )),
        Some(word) => match &word.proof {
            Ok(()) => Lease::Ended,
            Err(why) => Lease::Holds(why.clone()),
        },
    }
}

/// Whether other hosts have the disks of a VM.
fn storage(world: &World, vm: &Vm) -> Result<(), String> {
    let Some(record) = vm.last_history() else {
        return Err("it was on no host.".into());
    };
    let drivers = vm.template.vectors("DISK").filter_map(|disk| {
        let driver = disk.get("TM_MAD").filter(|driver| !driver.is_empty())?;
        disk.get("IMAGE_ID").map(|_| driver.to_owned())
    });
    let mut scripts = std::iter::once(record.tm_mad.clone())
        .chain(drivers)
        .filter(|driver| !TRANSFER_BUILT_IN.contains(&driver.as_str()));
    if let Some(driver) = scripts.next() {
        return Err(format!(
            "what the transfer driver {driver} has made on its host cannot be taken over by another one yet."
        ));
    }
    let shared = world
        .datastores
        .get(record.datastore)
        .is_some_and(|store| store.is_shared());
    if !shared || record.tm_mad == "ssh" {
        return Err(format!(
            "its disks are on the host itself (system datastore {}, TM_MAD = {}).",
            record.datastore, record.tm_mad
        ));
    }
    Ok(())
}

fn fencing(world: &World, host: &Host, now: Seconds) -> Fencing {
    let by_hand = says_yes(&host.template, FENCED_BY_HAND);
    let hook = fence_hook(world).is_some();
    let Some(fence) = host.loss.as_ref().and_then(|loss| loss.fence.as_ref()) else {
        return match (by_hand, hook) {
            (true, _) => Fencing::Done,
            (false, true) => Fencing::NotAsked,
            (false, false) => Fencing::NoHook,
        };
    };
    let is_kept = world.hook_executions.get(fence.execution).is_some();
    match fence.state {
        _ if by_hand => Fencing::Done,
        FenceState::Done => Fencing::Done,
        FenceState::Asked if is_kept => Fencing::Asked,
        // Its hook was deleted while it ran: nobody will ever say how it ended.
        FenceState::Asked | FenceState::Failed if !hook => Fencing::NoHook,
        FenceState::Asked | FenceState::Failed => Fencing::Failed {
            again: now >= fence.next_try(),
            why: host
                .template
                .get(FENCE_MESSAGE)
                .unwrap_or("it was not seen to end")
                .to_owned(),
        },
    }
}

fn says_yes(template: &PackedTemplate, name: &str) -> bool {
    let text = template.get(name).unwrap_or_default().trim();
    text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("true")
}

/// Whether a hook is the one that fences hosts. They never come into that state by themselves.
fn is_fence(hook: &Hook) -> bool {
    hook.kind == HookType::State
        && hook.template.get("RESOURCE") == Some("HOST")
        && hook.template.get("STATE") == Some("FENCE")
}

/// The hook that fences hosts: of several the oldest one.
fn fence_hook(world: &World) -> Option<&Arc<Hook>> {
    world.hooks.values().find(|hook| is_fence(hook))
}

/// What was decided is looked at again; what does not hold any more is left.
pub(crate) fn failure_command(txn: &mut Txn<'_>, command: &FailureCommand) {
    match command {
        FailureCommand::Fence { host } => fence(txn, *host),
        FailureCommand::GiveUp { id, lease } => give_up(txn, *id, *lease),
        FailureCommand::Wait { id, message } => wait(txn, *id, message),
    }
}

fn fence(txn: &mut Txn<'_>, id: Id) {
    let now = txn.context.now;
    let Some(mut host) = txn.world.hosts.get(id).cloned() else {
        return;
    };
    let due = match fencing(&txn.world, &host, now) {
        Fencing::NotAsked => true,
        Fencing::Failed { again, .. } => again,
        Fencing::NoHook | Fencing::Asked | Fencing::Done => false,
    };
    let Some(hook) = fence_hook(&txn.world).filter(|_| due).cloned() else {
        return;
    };
    if host.loss.is_none() || host.state == HostState::Offline {
        return;
    }
    txn.executions_add(vec![fence_firing(&txn.world, &hook, &host)]);
    let execution = txn
        .world
        .last_ids
        .get(&Kind::HookExecution)
        .copied()
        .unwrap_or(-1);
    let own = Arc::make_mut(&mut host);
    let message = format!("hook {} ({}) is to fence it", hook.id, hook.name);
    if let Some(loss) = &mut own.loss {
        let tries = loss.fence.as_ref().map_or(0, |fence| fence.tries);
        loss.fence = Some(Fence {
            execution,
            time: now,
            tries: tries.saturating_add(1),
            state: FenceState::Asked,
        });
    }
    own.template.note(FENCE_MESSAGE, Some(&message));
    txn.log(Kind::Host, id, "fence", "", "", &message);
    txn.put(host);
}

/// A hook has ended. If it was to fence a host that does not answer since, that is noted on the host.
pub(crate) fn fence_ended(txn: &mut Txn<'_>, execution: &HookExecution, result: &ExecutionResult) {
    if !txn
        .world
        .hooks
        .get(execution.hook)
        .is_some_and(|hook| is_fence(hook))
    {
        return;
    }
    let id = execution
        .about
        .strip_prefix("HOST ")
        .and_then(|id| id.parse::<Id>().ok());
    let Some(mut host) = id.and_then(|id| txn.world.hosts.get(id)).cloned() else {
        return;
    };
    let own = Arc::make_mut(&mut host);
    // One that was begun before the host went away this time says nothing of it.
    let Some(fence) = own
        .loss
        .as_mut()
        .and_then(|loss| loss.fence.as_mut())
        .filter(|fence| execution.id >= fence.execution && fence.state != FenceState::Done)
    else {
        return;
    };
    fence.time = txn.context.now;
    let message = if result.code == 0 {
        fence.state = FenceState::Done;
        "it was fenced: nothing of what ran on it runs any more".to_owned()
    } else {
        fence.state = FenceState::Failed;
        failed_text(result)
    };
    own.template.note(FENCE_MESSAGE, Some(&message));
    txn.log(Kind::Host, host.id, "fence", "", "", &message);
    txn.put(host);
}

fn failed_text(result: &ExecutionResult) -> String {
    let line = result.stderr.lines().map(str::trim).find(|line| !line.is_empty());
    let words: String = line
        .unwrap_or("it said nothing")
        .chars()
        .take(WORDS_MAX)
        .collect();
    format!("the program for fencing ended with {}: {words}", result.code)
}

fn give_up(txn: &mut Txn<'_>, id: Id, lease: Option<u64>) {
    let Some(mut vm) = txn.world.vms.get(id).cloned() else {
        return;
    };
    // The proof is looked at again, and the time is no part of it. What is proved of a lease holds for one loss of the host.
    let word = lease.map(|loss| LeaseWord { loss, proof: Ok(()) });
    let verdict = txn
        .world
        .standing(&vm, u64::MAX, word.as_ref(), txn.context.now)
        .map(|standing| may_start_elsewhere(&standing));
    let host = vm.held_host().and_then(|host| txn.world.hosts.get(host)).cloned();
    let (Some(Verdict::Start), Some(mut host)) = (verdict, host) else {
        return;
    };
    let message = format!(
        "given up on host {}, {}: it is placed elsewhere",
        host.id,
        match lease {
            None => "which was fenced",
            Some(_) => "whose lease has ended, and no disk of it is locked",
        }
    );
    Arc::make_mut(&mut host).given_up.insert(id, vm.uuid().to_owned());
    txn.log(
        Kind::Host,
        host.id,
        "failure",
        "",
        "",
        &format!("VM {id} was given up on it"),
    );
    txn.put(host);
    let own = Arc::make_mut(&mut vm);
    own.resched = true;
    failure_say(own, Some(&message));
    txn.log(Kind::Vm, id, "failure", "", "", &message);
    txn.put(vm);
}

fn wait(txn: &mut Txn<'_>, id: Id, message: &str) {
    let lost = txn
        .world
        .vms
        .get(id)
        .filter(|vm| vm.phase == Phase::active(LcmState::Unknown));
    let Some(mut vm) = lost.cloned() else {
        return;
    };
    if failure_say(Arc::make_mut(&mut vm), Some(message)) {
        txn.log(Kind::Vm, id, "failure", "", "", message);
        txn.put(vm);
    }
}

/// Says why a VM is not started elsewhere, or takes that away. Returns whether that is news.
fn failure_say(vm: &mut Vm, message: Option<&str>) -> bool {
    user_note(vm, FAILURE_MESSAGE, message)
}

/// A VM enters a phase: of one that is not lost there is nothing to be said.
pub(crate) fn failure_pass(vm: &mut Vm, phase: Phase) {
    if phase != Phase::active(LcmState::Unknown) {
        failure_say(vm, None);
    }
}

/// A host does not answer.
pub(crate) fn loss_begin(host: &mut Host, template: &mut Template, now: Seconds) {
    if host.loss.is_some() {
        return;
    }
    host.losses = host.losses.saturating_add(1);
    host.loss = Some(HostLoss {
        number: host.losses,
        since: now,
        fence: None,
    });
    // What was said of an earlier time does not hold for this one.
    template.remove(FENCED_BY_HAND);
    template.remove(FENCE_MESSAGE);
}

/// A host answers again. `restarted` says that its kernel is another one. Returns VMs that were to be placed elsewhere and
/// have not left yet: they stay.
pub(crate) fn loss_end(world: &World, host: &mut Host, template: &mut Template, restarted: bool) -> Vec<Id> {
    if let Some(loss) = host.loss.take() {
        let by_hand = says_yes(&host.template, FENCED_BY_HAND);
        template.remove(FENCED_BY_HAND);
        template.remove(FENCE_MESSAGE);
        let fenced = loss.fence.is_some_and(|fence| fence.state == FenceState::Done);
        if (fenced || by_hand) && !restarted {
            template.set(
                FENCE_MESSAGE,
                "it was said to be fenced, yet its kernel was not restarted: look at what the program for fencing does",
            );
        }
    }
    let stay: Vec<Id> = host
        .given_up
        .keys()
        .filter(|id| {
            let vm = world.vms.get(**id);
            vm.is_some_and(|vm| vm.held_host() == Some(host.id) && vm.moving_from.is_none())
        })
        .copied()
        .collect();
    host.given_up.retain(|id, _| !restarted && !stay.contains(id));
    stay
}

/// VMs that stay on their host after all.
pub(crate) fn vms_stay(txn: &mut Txn<'_>, stay: &[Id]) {
    for id in stay {
        if let Some(mut vm) = txn.world.vms.get(*id).filter(|vm| vm.resched).cloned() {
            Arc::make_mut(&mut vm).resched = false;
            txn.log(
                Kind::Vm,
                *id,
                "failure",
                "",
                "",
                "its host answers again: it is not placed elsewhere",
            );
            txn.put(vm);
        }
    }
}
