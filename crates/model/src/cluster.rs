//! Clusters.

use plerion_template::{Markup, PackedTemplate};
use serde::{Deserialize, Serialize};

use crate::user::render_ids;
use crate::{Id, View};

/// The default cluster.
pub const DEFAULT: Id = 0;

/// A cluster. Its members name it, not the other way round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Id.
    pub id: Id,
    /// Name, unique.
    pub name: String,
    /// Attributes.
    #[serde(skip)]
    pub template: PackedTemplate,
}

crate::entity::entity!(Cluster, template);

impl Cluster {
    /// `<CLUSTER>`.
    pub fn render(&self, out: &mut impl Markup, view: &impl View) {
        out.open("CLUSTER");
        out.number("ID", i64::from(self.id));
        out.element("NAME", &self.name);
        render_ids(out, "HOSTS", &view.cluster_hosts(self.id));
        render_ids(out, "DATASTORES", &view.cluster_datastores(self.id));
        render_ids(out, "VNETS", &view.cluster_vnets(self.id));
        out.open("TEMPLATE");
        out.packed(&self.template);
        out.close("TEMPLATE");
        out.close("CLUSTER");
    }
}
