//! VM groups: roles of VMs, and which of them share hosts or keep apart.

use plerion_template::{Markup, PackedTemplate, Vector};
use serde::{Deserialize, Serialize};

use crate::{Id, Owned, View};

/// How VMs relate to each other's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Policy {
    /// Not at all.
    None,
    /// They share one host.
    Affined,
    /// No two share a host.
    AntiAffined,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Affined, Self::AntiAffined];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Affined => "AFFINED",
            Self::AntiAffined => "ANTI_AFFINED",
        }
    }

    /// The policy of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

/// A role in a VM group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Id within the group.
    pub id: Id,
    /// Name, of which there is only one in the group.
    pub name: String,
    /// Between VMs of the role; shown as far as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Hosts that its VMs may be on; none is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_affined: Vec<Id>,
    /// Hosts that its VMs may not be on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_anti_affined: Vec<Id>,
}

impl Role {
    fn vector(&self, vms: &[Id]) -> Vector {
        let list = |ids: &[Id]| ids.iter().map(Id::to_string).collect::<Vec<_>>().join(",");
        let mut vector = Vector::new();
        for (name, ids) in [
            ("HOST_AFFINED", self.host_affined.as_slice()),
            ("HOST_ANTI_AFFINED", &self.host_anti_affined),
            ("VMS", vms),
        ] {
            if !ids.is_empty() {
                vector.set(name, list(ids));
            }
        }
        vector.set("ID", self.id.to_string());
        vector.set("NAME", self.name.clone());
        if let Some(policy) = self.policy {
            vector.set("POLICY", policy.as_str());
        }
        vector
    }
}

/// A VM group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmGroup {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Attributes; `AFFINED` and `ANTI_AFFINED` are lists of roles that share hosts or keep apart.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(VmGroup, owned, template);

impl VmGroup {
    /// A role by name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The lists of roles that share one host, or that keep apart.
    pub fn rules(&self, policy: Policy) -> impl Iterator<Item = Vec<&str>> {
        self.template.iter().filter_map(move |(name, value)| match value {
            plerion_template::PackedValue::Single(text) if name == policy.as_str() => {
                let names = text.split(',').map(str::trim);
                Some(names.filter(|name| !name.is_empty()).collect())
            }
            plerion_template::PackedValue::Single(_) | plerion_template::PackedValue::Vector(_) => None,
        })
    }

    /// `<VM_GROUP>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("VM_GROUP");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.permissions.render(out);
        self.owned.render_lock(out);
        out.open("ROLES");
        for role in &self.roles {
            out.open("ROLE");
            for (name, value) in role.vector(&view.vmgroup_vms(self.id, &role.name)).iter() {
                out.cdata_element(name, value);
            }
            out.close("ROLE");
        }
        out.close("ROLES");
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("VM_GROUP");
    }
}
