//! What actions do to domains and files, and what guests write.

use plerion_protocol::{
    Action, ActionError, ActionOutput, DiskFormat, DomainState, ErrorKind, Location, SnapshotWork,
};

use crate::files::File;
use crate::node::{Domain, Outcome, vm_of};
use crate::plant::Bug;
use crate::queue::{Event, GuestEnd, Millis, NodeId};
use crate::simulation::Simulation;

/// Longest time that a guest runs that ends by itself.
const GUEST_LIFE_MAX: Millis = 60_000;

pub(crate) fn failed(text: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Failed, text)
}

impl Simulation {
    /// Does an action.
    pub(crate) fn effect(&mut self, number: NodeId, action: &Action) -> Outcome {
        match action {
            Action::DiskCopy {
                source, destination, ..
            }
            | Action::DiskFlatten {
                source, destination, ..
            }
            | Action::DiskOverlay {
                backing: source,
                destination,
                ..
            }
            | Action::DiskLink {
                source, destination, ..
            } => self.file_copy(number, source, destination),
            Action::DiskMake { destination, .. } | Action::ContextMake { destination, .. } => {
                self.file_make(number, destination)
            }
            // Each layer shows what the disk was when it was taken.
            Action::LayersMerge { layers, destination } => match layers.last() {
                Some(last) => self.file_copy(number, last, destination),
                None => Err(failed("no layers")),
            },
            Action::ImageRegister {
                destination, format, ..
            } => {
                self.file_make(number, destination)?;
                Ok(ActionOutput {
                    size_mib: Some(1024),
                    format: Some(format.unwrap_or(DiskFormat::Raw)),
                    ..ActionOutput::default()
                })
            }
            Action::PathDelete { path } => {
                if let Some(node) = self.nodes.get_mut(number) {
                    node.files.delete(path);
                }
                Ok(ActionOutput::default())
            }
            Action::FileReplace { source, destination } => self.file_replace(number, source, destination),
            Action::Transfer { source, destination } => self.transfer(number, source, destination),
            Action::ImageStat { .. } | Action::DatastoreStat { .. } | Action::ScriptRun(_) => {
                Ok(ActionOutput::default())
            }
            Action::DiskSnapshot { path, snapshot, work } => {
                self.disk_snapshot(number, path, *snapshot, *work)
            }
            Action::DomainDiskSnapshot {
                name,
                uuid,
                path,
                snapshot,
                ..
            } => {
                if !self.runs(number, name, uuid) {
                    return Err(failed("no such domain"));
                }
                self.disk_snapshot(number, path, *snapshot, SnapshotWork::Take)
            }
            Action::DomainReceive { name, uuid, .. } => {
                self.stranger_refuse(number, name, uuid)?;
                Ok(ActionOutput::default())
            }
            Action::DomainMigrate {
                name,
                uuid,
                from,
                to,
                disks,
                ..
            } => self.domain_migrate(name, uuid, (&from.host, &to.host), disks),
            Action::DomainStart { name, uuid, xml, .. } => self.domain_start(number, name, uuid, xml),
            Action::DomainRestore {
                name,
                uuid,
                xml,
                checkpoint,
                ..
            } => self.domain_restore(number, name, uuid, xml, checkpoint),
            Action::DomainAbsent { name, uuid } => {
                self.stranger_refuse(number, name, uuid)?;
                Ok(ActionOutput::default())
            }
            Action::DomainShutdown { name, uuid } => {
                if self.runs(number, name, uuid) {
                    self.domain_gone(number, name, DomainState::Off);
                }
                Ok(ActionOutput::default())
            }
            Action::DomainDestroy { name, uuid } => {
                self.stranger_refuse(number, name, uuid)?;
                if !self.plant.has(Bug::DestroyPretended) {
                    self.domain_gone(number, name, DomainState::Off);
                }
                Ok(ActionOutput::default())
            }
            Action::DomainSave {
                name,
                uuid,
                checkpoint,
            } => {
                self.stranger_refuse(number, name, uuid)?;
                self.domain_save(number, name, checkpoint)
            }
            Action::DomainDisksCopy {
                name, uuid, disks, ..
            } => {
                if !self.runs(number, name, uuid) {
                    return Err(failed("no such domain"));
                }
                for disk in disks {
                    self.disk_take(number, &disk.destination)?;
                }
                Ok(ActionOutput::default())
            }
            Action::GuestExec { name, uuid, .. } => {
                if self.runs(number, name, uuid) {
                    Ok(ActionOutput {
                        guest_pid: Some(1),
                        ..ActionOutput::default()
                    })
                } else {
                    Err(failed("no such domain"))
                }
            }
            Action::GuestAwait { name, uuid, .. } => {
                if self.runs(number, name, uuid) {
                    Ok(ActionOutput {
                        guest_end: Some(Box::default()),
                        ..ActionOutput::default()
                    })
                } else {
                    Err(failed("no such domain"))
                }
            }
            Action::DomainReboot { name, uuid }
            | Action::GuestKill { name, uuid, .. }
            | Action::DomainReset { name, uuid }
            | Action::DomainMedia { name, uuid, .. }
            | Action::DomainChange { name, uuid, .. }
            | Action::DomainResize { name, uuid, .. } => {
                if self.runs(number, name, uuid) {
                    Ok(ActionOutput::default())
                } else {
                    Err(failed("no such domain"))
                }
            }
        }
    }

    pub(crate) fn runs(&self, number: NodeId, name: &str, uuid: &str) -> bool {
        let domain = self.nodes.get(number).and_then(|node| node.domains.get(name));
        domain.is_some_and(|domain| domain.uuid == uuid)
    }

    /// A domain of that name and another UUID is not touched.
    pub(crate) fn stranger_refuse(&self, number: NodeId, name: &str, uuid: &str) -> Result<(), ActionError> {
        let there = self
            .nodes
            .get(number)
            .is_some_and(|node| node.domains.contains_key(name));
        if there && !self.runs(number, name, uuid) {
            return Err(failed("another domain of that name runs"));
        }
        Ok(())
    }

    pub(crate) fn file_make(&mut self, number: NodeId, path: &str) -> Outcome {
        let (identity, content) = (self.number(), self.number());
        if let Some(node) = self.nodes.get_mut(number) {
            node.files.put(path, File { identity, content });
        }
        Ok(ActionOutput::default())
    }

    fn file_copy(&mut self, number: NodeId, source: &str, destination: &str) -> Outcome {
        let identity = self.number();
        let Some(node) = self.nodes.get_mut(number) else {
            return Err(failed("no such machine"));
        };
        let Some(file) = node.files.get(source) else {
            return Err(failed(format!("{source} does not exist")));
        };
        let content = file.content;
        node.files.put(destination, File { identity, content });
        if source.starts_with(&format!("{destination}.snap/")) {
            self.disk_reverted(number, destination, content);
        }
        Ok(ActionOutput::default())
    }

    fn file_replace(&mut self, number: NodeId, source: &str, destination: &str) -> Outcome {
        let Some(node) = self.nodes.get_mut(number) else {
            return Err(failed("no such machine"));
        };
        let Some(file) = node.files.get(source) else {
            return Err(failed(format!("{source} does not exist")));
        };
        node.files.delete(source);
        node.files.put(destination, file);
        if *source == format!("{destination}.restored") {
            self.disk_reverted(number, destination, file.content);
        }
        Ok(ActionOutput::default())
    }

    fn transfer(&mut self, number: NodeId, source: &Location, destination: &Location) -> Outcome {
        let ends = match (source, destination) {
            (Location::Here(from), Location::There(target, to)) => Some((target, from, to, true)),
            (Location::There(target, from), Location::Here(to)) => Some((target, from, to, false)),
            _ => None,
        };
        let Some((target, from, to, push)) = ends else {
            return Err(failed("exactly one end of a transfer is here"));
        };
        let other = self.nodes.iter().position(|node| node.name == target.host);
        let reached = other.filter(|other| {
            self.nodes
                .get(*other)
                .is_some_and(|node| node.reachable && node.booted)
        });
        let Some(other) = reached else {
            return Err(failed(format!("{} does not answer", target.host)));
        };
        let (giver, taker) = if push { (number, other) } else { (other, number) };
        let tree = self
            .nodes
            .get(giver)
            .map(|node| node.files.tree(from))
            .unwrap_or_default();
        if tree.is_empty() {
            return Err(failed(format!("{from} does not exist")));
        }
        // A file that is there already with the same content is left as it is.
        let same = matches!(tree.as_slice(), [(_, file)] if self.nodes.get(taker)
            .and_then(|node| node.files.get(to))
            .is_some_and(|there| there.content == file.content));
        if same {
            return Ok(ActionOutput::default());
        }
        if let Some(node) = self.nodes.get_mut(taker) {
            node.files.delete(to);
        }
        for (path, file) in tree {
            let identity = self.number();
            if let Some(node) = self.nodes.get_mut(taker) {
                let content = file.content;
                node.files.put(&format!("{to}{path}"), File { identity, content });
            }
        }
        Ok(ActionOutput::default())
    }

    fn domain_start(&mut self, number: NodeId, name: &str, uuid: &str, xml: &str) -> Outcome {
        let disks = disks_of(xml);
        let Some(node) = self.nodes.get(number) else {
            return Err(failed("no such machine"));
        };
        match node.domains.get(name) {
            Some(known) if known.uuid == uuid && !self.plant.has(Bug::StartTwice) => {
                return Ok(started(uuid));
            }
            Some(known) if known.uuid != uuid => {
                return Err(failed(format!(
                    "a domain {name} with UUID {} runs already",
                    known.uuid
                )));
            }
            _ => {}
        }
        if let Some(missing) = disks.iter().find(|disk| !node.files.exists(disk)) {
            return Err(failed(format!("cannot open {missing}")));
        }
        let start = self.number();
        self.domain_start_check(number, name, uuid, &disks);
        self.disks_write(number, name, &disks);
        let domain = Domain {
            uuid: uuid.to_owned(),
            disks,
            start,
            since: self.now,
        };
        if let Some(node) = self.nodes.get_mut(number) {
            node.domains.insert(name.to_owned(), domain);
        }
        self.say(&format!("n{number} {name} runs"));
        self.guest_life_draw(number, name, start);
        if self
            .nodes
            .get(number)
            .is_some_and(|node| node.running && !node.libvirt_down)
        {
            let message = plerion_protocol::FromNode::Domain {
                name: name.to_owned(),
                uuid: uuid.to_owned(),
                state: DomainState::Running,
            };
            self.node_say(number, message);
        }
        Ok(started(uuid))
    }

    fn guest_life_draw(&mut self, number: NodeId, name: &str, start: u64) {
        let ends = !self.calm && self.random.chance(self.profile.guest_ends);
        if let (true, Some(vm)) = (ends, vm_of(name)) {
            let time = self.now + self.random.between(1, GUEST_LIFE_MAX);
            let end = if self.random.chance(500) {
                GuestEnd::Off
            } else {
                GuestEnd::Crash
            };
            self.queue.put(time, Event::GuestEnd(number, vm, start, end));
        }
    }

    fn domain_restore(
        &mut self,
        number: NodeId,
        name: &str,
        uuid: &str,
        xml: &str,
        checkpoint: &str,
    ) -> Outcome {
        let Some(node) = self.nodes.get(number) else {
            return Err(failed("no such machine"));
        };
        if !node.domains.contains_key(name) && !node.files.exists(checkpoint) {
            return Err(failed(format!("{checkpoint} does not exist")));
        }
        let output = self.domain_start(number, name, uuid, xml)?;
        if let Some(node) = self.nodes.get_mut(number) {
            node.files.delete(checkpoint);
        }
        Ok(output)
    }

    fn domain_save(&mut self, number: NodeId, name: &str, checkpoint: &str) -> Outcome {
        let Some(node) = self.nodes.get(number) else {
            return Err(failed("no such machine"));
        };
        if !node.domains.contains_key(name) {
            return if node.files.exists(checkpoint) {
                Ok(ActionOutput::default())
            } else {
                Err(failed(
                    "there is no running domain to save, and no checkpoint of it",
                ))
            };
        }
        self.domain_gone(number, name, DomainState::Saved);
        self.file_make(number, checkpoint)
    }

    /// Takes a domain away; its guest has written until now. Returns its UUID.
    pub(crate) fn domain_remove(&mut self, number: NodeId, name: &str) -> Option<String> {
        let domain = self.nodes.get_mut(number)?.domains.remove(name)?;
        self.disks_write(number, name, &domain.disks);
        self.say(&format!("n{number} {name} is gone"));
        Some(domain.uuid)
    }

    /// A guest writes to its disks.
    fn disks_write(&mut self, number: NodeId, name: &str, disks: &[String]) {
        for path in disks {
            let content = self.number();
            let Some(node) = self.nodes.get_mut(number) else {
                return;
            };
            let Some(file) = node.files.get(path) else {
                continue;
            };
            node.files.put(path, File { content, ..file });
            let disk = path.rsplit('/').next().unwrap_or(path).to_owned();
            self.written.insert((name.to_owned(), disk), content);
        }
    }
}

fn started(uuid: &str) -> ActionOutput {
    ActionOutput {
        uuid: Some(uuid.to_owned()),
        ..ActionOutput::default()
    }
}

/// The disks that a domain writes to.
fn disks_of(xml: &str) -> Vec<String> {
    let mut disks: Vec<String> = xml
        .split("<source file=")
        .skip(1)
        .filter_map(|rest| {
            let quote = rest.chars().next()?;
            rest.get(1..)?.split(quote).next().map(str::to_owned)
        })
        .collect();
    disks.dedup();
    disks
}
