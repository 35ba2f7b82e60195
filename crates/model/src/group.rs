//! Groups of users.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::quota::Quotas;
use crate::user::render_ids;
use crate::{Id, View};

/// The administrators' group.
pub const ONEADMIN: Id = 0;
/// The group of ordinary users.
pub const USERS: Id = 1;

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Administrators of the group.
    #[serde(default)]
    pub admins: Vec<Id>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
    /// Quotas set for the group.
    #[serde(default)]
    pub quotas: Quotas,
}

crate::entity::entity!(Group, template);

impl Group {
    /// `<GROUP>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View, full: bool) {
        out.open("GROUP");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        render_ids(out, "USERS", &view.group_users(self.id));
        render_ids(out, "ADMINS", &self.admins);
        if full {
            self.quotas.render(out);
            self.render_vlan_rules(out);
            out.open("DEFAULT_GROUP_QUOTAS");
            Quotas::default().render(out);
            out.close("DEFAULT_GROUP_QUOTAS");
        }
        out.close("GROUP");
    }

    /// `<QUOTAS>` as it follows each group of a pool.
    pub fn render_pool_quotas(&self, out: &mut impl Markup) {
        out.open("QUOTAS");
        out.number("ID", i64::from(self.id));
        self.quotas.render(out);
        out.close("QUOTAS");
    }

    /// `<VLAN_RULES>`; in pools it follows the quotas.
    pub fn render_vlan_rules(&self, out: &mut impl Markup) {
        out.open("VLAN_RULES");
        out.cdata_element("ID", &self.id.to_string());
        out.close("VLAN_RULES");
    }
}
