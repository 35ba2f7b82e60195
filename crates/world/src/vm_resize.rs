//! CPU and memory of a VM are changed.

use std::sync::Arc;

use plerion_lifecycle::{Event, Refusal, vm_step};
use plerion_model::numbers::hundredths;
use plerion_model::vm::{Capacity, Demand, Vm};
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{ApiError, Id};
use plerion_template::{PackedTemplate, Template};

use crate::auth::Caller;
use crate::config::Config;
use crate::txn::Txn;
use crate::vm_cause::Cause;
use crate::vm_deploy::host_refusal;
use crate::vm_history::history_renew;
use crate::vm_numa::{numa_take, topology_resize};
use crate::vm_require::vm_require;
use crate::vm_right::{VmClass, vm_right};
use crate::vm_state::vm_go;

/// Most CPU, in hundredths: more than any host has, and leaves room for sums.
const CPU_MAX: i64 = 100_000_000;
/// Most memory, in MiB.
const MEMORY_MAX: i64 = 1 << 30;
/// Most virtual CPUs.
const VCPU_MAX: i64 = 4096;

/// What is asked for; `None` keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    cpu: Option<String>,
    vcpu: Option<i64>,
    memory_mib: Option<i64>,
}

impl Wanted {
    /// Reads a template; 0 and an absent attribute keep.
    fn read(template: &Template) -> Result<Self, ApiError> {
        let text = |name: &str| {
            template
                .get(name)
                .map(str::trim)
                .filter(|text| !text.is_empty() && text.parse() != Ok(0.0))
        };
        let whole = |name: &str, most: i64| match text(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
                _ => Err(ApiError::action(format!(
                    "{name} must be a positive integer value."
                ))),
            },
        };
        let cpu = match text("CPU") {
            Some(cpu) if !(1..=CPU_MAX).contains(&hundredths(cpu)) => {
                return Err(ApiError::action("CPU must be a positive float or integer value."));
            }
            cpu => cpu.map(str::to_owned),
        };
        Ok(Self {
            cpu,
            vcpu: whole("VCPU", VCPU_MAX)?,
            memory_mib: whole("MEMORY", MEMORY_MAX)?,
        })
    }
}

/// `one.vm.resize`.
pub(crate) fn vm_resize(
    txn: &mut Txn<'_>,
    caller: &Caller,
    id: Id,
    template: &Template,
    enforce: bool,
) -> Result<Id, ApiError> {
    vm_require(txn, caller, id, vm_right(&txn.world, caller, VmClass::Resize))?;
    let wanted = Wanted::read(template)?;
    let mut vm = txn.world.vm(id)?.clone();
    let outcome =
        vm_step(vm.phase, HistoryAction::None, Event::Resize).map_err(|Refusal::State(phase)| {
            ApiError::action(format!(
                "Resize action is not available for state {}",
                phase.as_str()
            ))
        })?;
    let runs = vm.phase == Phase::active(LcmState::Running);
    if runs {
        live_check(&txn.world.config, &vm, &wanted)?;
    }
    let new = template_of(&vm.template, &wanted)?;
    let before = capacity_of(&vm.template);
    let packed = PackedTemplate::new(&new);
    let demand = Demand::read(&packed);
    // Only administrators may fill a host beyond what it has.
    if enforce || !caller.is_admin() {
        room_check(txn, &vm, &demand)?;
    }
    let own = Arc::make_mut(&mut vm);
    if own.phase.state == VmState::Poweroff || runs {
        history_renew(own, HistoryAction::Resize, &Cause::user(caller), txn.context.now);
    }
    own.template = packed;
    own.demand = Arc::new(demand);
    // Other nodes need other places on the host that it is on.
    let host = own
        .held_host()
        .and_then(|host| txn.world.hosts.get(host))
        .cloned();
    if let Some(host) = host.filter(|_| own.demand.numa.is_some()) {
        numa_take(&txn.world, own, &host).map_err(|reason| {
            ApiError::action(format!(
                "virtual machine [{id}] does not fit in host [{}]. {reason}",
                host.id
            ))
        })?;
    }
    if outcome.path.is_empty() {
        txn.update(vm);
        return Ok(id);
    }
    own.capacity_before = Some(Box::new(before));
    vm_go(txn, vm, &outcome, Event::Resize, &Cause::user(caller));
    Ok(id)
}

fn capacity_of(template: &PackedTemplate) -> Capacity {
    let text = |name: &str| template.get(name).map(str::to_owned);
    Capacity {
        cpu: text("CPU"),
        vcpu: text("VCPU"),
        memory: text("MEMORY"),
    }
}

fn number(template: &PackedTemplate, name: &str) -> Option<i64> {
    template.get(name).and_then(|text| text.trim().parse().ok())
}

/// What a domain that runs can be given without starting anew.
fn live_check(config: &Config, vm: &Vm, wanted: &Wanted) -> Result<(), ApiError> {
    let driver = vm.last_history().map_or("", |record| record.vm_mad.as_str());
    if !config.hypervisor_resizes(driver) {
        return Err(ApiError::action(format!(
            "Hotplug resize not supported by driver {driver}"
        )));
    }
    let template = &vm.template;
    if vm.demand.numa.is_some() {
        return Err(ApiError::action(
            "A VM whose CPUs are pinned, or that is bound to a NUMA node, cannot be resized while it runs: power it off first",
        ));
    }
    for (name, most, new) in [
        ("VCPU", "VCPU_MAX", wanted.vcpu),
        ("MEMORY", "MEMORY_MAX", wanted.memory_mib),
    ] {
        let now = number(template, name).unwrap_or(1);
        let limit = number(template, most).unwrap_or(0).max(now);
        if let Some(new) = new.filter(|new| *new > limit) {
            return Err(ApiError::action(format!(
                "{name} {new} is more than the VM can have while it runs: {most} is {}. Power it off to resize it, or \
                 start it with a higher {most}",
                template.get(most).unwrap_or("not set")
            )));
        }
    }
    let by_modules = template
        .get("MEMORY_RESIZE_MODE")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("hotplug"));
    let changes = wanted
        .memory_mib
        .is_some_and(|new| number(template, "MEMORY") != Some(new));
    if by_modules && changes {
        return Err(ApiError::action(
            "Adding memory modules to a running VM (MEMORY_RESIZE_MODE=HOTPLUG) is not supported yet: power it off to \
             resize it, or use MEMORY_RESIZE_MODE=BALLOONING",
        ));
    }
    Ok(())
}

fn template_of(old: &PackedTemplate, wanted: &Wanted) -> Result<Template, ApiError> {
    let mut template = old.unpack();
    if let Some(cpu) = &wanted.cpu {
        template.set("CPU", cpu.clone());
    }
    if let Some(memory) = wanted.memory_mib {
        template.set("MEMORY", memory.to_string());
    }
    if let Some(vcpu) = wanted.vcpu {
        template.set("VCPU", vcpu.to_string());
    }
    let bound = template.vectors("NUMA_NODE").next().is_some();
    if wanted.vcpu.is_some() || (bound && *wanted != Wanted::default()) {
        topology_resize(&mut template).map_err(ApiError::action)?;
    }
    Ok(template)
}

/// The host must have what is asked for beyond what the VM has.
fn room_check(txn: &Txn<'_>, vm: &Vm, demand: &Demand) -> Result<(), ApiError> {
    let host = vm.held_host().and_then(|host| txn.world.hosts.get(host));
    let Some(host) = host else { return Ok(()) };
    let more = Demand {
        cpu: demand.cpu.saturating_sub(vm.demand.cpu).max(0),
        memory_mib: demand.memory_mib.saturating_sub(vm.demand.memory_mib).max(0),
        ..Demand::default()
    };
    if more.cpu == 0 && more.memory_mib == 0 {
        return Ok(());
    }
    match host_refusal(&txn.world, &more, host) {
        Some(refusal) => Err(ApiError::action(format!(
            "virtual machine [{}] does not fit in host [{}]. {refusal}",
            vm.id, host.id
        ))),
        None => Ok(()),
    }
}
