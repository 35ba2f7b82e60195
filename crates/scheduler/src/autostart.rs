//! Which VMs are started again now, in which order, and why the others wait: [`autostart_plan`], a pure function.
//!
//! Only VMs that are off although they are to run are looked at; whether one is, was noted when it went off. Those of a lower
//! `AUTOSTART_ORDER` go first, as far as they can go at all: one that cannot (its host is down, its tries are used up)
//! holds up nobody but those that name it in `AUTOSTART_AFTER`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use plerion_model::autostart::RESTART_TRIES_MAX;
use plerion_model::host::{Host, HostState};
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Seconds};
use plerion_template::PackedTemplate;
use plerion_world::{AUTOSTART_MESSAGE, AutostartCommand, Command, Measurements, World};

/// Longest `AUTOSTART_DELAY`, in seconds: it holds up others.
const DELAY_MAX_S: Seconds = 3600;
/// Group whose VMs go before those of every other group: the administrators'.
const ADMINISTRATORS: Id = 0;

/// What is to be done about VMs that are to start again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutostartPlan {
    /// VMs to start now.
    pub starts: Vec<Id>,
    /// VMs that wait, and for what.
    pub waits: Vec<(Id, String)>,
    /// When to look again although nothing changes.
    pub next: Option<Seconds>,
}

impl AutostartPlan {
    /// The commands that carry the plan out. A VM that says the same already is not written again.
    #[must_use]
    pub fn commands(self, world: &World) -> Vec<Command> {
        let starts = self.starts.into_iter().map(|id| AutostartCommand::Start { id });
        let says = |id: Id, message: &str| {
            let vm = world.vms.get(id);
            vm.and_then(|vm| vm.user_template.get(AUTOSTART_MESSAGE)) == Some(message)
        };
        let waits = self.waits.into_iter().filter(|(id, message)| !says(*id, message));
        starts
            .chain(waits.map(|(id, message)| AutostartCommand::Wait { id, message }))
            .map(Command::Autostart)
            .collect()
    }
}

/// Whether all hosts have been heard of since the front-end was started, by their samples. Until then VMs seem to run that
/// have lost their host, and those after them would be started before them.
#[must_use]
pub fn hosts_heard(world: &World, measurements: &Measurements) -> bool {
    let mut real = world.hosts.values().filter(|host| host.im_mad != "dummy");
    real.all(|host| {
        let silent = matches!(host.state, HostState::Error | HostState::Offline);
        silent || measurements.hosts.contains_key(&host.id)
    })
}

/// Plans from a snapshot. Each start is checked again when it is applied.
#[must_use]
pub fn autostart_plan(world: &World, now: Seconds) -> AutostartPlan {
    let mut plan = AutostartPlan::default();
    if !world.awaits_restarts() {
        return plan;
    }
    let mut planner = Planner::new(world, now);
    let mut waiting: Vec<&Arc<Vm>> = world
        .restarting_vms()
        .filter(|vm| vm.phase.state == VmState::Poweroff && world.restarts_itself(vm))
        .collect();
    waiting.sort_by_key(|vm| (order(vm), vm.id));
    for vm in waiting {
        match planner.verdict(vm) {
            Ok(host) => {
                planner.started(vm, host);
                plan.starts.push(vm.id);
            }
            Err(wait) => {
                if wait.ahead {
                    planner.ahead(vm);
                }
                plan.next = [plan.next, wait.until].into_iter().flatten().min();
                plan.waits.push((vm.id, wait.message));
            }
        }
    }
    plan
}

/// Why a VM is not started now.
struct Wait {
    message: String,
    /// When that may be over by itself.
    until: Option<Seconds>,
    /// Whether it comes to run without anybody's doing, so that those after it wait for it.
    ahead: bool,
}

impl Wait {
    fn new(message: String) -> Self {
        Self {
            message,
            until: None,
            ahead: false,
        }
    }
}

/// A VM that those after it wait for.
struct Ahead {
    order: i64,
    group: Id,
    vm: Id,
    until: Option<Seconds>,
}

struct Planner<'a> {
    world: &'a World,
    now: Seconds,
    /// VMs that start on a host.
    starting: BTreeMap<Id, u32>,
    /// VMs that start on all hosts that are reached.
    in_all: usize,
    ahead: Vec<Ahead>,
    planned: BTreeSet<Id>,
    /// VMs by name, once somebody names one.
    names: OnceCell<HashMap<&'a str, Vec<&'a Arc<Vm>>>>,
}

impl<'a> Planner<'a> {
    fn new(world: &'a World, now: Seconds) -> Self {
        let mut planner = Self {
            world,
            now,
            starting: BTreeMap::new(),
            in_all: world
                .vms
                .values()
                .filter(|vm| starts_on_reached(world, vm))
                .count(),
            ahead: Vec::new(),
            planned: BTreeSet::new(),
            names: OnceCell::new(),
        };
        let booting = world
            .restarting_vms()
            .filter(|vm| vm.phase.state == VmState::Active);
        for vm in booting {
            planner.ahead(vm);
        }
        // Those that run, and that others are to leave some time.
        let delaying = world.vms.values().filter(|vm| vm.restart.is_some() && runs(vm));
        for vm in delaying {
            if let Some(until) = planner.delayed_until(vm) {
                planner.ahead.push(Ahead {
                    order: order(vm),
                    group: vm.owned.gid,
                    vm: vm.id,
                    until: Some(until),
                });
            }
        }
        planner
    }

    fn ahead(&mut self, vm: &Vm) {
        self.ahead.push(Ahead {
            order: order(vm),
            group: vm.owned.gid,
            vm: vm.id,
            until: None,
        });
    }

    fn started(&mut self, vm: &Vm, host: Id) {
        let count = self.starting_on(host);
        self.starting.insert(host, count.saturating_add(1));
        self.in_all = self.in_all.saturating_add(1);
        self.planned.insert(vm.id);
        self.ahead(vm);
    }

    /// The host to start it on.
    fn verdict(&self, vm: &Vm) -> Result<Id, Wait> {
        let host = vm.held_host().and_then(|id| self.world.hosts.get(id));
        let Some(host) = host else {
            return Err(Wait::new("Its host does not exist any more.".into()));
        };
        if host.state != HostState::Monitored {
            let state = host.state.as_str();
            return Err(Wait::new(format!(
                "Waits for host {}, which is {state}.",
                host.id
            )));
        }
        self.tries_left(vm)?;
        self.turn(vm)?;
        self.dependencies(vm)?;
        self.room(host)?;
        Ok(host.id)
    }

    fn tries_left(&self, vm: &Vm) -> Result<(), Wait> {
        match vm.restart.and_then(|restart| restart.next_try()) {
            None => Err(Wait::new(format!(
                "Not started again by itself any more: {RESTART_TRIES_MAX} tries have failed. Look at ERROR and the log of \
                 the VM, then resume it."
            ))),
            Some(time) if time > self.now => Err(Wait {
                until: Some(time),
                ..Wait::new(
                    "Its last start has failed, or it ended soon after: it is tried again later.".into(),
                )
            }),
            Some(_) => Ok(()),
        }
    }

    fn turn(&self, vm: &Vm) -> Result<(), Wait> {
        let own = order(vm);
        let before = self.ahead.iter().find(|ahead| {
            let concerns = ahead.group == vm.owned.gid || ahead.group == ADMINISTRATORS;
            concerns && ahead.order < own
        });
        before.map_or(Ok(()), |before| {
            Err(Wait {
                message: format!("Waits for VM {}, whose AUTOSTART_ORDER is lower.", before.vm),
                until: before.until,
                ahead: true,
            })
        })
    }

    fn dependencies(&self, vm: &Vm) -> Result<(), Wait> {
        for other in self.named_after(vm) {
            let delay = self.delayed_until(other).filter(|_| runs(other));
            if !(delay.is_some() || self.is_to_come(other)) || self.depends(other, vm.id) {
                continue;
            }
            return Err(Wait {
                message: format!("Waits for VM {}, which AUTOSTART_AFTER names.", other.id),
                until: delay,
                ahead: true,
            });
        }
        Ok(())
    }

    /// The VMs that `AUTOSTART_AFTER` names, by id or by name: those of the same owner or group. Others are none of its
    /// business.
    fn named_after(&self, vm: &Vm) -> Vec<&'a Arc<Vm>> {
        let mut others = Vec::new();
        let named = vm.user_template.get("AUTOSTART_AFTER").unwrap_or_default();
        for word in named.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse::<Id>() {
                Ok(id) => others.extend(self.world.vms.get(id)),
                Err(_) => others.extend(self.names().get(word).into_iter().flatten()),
            }
        }
        others.retain(|other| {
            other.id != vm.id && (other.owned.uid == vm.owned.uid || other.owned.gid == vm.owned.gid)
        });
        others
    }

    fn names(&self) -> &HashMap<&'a str, Vec<&'a Arc<Vm>>> {
        self.names.get_or_init(|| {
            let mut names: HashMap<&str, Vec<&Arc<Vm>>> = HashMap::new();
            for vm in self.world.vms.values() {
                names.entry(vm.name.as_str()).or_default().push(vm);
            }
            names
        })
    }

    /// Whether a VM waits for another one, over however many: such a circle is not kept to.
    fn depends(&self, vm: &'a Arc<Vm>, on: Id) -> bool {
        let mut seen = BTreeSet::from([vm.id]);
        let mut left = vec![vm];
        while let Some(next) = left.pop() {
            for other in self.named_after(next) {
                if other.id == on {
                    return true;
                }
                if seen.insert(other.id) {
                    left.push(other);
                }
            }
        }
        false
    }

    /// Whether a VM does not run yet, but will if all goes well.
    fn is_to_come(&self, vm: &Vm) -> bool {
        let lost = vm.phase == Phase::active(LcmState::Unknown);
        let waits = vm.awaits_restart()
            && self.world.restarts_itself(vm)
            && vm.restart.and_then(|restart| restart.next_try()).is_some();
        lost || waits || is_starting(vm) || self.planned.contains(&vm.id)
    }

    /// Until when those after a VM that was started by itself wait, if that is not over.
    fn delayed_until(&self, vm: &Vm) -> Option<Seconds> {
        let delay = number(&vm.user_template, "AUTOSTART_DELAY")?.clamp(0, DELAY_MAX_S);
        let until = vm.restart?.tried.saturating_add(delay);
        (until > self.now).then_some(until)
    }

    fn room(&self, host: &Host) -> Result<(), Wait> {
        let limit = self.parallel(host);
        let message = match self.world.config.starts {
            Some(most) if self.in_all >= most => {
                format!("Waits: as many VMs start as may at once (MAX_ACTIONS_PER_CLUSTER = {most}).")
            }
            _ if self.starting_on(host.id) < limit => return Ok(()),
            _ => format!(
                "Waits: host {} starts as many VMs as it may at once (AUTOSTART_PARALLEL = {limit}).",
                host.id
            ),
        };
        Err(Wait {
            message,
            until: None,
            ahead: true,
        })
    }

    fn parallel(&self, host: &Host) -> u32 {
        let of = |template: &PackedTemplate| {
            let number = number(template, "AUTOSTART_PARALLEL").filter(|number| *number > 0)?;
            Some(u32::try_from(number).unwrap_or(u32::MAX))
        };
        let cluster = self.world.clusters.get(host.cluster_id);
        of(&host.template)
            .or_else(|| of(&cluster?.template))
            .unwrap_or(self.world.config.autostart_parallel)
    }

    fn starting_on(&self, host: Id) -> u32 {
        self.starting.get(&host).copied().unwrap_or_else(|| {
            let starting = self.world.host_vms(host).filter(|vm| is_starting(vm)).count();
            u32::try_from(starting).unwrap_or(u32::MAX)
        })
    }
}

fn number(template: &PackedTemplate, name: &str) -> Option<i64> {
    template.get(name).and_then(|text| text.trim().parse().ok())
}

/// VMs without an order come last.
fn order(vm: &Vm) -> i64 {
    number(&vm.user_template, "AUTOSTART_ORDER").unwrap_or(i64::MAX)
}

fn runs(vm: &Vm) -> bool {
    vm.phase == Phase::active(LcmState::Running)
}

/// What hangs on a host that is lost is to hold up nobody elsewhere.
fn starts_on_reached(world: &World, vm: &Vm) -> bool {
    let host = || vm.held_host().and_then(|id| world.hosts.get(id));
    is_starting(vm) && host().is_some_and(|host| host.is_reached())
}

/// Whether its domain is being started, or its files are being brought for that.
fn is_starting(vm: &Vm) -> bool {
    vm.phase.state == VmState::Active
        && matches!(
            vm.phase.lcm,
            LcmState::Boot
                | LcmState::BootUnknown
                | LcmState::BootPoweroff
                | LcmState::BootSuspended
                | LcmState::BootStopped
                | LcmState::BootUndeploy
                | LcmState::BootMigrate
        )
}
