//! Appliances of marketplaces.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::wire_enum::wire_enum;
use crate::{Id, Owned, Seconds, View};

/// VERSION of an appliance that names none.
pub const VERSION_DEFAULT: &str = "0.0";

wire_enum! {
    /// State of an appliance.
    AppState {
        Init = 0 "INIT",
        Ready = 1 "READY",
        Locked = 2 "LOCKED",
        Error = 3 "ERROR",
        Disabled = 4 "DISABLED",
    }
}

wire_enum! {
    /// What an appliance is made of.
    AppType {
        Unknown = 0 "UNKNOWN",
        Image = 1 "IMAGE",
        VmTemplate = 2 "VMTEMPLATE",
        ServiceTemplate = 3 "SERVICE_TEMPLATE",
    }
}

/// An appliance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketplaceApp {
    /// Id.
    pub id: Id,
    /// Name, unique among those of its owner.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// State.
    pub state: AppState,
    /// What it is made of.
    pub kind: AppType,
    /// When it was registered.
    pub regtime: Seconds,
    /// The zone that it belongs to.
    pub zone_id: Id,
    /// Image or template that it was made of.
    pub origin_id: Id,
    /// Its marketplace.
    pub market_id: Id,
    /// Where its file is.
    pub source: String,
    /// Checksum of the file; empty when there is none.
    pub md5: String,
    /// Size of the file in MiB.
    pub size_mib: u64,
    /// Format of the file.
    pub format: String,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(MarketplaceApp, owned, template);

impl MarketplaceApp {
    /// `<MARKETPLACEAPP>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        let text = |name: &str| self.template.get(name).unwrap_or_default();
        out.open("MARKETPLACEAPP");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        self.owned.render_lock(out);
        out.number("REGTIME", self.regtime);
        out.element("NAME", &self.name);
        out.cdata_element("ZONE_ID", &self.zone_id.to_string());
        out.cdata_element("ORIGIN_ID", &self.origin_id.to_string());
        out.cdata_element("SOURCE", &self.source);
        out.cdata_element("MD5", &self.md5);
        out.number("SIZE", i64::try_from(self.size_mib).unwrap_or(i64::MAX));
        out.cdata_element("DESCRIPTION", text("DESCRIPTION"));
        out.cdata_element("VERSION", text("VERSION"));
        out.cdata_element("FORMAT", &self.format);
        out.cdata_element("APPTEMPLATE64", text("APPTEMPLATE64"));
        out.number("MARKETPLACE_ID", i64::from(self.market_id));
        out.element("MARKETPLACE", view.market_name(self.market_id));
        out.number("STATE", i64::from(self.state.number()));
        out.number("TYPE", i64::from(self.kind.number()));
        self.owned.permissions.render(out);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("MARKETPLACEAPP");
    }
}
