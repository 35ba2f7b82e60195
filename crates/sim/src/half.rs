//! Actions that stop half-way, that find no room, or no libvirt.

use plerion_protocol::{Action, ActionError, ActionKey, Location};

use crate::effects::failed;
use crate::files::{File, TORN};
use crate::node::Outcome;
use crate::plant::Bug;
use crate::queue::NodeId;
use crate::simulation::Simulation;

/// The file that an action makes on the machine whose agent does it, if it makes one.
fn file_made(action: &Action) -> Option<&str> {
    match action {
        Action::DiskCopy { destination, .. }
        | Action::DiskFlatten { destination, .. }
        | Action::LayersMerge { destination, .. }
        | Action::DiskOverlay { destination, .. }
        | Action::DiskMake { destination, .. }
        | Action::ContextMake { destination, .. }
        | Action::ImageRegister { destination, .. }
        | Action::Transfer {
            destination: Location::Here(destination),
            ..
        } => Some(destination),
        Action::DomainSave { checkpoint, .. } => Some(checkpoint),
        Action::DomainDisksCopy { disks, .. } => disks.first().map(|disk| disk.destination.as_str()),
        Action::DiskSnapshot { .. }
        | Action::DomainDiskSnapshot { .. }
        | Action::DiskLink { .. }
        | Action::PathDelete { .. }
        | Action::FileReplace { .. }
        | Action::Transfer { .. }
        | Action::ImageStat { .. }
        | Action::DatastoreStat { .. }
        | Action::DomainStart { .. }
        | Action::DomainRestore { .. }
        | Action::DomainAbsent { .. }
        | Action::DomainShutdown { .. }
        | Action::DomainDestroy { .. }
        | Action::DomainReceive { .. }
        | Action::DomainMigrate { .. }
        | Action::DomainReboot { .. }
        | Action::DomainReset { .. }
        | Action::DomainMedia { .. }
        | Action::DomainResize { .. }
        | Action::DomainChange { .. }
        | Action::GuestExec { .. }
        | Action::GuestAwait { .. }
        | Action::GuestKill { .. }
        | Action::ScriptRun(_) => None,
    }
}

/// Whether an action asks libvirt of the machine whose agent does it.
fn asks_libvirt(action: &Action) -> bool {
    matches!(
        action,
        Action::DomainStart { .. }
            | Action::DomainRestore { .. }
            | Action::DomainAbsent { .. }
            | Action::DomainShutdown { .. }
            | Action::DomainDestroy { .. }
            | Action::DomainSave { .. }
            | Action::DomainReceive { .. }
            | Action::DomainReboot { .. }
            | Action::DomainReset { .. }
            | Action::DomainMedia { .. }
            | Action::DomainResize { .. }
            | Action::DomainChange { .. }
            | Action::DomainDiskSnapshot { .. }
            | Action::DomainDisksCopy { .. }
            | Action::GuestExec { .. }
            | Action::GuestAwait { .. }
            | Action::GuestKill { .. }
    )
}

impl Simulation {
    /// Does an action, if nothing is in its way.
    pub(crate) fn effect_of(&mut self, number: NodeId, key: ActionKey, action: &Action) -> Outcome {
        if let Err(error) = self.obstacle(number, action) {
            if self.plant.has(Bug::RoomIgnored)
                && let Some(path) = file_made(action).filter(|_| self.is_full(number))
            {
                self.torn_put(number, path);
                return Ok(plerion_protocol::ActionOutput::default());
            }
            return Err(error);
        }
        if matches!(action, Action::GuestExec { .. }) && !self.checker.executed.insert(key) {
            self.violate(format!("the command of {key} was run in the guest twice"));
        }
        self.effect(number, action)
    }

    fn is_full(&self, number: NodeId) -> bool {
        self.nodes.get(number).is_some_and(|node| node.disk_full)
    }

    fn obstacle(&mut self, number: NodeId, action: &Action) -> Result<(), ActionError> {
        let deaf = |node: &crate::node::Node| node.libvirt_down;
        if asks_libvirt(action) && self.nodes.get(number).is_some_and(deaf) {
            return Err(failed("libvirt does not answer"));
        }
        if let Action::DomainMigrate { from, to, .. } = action {
            let ends = [&from.host, &to.host];
            let ends = self.nodes.iter().filter(|node| ends.contains(&&node.name));
            if ends.into_iter().any(deaf) {
                return Err(failed("libvirt does not answer"));
            }
        }
        if self.is_full(number) && file_made(action).is_some() {
            self.effect_half(number, action);
            return Err(failed("no space left on device"));
        }
        let taker = match action {
            Action::Transfer {
                destination: Location::There(target, _),
                ..
            } => self.nodes.iter().find(|node| node.name == target.host),
            Action::DomainMigrate { to, disks, .. } if !disks.is_empty() => {
                self.nodes.iter().find(|node| node.name == to.host)
            }
            _ => None,
        };
        if taker.is_some_and(|node| node.disk_full) {
            return Err(failed("no space left on the other host"));
        }
        Ok(())
    }

    /// Does an action as far as its middle: what is not whole has not got its name yet, and what is deleted is half there.
    pub(crate) fn effect_half(&mut self, number: NodeId, action: &Action) {
        if let Action::PathDelete { path } = action {
            let Some(node) = self.nodes.get_mut(number) else {
                return;
            };
            let tree = node.files.tree(path);
            let half = tree.len() / 2;
            for (name, _) in tree.into_iter().take(half) {
                node.files.delete(&format!("{path}{name}"));
            }
            return;
        }
        let Some(path) = file_made(action) else { return };
        if self.plant.has(Bug::HalfNamed) {
            return self.torn_put(number, path);
        }
        self.torn_put(number, &format!("{path}.part"));
    }

    fn torn_put(&mut self, number: NodeId, path: &str) {
        let identity = self.number();
        let file = File {
            identity,
            content: TORN,
        };
        if let Some(node) = self.nodes.get_mut(number) {
            node.files.put(path, file);
        }
    }
}
