//! What moving a VM to another host or system datastore means for its hosts.

use crate::plan::{Plan, Stay};
use crate::plan_script_disk::files_scripts_relocate;
use crate::plan_vm::Driver;
use crate::transfer::Transfer;

fn not_yet(stay: &Stay<'_>) -> String {
    format!(
        "moving VMs between hosts of the driver {} is not supported yet",
        stay.host.vm_mad
    )
}

/// Moves the running domain to the host of the newest stay.
pub(crate) fn domain_migrate(_plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    if let Transfer::Script(name) = Transfer::of(stay) {
        return Err(format!(
            "live migration with the transfer driver {name} of datastore {} is not supported yet: migrate the VM without \
             --live",
            stay.system.id
        ));
    }
    match driver {
        // Recorded: the name that the dummy hypervisor gave stays that of the first host.
        Driver::Dummy => Ok(()),
        Driver::Libvirt => Err(not_yet(stay)),
    }
}

/// Ends or saves the domain on the host that the VM leaves.
pub(crate) fn domain_leave(_plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    match driver {
        Driver::Dummy => Ok(()),
        Driver::Libvirt => Err(not_yet(stay)),
    }
}

/// Moves the VM's files to where the newest stay is.
pub(crate) fn files_move(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    match driver {
        Driver::Dummy => {}
        Driver::Libvirt => return Err(not_yet(stay)),
    }
    // Scripts may have moved some: on the way back they are told to move all from where they could not get (recorded).
    files_scripts_relocate(plan, &stay.before()?, stay)
}
