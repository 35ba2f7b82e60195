//! [`plan`]: VMs in order, each to the best host that will do.

use std::collections::HashMap;
use std::sync::Arc;

use plerion_model::vm::Vm;
use plerion_model::{Id, Seconds};
use plerion_world::{Measurements, World};

use crate::class::{Class, Key};
use crate::limits::Limits;
use crate::planner::Planner;
use crate::ranking::Ranking;
use crate::reason::Reason;
use crate::summary::{summary_hosts, summary_plain};
use crate::verdict::{HostVerdict, Refusal};

/// Most rankings that are kept for later VMs of their class; others are made anew.
const RANKINGS_MAX: usize = 32;

/// Where a VM is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// VM.
    pub vm: Id,
    /// Host.
    pub host: Id,
    /// System datastore.
    pub datastore: Id,
    /// Whether it is on another host now and is to be moved.
    pub moves: bool,
}

/// What is to be done with VMs that wait for a host or are to leave theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Placements, to be applied in this order.
    pub placements: Vec<Placement>,
    /// VMs for which there is no place.
    pub refused: Vec<Refusal>,
    /// VMs that were put off by a limit. There is nothing wrong with them: they are for the next plan.
    pub deferred: Vec<Id>,
}

/// Plans where VMs go that wait for a host or are to leave theirs. `now` is compared with the times of measurements.
#[must_use]
pub fn plan(world: &World, measurements: &Measurements, now: Seconds, limits: &Limits) -> Plan {
    let (queue, beyond) = queue(world, limits);
    let mut run = Run {
        planner: Planner::new(world, measurements, now, limits),
        limits,
        slots: Vec::new(),
        rankings: 0,
        plan: Plan::default(),
    };
    let mut by_key: HashMap<Key<'_>, usize> = HashMap::new();
    let mut order = Vec::with_capacity(queue.len());
    for vm in &queue {
        let key = Key::of(vm);
        let slot = match by_key.get(&key) {
            Some(slot) => *slot,
            None => {
                run.slots.push(Slot::new(key.clone()));
                let slot = run.slots.len().saturating_sub(1);
                by_key.insert(key, slot);
                slot
            }
        };
        if let Some(slot) = run.slots.get_mut(slot) {
            slot.waiting = slot.waiting.saturating_add(1);
        }
        order.push((vm.id, slot));
    }
    for (vm, slot) in order {
        run.vm_plan(vm, slot);
    }
    run.plan.deferred.extend(beyond);
    run.plan
}

/// The VMs to be planned, by priority and id, and the ids of those beyond the limit.
fn queue<'w>(world: &'w World, limits: &Limits) -> (Vec<&'w Arc<Vm>>, Vec<Id>) {
    let mut queue: Vec<(f64, &Arc<Vm>)> = world
        .pending_vms()
        .chain(world.leaving_vms())
        .map(|vm| (priority(vm), vm))
        .collect();
    // Stable: equal priorities keep the order of ids.
    queue.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut vms: Vec<&Arc<Vm>> = queue.into_iter().map(|(_, vm)| vm).collect();
    let beyond = vms.split_off(limits.vms.min(vms.len()));
    (vms, beyond.into_iter().map(|vm| vm.id).collect())
}

fn priority(vm: &Vm) -> f64 {
    vm.user_template
        .get("USER_PRIORITY")
        .and_then(|text| text.trim().parse().ok())
        .filter(|priority: &f64| priority.is_finite())
        .unwrap_or(0.0)
}

/// VMs of one key.
struct Slot<'w> {
    key: Key<'w>,
    /// VMs that are not planned yet.
    waiting: usize,
    class: Option<Result<Class, String>>,
    ranking: Option<Ranking>,
    /// The last refusal, and the number of placements before it.
    refused: Option<(Refusal, usize)>,
}

impl<'w> Slot<'w> {
    fn new(key: Key<'w>) -> Self {
        Self {
            key,
            waiting: 0,
            class: None,
            ranking: None,
            refused: None,
        }
    }
}

/// A plan being made.
struct Run<'w> {
    planner: Planner<'w>,
    limits: &'w Limits,
    slots: Vec<Slot<'w>>,
    /// Rankings kept.
    rankings: usize,
    plan: Plan,
}

impl<'w> Run<'w> {
    fn vm_plan(&mut self, vm: Id, number: usize) {
        // Taken out while it is worked on; what is put back is all that later VMs of it need.
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        let mut slot = std::mem::replace(slot, Slot::new(Key::default()));
        slot.waiting = slot.waiting.saturating_sub(1);
        if slot.ranking.is_some() {
            self.rankings = self.rankings.saturating_sub(1);
        }
        if self.plan.placements.len() >= self.limits.placements {
            self.plan.deferred.push(vm);
        } else {
            self.slot_plan(vm, &mut slot);
        }
        if slot.waiting == 0 {
            slot = Slot::new(Key::default());
        } else if self.rankings >= RANKINGS_MAX {
            slot.ranking = None;
        }
        if slot.ranking.is_some() {
            self.rankings = self.rankings.saturating_add(1);
        }
        if let Some(place) = self.slots.get_mut(number) {
            *place = slot;
        }
    }

    fn slot_plan(&mut self, vm: Id, slot: &mut Slot<'w>) {
        let Self { planner, plan, .. } = self;
        if let Some((refusal, placements)) = &slot.refused {
            // What one plan does only takes room away, unless requirements look at it.
            let holds = match &slot.class {
                Some(Ok(class)) => {
                    *placements == planner.placements() || !planner.is_volatile(class, &slot.key)
                }
                _ => true,
            };
            if holds {
                plan.refused.push(Refusal {
                    vm,
                    ..refusal.clone()
                });
                return;
            }
        }
        let key = &slot.key;
        let class = match slot.class.get_or_insert_with(|| planner.class(key)) {
            Ok(class) => class,
            Err(text) => {
                let refusal = refusal_plain(vm, Reason::Expression, text, self.limits);
                slot.refused = Some((refusal.clone(), planner.placements()));
                plan.refused.push(refusal);
                return;
            }
        };
        let ranking = slot.ranking.get_or_insert_with(|| planner.ranking(class, key));
        let Some(at) = planner.best(class, key, ranking) else {
            // `None`: what was planned made a host fit that was not; the next plan starts from there.
            let Some(refusal) = refusal_hosts(planner, class, key, vm, self.limits) else {
                plan.deferred.push(vm);
                return;
            };
            slot.refused = Some((refusal.clone(), planner.placements()));
            plan.refused.push(refusal);
            return;
        };
        let starts = planner.may_start(at.0);
        planner.place(vm, class, key, at, starts);
        let host = planner.hosts.get(at.0).map(|row| row.host.id);
        match (host, planner.store_id(at.1)) {
            (Some(host), Some(datastore)) if starts => plan.placements.push(Placement {
                vm,
                host,
                datastore,
                moves: key.leaves.is_some(),
            }),
            _ => plan.deferred.push(vm),
        }
    }
}

fn refusal_plain(vm: Id, code: Reason, text: &str, limits: &Limits) -> Refusal {
    Refusal {
        vm,
        code,
        summary: summary_plain(text, limits.summary_bytes),
        hosts: Vec::new(),
        others: Vec::new(),
    }
}

/// Why no host will do; `None` if one does.
fn refusal_hosts(
    planner: &Planner<'_>,
    class: &Class,
    key: &Key<'_>,
    vm: Id,
    limits: &Limits,
) -> Option<Refusal> {
    let mut hosts = Vec::new();
    let mut names = Vec::new();
    let mut others: Vec<(Reason, usize)> = Reason::ALL.iter().map(|reason| (*reason, 0)).collect();
    let mut furthest = Reason::NoHost;
    for (number, row) in planner.hosts.iter().enumerate() {
        let code = planner.fault(class, key, number)?;
        furthest = furthest.max(code);
        if hosts.len() < limits.hosts_named {
            names.push(row.host.name.as_str());
            hosts.push(HostVerdict {
                host: row.host.id,
                code,
                reason: planner.fault_text(class, key, number, code),
            });
        } else if let Some((_, count)) = others.iter_mut().find(|(reason, _)| *reason == code) {
            *count = count.saturating_add(1);
        }
    }
    if furthest == Reason::NoHost {
        return Some(refusal_plain(vm, furthest, furthest.headline(), limits));
    }
    others.retain(|(_, count)| *count > 0);
    Some(Refusal {
        vm,
        code: furthest,
        summary: summary_hosts(furthest, &hosts, &names, &others, limits.summary_bytes),
        hosts,
        others,
    })
}
