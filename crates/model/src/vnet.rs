//! Virtual networks.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::vnet_range::{AddressRange, Holder};
use crate::wire_enum::wire_enum;
use crate::{Id, Owned, View};

wire_enum! {
    /// State of a virtual network.
    VnetState {
        Init = 0 "INIT",
        Ready = 1 "READY",
        LockCreate = 2 "LOCK_CREATE",
        LockDelete = 3 "LOCK_DELETE",
        Done = 4 "DONE",
        Error = 5 "ERROR",
        UpdateFailure = 6 "UPDATE_FAILURE",
    }
}

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vnet {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// Clusters that may use it.
    pub clusters: Vec<Id>,
    /// State.
    pub state: VnetState,
    /// State before.
    pub prev_state: VnetState,
    /// Network driver.
    pub vn_mad: String,
    /// Bridge; empty when the driver finds its own.
    pub bridge: String,
    /// Kind of bridge: `linux`, `openvswitch`, `none`, …
    pub bridge_type: String,
    /// Network that its ranges are reserved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// Network template that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_id: Option<Id>,
    /// VLAN (or VXLAN) that was chosen for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_automatic: Option<u32>,
    /// Outer VLAN (or VXLAN) that was chosen for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer_vlan_automatic: Option<u32>,
    /// Address ranges.
    pub ranges: Vec<AddressRange>,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Vnet, owned, template);

impl Vnet {
    /// An address range.
    #[must_use]
    pub fn range(&self, id: Id) -> Option<&AddressRange> {
        self.ranges.iter().find(|range| range.id == id)
    }

    /// PHYDEV, VLAN_ID or OUTER_VLAN_ID, chosen or named.
    #[must_use]
    pub fn link_attribute(&self, name: &str) -> Option<String> {
        let chosen = match name {
            "VLAN_ID" => self.vlan_automatic,
            "OUTER_VLAN_ID" => self.outer_vlan_automatic,
            _ => None,
        };
        let named = || self.template.get(name).map(str::to_owned);
        chosen
            .map(|id| id.to_string())
            .or_else(named)
            .filter(|text| !text.is_empty())
    }

    /// `<VNET>` as lists show it.
    pub fn render_short(&self, out: &mut impl Markup, view: &impl View) {
        self.render(out, view, None);
    }

    /// `<VNET>` with the leases whose holders `shown` accepts.
    pub fn render_full(&self, out: &mut impl Markup, view: &impl View, shown: &dyn Fn(Holder) -> bool) {
        self.render(out, view, Some(shown));
    }

    fn render(&self, out: &mut impl Markup, view: &impl View, shown: Option<&dyn Fn(Holder) -> bool>) {
        let leases = view.vnet_leases(self.id);

        out.open("VNET");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.render_lock(out);
        self.owned.permissions.render(out);
        render_ids(out, "CLUSTERS", &self.clusters);
        out.cdata_element("BRIDGE", &self.bridge);
        out.cdata_element("BRIDGE_TYPE", &self.bridge_type);
        out.cdata_element("STATE", &self.state.number().to_string());
        out.cdata_element("PREV_STATE", &self.prev_state.number().to_string());
        for (name, id) in [
            ("PARENT_NETWORK_ID", self.parent),
            ("TEMPLATE_ID", self.template_id),
        ] {
            match id {
                Some(id) => out.number(name, i64::from(id)),
                None => out.empty(name),
            }
        }
        out.cdata_element("VN_MAD", &self.vn_mad);
        for name in ["PHYDEV", "VLAN_ID", "OUTER_VLAN_ID"] {
            match self.link_attribute(name) {
                Some(value) => out.cdata_element(name, &value),
                None => out.empty(name),
            }
        }
        out.number("VLAN_ID_AUTOMATIC", i64::from(self.vlan_automatic.is_some()));
        out.number(
            "OUTER_VLAN_ID_AUTOMATIC",
            i64::from(self.outer_vlan_automatic.is_some()),
        );
        out.number("USED_LEASES", i64::try_from(leases.len()).unwrap_or(i64::MAX));
        render_ids(out, "VROUTERS", &view.vnet_vrouters(self.id));
        render_ids(out, "UPDATED_VMS", &view.vnet_vms(self.id));
        for list in ["OUTDATED_VMS", "UPDATING_VMS", "ERROR_VMS"] {
            render_ids(out, list, &[]);
        }
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.open("AR_POOL");
        for range in &self.ranges {
            match shown {
                Some(shown) => range.render_full(out, &leases, shown),
                None => range.render_short(out, &leases),
            }
        }
        out.close("AR_POOL");
        out.close("VNET");
    }
}
