//! What is limited one by one: datastores, networks, images.

use serde::{Deserialize, Serialize};

/// What is limited by a section of quotas that goes by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// Images in a datastore and their size in MiB.
    Datastore,
    /// Leases of a network.
    Network,
    /// Uses of an image by VMs.
    Image,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Network, Self::Image, Self::Datastore];

    /// Its name in templates and texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datastore => "DATASTORE",
            Self::Network => "NETWORK",
            Self::Image => "IMAGE",
        }
    }

    /// What it counts, with what a use has of it in hundredths.
    #[must_use]
    pub fn metrics(self, used: PlaceUse) -> Vec<(&'static str, i64)> {
        let count = used.count.saturating_mul(100);
        match self {
            Self::Datastore => vec![("IMAGES", count), ("SIZE", used.size_mib.saturating_mul(100))],
            Self::Network => vec![("LEASES", count)],
            Self::Image => vec![("RVMS", count)],
        }
    }
}

/// What is used of a datastore, a network or an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceUse {
    /// Images, leases, or uses.
    pub count: i64,
    /// Size of images in MiB.
    pub size_mib: i64,
}

impl PlaceUse {
    /// Adds (1) or takes away (-1).
    pub fn add(&mut self, other: Self, sign: i64) {
        self.count = self.count.saturating_add(other.count.saturating_mul(sign));
        self.size_mib = self.size_mib.saturating_add(other.size_mib.saturating_mul(sign));
    }
}
