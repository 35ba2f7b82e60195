//! Zones.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::Id;

/// The zone of a cloud without federation.
pub const LOCAL: Id = 0;

/// A zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// 0 enabled, 1 disabled.
    pub state: i32,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Zone, template);

impl Zone {
    /// `<ZONE>`.
    pub fn render(&self, out: &mut impl Markup) {
        out.open("ZONE");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        out.number("STATE", i64::from(self.state));
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.open("SERVER_POOL");
        out.close("SERVER_POOL");
        out.close("ZONE");
    }
}
