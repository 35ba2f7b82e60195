//! Network templates.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::{Id, Owned, Seconds, View};

/// A network template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VnTemplate {
    /// Id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// When it was made.
    pub regtime: Seconds,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(VnTemplate, owned, template);

impl VnTemplate {
    /// `<VNTEMPLATE>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("VNTEMPLATE");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        self.owned.render_lock(out);
        self.owned.permissions.render(out);
        out.number("REGTIME", self.regtime);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("VNTEMPLATE");
    }
}
