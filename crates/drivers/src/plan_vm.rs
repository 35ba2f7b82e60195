//! What the intents of a VM mean: disks, context, domain.

use plerion_domain::domain_xml;
use plerion_lifecycle::Ask;
use plerion_model::vm_history::HistoryAction;
use plerion_protocol::{Action, ContextFile};
use plerion_world::{Intent, World};

use crate::plan::{DOMAIN_DEADLINE_S, Environment, Plan, QUICK_DEADLINE_S, SHUTDOWN_DEADLINE_S, Stay};
use crate::plan_backup;
use crate::plan_context::{boot_files_plan, context_plan};
use crate::plan_device;
use crate::plan_domain::{Driver, domain_absent, domain_end};
use crate::plan_guest;
use crate::plan_migrate;
use crate::plan_orphan::Orphan;
use crate::plan_script_disk::{Side, directory_script_delete, disk_scripts_delete};
use crate::plan_transfer::{disk_prepare, files_end, files_to_front_end, files_to_host};
use crate::plan_xml::{bridges, vm_records, with_input, with_input_sealed};
use crate::transfer::Transfer;

/// Plans an intent of a VM.
pub(crate) fn vm_plan(
    world: &World,
    intent: &Intent,
    ask: Ask,
    environment: &Environment<'_>,
) -> Result<Plan, String> {
    if let Some(orphan) = Orphan::of(world, intent.key.id) {
        return orphan.plan(ask, environment);
    }
    let stay = Stay::of(world, intent.key.id)?;
    let mut plan = Plan::default();
    let driver = Driver::of(&stay)?;
    match ask {
        Ask::Prolog => {
            domain_absent(&mut plan, &stay, driver);
            prolog(&mut plan, &stay, intent.key.part, environment)?;
        }
        Ask::ToHost => {
            domain_absent(&mut plan, &stay, driver);
            files_to_host(&mut plan, &stay, environment)?;
        }
        Ask::ToFrontEnd => {
            domain_end(&mut plan, &stay, driver);
            files_to_front_end(&mut plan, &stay, environment)?;
        }
        Ask::Epilog => {
            domain_end(&mut plan, &stay, driver);
            files_end(&mut plan, &stay, environment)?;
        }
        Ask::Boot => boot(&mut plan, &stay, driver, environment)?,
        Ask::Restore => restore(&mut plan, &stay, driver, environment)?,
        Ask::Cleanup => {
            domain_end(&mut plan, &stay, driver);
            cleanup_files(&mut plan, &stay)?;
            // A VM that was on its way may have left something wherever it was.
            for place in stay.vm.places().skip(1) {
                let other = stay.at(place)?;
                domain_end(&mut plan, &other, Driver::of(&other)?);
                cleanup_files(&mut plan, &other)?;
            }
        }
        Ask::Resize => domain_resize(&mut plan, &stay, driver),
        Ask::Device => plan_device::device_plan(&mut plan, &stay, driver, environment)?,
        Ask::Backup => plan_backup::backup(&mut plan, &stay, driver, environment)?,
        Ask::RestoreDisks => plan_backup::disks_restore(&mut plan, &stay, driver, environment)?,
        Ask::Migrate => plan_migrate::domain_migrate(&mut plan, &stay, driver, environment)?,
        Ask::Leave => plan_migrate::domain_leave(&mut plan, &stay, driver)?,
        Ask::Move => plan_migrate::files_move(&mut plan, &stay, driver, environment)?,
        Ask::GuestAwait => plan_guest::guest_await(&mut plan, &stay, driver)?,
        Ask::Shutdown | Ask::Save | Ask::Reboot | Ask::Reset => {
            if driver == Driver::Libvirt {
                let (action, deadline_s) = domain_action(&stay, ask);
                plan.host(stay.host.id, action, deadline_s);
            }
        }
    }
    Ok(plan)
}

fn prolog(plan: &mut Plan, stay: &Stay<'_>, part: u32, environment: &Environment<'_>) -> Result<(), String> {
    let wanted = part.to_string();
    let disk = stay
        .vm
        .template
        .vectors("DISK")
        .find(|disk| disk.get("DISK_ID") == Some(&wanted));
    match disk {
        Some(disk) => disk_prepare(plan, stay, &disk.to_vector(), environment),
        // A VM without disks.
        None => Ok(()),
    }
}

/// Deletes the VM's files wherever they may be.
fn cleanup_files(plan: &mut Plan, stay: &Stay<'_>) -> Result<(), String> {
    // A transfer home may have been done before what came after it failed.
    let copied_home = Transfer::of(stay) == Transfer::Ssh;
    let sides: &[Side] = if stay.vm.files_at_front_end || copied_home {
        &[Side::Host, Side::FrontEnd]
    } else {
        &[Side::Host]
    };
    for side in sides {
        disk_scripts_delete(plan, stay, *side)?;
        match (Transfer::of(stay), side) {
            (Transfer::Dummy, _) => {}
            (Transfer::Script(driver), _) => directory_script_delete(plan, stay, driver, *side),
            (Transfer::Ssh | Transfer::Shared, Side::Host) => {
                let path = stay.directory.clone();
                plan.host(stay.host.id, Action::PathDelete { path }, QUICK_DEADLINE_S);
            }
            (Transfer::Ssh | Transfer::Shared, Side::FrontEnd) => {
                let path = stay.home.clone();
                plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
            }
        }
    }
    Ok(())
}

fn domain_action(stay: &Stay<'_>, ask: Ask) -> (Action, u32) {
    let (name, uuid) = stay.domain();
    let hard = stay.vm.last_history().is_some_and(|record| {
        matches!(
            record.action,
            HistoryAction::TerminateHard | HistoryAction::PoweroffHard | HistoryAction::UndeployHard
        )
    });
    match ask {
        Ask::Shutdown if hard => (Action::DomainDestroy { name, uuid }, DOMAIN_DEADLINE_S),
        Ask::Save => {
            let checkpoint = format!("{}/checkpoint", stay.directory);
            let action = Action::DomainSave {
                name,
                uuid,
                checkpoint,
            };
            (action, DOMAIN_DEADLINE_S)
        }
        Ask::Reboot => (Action::DomainReboot { name, uuid }, QUICK_DEADLINE_S),
        Ask::Reset => (Action::DomainReset { name, uuid }, QUICK_DEADLINE_S),
        Ask::Shutdown
        | Ask::Prolog
        | Ask::ToHost
        | Ask::Boot
        | Ask::Restore
        | Ask::Epilog
        | Ask::ToFrontEnd
        | Ask::Resize
        | Ask::Device
        | Ask::Backup
        | Ask::RestoreDisks
        | Ask::Migrate
        | Ask::Leave
        | Ask::Move
        | Ask::GuestAwait
        | Ask::Cleanup => (Action::DomainShutdown { name, uuid }, SHUTDOWN_DEADLINE_S),
    }
}

/// Gives the domain what of its capacity has changed.
fn domain_resize(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) {
    if driver != Driver::Libvirt {
        return;
    }
    let template = &stay.vm.template;
    let before = stay.vm.capacity_before.as_deref().cloned().unwrap_or_default();
    let number = |name: &str, before: Option<String>| {
        let now = template.get(name)?;
        (before.as_deref() != Some(now)).then(|| now.parse::<u64>().ok())?
    };
    let (name, uuid) = stay.domain();
    let action = Action::DomainResize {
        name,
        uuid,
        vcpus: number("VCPU", before.vcpu).and_then(|vcpus| u32::try_from(vcpus).ok()),
        memory_kib: number("MEMORY", before.memory).map(|mib| mib.saturating_mul(1024)),
    };
    plan.host(stay.host.id, action, QUICK_DEADLINE_S);
}

/// What the dummy hypervisor calls a VM (recorded): host, name, driver.
fn dummy_deploy_id(stay: &Stay<'_>) -> String {
    format!("{}:{}:dummy", stay.host.name, stay.vm.name)
}

fn boot(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if driver == Driver::Dummy {
        plan.output.deploy_id = Some(dummy_deploy_id(stay));
        // Nobody reads the disk there; but scripts are run for dummy hosts like for others.
        if matches!(Transfer::of(stay), Transfer::Script(_)) {
            context_plan(plan, stay, environment)?;
        }
        return Ok(());
    }
    boot_files_plan(plan, stay, environment);
    context_plan(plan, stay, environment)?;
    let seq = stay.vm.last_history().map_or(0, |record| record.seq);
    let deployment_file = format!("deployment.{seq}");
    let xml = with_input(stay, environment, domain_xml)?;
    plan.records.push(ContextFile {
        name: deployment_file.clone(),
        text: with_input_sealed(stay, environment, domain_xml)?,
    });
    let action = Action::DomainStart {
        name: stay.vm.domain_name(),
        uuid: stay.vm.uuid().to_owned(),
        directory: stay.directory.clone(),
        xml,
        deployment_file,
        files: vm_records(stay),
        bridges: bridges(&stay.vm.template)?,
    };
    plan.host(stay.host.id, action, DOMAIN_DEADLINE_S);
    Ok(())
}

fn restore(
    plan: &mut Plan,
    stay: &Stay<'_>,
    driver: Driver,
    environment: &Environment<'_>,
) -> Result<(), String> {
    if driver == Driver::Dummy {
        plan.output.deploy_id = Some(dummy_deploy_id(stay));
        return Ok(());
    }
    let action = Action::DomainRestore {
        name: stay.vm.domain_name(),
        uuid: stay.vm.uuid().to_owned(),
        checkpoint: format!("{}/checkpoint", stay.directory),
        xml: with_input(stay, environment, domain_xml)?,
        bridges: bridges(&stay.vm.template)?,
    };
    plan.host(stay.host.id, action, DOMAIN_DEADLINE_S);
    Ok(())
}
