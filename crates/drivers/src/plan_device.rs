//! What a change of a VM's device means for its host.

use plerion_model::Id;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_protocol::Action;
use plerion_template::Vector;

use crate::plan::{Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_context::context_plan;
use crate::plan_domain::Driver;
use crate::plan_script_disk::disks_of;
use crate::plan_transfer::{disk_end, disk_prepare};
use crate::transfer::Transfer;

/// Plans the change of a device that is under way.
pub(crate) fn device_plan(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    let Some(change) = stay.vm.device_change else {
        return context_change(plan, stay, driver, environment);
    };
    // There is no machine whose devices could be changed.
    let off = stay.vm.phase != Phase::active(LcmState::Hotplug);
    match change {
        DeviceChange::DiskAttach { disk } if off || driver == Driver::Dummy => {
            disk_prepare(plan, stay, &disk_of(stay, disk)?, environment)
        }
        DeviceChange::DiskDetach { disk } if off || driver == Driver::Dummy => {
            disk_end(plan, stay, &disk_of(stay, disk)?, environment)
        }
        DeviceChange::NicAttach { .. }
        | DeviceChange::NicDetach { .. }
        | DeviceChange::NicUpdate { .. }
        | DeviceChange::DiskAttach { .. }
        | DeviceChange::DiskDetach { .. }
        | DeviceChange::DiskResize { .. }
        | DeviceChange::DiskSaveAs { .. }
        | DeviceChange::DiskSnapshotCreate { .. }
        | DeviceChange::DiskSnapshotRevert { .. }
        | DeviceChange::DiskSnapshotDelete { .. }
        | DeviceChange::SnapshotCreate { .. }
        | DeviceChange::SnapshotRevert { .. }
        | DeviceChange::SnapshotDelete { .. } => match driver {
            Driver::Dummy => {
                // Recorded: what the dummy hypervisor calls a snapshot.
                plan.output.snapshot =
                    matches!(change, DeviceChange::SnapshotCreate { .. }).then(|| "dummy-snap".into());
                Ok(())
            }
            Driver::Libvirt => Err(format!(
                "this change of a device is not supported yet on hosts of the driver {}",
                stay.host.vm_mad
            )),
        },
    }
}

fn disk_of(stay: &Stay<'_>, id: Id) -> Result<Vector, String> {
    let wanted = id.to_string();
    disks_of(stay)
        .into_iter()
        .find(|disk| disk.get("DISK_ID") == Some(&wanted))
        .ok_or_else(|| format!("VM {} has no disk {id}", stay.vm.id))
}

/// Makes the CONTEXT disk anew and has the running guest see it.
fn context_change(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if driver == Driver::Libvirt || matches!(Transfer::of(stay), Transfer::Script(_)) {
        context_plan(plan, stay, environment)?;
    }
    if driver == Driver::Libvirt
        && let Some(context) = stay.vm.template.vectors("CONTEXT").next()
    {
        let (name, uuid) = stay.domain();
        let action = Action::DomainMedia {
            name,
            uuid,
            target: context.get("TARGET").unwrap_or_default().to_owned(),
            path: stay.disk_path(context.get("DISK_ID").unwrap_or_default()),
        };
        plan.host(stay.host.id, action, QUICK_DEADLINE_S);
    }
    Ok(())
}
