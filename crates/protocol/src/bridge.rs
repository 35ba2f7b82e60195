//! A bridge that a NIC is on.

use serde::{Deserialize, Serialize};

/// A Linux bridge that must exist before a domain starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Interface name.
    pub name: String,
    /// Physical device to put into it when the bridge is made here.
    pub phydev: Option<String>,
}
