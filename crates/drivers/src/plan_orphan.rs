//! VMs whose host has been deleted since they were on it: they can only be ended, and by the front-end alone.

use std::collections::BTreeMap;

use plerion_lifecycle::Ask;
use plerion_model::host::{Host, HostState};
use plerion_model::vm::Vm;
use plerion_model::vm_history::History;
use plerion_protocol::Action;
use plerion_template::PackedTemplate;
use plerion_world::World;

use crate::plan::{Environment, Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_script_disk::{
    Side, directory_script_delete, disk_scripts_delete, disk_scripts_end, disks_of,
};
use crate::plan_transfer::disk_bring_home;
use crate::transfer::Transfer;

/// A VM whose last host is gone.
pub(crate) struct Orphan<'a> {
    world: &'a World,
    vm: &'a Vm,
    record: &'a History,
    /// What its history knows of the host.
    host: Host,
}

impl<'a> Orphan<'a> {
    /// `None` for a VM that is gone itself, was never placed, or has its host.
    pub(crate) fn of(world: &'a World, id: plerion_model::Id) -> Option<Self> {
        let vm = world.vms.get(id)?;
        let record = vm.last_history()?;
        if world.hosts.get(record.host).is_some() {
            return None;
        }
        let host = Host {
            id: record.host,
            name: record.hostname.clone(),
            state: HostState::Offline,
            prev_state: HostState::Offline,
            im_mad: record.vm_mad.clone(),
            vm_mad: record.vm_mad.clone(),
            cluster_id: record.cluster,
            total_cpu: 0,
            total_memory_kib: 0,
            boot_id: String::new(),
            error: String::new(),
            loss: None,
            losses: 0,
            given_up: BTreeMap::new(),
            numa: Vec::new(),
            pci: Vec::new(),
            template: PackedTemplate::default(),
        };
        Some(Self {
            world,
            vm,
            record,
            host,
        })
    }

    /// Plans its end; all else needs the host.
    pub(crate) fn plan(&self, ask: Ask, environment: &Environment<'_>) -> Result<Plan, String> {
        let stay = Stay::on(self.world, self.vm, self.record, &self.host)?;
        let mut plan = Plan::default();
        match ask {
            Ask::Epilog if self.vm.files_at_front_end => {
                disk_scripts_end(&mut plan, &stay, Side::FrontEnd)?;
                for disk in &disks_of(&stay) {
                    if Transfer::of_disk(&stay, disk) == Transfer::Ssh {
                        disk_bring_home(&mut plan, &stay, disk, environment);
                    }
                }
            }
            Ask::Epilog | Ask::Cleanup => disk_scripts_delete(&mut plan, &stay, Side::FrontEnd)?,
            Ask::Prolog
            | Ask::ToHost
            | Ask::Boot
            | Ask::Restore
            | Ask::Shutdown
            | Ask::Save
            | Ask::ToFrontEnd
            | Ask::Migrate
            | Ask::Leave
            | Ask::Move
            | Ask::Resize
            | Ask::Device
            | Ask::Backup
            | Ask::RestoreDisks
            | Ask::Reboot
            | Ask::Reset
            | Ask::GuestAwait => {
                return Err(format!(
                    "host {} ({}), where the VM was last, has been deleted",
                    self.host.id, self.host.name
                ));
            }
        }
        match Transfer::of(&stay) {
            Transfer::Dummy => {}
            Transfer::Script(driver) => directory_script_delete(&mut plan, &stay, driver, Side::FrontEnd),
            Transfer::Ssh | Transfer::Shared => {
                let path = stay.home.clone();
                plan.front_end(Action::PathDelete { path }, QUICK_DEADLINE_S);
            }
        }
        plan.notes.push(self.note(&stay));
        Ok(plan)
    }

    /// What may be left on the host, and what is lost with it.
    fn note(&self, stay: &Stay<'_>) -> String {
        let lost: Vec<String> = if self.vm.files_at_front_end {
            Vec::new()
        } else {
            disks_of(stay)
                .iter()
                .filter(|disk| {
                    disk.get("SAVE") == Some("YES") && Transfer::of_disk(stay, disk) == Transfer::Ssh
                })
                .filter_map(|disk| {
                    Some(format!(
                        "image {} (disk {})",
                        disk.get("IMAGE_ID")?,
                        disk.get("DISK_ID")?
                    ))
                })
                .collect()
        };
        let lost = if lost.is_empty() {
            String::new()
        } else {
            format!(
                ", among it the last state of {}, which are as they were before the VM started",
                lost.join(", ")
            )
        };
        format!(
            "host {} ({}), where VM {} was last, has been deleted: the VM is ended without it. What may be left there in {} \
             is not removed{lost}; look, and remove it by hand",
            self.host.id, self.host.name, self.vm.id, stay.directory
        )
    }
}
