//! Quotas: limits; their use is derived from what exists.

use plerion_template::Markup;
use serde::{Deserialize, Serialize};

/// Limits of a user or a group.
///
/// Limits are set by the quota calls, which are not served yet, so the sections are empty on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quotas {}

impl Quotas {
    /// The four quota sections.
    pub fn render(&self, out: &mut impl Markup) {
        for name in ["DATASTORE_QUOTA", "NETWORK_QUOTA", "VM_QUOTA", "IMAGE_QUOTA"] {
            out.open(name);
            out.close(name);
        }
    }
}
