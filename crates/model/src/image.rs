//! Images.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::datastore::DiskType;
use crate::snapshot::SnapshotTree;
use crate::user::render_ids;
use crate::vm_backup::BackupMode;
use crate::wire_enum::wire_enum;
use crate::{Id, Owned, Seconds, View};

wire_enum! {
    /// State of an image.
    ImageState {
        Init = 0 "INIT",
        Ready = 1 "READY",
        Used = 2 "USED",
        Disabled = 3 "DISABLED",
        Locked = 4 "LOCKED",
        Error = 5 "ERROR",
        Clone = 6 "CLONE",
        Delete = 7 "DELETE",
        UsedPers = 8 "USED_PERS",
        LockedUsed = 9 "LOCKED_USED",
        LockedUsedPers = 10 "LOCKED_USED_PERS",
    }
}

wire_enum! {
    /// What an image is.
    ImageType {
        Os = 0 "OS",
        CdRom = 1 "CDROM",
        Datablock = 2 "DATABLOCK",
        Kernel = 3 "KERNEL",
        Ramdisk = 4 "RAMDISK",
        Context = 5 "CONTEXT",
        Backup = 6 "BACKUP",
        FileSystem = 7 "FILESYSTEM",
    }
}

impl ImageType {
    /// Whether it lives in a files datastore.
    #[must_use]
    pub const fn is_file(self) -> bool {
        matches!(self, Self::Kernel | Self::Ramdisk | Self::Context)
    }
}

/// A part of a backup that grows by increments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Id within the image.
    pub id: Id,
    /// What it holds.
    pub mode: BackupMode,
    /// Increment that it follows; -1 none.
    pub parent: Id,
    /// When it was made.
    pub date: Seconds,
    /// Size in MiB.
    pub size_mib: u64,
    /// Where it is stored.
    pub source: String,
}

/// What a backup image is a backup of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBackup {
    /// The VM.
    pub vm: Id,
    /// DISK_IDs.
    pub disks: Vec<Id>,
    /// Its parts; none where it is no chain of increments.
    pub increments: Vec<Increment>,
    /// The template of the VM as it was, in its stored form.
    pub vm_template: String,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// What it is.
    pub kind: ImageType,
    /// How it is stored.
    pub disk_type: DiskType,
    /// Whether VMs write to the image itself.
    pub persistent: bool,
    /// When it was registered.
    pub regtime: Seconds,
    /// When it was last changed.
    pub modtime: Seconds,
    /// Where it is stored.
    pub source: String,
    /// Where it came from.
    pub path: String,
    /// Format of the file.
    pub format: String,
    /// File system, for data blocks.
    pub fs: String,
    /// Size in MiB.
    pub size_mib: u64,
    /// State; whether it is in use is derived, see [`Image::state_shown`].
    pub state: ImageState,
    /// State before.
    pub prev_state: ImageState,
    /// Image that this one is being cloned from; -1 none.
    pub cloning_id: Id,
    /// Datastore.
    pub datastore_id: Id,
    /// Step of the running action of the image, see the outbox.
    #[serde(default)]
    pub step: u64,
    /// Its snapshots, while no VM uses it.
    #[serde(default, skip_serializing_if = "SnapshotTree::is_unused")]
    pub snapshots: SnapshotTree,
    /// What it is a backup of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<ImageBackup>>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Image, owned, template);

impl Image {
    /// The state on the wire: READY becomes USED or USED_PERS while VMs hold the image, CLONE while it is copied; LOCKED
    /// becomes LOCKED_USED or LOCKED_USED_PERS while VMs wait for it.
    #[must_use]
    pub fn state_shown(&self, vms: usize, clones: usize) -> ImageState {
        match self.state {
            ImageState::Ready if self.backup.is_some() => ImageState::Ready,
            ImageState::Ready if clones > 0 && vms == 0 => ImageState::Clone,
            ImageState::Ready if vms > 0 && self.persistent => ImageState::UsedPers,
            ImageState::Ready if vms > 0 => ImageState::Used,
            ImageState::Locked if vms > 0 && self.persistent => ImageState::LockedUsedPers,
            ImageState::Locked if vms > 0 => ImageState::LockedUsed,
            state => state,
        }
    }

    /// Whether its file is being made or changed: VMs may be made that wait for it.
    #[must_use]
    pub const fn is_coming(&self) -> bool {
        matches!(
            self.state,
            ImageState::Init | ImageState::Locked | ImageState::LockedUsed | ImageState::LockedUsedPers
        )
    }

    /// `<IMAGE>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        let vms = match &self.backup {
            Some(backup) if view.vm_lives(backup.vm) => vec![backup.vm],
            Some(_) => Vec::new(),
            None => view.image_vms(self.id),
        };
        let clones = view.image_clones(self.id);
        let state = self.state_shown(vms.len(), clones.len());
        let count = |ids: &[Id]| i64::try_from(ids.len()).unwrap_or(i64::MAX);
        out.open("IMAGE");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.render_lock(out);
        self.owned.permissions.render(out);
        out.number("TYPE", i64::from(self.kind.number()));
        out.number("DISK_TYPE", i64::from(self.disk_type.number()));
        out.number("PERSISTENT", i64::from(self.persistent));
        out.number("REGTIME", self.regtime);
        out.number("MODTIME", self.modtime);
        out.cdata_element("SOURCE", &self.source);
        out.cdata_element("PATH", &self.path);
        out.cdata_element("FORMAT", &self.format);
        out.cdata_element("FS", &self.fs);
        out.number("SIZE", i64::try_from(self.size_mib).unwrap_or(i64::MAX));
        out.number("STATE", i64::from(state.number()));
        // The previous state is only of use while an operation runs; at rest it equals the state (recorded).
        let previous = if state == self.state {
            self.prev_state
        } else {
            state
        };
        out.number("PREV_STATE", i64::from(previous.number()));
        out.number("RUNNING_VMS", count(&vms));
        out.number("CLONING_OPS", count(&clones));
        out.number("CLONING_ID", i64::from(self.cloning_id));
        out.number("TARGET_SNAPSHOT", -1);
        out.number("DATASTORE_ID", i64::from(self.datastore_id));
        out.element("DATASTORE", view.datastore_name(self.datastore_id));
        render_ids(out, "VMS", &vms);
        render_ids(out, "CLONES", &clones);
        render_ids(out, "APP_CLONES", &[]);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        self.snapshots.render(out, None);
        self.render_backup(out);
        out.close("IMAGE");
    }

    fn render_backup(&self, out: &mut impl Markup) {
        let (increments, disks) = match &self.backup {
            Some(backup) => (backup.increments.as_slice(), backup.disks.as_slice()),
            None => (&[] as &[Increment], &[] as &[Id]),
        };
        out.open("BACKUP_INCREMENTS");
        for increment in increments {
            out.open("INCREMENT");
            out.cdata_element("DATE", &increment.date.to_string());
            out.cdata_element("ID", &increment.id.to_string());
            out.cdata_element("PARENT_ID", &increment.parent.to_string());
            out.cdata_element("SIZE", &increment.size_mib.to_string());
            out.cdata_element("SOURCE", &increment.source);
            out.cdata_element("TYPE", increment.mode.as_str());
            out.close("INCREMENT");
        }
        out.close("BACKUP_INCREMENTS");
        render_ids(out, "BACKUP_DISK_IDS", disks);
    }
}
