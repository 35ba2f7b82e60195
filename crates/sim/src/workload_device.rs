//! What callers ask of the devices, backups, guests and schedules of VMs.

use std::sync::Arc;

use plerion_model::vm::Vm;
use plerion_model::vm_state::{LcmState, Phase, VmState};
use plerion_model::{Id, Kind};
use plerion_template::{Template, Vector};
use plerion_world::{
    BackupJobCommand, Command, GuestCommand, SchedCommand, VmBackupCommand, VmDeviceCommand, VmGroupCommand,
    World,
};

use crate::simulation::Simulation;

/// The backup datastore of a run.
pub(crate) const BACKUPS: Id = 103;
/// Images above which callers make no more.
const IMAGES_MANY: usize = 40;
/// Longest time until what is scheduled is due, in seconds.
const DUE_MAX: u64 = 300;

fn one(name: &str, pairs: &[(&str, &str)]) -> Template {
    let vector: Vector = pairs.iter().copied().collect();
    let mut template = Template::new();
    template.add_vector(name, vector);
    template
}

impl Simulation {
    /// A VM that rests or runs, if there is one: of others devices cannot be changed.
    fn vm_still(&mut self, world: &Arc<World>) -> Option<Id> {
        let off = |vm: &Vm| vm.phase.state == VmState::Poweroff;
        let running = |vm: &Vm| vm.phase == Phase::active(LcmState::Running);
        match self.random.below(9) {
            0 => self.vm_pick(world),
            1 => self.vm_such(world, |vm| {
                matches!(vm.phase.state, VmState::Suspended | VmState::Undeployed)
            }),
            2..=5 => self.vm_such(world, off),
            _ => self.vm_such(world, running),
        }
    }

    /// A device comes, goes or changes.
    pub(crate) fn vm_device(&mut self, world: &Arc<World>) -> Option<Command> {
        let id = self.vm_still(world)?;
        let part = self.random.pick(&[0, 0, 1, 1, 2, 3])?;
        let image = self.image_pick(world)?.to_string();
        let command = match self.random.below(9) {
            0 => VmDeviceCommand::NicAttach(one("NIC", &[("NETWORK_ID", "0")])),
            1 => VmDeviceCommand::NicAttach(one("NIC_ALIAS", &[("NETWORK_ID", "0"), ("PARENT", "NIC0")])),
            2 => VmDeviceCommand::NicDetach(part),
            3 => VmDeviceCommand::DiskAttach(one("DISK", &[("IMAGE_ID", &image)])),
            4 => VmDeviceCommand::DiskAttach(one("DISK", &[("TYPE", "fs"), ("SIZE", "5")])),
            5 => VmDeviceCommand::DiskDetach(part),
            6 => VmDeviceCommand::NicUpdate {
                nic: part,
                template: one("NIC", &[("INBOUND_AVG_BW", self.random.pick(&["100", "200"])?)]),
                merge: true,
            },
            7 => VmDeviceCommand::SecurityGroup {
                nic: part,
                group: self.random.pick(&[0, 0, 1])?,
                attach: self.random.chance(500),
            },
            _ => return self.vm_pci(id),
        };
        Some(Command::VmDevice { id, command })
    }

    /// A PCI device comes or goes, of one VM of the run only. (A known shortcoming: of two that are given the same device in
    /// turn, one that was stopped or is being moved counts as its holder while it is ended or has not arrived.)
    fn vm_pci(&mut self, id: Id) -> Option<Command> {
        let id = *self.pci_vm.get_or_insert(id);
        let command = if self.random.chance(600) {
            VmDeviceCommand::PciAttach(one("PCI", &[("VENDOR", "10de")]))
        } else {
            VmDeviceCommand::PciDetach(self.random.pick(&[0, 0, 1])?)
        };
        Some(Command::VmDevice { id, command })
    }

    /// A disk is snapshotted, saved or made larger, or the machine is.
    pub(crate) fn vm_disk(&mut self, world: &Arc<World>) -> Option<Command> {
        if self.random.chance(500)
            && let Some(command) = self.snapshot_kept(world)
        {
            return Some(command);
        }
        let id = self.vm_still(world)?;
        let disk = self.random.pick(&[0, 0, 0, 1, 2])?;
        let snapshot = self.random.pick(&[0, 0, 1, 2])?;
        let number = self.number();
        let command = match self.random.below(12) {
            0 | 1 => VmDeviceCommand::DiskSnapshotCreate(disk, format!("snapshot {number}")),
            2 | 3 => VmDeviceCommand::DiskSnapshotRevert(disk, snapshot),
            4 => VmDeviceCommand::DiskSnapshotDelete(disk, snapshot),
            5 => VmDeviceCommand::DiskSnapshotRename(disk, snapshot, format!("snapshot {number}")),
            6 if world.images.len() < IMAGES_MANY => VmDeviceCommand::DiskSaveAs {
                disk,
                name: format!("saved {number}"),
                kind: String::new(),
                snapshot: self.random.pick(&[-1, -1, 0])?,
            },
            6 | 7 => VmDeviceCommand::DiskResize {
                disk,
                size: (1024 + number % 1000).to_string(),
            },
            8 | 9 => VmDeviceCommand::SnapshotCreate(String::new()),
            10 => VmDeviceCommand::SnapshotRevert(snapshot),
            _ => VmDeviceCommand::SnapshotDelete(snapshot),
        };
        Some(Command::VmDevice { id, command })
    }

    /// Something is done with a snapshot that is there.
    fn snapshot_kept(&mut self, world: &Arc<World>) -> Option<Command> {
        let mut kept: Vec<(Id, Option<Id>, Id)> = Vec::new();
        let off = self.random.chance(700);
        let still = |vm: &Vm| vm.phase.state == VmState::Poweroff || !off;
        for vm in world.vms.values().filter(|vm| still(vm)) {
            for (disk, tree) in &vm.disk_snapshots {
                kept.extend(
                    tree.snapshots
                        .iter()
                        .map(|snapshot| (vm.id, Some(*disk), snapshot.id)),
                );
            }
            let machine = vm.template.vectors("SNAPSHOT");
            kept.extend(machine.filter_map(|snapshot| {
                let number = snapshot.get("SNAPSHOT_ID")?.parse().ok()?;
                Some((vm.id, None, number))
            }));
        }
        let (id, disk, snapshot) = self.random.pick(&kept)?;
        let number = self.number();
        let command = match (disk, self.random.below(6)) {
            (Some(disk), 0) => VmDeviceCommand::DiskSnapshotCreate(disk, format!("next {number}")),
            (Some(disk), 1..=2) => VmDeviceCommand::DiskSnapshotRevert(disk, snapshot),
            (Some(disk), 3..=4) => VmDeviceCommand::DiskSnapshotDelete(disk, snapshot),
            (Some(disk), _) => VmDeviceCommand::DiskSnapshotRename(disk, snapshot, format!("kept {number}")),
            (None, 0..=2) => VmDeviceCommand::SnapshotRevert(snapshot),
            (None, _) => VmDeviceCommand::SnapshotDelete(snapshot),
        };
        Some(Command::VmDevice { id, command })
    }

    /// A VM is backed up, or taken back to a backup.
    pub(crate) fn vm_backup(&mut self, world: &Arc<World>) -> Option<Command> {
        if self.random.chance(150) {
            return self.backup_job(world);
        }
        let under_way: Vec<Id> = world
            .vms
            .values()
            .filter(|vm| vm.backup_run().is_some())
            .map(|vm| vm.id)
            .collect();
        if let Some(id) = self.random.pick(&under_way)
            && self.random.chance(300)
        {
            let command = VmBackupCommand::Cancel;
            return Some(Command::VmBackup { id, command });
        }
        let is_off = |id: Id| {
            world
                .vms
                .get(id)
                .is_some_and(|vm| vm.phase.state == VmState::Poweroff)
        };
        let backups: Vec<(Id, Id)> = world
            .images
            .values()
            .filter_map(|image| Some((image.id, image.backup.as_ref()?.vm)))
            .filter(|(_, vm)| is_off(*vm))
            .collect();
        if let Some((image, id)) = self.random.pick(&backups)
            && self.random.chance(800)
        {
            let command = VmBackupCommand::Restore {
                image,
                increment: -1,
                disk: -1,
            };
            return Some(Command::VmBackup { id, command });
        }
        let command = VmBackupCommand::Make {
            datastore: BACKUPS,
            reset: self.random.chance(200),
        };
        let id = self.vm_still(world)?;
        Some(Command::VmBackup { id, command })
    }

    fn backup_job(&mut self, world: &Arc<World>) -> Option<Command> {
        let jobs: Vec<Id> = world.backupjobs.iter().map(|(id, _)| id).collect();
        let Some(id) = self.random.pick(&jobs) else {
            let mut template = Template::new();
            template.set("NAME", format!("job {}", self.number()));
            template.set("DATASTORE_ID", BACKUPS.to_string());
            template.set("BACKUP_VMS", self.vm_pick(world)?.to_string());
            return Some(Command::BackupJob(BackupJobCommand::Allocate { template }));
        };
        Some(match self.random.below(6) {
            0 => Command::BackupJob(BackupJobCommand::Cancel { id }),
            1 => Command::BackupJob(BackupJobCommand::Retry { id }),
            2 => Command::Delete {
                kind: Kind::BackupJob,
                id,
            },
            _ => Command::BackupJob(BackupJobCommand::Backup { id }),
        })
    }

    /// A command is run in a guest, or the guest is given another context.
    pub(crate) fn vm_guest(&mut self, world: &Arc<World>) -> Option<Command> {
        let id = self.vm_still(world)?;
        let executing: Vec<Id> = world
            .vms
            .values()
            .filter(|vm| vm.template.pair("QEMU_GA_EXEC", "STATUS") == Some("EXECUTING"))
            .map(|vm| vm.id)
            .collect();
        if let Some(id) = self.random.pick(&executing)
            && self.random.chance(400)
        {
            let command = GuestCommand::Cancel;
            return Some(Command::VmExec { id, command });
        }
        Some(match self.random.below(5) {
            0 | 1 => Command::VmUpdateConf {
                id,
                template: one(
                    "CONTEXT",
                    &[("NETWORK", "YES"), ("ROUND", &self.number().to_string())],
                ),
                append: self.random.chance(500),
            },
            2 => Command::VmExec {
                id,
                command: GuestCommand::Retry,
            },
            _ => Command::VmExec {
                id,
                command: GuestCommand::Run {
                    command: "true".into(),
                    stdin: String::new(),
                },
            },
        })
    }

    /// A VM joins or leaves a group, or something is scheduled for it.
    pub(crate) fn vm_plan(&mut self, world: &Arc<World>) -> Option<Command> {
        let vm = self.vm_pick(world)?;
        match self.random.below(4) {
            0 => {
                let groups: Vec<Id> = world.vmgroups.iter().map(|(id, _)| id).collect();
                let id = self.random.pick(&groups)?;
                let role = self.random.pick(&["apart", "together"])?.to_owned();
                Some(Command::VmGroup(VmGroupCommand::VmAdd { vm, id, role }))
            }
            1 => Some(Command::VmGroup(VmGroupCommand::VmRemove { vm })),
            _ => {
                let action = self.random.pick(&[
                    "terminate",
                    "poweroff",
                    "poweroff-hard",
                    "resume",
                    "suspend",
                    "stop",
                    "undeploy",
                    "reboot",
                    "hold",
                    "release",
                ])?;
                let seconds = i64::try_from(self.random.between(1, DUE_MAX)).unwrap_or(1);
                let time = plerion_engine::Clock::now(&*self.clock).saturating_add(seconds);
                Some(Command::Sched(SchedCommand::Add {
                    kind: Kind::Vm,
                    id: vm,
                    template: one("SCHED_ACTION", &[("ACTION", action), ("TIME", &time.to_string())]),
                }))
            }
        }
    }
}
