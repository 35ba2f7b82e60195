//! Datastores.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::wire_enum::wire_enum;
use crate::{Id, Owned, View};

/// The system datastore of a new installation.
pub const SYSTEM: Id = 0;
/// The image datastore of a new installation.
pub const DEFAULT: Id = 1;
/// The files datastore of a new installation.
pub const FILES: Id = 2;

/// Attribute of a shared system datastore by which hosts keep leases there.
const LEASE_SECONDS: &str = "LEASE_SECONDS";
/// Bounds of its value.
const LEASE_SECONDS_MIN: u32 = 10;
const LEASE_SECONDS_MAX: u32 = 3600;

wire_enum! {
    /// What a datastore is for.
    DatastoreType {
        Image = 0 "IMAGE_DS",
        System = 1 "SYSTEM_DS",
        File = 2 "FILE_DS",
        Backup = 3 "BACKUP_DS",
    }
}

wire_enum! {
    /// State of a datastore.
    DatastoreState {
        Ready = 0 "READY",
        Disabled = 1 "DISABLED",
    }
}

wire_enum! {
    /// How disks of an image or datastore are stored.
    DiskType {
        File = 0 "FILE",
        CdRom = 1 "CDROM",
        Block = 2 "BLOCK",
        Rbd = 3 "RBD",
        RbdCdRom = 4 "RBD_CDROM",
        Gluster = 5 "GLUSTER",
        GlusterCdRom = 6 "GLUSTER_CDROM",
        Sheepdog = 7 "SHEEPDOG",
        SheepdogCdRom = 8 "SHEEPDOG_CDROM",
        Iscsi = 9 "ISCSI",
        FileSystem = 10 "FILESYSTEM",
        None = 255 "NONE",
    }
}

/// A datastore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datastore {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Datastore driver; `-` for system datastores.
    pub ds_mad: String,
    /// Transfer driver.
    pub tm_mad: String,
    /// Directory on the front-end.
    pub base_path: String,
    /// What it is for.
    pub kind: DatastoreType,
    /// How its disks are stored.
    pub disk_type: DiskType,
    /// State.
    pub state: DatastoreState,
    /// Clusters that may use it.
    pub clusters: Vec<Id>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Datastore, owned, template);

impl Datastore {
    /// Whether the system datastore is one file system on all hosts (`SHARED=YES`).
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.template
            .get("SHARED")
            .is_some_and(|text| text.eq_ignore_ascii_case("yes"))
    }

    /// Seconds of the leases that hosts keep on a shared system datastore (`LEASE_SECONDS`); none where it names none.
    #[must_use]
    pub fn lease_seconds(&self) -> Option<u32> {
        let seconds = self.template.get(LEASE_SECONDS)?.trim().parse::<u32>().ok()?;
        let is_kept = self.kind == DatastoreType::System && self.is_shared();
        (is_kept && seconds > 0).then(|| seconds.clamp(LEASE_SECONDS_MIN, LEASE_SECONDS_MAX))
    }

    /// `<DATASTORE>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        let (total, free, used) = view.datastore_space(self.id);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        out.open("DATASTORE");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.permissions.render(out);
        out.cdata_element("DS_MAD", &self.ds_mad);
        out.cdata_element("TM_MAD", &self.tm_mad);
        out.cdata_element("BASE_PATH", &self.base_path);
        out.number("TYPE", i64::from(self.kind.number()));
        out.number("DISK_TYPE", i64::from(self.disk_type.number()));
        out.number("STATE", i64::from(self.state.number()));
        render_ids(out, "CLUSTERS", &self.clusters);
        out.number("TOTAL_MB", number(total));
        out.number("FREE_MB", number(free));
        out.number("USED_MB", number(used));
        render_ids(out, "IMAGES", &view.datastore_images(self.id));
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("DATASTORE");
    }
}
