//! What moving a VM to another host or system datastore means for its hosts.
//!
//! Hosts need no way to each other: what is on the disks of one goes to another over the front-end.

use plerion_model::host::Host;
use plerion_model::vm_history::HistoryAction;
use plerion_protocol::{Action, Location, MirrorDisk};

use crate::plan::{
    COPY_DEADLINE_S, DOMAIN_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, SHUTDOWN_DEADLINE_S, Stay,
};
use crate::plan_context::{boot_files_plan, context_plan};
use crate::plan_domain::{Driver, domain_absent, domain_end};
use crate::plan_script_disk::{disks_of, files_scripts_relocate};
use crate::plan_snapshot::snapshots_stay;
use crate::plan_transfer::{disk_prepare, same_place};
use crate::plan_xml::{bridges, vm_records};
use crate::transfer::{Transfer, disk_format};

/// Moves the running domain to the host of the newest stay.
pub(crate) fn domain_migrate(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    let transfer = Transfer::of(stay);
    if let Transfer::Script(name) = transfer {
        return Err(format!(
            "live migration with the transfer driver {name} of datastore {} is not supported yet: migrate the VM without \
             --live",
            stay.system.id
        ));
    }
    // Recorded: the name that the dummy hypervisor gave stays that of the first host.
    if driver == Driver::Dummy {
        return Ok(());
    }
    let left = stay.left()?;
    if left.directory != stay.directory {
        return Err(format!(
            "hosts {} and {} keep VMs in different directories (DATASTORE_LOCATION: {} and {}), and a running domain cannot \
             be given another one: migrate the VM without --live",
            left.host.id, stay.host.id, left.directory, stay.directory
        ));
    }
    let (name, uuid) = stay.domain();
    let receive = Action::DomainReceive {
        name: name.clone(),
        uuid: uuid.clone(),
        directory: stay.directory.clone(),
        files: vm_records(stay),
        bridges: bridges(&stay.vm.template)?,
    };
    plan.host(stay.host.id, receive, QUICK_DEADLINE_S);
    let copied = transfer == Transfer::Ssh;
    let migrate = Action::DomainMigrate {
        name,
        uuid,
        directory: stay.directory.clone(),
        from: (environment.ssh_target)(&left.host.name),
        to: (environment.ssh_target)(&stay.host.name),
        disks: if copied {
            snapshots_stay(stay)?;
            disks_mirror(plan, stay, environment)?
        } else {
            Vec::new()
        },
    };
    plan.front_end(migrate, COPY_DEADLINE_S);
    if copied {
        // The VM runs elsewhere by now, whatever becomes of its old files.
        let path = left.directory.clone();
        plan.host_afterwards(left.host.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
    }
    Ok(())
}

/// The disks that the hypervisor copies while it moves the domain. What is only read is brought beforehand.
fn disks_mirror(
    plan: &mut Plan,
    stay: &Stay<'_>,
    environment: &Environment<'_>,
) -> Result<Vec<MirrorDisk>, String> {
    boot_files_plan(plan, stay, environment);
    context_plan(plan, stay, environment)?;
    let mut disks = Vec::new();
    for disk in &disks_of(stay) {
        if disk
            .get("TYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("cdrom"))
        {
            disk_prepare(plan, stay, disk, environment)?;
            continue;
        }
        disks.push(MirrorDisk {
            target: disk.get("TARGET").unwrap_or_default().to_owned(),
            path: stay.disk_path(disk.get("DISK_ID").unwrap_or_default()),
            format: disk_format(disk)?,
        });
    }
    Ok(disks)
}

/// Ends or saves the domain on the host that the VM leaves.
pub(crate) fn domain_leave(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    if driver == Driver::Dummy {
        return Ok(());
    }
    let left = stay.left()?;
    let (name, uuid) = left.domain();
    let (action, deadline_s) = match stay.vm.last_history().map(|record| record.action) {
        Some(HistoryAction::PoweroffMigrate) => (Action::DomainShutdown { name, uuid }, SHUTDOWN_DEADLINE_S),
        Some(HistoryAction::PoweroffHardMigrate) => (Action::DomainDestroy { name, uuid }, DOMAIN_DEADLINE_S),
        _ => {
            let checkpoint = format!("{}/checkpoint", left.directory);
            let action = Action::DomainSave {
                name,
                uuid,
                checkpoint,
            };
            (action, DOMAIN_DEADLINE_S)
        }
    };
    plan.host(left.host.id, action, deadline_s);
    Ok(())
}

/// Moves the VM's files to where the newest stay is.
pub(crate) fn files_move(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    let left = stay.left()?;
    let back = left.host.id == stay.host.id && left.system.id == stay.system.id;
    // One that was given up there cannot run there, and the host could not be asked.
    let given_up = left.host.given_up.contains_key(&stay.vm.id);
    if driver == Driver::Libvirt && !back && !given_up {
        // Where nobody knows whether the domain still runs, the files wait for the host that can tell.
        domain_end(plan, &left, driver);
    }
    domain_absent(plan, stay, driver);
    // Scripts may have moved some: on the way back they are told to move all from where they could not get (recorded).
    files_scripts_relocate(plan, &stay.before()?, stay)?;
    match Transfer::of(stay) {
        Transfer::Dummy | Transfer::Script(_) => {}
        // Where they are from goes last, and only when all are there: on the way back they are where they were.
        transfer @ (Transfer::Ssh | Transfer::Shared) if back => {
            let failed = stay.before()?;
            if transfer == Transfer::Ssh || failed.directory != stay.directory {
                plan.notes.push(format!(
                    "what was already on host {} ({}) of VM {} is not removed: look at {} there, and remove it by hand",
                    failed.host.id, failed.host.name, stay.vm.id, failed.directory
                ));
            }
        }
        Transfer::Ssh => {
            let seen = [same_place(&left), same_place(stay)];
            files_over_front_end(plan, &left, stay, left.host, seen, environment);
        }
        // All see the same files of one datastore.
        Transfer::Shared if left.directory == stay.directory => {}
        // The front-end has all shared datastores; a host that was given up gives nothing.
        Transfer::Shared => {
            let giver = if given_up { stay.host } else { left.host };
            files_over_front_end(plan, &left, stay, giver, [false, true], environment);
        }
    }
    Ok(())
}

/// Copies the directory that a host gives from where it was to where it is to be over the front-end, then has the host delete
/// it. A leg on a side whose files the front-end sees itself is none.
fn files_over_front_end(
    plan: &mut Plan,
    left: &Stay<'_>,
    stay: &Stay<'_>,
    giver: &Host,
    [from_seen, to_seen]: [bool; 2],
    environment: &Environment<'_>,
) {
    if from_seen && to_seen && left.directory == stay.directory {
        return;
    }
    let there =
        |host: &Host, path: &str| Location::There((environment.ssh_target)(&host.name), path.to_owned());
    let here = || Location::Here(stay.home.clone());
    // Exactly one end of a transfer is with whoever does it: the host that the VM leaves gives its files also where the
    // front-end sees both places.
    let pushed = from_seen && !to_seen;
    if !pushed {
        let action = Action::Transfer {
            source: there(giver, &left.directory),
            destination: here(),
        };
        plan.front_end(action, COPY_DEADLINE_S);
    }
    if !to_seen {
        let action = Action::Transfer {
            source: if pushed {
                Location::Here(left.home.clone())
            } else {
                here()
            },
            destination: there(stay.host, &stay.directory),
        };
        plan.front_end(action, COPY_DEADLINE_S);
    }
    if !from_seen && !to_seen {
        let path = stay.home.clone();
        plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
    }
    let path = left.directory.clone();
    plan.host(giver.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
}
