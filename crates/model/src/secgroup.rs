//! Security groups.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::{Id, Owned, View};

/// The security group that every network has when none is named.
pub const DEFAULT: Id = 0;

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Attributes; the rules are its `RULE` vectors.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(SecurityGroup, owned, template);

impl SecurityGroup {
    /// `<SECURITY_GROUP>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("SECURITY_GROUP");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.permissions.render(out);
        render_ids(out, "UPDATED_VMS", &view.secgroup_vms(self.id));
        for list in ["OUTDATED_VMS", "UPDATING_VMS", "ERROR_VMS"] {
            render_ids(out, list, &[]);
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("SECURITY_GROUP");
    }
}
