//! [`Plan`]: what an intent means, as steps for agents.

use plerion_model::datastore::Datastore;
use plerion_model::host::Host;
use plerion_model::vm::{Place as VmPlace, Vm};
use plerion_model::vm_history::History;
use plerion_model::{Id, Seconds};
use plerion_protocol::{Action, ActionOutput, ContextFile, SshTarget};
use plerion_template::Template;
use plerion_world::{CommandEnd, Output, World};

/// Whose agent does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The front-end's.
    FrontEnd,
    /// A host's.
    Host(Id),
}

/// One action for one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Whose agent.
    pub place: Place,
    /// What.
    pub action: Action,
    /// Seconds that the agent has for it.
    pub deadline_s: u32,
    /// Whether what was asked for is reached without it, too: then neither its failure nor the absence of its agent counts.
    pub dispensable: bool,
}

/// What an intent means: steps, one after another, and what is known of the result without them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Steps; none for dummy drivers.
    pub steps: Vec<Step>,
    /// Result, completed by what the steps give back.
    pub output: Output,
    /// What an administrator should know about it, for the log.
    pub notes: Vec<String>,
    /// Files of a VM that the front-end keeps for people.
    pub records: Vec<ContextFile>,
}

/// What a plan needs to know beyond the world.
pub struct Environment<'a> {
    /// `vmm_exec_kvm.conf`.
    pub hypervisor_conf: &'a Template,
    /// Now.
    pub now: Seconds,
    /// How the front-end's agent reaches a host for transfers.
    pub ssh_target: &'a dyn Fn(&str) -> SshTarget,
}

/// Time for a copy; images may be large.
pub(crate) const COPY_DEADLINE_S: u32 = 6 * 3600;
/// Time to start or save a domain.
pub(crate) const DOMAIN_DEADLINE_S: u32 = 300;
/// Time for a guest to shut down. (The reference waits as long by default.)
pub(crate) const SHUTDOWN_DEADLINE_S: u32 = 180;
/// Time for small things.
pub(crate) const QUICK_DEADLINE_S: u32 = 60;

impl Plan {
    pub(crate) fn front_end(&mut self, action: Action, deadline_s: u32) {
        self.steps.push(Step {
            place: Place::FrontEnd,
            action,
            deadline_s,
            dispensable: false,
        });
    }

    pub(crate) fn host(&mut self, host: Id, action: Action, deadline_s: u32) {
        self.steps.push(Step {
            place: Place::Host(host),
            action,
            deadline_s,
            dispensable: false,
        });
    }

    /// A step of which the result does not depend: if it cannot be done, that is logged.
    pub(crate) fn host_afterwards(&mut self, host: Id, action: Action, deadline_s: u32) {
        self.steps.push(Step {
            place: Place::Host(host),
            action,
            deadline_s,
            dispensable: true,
        });
    }
}

/// Adds what a step gave back to the result of its plan.
pub fn output_of(output: &mut Output, given: &ActionOutput) {
    if let Some(uuid) = &given.uuid {
        output.deploy_id = Some(uuid.clone());
    }
    if let Some(size) = given.size_mib {
        output.size_mib = Some(size);
    }
    if let Some(format) = given.format {
        output.format = Some(format.as_str().to_owned());
    }
    if let Some(format) = &given.format_name {
        output.format = Some(format.clone());
    }
    if let Some(source) = &given.source {
        output.source = Some(source.clone());
    }
    if let Some(pid) = given.guest_pid {
        output.guest_pid = Some(pid);
    }
    if let Some(end) = &given.guest_end {
        output.guest_end = Some(CommandEnd {
            status: end.status,
            stdout: end.stdout.clone(),
            stderr: end.stderr.clone(),
        });
    }
}

/// A VM in its last stay: the host, the system datastore, the directories.
pub(crate) struct Stay<'a> {
    pub(crate) world: &'a World,
    pub(crate) vm: &'a Vm,
    pub(crate) host: &'a Host,
    pub(crate) system: &'a Datastore,
    /// Directory on the host.
    pub(crate) directory: String,
    /// Directory on the front-end.
    pub(crate) home: String,
}

impl<'a> Stay<'a> {
    pub(crate) fn of(world: &'a World, id: Id) -> Result<Self, String> {
        let vm = world.vms.get(id).ok_or_else(|| format!("VM {id} is gone"))?;
        let record = vm
            .last_history()
            .ok_or_else(|| format!("VM {id} has never been on a host"))?;
        let host = world
            .hosts
            .get(record.host)
            .ok_or_else(|| format!("host {} is gone", record.host))?;
        Self::on(world, vm, record, host)
    }

    /// A VM where its domain or files were when it was told to move.
    pub(crate) fn left(&self) -> Result<Self, String> {
        let place = self
            .vm
            .moving_from
            .ok_or_else(|| format!("VM {} is not being moved", self.vm.id))?;
        self.at(place)
    }

    /// The VM in the stay before.
    pub(crate) fn before(&self) -> Result<Self, String> {
        let record = self
            .vm
            .history
            .iter()
            .nth_back(1)
            .ok_or_else(|| format!("VM {} has been on one host only", self.vm.id))?;
        self.at(VmPlace {
            host: record.host,
            datastore: record.datastore,
        })
    }

    /// The VM on another host or system datastore that its history knows.
    pub(crate) fn at(&self, place: VmPlace) -> Result<Self, String> {
        let host = self
            .world
            .hosts
            .get(place.host)
            .ok_or_else(|| format!("host {} is gone", place.host))?;
        let record = self
            .vm
            .history
            .iter()
            .rev()
            .find(|record| record.host == place.host && record.datastore == place.datastore)
            .ok_or_else(|| format!("VM {} was never on host {}", self.vm.id, place.host))?;
        Self::on(self.world, self.vm, record, host)
    }

    /// A VM on a given host.
    pub(crate) fn on(
        world: &'a World,
        vm: &'a Vm,
        record: &'a History,
        host: &'a Host,
    ) -> Result<Self, String> {
        let id = vm.id;
        let system = world
            .datastores
            .get(record.datastore)
            .ok_or_else(|| format!("system datastore {} is gone", record.datastore))?;
        let location = host
            .template
            .get("DATASTORE_LOCATION")
            .unwrap_or(&world.config.datastore_location);
        let directory = format!("{}/{}/{id}", location.trim_end_matches('/'), system.id);
        // The VM may have been placed on another datastore since its files came home.
        let home_store = vm
            .home_datastore
            .filter(|_| vm.files_at_front_end)
            .unwrap_or(system.id);
        let home = format!("{}/{home_store}/{id}", world.config.datastore_location);
        Ok(Self {
            world,
            vm,
            host,
            system,
            directory,
            home,
        })
    }

    /// Name and UUID of the domain.
    pub(crate) fn domain(&self) -> (String, String) {
        (self.vm.domain_name(), self.vm.uuid().to_owned())
    }

    pub(crate) fn disk_path(&self, disk: &str) -> String {
        format!("{}/disk.{disk}", self.directory)
    }
}
