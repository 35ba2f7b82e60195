//! Live migrations: a domain goes on on another machine.

use plerion_protocol::{Action, ActionError, ActionOutput, ErrorKind, MirrorDisk};

use crate::checks::Waiver;
use crate::files::File;
use crate::node::{Outcome, vm_of};
use crate::queue::NodeId;
use crate::simulation::Simulation;

/// See [`Simulation::move_denied`].
const MOVE_DENIED: &str = "a move that was made is said to have failed when it is asked for again";

fn failed(text: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Failed, text)
}

impl Simulation {
    /// Moves a domain, with what its guest has written; one that has been moved is a success.
    pub(crate) fn domain_migrate(
        &mut self,
        name: &str,
        uuid: &str,
        (from, to): (&str, &str),
        disks: &[MirrorDisk],
    ) -> Outcome {
        let (giver, taker) = (self.node_reached(from)?, self.node_reached(to)?);
        if !self.runs(giver, name, uuid) {
            return if self.runs(taker, name, uuid) {
                Ok(ActionOutput::default())
            } else {
                Err(failed(format!("{name} runs neither on {from} nor on {to}")))
            };
        }
        self.stranger_refuse(taker, name, uuid)?;
        // The guest writes until it has left.
        let domain = self
            .nodes
            .get(giver)
            .and_then(|node| node.domains.get(name))
            .cloned();
        self.domain_remove(giver, name);
        let Some(domain) = domain else {
            return Err(failed("its guest has just ended"));
        };
        for disk in disks {
            let identity = self.number();
            let file = self.nodes.get(giver).and_then(|node| node.files.get(&disk.path));
            if let (Some(file), Some(node)) = (file, self.nodes.get_mut(taker)) {
                let content = file.content;
                node.files.put(&disk.path, File { identity, content });
            }
        }
        self.domain_start_check(taker, name, uuid, &domain.disks);
        if let Some(node) = self.nodes.get_mut(taker) {
            node.domains.insert(name.to_owned(), domain);
        }
        self.say(&format!("{name} goes from n{giver} to n{taker}"));
        Ok(ActionOutput::default())
    }

    /// A known shortcoming: a move that was done and not heard of is asked for again, and what fails before it is looked
    /// where the domain is counts as a move that was not made.
    pub(crate) fn move_denied(&mut self, action: &Action) {
        let Action::DomainMigrate {
            name, uuid, from, to, ..
        } = action
        else {
            return;
        };
        let runs = |host: &str| {
            let node = self.nodes.iter().position(|node| node.name == host);
            node.is_some_and(|node| self.runs(node, name, uuid))
        };
        if let (false, true, Some(id)) = (runs(&from.host), runs(&to.host), vm_of(name)) {
            *self.checker.known.entry(MOVE_DENIED).or_insert(0) += 1;
            self.say(&format!("known: {MOVE_DENIED}: VM {id}"));
            self.checker
                .waivers
                .entry(id)
                .or_insert(Waiver::Known(MOVE_DENIED));
        }
    }

    fn node_reached(&self, name: &str) -> Result<NodeId, ActionError> {
        self.nodes
            .iter()
            .position(|node| node.name == name && node.reachable && node.booted)
            .ok_or_else(|| failed(format!("{name} does not answer")))
    }
}
