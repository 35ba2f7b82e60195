//! Virtual routers: VMs with NICs in the same networks, and addresses that move between them.

use plerion_template::{Markup, PackedTemplate, PackedValue, PackedVector};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::vnet_address::Mac;
use crate::{Id, Owned, View};

/// A virtual router. Its NICs are the `NIC` vectors of the template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vrouter {
    /// Id.
    pub id: Id,
    /// Name; other virtual routers may have the same.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Vrouter, owned, template);

/// A floating address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Float {
    /// Virtual network.
    pub vnet: Id,
    /// Address range.
    pub range: Id,
    /// MAC address.
    pub mac: Mac,
}

impl Vrouter {
    fn nics(&self) -> impl Iterator<Item = PackedVector<'_>> {
        self.template.iter().filter_map(|(name, value)| match value {
            PackedValue::Vector(nic) if name == "NIC" => Some(nic),
            PackedValue::Vector(_) | PackedValue::Single(_) => None,
        })
    }

    /// Networks of its NICs, ascending.
    #[must_use]
    pub fn networks(&self) -> Vec<Id> {
        let ids = self.nics().filter_map(|nic| nic.get("NETWORK_ID")?.parse().ok());
        let mut ids: Vec<Id> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Its floating addresses.
    pub fn floats(&self) -> impl Iterator<Item = Float> {
        self.nics().filter_map(|nic| {
            Some(Float {
                vnet: nic.get("NETWORK_ID")?.parse().ok()?,
                range: nic.get("AR_ID")?.parse().ok()?,
                mac: Mac::parse(nic.get("VROUTER_MAC")?)?,
            })
        })
    }

    /// The VRRP id that its VMs share, from 1 to 255, unless the template names one. (Recorded: virtual router 0 has 1.)
    #[must_use]
    pub fn keepalived_id(&self) -> String {
        let own = self.template.get("KEEPALIVED_ID").filter(|text| !text.is_empty());
        own.map_or_else(
            || self.id.rem_euclid(255).saturating_add(1).to_string(),
            str::to_owned,
        )
    }

    /// `<VROUTER>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("VROUTER");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.permissions.render(out);
        self.owned.render_lock(out);
        render_ids(out, "VMS", &view.vrouter_vms(self.id));
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("VROUTER");
    }
}
