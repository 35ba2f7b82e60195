//! Which hosts that do not answer are fenced, and which of their VMs are placed elsewhere: [`failure_plan`], a pure function.

use std::collections::{BTreeMap, BTreeSet};

use plerion_model::{Id, Seconds};
use plerion_world::{
    Command, FAILURE_MESSAGE, FailureCommand, Fencing, HostStanding, Lease, LeaseWords, Standing, Verdict,
    World, may_start_elsewhere,
};

/// Seconds after which what is said of leases is looked at again.
const LEASE_LOOK_S: u64 = 2;

/// What is to be done about VMs whose hosts do not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailurePlan {
    /// Hosts to fence now.
    pub fences: Vec<Id>,
    /// VMs to give up on their hosts and to place elsewhere; with the number of the loss of the host where the proof is that
    /// its lease has ended.
    pub give_ups: Vec<(Id, Option<u64>)>,
    /// VMs that wait, and why.
    pub waits: Vec<(Id, String)>,
    /// Seconds after which to look again although nothing changes.
    pub next_s: Option<u64>,
}

impl FailurePlan {
    /// The commands that carry the plan out. A VM that says the same already is not written again.
    #[must_use]
    pub fn commands(self, world: &World) -> Vec<Command> {
        let says = |id: Id, message: &str| {
            let vm = world.vms.get(id);
            vm.and_then(|vm| vm.user_template.get(FAILURE_MESSAGE)) == Some(message)
        };
        let fences = self.fences.into_iter().map(|host| FailureCommand::Fence { host });
        let give_ups = self
            .give_ups
            .into_iter()
            .map(|(id, lease)| FailureCommand::GiveUp { id, lease });
        let waits = self.waits.into_iter().filter(|(id, message)| !says(*id, message));
        fences
            .chain(give_ups)
            .chain(waits.map(|(id, message)| FailureCommand::Wait { id, message }))
            .map(Command::Failure)
            .collect()
    }
}

/// Plans from a snapshot. `silent` is for how many seconds each host was seen not to answer; hosts that are not named count as
/// silent since now. `leases` is what is said of the leases of their hosts, by VM. Each decision is looked at again when it is applied.
#[must_use]
pub fn failure_plan(
    world: &World,
    silent: &BTreeMap<Id, u64>,
    leases: &LeaseWords,
    now: Seconds,
) -> FailurePlan {
    let mut plan = FailurePlan::default();
    let mut fenced = BTreeSet::new();
    for vm in world.lost_vms() {
        let Some(host) = vm.held_host().and_then(|id| world.hosts.get(id)) else {
            continue;
        };
        if vm.resched && host.given_up.contains_key(&vm.id) {
            // It is the scheduler's now.
            continue;
        }
        let seconds = silent.get(&host.id).copied().unwrap_or(0);
        let Some(standing) = world.standing(vm, seconds, leases.get(&vm.id), now) else {
            continue;
        };
        match may_start_elsewhere(&standing) {
            Verdict::Nothing => {}
            Verdict::Start => {
                let by_lease = standing.fencing != Fencing::Done;
                let loss = host.loss.as_ref().map(|loss| loss.number);
                plan.give_ups.push((vm.id, loss.filter(|_| by_lease)));
            }
            Verdict::Fence => {
                if fenced.insert(host.id) {
                    plan.fences.push(host.id);
                }
            }
            Verdict::Wait(why) => {
                let retry = host.loss.as_ref().and_then(|loss| loss.fence.as_ref());
                let retry = retry.map(|fence| fence.next_try().saturating_sub(now));
                plan.next_s = [plan.next_s, over_by_itself(&standing, seconds, retry)]
                    .into_iter()
                    .flatten()
                    .min();
                plan.waits.push((vm.id, why));
            }
        }
    }
    plan
}

/// Seconds after which a wait may be over although nothing changes.
fn over_by_itself(standing: &Standing, silent_s: u64, retry: Option<Seconds>) -> Option<u64> {
    if !matches!(standing.host, HostStanding::Silent(_)) {
        return None;
    }
    if silent_s < standing.wait_s {
        return Some(standing.wait_s.saturating_sub(silent_s));
    }
    if matches!(standing.lease, Lease::Holds(_)) {
        return Some(LEASE_LOOK_S);
    }
    match standing.fencing {
        Fencing::Failed { .. } => retry.map(|seconds| u64::try_from(seconds).unwrap_or(0).max(1)),
        Fencing::NoHook | Fencing::NotAsked | Fencing::Asked | Fencing::Done => None,
    }
}
