//! Documents: templates with a type, for programs that keep their own objects here.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::{Id, Owned, View};

/// A document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Id.
    pub id: Id,
    /// Name; other documents may have the same.
    pub name: String,
    /// Owner and permissions.
    pub owned: Owned,
    /// What it is, as a number that its program chose (100 a service, 101 a service template).
    pub document_type: i32,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Document, owned, template);

impl Document {
    /// `<DOCUMENT>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("DOCUMENT");
        out.number("ID", i64::from(self.id));
        self.owned.render_owner(out, view);
        out.element("NAME", &self.name);
        out.number("TYPE", i64::from(self.document_type));
        self.owned.permissions.render(out);
        self.owned.render_lock(out);
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("DOCUMENT");
    }
}
