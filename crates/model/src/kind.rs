//! The kinds of objects, with the names and bits that the wire format gives them.

use serde::{Deserialize, Serialize};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Virtual machine.
    Vm,
    /// Host.
    Host,
    /// Virtual network.
    Vnet,
    /// Image.
    Image,
    /// User.
    User,
    /// VM template.
    Template,
    /// Group.
    Group,
    /// Access control rule.
    Acl,
    /// Datastore.
    Datastore,
    /// Cluster.
    Cluster,
    /// Zone.
    Zone,
    /// Security group.
    SecurityGroup,
}

impl Kind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Vm,
        Self::Host,
        Self::Vnet,
        Self::Image,
        Self::User,
        Self::Template,
        Self::Group,
        Self::Acl,
        Self::Datastore,
        Self::Cluster,
        Self::Zone,
        Self::SecurityGroup,
    ];

    /// The bit of the kind in the resource of an ACL rule.
    #[must_use]
    pub const fn acl_bit(self) -> u64 {
        match self {
            Self::Vm => 0x10_0000_0000,
            Self::Host => 0x20_0000_0000,
            Self::Vnet => 0x40_0000_0000,
            Self::Image => 0x80_0000_0000,
            Self::User => 0x100_0000_0000,
            Self::Template => 0x200_0000_0000,
            Self::Group => 0x400_0000_0000,
            Self::Acl => 0x800_0000_0000,
            Self::Datastore => 0x1000_0000_0000,
            Self::Cluster => 0x2000_0000_0000,
            Self::Zone => 0x8000_0000_0000,
            Self::SecurityGroup => 0x1_0000_0000_0000,
        }
    }

    /// The name in ACL rules and in messages about missing rights.
    #[must_use]
    pub const fn acl_name(self) -> &'static str {
        match self {
            Self::Vm => "VM",
            Self::Host => "HOST",
            Self::Vnet => "NET",
            Self::Image => "IMAGE",
            Self::User => "USER",
            Self::Template => "TEMPLATE",
            Self::Group => "GROUP",
            Self::Acl => "ACL",
            Self::Datastore => "DATASTORE",
            Self::Cluster => "CLUSTER",
            Self::Zone => "ZONE",
            Self::SecurityGroup => "SECGROUP",
        }
    }

    /// The name in error texts.
    #[must_use]
    pub const fn error_name(self) -> &'static str {
        match self {
            Self::Vm => "virtual machine",
            Self::Host => "host",
            Self::Vnet => "virtual network",
            Self::Image => "image",
            Self::User => "user",
            Self::Template => "virtual machine template",
            Self::Group => "group",
            Self::Acl => "ACL",
            Self::Datastore => "datastore",
            Self::Cluster => "cluster",
            Self::Zone => "zone",
            Self::SecurityGroup => "security group",
        }
    }

    /// The name of the kind in messages about taken names (recorded: `NAME is already taken by CLUSTER 0.`).
    #[must_use]
    pub const fn taken_name(self) -> &'static str {
        self.acl_name()
    }
}
