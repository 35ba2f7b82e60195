//! Groups of users.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::group_vlan::{self, VlanRule};
use crate::quota::{Limit, Quotas};
use crate::quota_usage::QuotaUsage;
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
    /// VLANs that its members may name in networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan_rules: Vec<VlanRule>,
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
            self.render_quotas(out, view);
            self.render_vlan_rules(out);
            render_default_quotas(out, view);
        }
        out.close("GROUP");
    }

    /// `<QUOTAS>` as it follows each group of a pool.
    pub fn render_pool_quotas(&self, out: &mut impl Markup, view: &impl View) {
        out.open("QUOTAS");
        out.number("ID", i64::from(self.id));
        self.render_quotas(out, view);
        out.close("QUOTAS");
    }

    /// The sections of its quotas; none of group 0, whom nothing limits: the default quotas are kept there.
    fn render_quotas(&self, out: &mut impl Markup, view: &impl View) {
        let none = Quotas::default();
        let quotas = if self.id == ONEADMIN { &none } else { &self.quotas };
        quotas.render(
            out,
            &view.group_usage(self.id),
            view.quota_metrics(),
            Limit::DEFAULT,
        );
    }

    /// `<VLAN_RULES>`; in pools it follows the quotas.
    pub fn render_vlan_rules(&self, out: &mut impl Markup) {
        group_vlan::render(out, self.id, &self.vlan_rules);
    }
}

/// `<DEFAULT_GROUP_QUOTAS>`.
pub fn render_default_quotas(out: &mut impl Markup, view: &impl View) {
    let none = Quotas::default();
    let quotas = view.default_group_quotas().unwrap_or(&none);
    out.open("DEFAULT_GROUP_QUOTAS");
    quotas.render(
        out,
        &QuotaUsage::default(),
        view.quota_metrics(),
        Limit::UNLIMITED,
    );
    out.close("DEFAULT_GROUP_QUOTAS");
}
