//! Marketplaces: where appliances come from and go to.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::wire_enum::wire_enum;
use crate::{Id, Owned, View};

wire_enum! {
    /// State of a marketplace.
    MarketState {
        Enabled = 0 "ENABLED",
        Disabled = 1 "DISABLED",
    }
}

/// A marketplace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marketplace {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// State.
    pub state: MarketState,
    /// Its driver.
    pub market_mad: String,
    /// The zone that it belongs to.
    pub zone_id: Id,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Marketplace, owned, template);

impl Marketplace {
    /// `<MARKETPLACE>`. Sizes are 0 as long as no driver has measured it (recorded).
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("MARKETPLACE");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        out.number("STATE", i64::from(self.state.number()));
        out.cdata_element("MARKET_MAD", &self.market_mad);
        out.cdata_element("ZONE_ID", &self.zone_id.to_string());
        for size in ["TOTAL_MB", "FREE_MB", "USED_MB"] {
            out.number(size, 0);
        }
        render_ids(out, "MARKETPLACEAPPS", &view.market_apps(self.id));
        self.owned.permissions.render(out);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("MARKETPLACE");
    }
}
