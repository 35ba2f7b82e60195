//! Whether VMs are to start again by themselves, and what is noted of it.

use std::sync::Arc;

use plerion_model::autostart::{Autostart, DomainEnd, Due, Restart};
use plerion_model::host_failure::OnHostFailure;
use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Seconds};

use crate::txn::Txn;
use crate::vm_template::user_note;
use crate::world::World;

/// Where a VM is told why it waits, or why it is not started any more.
pub const AUTOSTART_MESSAGE: &str = "AUTOSTART_MESSAGE";

impl World {
    /// What `AUTOSTART` asks for a VM: what its user template says, else its host, else the host's cluster, else oned.conf.
    #[must_use]
    pub fn autostart(&self, vm: &Vm) -> Autostart {
        let host = vm.held_host().and_then(|id| self.hosts.get(id));
        let cluster = host.and_then(|host| self.clusters.get(host.cluster_id));
        Autostart::of(&vm.user_template)
            .or_else(|| Autostart::of(&host?.template))
            .or_else(|| Autostart::of(&cluster?.template))
            .unwrap_or(self.config.autostart)
    }

    /// Whether a VM that is off although it is to run is started again by itself: `AUTOSTART` or `ON_HOST_FAILURE` ask for it.
    #[must_use]
    pub fn restarts_itself(&self, vm: &Vm) -> bool {
        self.autostart(vm) != Autostart::No || self.on_host_failure(vm) != OnHostFailure::Nothing
    }

    /// VMs that are to be started again, or are being started, by ascending id.
    pub fn restarting_vms(&self) -> impl Iterator<Item = &Arc<Vm>> {
        self.index.restarting.iter().filter_map(|id| self.vms.get(*id))
    }

    /// Whether there are any.
    #[must_use]
    pub fn awaits_restarts(&self) -> bool {
        !self.index.restarting.is_empty()
    }
}

/// A VM has gone off by a way that nobody asked for.
pub(crate) fn restart_fallen(txn: &mut Txn<'_>, id: Id, end: DomainEnd) {
    let due = match end {
        // To end it was the wish of its guest, or of somebody on the host; what nobody saw may have been such a wish.
        DomainEnd::Guest | DomainEnd::Unseen => Due::No,
        DomainEnd::HostStops => Due::AfterBoot,
        DomainEnd::Crash => Due::Now,
    };
    restart_set(txn, id, |policy, vm, now| {
        (policy != Autostart::No && due != Due::No).then(|| Restart::fallen(vm.restart, due, now))
    });
}

/// A VM of a host that has been restarted. `ran` says that it was running, as far as was known.
pub(crate) fn restart_anew(txn: &mut Txn<'_>, id: Id, ran: bool) {
    let vm = txn.world.vms.get(id);
    let failure = vm.map_or(OnHostFailure::Nothing, |vm| txn.world.on_host_failure(vm));
    restart_set(txn, id, |policy, vm, now| {
        let waits = vm.restart.is_some_and(|restart| restart.due != Due::No);
        match policy {
            Autostart::Always => Some(Restart::anew(now)),
            Autostart::Yes if ran || waits => Some(Restart::anew(now)),
            Autostart::Yes | Autostart::No if ran && failure != OnHostFailure::Nothing => {
                Some(Restart::anew(now))
            }
            Autostart::Yes | Autostart::No => None,
        }
    });
}

fn restart_set(txn: &mut Txn<'_>, id: Id, next: impl FnOnce(Autostart, &Vm, Seconds) -> Option<Restart>) {
    let Some(vm) = txn
        .world
        .vms
        .get(id)
        .filter(|vm| vm.phase == Phase::rest(VmState::Poweroff))
    else {
        return;
    };
    let restart = next(txn.world.autostart(vm), vm, txn.context.now);
    if restart != vm.restart {
        let mut vm = vm.clone();
        Arc::make_mut(&mut vm).restart = restart;
        txn.put(vm);
    }
}

/// A VM enters a phase: one that runs needs no start, and one that left its host on somebody's wish wants none.
pub(crate) fn restart_pass(vm: &mut Vm, phase: Phase) {
    let runs = phase == Phase::active(LcmState::Running);
    match phase.state {
        VmState::Active if runs => {
            if let Some(restart) = &mut vm.restart {
                restart.due = Due::No;
            }
        }
        VmState::Active | VmState::Poweroff | VmState::Init | VmState::Cloning | VmState::CloningFailure => {}
        VmState::Pending
        | VmState::Hold
        | VmState::Stopped
        | VmState::Suspended
        | VmState::Done
        | VmState::Undeployed => vm.restart = None,
    }
    if runs || vm.restart.is_none() {
        message_set(vm, None);
    }
}

/// Says why a VM waits, or takes that away. Returns whether that is news.
pub(crate) fn message_set(vm: &mut Vm, message: Option<&str>) -> bool {
    user_note(vm, AUTOSTART_MESSAGE, message)
}
