//! The domain of a VM on its host, as far as all plans need it.

use plerion_protocol::Action;

use crate::plan::{DOMAIN_DEADLINE_S, Plan, QUICK_DEADLINE_S, Stay};

/// The built-in hypervisor drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Dummy,
    Libvirt,
}

impl Driver {
    pub(crate) fn of(stay: &Stay<'_>) -> Result<Self, String> {
        match stay.host.vm_mad.as_str() {
            "dummy" => Ok(Self::Dummy),
            "kvm" | "qemu" => Ok(Self::Libvirt),
            other => Err(format!(
                "hypervisor driver {other} of host {} is not built in; use kvm, qemu or dummy",
                stay.host.name
            )),
        }
    }
}

/// Makes sure that no domain uses the files that are about to be taken away: a start that was reported as failed may
/// have worked all the same. Without a domain this does nothing.
pub(crate) fn domain_end(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) {
    if driver == Driver::Libvirt && !stay.vm.files_at_front_end {
        let (name, uuid) = stay.domain();
        plan.host(
            stay.host.id,
            Action::DomainDestroy { name, uuid },
            DOMAIN_DEADLINE_S,
        );
    }
}

/// Makes sure that the directory is not in use by a domain that this cloud does not know of: with a database put back from
/// a copy, ids are given out again that hosts know already.
pub(crate) fn domain_absent(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) {
    if driver == Driver::Libvirt {
        let (name, uuid) = stay.domain();
        plan.host(
            stay.host.id,
            Action::DomainAbsent { name, uuid },
            QUICK_DEADLINE_S,
        );
    }
}
