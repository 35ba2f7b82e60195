//! Snapshots and copies of disks, and disks that are taken back to one.

use plerion_model::Id;
use plerion_model::vm_state::LcmState;
use plerion_protocol::{ActionOutput, SnapshotWork};

use crate::checks::Waiver;
use crate::effects::failed;
use crate::files::File;
use crate::node::Outcome;
use crate::plant::Bug;
use crate::queue::NodeId;
use crate::simulation::Simulation;

/// A known shortcoming: a start that is said to have failed may have started a domain, and the VM counts as off.
const RUNS_UNSEEN: &str = "disks of a VM at rest are taken back without a look at its domain";

impl Simulation {
    /// Takes, goes back to or deletes a snapshot of a disk.
    pub(crate) fn disk_snapshot(
        &mut self,
        number: NodeId,
        path: &str,
        snapshot: u32,
        work: SnapshotWork,
    ) -> Outcome {
        let kept = format!("{path}.snap/{snapshot}");
        let identity = self.number();
        let Some(node) = self.nodes.get_mut(number) else {
            return Err(failed("no such machine"));
        };
        let source = if work == SnapshotWork::Take { path } else { &kept };
        let Some(file) = node.files.get(source) else {
            // One that is deleted already is none to delete.
            return if work == SnapshotWork::Delete {
                Ok(ActionOutput::default())
            } else {
                Err(failed(format!("{source} does not exist")))
            };
        };
        let file = File { identity, ..file };
        match work {
            SnapshotWork::Take => node.files.put(&kept, file),
            SnapshotWork::Delete => node.files.delete(&kept),
            SnapshotWork::Revert => {
                node.files.put(path, file);
                self.disk_reverted(number, path, file.content);
            }
        }
        Ok(ActionOutput::default())
    }

    /// Copies a disk of a running domain to a file whose name is the disk's with an end of its own.
    pub(crate) fn disk_take(&mut self, number: NodeId, destination: &str) -> Outcome {
        let Some((disk, _)) = destination.rsplit_once(".copy-") else {
            return self.file_make(number, destination);
        };
        let identity = self.number();
        let Some(node) = self.nodes.get_mut(number) else {
            return Err(failed("no such machine"));
        };
        let Some(file) = node.files.get(disk) else {
            return self.file_make(number, destination);
        };
        node.files.put(destination, File { identity, ..file });
        Ok(ActionOutput::default())
    }

    /// Whether disks of a VM are to be taken back now.
    fn is_taken_back(&self, vm: Id) -> bool {
        let phases = [LcmState::Restore, LcmState::DiskSnapshotRevertPoweroff];
        // While it is not known what was committed last, they may be.
        self.checker.committed.as_ref().is_none_or(|world| {
            let vm = world.vms.get(vm);
            vm.is_some_and(|vm| phases.contains(&vm.phase.lcm))
        })
    }

    /// A disk is what it was once: from now on that is what its guest is to find.
    pub(crate) fn disk_reverted(&mut self, number: NodeId, path: &str, content: u64) {
        let mut parts = path.rsplit('/');
        let (Some(disk), Some(vm)) = (
            parts.next(),
            parts.next().and_then(|part| part.parse::<Id>().ok()),
        ) else {
            return;
        };
        let name = format!("one-{vm}");
        let waived = self.checker.waivers.contains_key(&vm);
        let runs = self.nodes.iter().any(|node| node.domains.contains_key(&name));
        if !waived && runs && self.is_taken_back(vm) {
            *self.checker.known.entry(RUNS_UNSEEN).or_insert(0) += 1;
            self.say(&format!("known: {RUNS_UNSEEN}: VM {vm}"));
            self.checker.waivers.insert(vm, Waiver::Known(RUNS_UNSEEN));
            return;
        }
        if !waived && runs {
            return self.violate(format!("{path} on n{number} is taken back while {name} runs"));
        }
        let key = (name, disk.to_owned());
        let last = self.written.insert(key.clone(), content);
        let stale = self.checker.stale.entry(key).or_default();
        stale.extend(last);
        stale.remove(&content);
        if self.plant.has(Bug::RevertPretended)
            && let (Some(content), Some(node)) = (last, self.nodes.get_mut(number))
            && let Some(file) = node.files.get(path)
        {
            node.files.put(path, File { content, ..file });
        }
    }
}
