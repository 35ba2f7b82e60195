//! Snapshots of a disk or an image, and how they follow from each other.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::{Id, Seconds};

/// What a snapshot's parent is, and what going back does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orphans {
    /// `NO`: a snapshot follows from the active one.
    #[default]
    No,
    /// `YES`: snapshots are independent of each other.
    Yes,
    /// `MIXED`: a snapshot follows from the one that was gone back to last.
    Mixed,
    /// `LINEAR`: a chain; going back drops what came later.
    Linear,
}

impl Orphans {
    /// The mode of an ALLOW_ORPHANS; what is none of the words is `NO`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "YES" => Self::Yes,
            "MIXED" => Self::Mixed,
            "LINEAR" => Self::Linear,
            _ => Self::No,
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "NO",
            Self::Yes => "YES",
            Self::Mixed => "MIXED",
            Self::Linear => "LINEAR",
        }
    }
}

/// A snapshot of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSnapshot {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// When it was taken.
    pub date: Seconds,
    /// Size in MiB: that of the disk at that time.
    pub size_mib: u64,
    /// Snapshot that it follows from, which may be gone (recorded); -1 none.
    pub parent: Id,
}

/// The snapshots of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTree {
    /// How they follow from each other.
    pub orphans: Orphans,
    /// Snapshot that the disk went back to last, in the mode `MIXED`; -1 none.
    pub current_base: Id,
    /// Id of the next snapshot.
    pub next: Id,
    /// Snapshot that the disk's contents follow from; -1 none.
    pub active: Id,
    /// MiB of snapshots that were the image's already when a VM got its disk: the image pays for them.
    #[serde(default)]
    pub home_mib: u64,
    /// The snapshots, in order of their ids.
    pub snapshots: Vec<DiskSnapshot>,
}

impl Default for SnapshotTree {
    fn default() -> Self {
        Self::new(Orphans::No)
    }
}

impl SnapshotTree {
    /// Without snapshots.
    #[must_use]
    pub const fn new(orphans: Orphans) -> Self {
        Self {
            orphans,
            current_base: -1,
            next: 0,
            active: -1,
            home_mib: 0,
            snapshots: Vec::new(),
        }
    }

    /// Whether there was never one.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.next == 0
    }

    /// A snapshot.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&DiskSnapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }

    /// MiB that the snapshots take.
    #[must_use]
    pub fn size_mib(&self) -> u64 {
        self.snapshots
            .iter()
            .fold(0, |sum, snapshot| sum.saturating_add(snapshot.size_mib))
    }

    /// Adds a snapshot, which becomes the active one, and answers its id.
    pub fn add(&mut self, name: &str, date: Seconds, size_mib: u64) -> Id {
        let id = self.next;
        let parent = match self.orphans {
            Orphans::No | Orphans::Linear => self.active,
            Orphans::Yes => -1,
            Orphans::Mixed => self.current_base,
        };
        self.next = id.saturating_add(1);
        self.snapshots.push(DiskSnapshot {
            id,
            name: name.to_owned(),
            date,
            size_mib,
            parent,
        });
        self.active = id;
        id
    }

    /// Takes a snapshot out. Those that follow from it still name it (recorded).
    pub fn remove(&mut self, id: Id) {
        self.snapshots.retain(|snapshot| snapshot.id != id);
        for place in [&mut self.active, &mut self.current_base] {
            if *place == id {
                *place = -1;
            }
        }
    }

    /// The disk is that of the snapshot again.
    pub fn revert(&mut self, id: Id) {
        self.active = id;
        match self.orphans {
            Orphans::No | Orphans::Yes => {}
            Orphans::Mixed => self.current_base = id,
            Orphans::Linear => self.snapshots.retain(|snapshot| snapshot.id <= id),
        }
    }

    /// `<SNAPSHOTS>`; `disk` is the DISK_ID where the snapshots are those of a VM's disk.
    pub fn render(&self, out: &mut impl Markup, disk: Option<Id>) {
        out.open("SNAPSHOTS");
        out.cdata_element("ALLOW_ORPHANS", self.orphans.as_str());
        out.cdata_element("CURRENT_BASE", &self.current_base.to_string());
        if let Some(disk) = disk {
            out.cdata_element("DISK_ID", &disk.to_string());
        }
        out.cdata_element("NEXT_SNAPSHOT", &self.next.to_string());
        for snapshot in &self.snapshots {
            self.render_one(out, snapshot);
        }
        out.close("SNAPSHOTS");
    }

    fn render_one(&self, out: &mut impl Markup, snapshot: &DiskSnapshot) {
        out.open("SNAPSHOT");
        if snapshot.id == self.active {
            out.cdata_element("ACTIVE", "YES");
        }
        let children: Vec<String> = self
            .snapshots
            .iter()
            .filter(|child| child.parent == snapshot.id)
            .map(|child| child.id.to_string())
            .collect();
        if !children.is_empty() {
            out.cdata_element("CHILDREN", &children.join(","));
        }
        out.cdata_element("DATE", &snapshot.date.to_string());
        out.cdata_element("ID", &snapshot.id.to_string());
        out.cdata_element("NAME", &snapshot.name);
        out.cdata_element("PARENT", &snapshot.parent.to_string());
        out.cdata_element("SIZE", &snapshot.size_mib.to_string());
        out.close("SNAPSHOT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents(orphans: Orphans) -> Vec<Id> {
        let mut tree = SnapshotTree::new(orphans);
        tree.add("a", 1, 10);
        tree.add("b", 2, 10);
        tree.revert(0);
        tree.add("c", 3, 10);
        tree.snapshots.iter().map(|snapshot| snapshot.parent).collect()
    }

    #[test]
    fn parents_follow_the_mode() {
        assert_eq!(parents(Orphans::No), [-1, 0, 0]);
        assert_eq!(parents(Orphans::Yes), [-1, -1, -1]);
        assert_eq!(parents(Orphans::Mixed), [-1, -1, 0]);
        assert_eq!(parents(Orphans::Linear), [-1, 0], "going back dropped the second");
    }

    #[test]
    fn a_snapshot_that_goes_is_active_no_more_and_stays_named_by_its_children() {
        let mut tree = SnapshotTree::default();
        tree.add("a", 1, 10);
        tree.add("b", 2, 5);
        tree.remove(0);
        assert_eq!((tree.active, tree.size_mib(), tree.next), (1, 5, 2));
        assert_eq!(tree.get(1).map(|snapshot| snapshot.parent), Some(0), "recorded");
        tree.remove(1);
        assert_eq!((tree.active, tree.size_mib(), tree.next), (-1, 0, 2));
        assert_eq!(tree.add("c", 3, 1), 2, "ids are not given out again");
    }
}
