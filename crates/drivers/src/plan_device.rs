//! What a change of a VM's device means for its host.

use plerion_domain::{DomainError, DomainInput, disk_xml, nic_xml};
use plerion_lifecycle::transient;
use plerion_model::Id;
use plerion_model::vm::Vm;
use plerion_model::vm_device::DeviceChange;
use plerion_model::vm_state::{LcmState, Phase};
use plerion_protocol::{Action, Device, DomainChange};
use plerion_template::Vector;
use plerion_world::vm_without_nic;

use crate::plan::{COPY_DEADLINE_S, DOMAIN_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_context::context_plan;
use crate::plan_disk_save::disk_save;
use crate::plan_domain::Driver;
use crate::plan_guest::{guest_cancel, guest_exec};
use crate::plan_script_disk::disk_of;
use crate::plan_snapshot::disk_snapshot_plan;
use crate::plan_transfer::{disk_end, disk_prepare};
use crate::plan_xml::{bridge_add, with_input};
use crate::transfer::{Transfer, disk_format};

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
    // Otherwise there is no machine whose devices could be changed.
    let live = driver == Driver::Libvirt && is_live(stay.vm);
    match change {
        DeviceChange::DiskAttach { disk } => {
            disk_attach(plan, stay, &disk_of(stay, disk)?, environment, live)
        }
        DeviceChange::DiskDetach { disk } => {
            disk_detach(plan, stay, &disk_of(stay, disk)?, environment, live)
        }
        DeviceChange::DiskResize { disk, .. } => disk_grow(plan, stay, driver, &disk_of(stay, disk)?, live),
        DeviceChange::NicAttach { nic } if live => nic_attach(plan, stay, nic, environment),
        DeviceChange::NicDetach { nic } if live => nic_detach(plan, stay, nic, environment),
        DeviceChange::NicUpdate { nic } if live => nic_update(plan, stay, nic, environment),
        DeviceChange::NicAttach { .. } | DeviceChange::NicDetach { .. } | DeviceChange::NicUpdate { .. } => {
            Ok(())
        }
        DeviceChange::SnapshotCreate { .. }
        | DeviceChange::SnapshotRevert { .. }
        | DeviceChange::SnapshotDelete { .. } => {
            snapshot(plan, stay, driver, change);
            Ok(())
        }
        DeviceChange::GuestExec => guest_exec(plan, stay, driver),
        DeviceChange::GuestCancel => guest_cancel(plan, stay, driver),
        DeviceChange::DiskSaveAs {
            disk,
            image,
            snapshot,
        } => disk_save(
            plan,
            stay,
            driver,
            &disk_of(stay, disk)?,
            (image, snapshot),
            environment,
            live,
        ),
        DeviceChange::DiskSnapshotCreate { .. }
        | DeviceChange::DiskSnapshotRevert { .. }
        | DeviceChange::DiskSnapshotDelete { .. }
            if driver == Driver::Dummy =>
        {
            Ok(())
        }
        DeviceChange::DiskSnapshotCreate { disk, .. }
        | DeviceChange::DiskSnapshotRevert { disk, .. }
        | DeviceChange::DiskSnapshotDelete { disk, .. } => {
            disk_snapshot_plan(plan, stay, &disk_of(stay, disk)?, change, live)
        }
    }
}

/// Whether the machine goes on running while the change is made.
pub(crate) fn is_live(vm: &Vm) -> bool {
    transient(vm.phase.lcm).is_some_and(|row| row.done == Phase::active(LcmState::Running))
}

fn disk_attach(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
    live: bool,
) -> Result<(), String> {
    disk_prepare(plan, stay, disk, environment)?;
    if live {
        let id = number(disk, "DISK_ID")?;
        let xml = device_xml(
            stay,
            environment,
            |input| disk_xml(input, id),
            || format!("disk {id}"),
        )?;
        let device = Device::Disk(target(disk));
        let bridges = Vec::new();
        change_plan(
            plan,
            stay,
            DomainChange::Attach { device, xml, bridges },
            QUICK_DEADLINE_S,
        );
    }
    Ok(())
}

fn disk_detach(
    plan: &mut Plan,
    stay: &Stay<'_>,
    disk: &Vector,
    environment: &Environment<'_>,
    live: bool,
) -> Result<(), String> {
    if live {
        let device = Device::Disk(target(disk));
        change_plan(plan, stay, DomainChange::Detach { device }, QUICK_DEADLINE_S);
    }
    disk_end(plan, stay, disk, environment)
}

/// QEMU grows the file of a disk that it has open; else the file grows where it is.
fn disk_grow(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    disk: &Vector,
    live: bool,
) -> Result<(), String> {
    let size_mib = number(disk, "SIZE")?;
    if live {
        let target = target(disk);
        change_plan(
            plan,
            stay,
            DomainChange::Grow { target, size_mib },
            QUICK_DEADLINE_S,
        );
        return Ok(());
    }
    if driver == Driver::Dummy || Transfer::of_disk(stay, disk) == Transfer::Dummy {
        return Ok(());
    }
    let id = disk.get("DISK_ID").unwrap_or_default();
    let at_home = stay.vm.files_at_front_end;
    let directory = if at_home { &stay.home } else { &stay.directory };
    let path = format!("{directory}/disk.{id}");
    let action = Action::DiskCopy {
        source: path.clone(),
        destination: path,
        format: disk_format(disk)?,
        size_mib: Some(size_mib),
    };
    if at_home {
        plan.front_end(action, COPY_DEADLINE_S);
    } else {
        plan.host(stay.host.id, action, COPY_DEADLINE_S);
    }
    Ok(())
}

/// An alias is no device: its guest reads of it in its context.
fn nic_attach(plan: &mut Plan, stay: &Stay<'_>, id: Id, environment: &Environment<'_>) -> Result<(), String> {
    if let Some(nic) = nic_of(stay, id) {
        let mut bridges = Vec::new();
        bridge_add(&mut bridges, &nic)?;
        let xml = nic_xml_of(stay, environment, id)?;
        let device = Device::Nic(mac(&nic));
        change_plan(
            plan,
            stay,
            DomainChange::Attach { device, xml, bridges },
            QUICK_DEADLINE_S,
        );
    }
    context_change(plan, stay, Driver::Libvirt, environment)
}

fn nic_detach(plan: &mut Plan, stay: &Stay<'_>, id: Id, environment: &Environment<'_>) -> Result<(), String> {
    if let Some(nic) = nic_of(stay, id) {
        let device = Device::Nic(mac(&nic));
        change_plan(plan, stay, DomainChange::Detach { device }, QUICK_DEADLINE_S);
    }
    let after = vm_without_nic(stay.world, stay.vm, id);
    let after = Stay {
        vm: &after,
        directory: stay.directory.clone(),
        home: stay.home.clone(),
        ..*stay
    };
    context_change(plan, &after, Driver::Libvirt, environment)
}

fn nic_update(plan: &mut Plan, stay: &Stay<'_>, id: Id, environment: &Environment<'_>) -> Result<(), String> {
    if let Some(nic) = nic_of(stay, id) {
        let xml = nic_xml_of(stay, environment, id)?;
        let device = Device::Nic(mac(&nic));
        change_plan(plan, stay, DomainChange::Update { device, xml }, QUICK_DEADLINE_S);
    }
    Ok(())
}

/// A snapshot of the machine, with its memory.
fn snapshot(plan: &mut Plan, stay: &Stay<'_>, driver: Driver, change: DeviceChange) {
    // What the hypervisors call them (recorded).
    let named = |snapshot: Id| match driver {
        Driver::Dummy => "dummy-snap".to_owned(),
        Driver::Libvirt => format!("snap-{snapshot}"),
    };
    let change = match change {
        DeviceChange::SnapshotCreate { snapshot } => {
            plan.output.snapshot = Some(named(snapshot));
            DomainChange::SnapshotTake {
                snapshot: named(snapshot),
            }
        }
        DeviceChange::SnapshotRevert { snapshot } => DomainChange::SnapshotRevert {
            snapshot: named(snapshot),
        },
        DeviceChange::SnapshotDelete { snapshot } => DomainChange::SnapshotDelete {
            snapshot: named(snapshot),
        },
        _ => return,
    };
    if driver == Driver::Libvirt {
        change_plan(plan, stay, change, DOMAIN_DEADLINE_S);
    }
}

fn change_plan(plan: &mut Plan, stay: &Stay<'_>, change: DomainChange, deadline_s: u32) {
    let (name, uuid) = stay.domain();
    plan.host(
        stay.host.id,
        Action::DomainChange { name, uuid, change },
        deadline_s,
    );
}

fn device_xml(
    stay: &Stay<'_>,
    environment: &Environment<'_>,
    make: impl FnOnce(&DomainInput<'_>) -> Result<Option<String>, DomainError>,
    what: impl FnOnce() -> String,
) -> Result<String, String> {
    with_input(stay, environment, make)?.ok_or_else(|| format!("VM {} has no {}", stay.vm.id, what()))
}

fn nic_xml_of(stay: &Stay<'_>, environment: &Environment<'_>, id: Id) -> Result<String, String> {
    let number = u64::try_from(id).unwrap_or(u64::MAX);
    device_xml(
        stay,
        environment,
        |input| nic_xml(input, number),
        || format!("NIC {id}"),
    )
}

fn number(vector: &Vector, key: &str) -> Result<u64, String> {
    let text = vector.get(key).unwrap_or_default();
    text.parse()
        .map_err(|_| format!("{key} is {text:?}, and no number"))
}

fn target(disk: &Vector) -> String {
    disk.get("TARGET").unwrap_or_default().to_owned()
}

fn mac(nic: &Vector) -> String {
    nic.get("MAC").unwrap_or_default().to_owned()
}

/// A NIC that is a device; aliases are none.
fn nic_of(stay: &Stay<'_>, id: Id) -> Option<Vector> {
    let wanted = id.to_string();
    let mut nics = stay.vm.template.vectors("NIC");
    nics.find(|nic| nic.get("NIC_ID") == Some(&wanted))
        .map(|nic| nic.to_vector())
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
