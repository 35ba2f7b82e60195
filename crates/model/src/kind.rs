//! The kinds of objects: one table of what the wire format, the rights and the database say of each.

use serde::{Deserialize, Serialize};

/// Among which objects of a kind a name must be the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameScope {
    /// All of the kind.
    Pool,
    /// Those of one owner.
    Owner,
    /// Any number of objects may have the same name.
    Free,
}

/// What is to be known of a kind.
#[derive(Debug)]
pub struct KindFacts {
    /// Name in rows of the database and in stored bodies.
    pub stored_name: &'static str,
    /// The bit of the kind in the resource of an ACL rule.
    pub acl_bit: u64,
    /// The name in ACL rules, in messages about missing rights and about taken names (recorded: `NAME is already
    /// taken by CLUSTER 0.`).
    pub acl_name: &'static str,
    /// The name in error texts.
    pub error_name: &'static str,
    /// Root element of lists.
    pub pool_element: &'static str,
    /// Where names must differ.
    pub names: NameScope,
    /// The lowest id that an object made by a user gets (recorded).
    pub first_id: crate::Id,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $stored:literal $bit:literal $acl:literal $error:literal $pool:literal $names:ident $first:literal;)*) => {
        /// A kind of object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// What is to be known of it.
            #[must_use]
            pub const fn facts(self) -> &'static KindFacts {
                match self {
                    $(Self::$kind => &KindFacts {
                        stored_name: $stored,
                        acl_bit: $bit,
                        acl_name: $acl,
                        error_name: $error,
                        pool_element: $pool,
                        names: NameScope::$names,
                        first_id: $first,
                    },)*
                }
            }
        }
    };
}

#[rustfmt::skip]
kinds! {
    /// Virtual machine.
    Vm "vm" 0x10_0000_0000 "VM" "virtual machine" "VM_POOL" Free 0;
    /// Host.
    Host "host" 0x20_0000_0000 "HOST" "host" "HOST_POOL" Pool 0;
    /// Virtual network.
    Vnet "vnet" 0x40_0000_0000 "NET" "virtual network" "VNET_POOL" Owner 0;
    /// Image.
    Image "image" 0x80_0000_0000 "IMAGE" "image" "IMAGE_POOL" Owner 0;
    /// User.
    User "user" 0x100_0000_0000 "USER" "user" "USER_POOL" Pool 0;
    /// VM template.
    Template "template" 0x200_0000_0000 "TEMPLATE" "virtual machine template" "VMTEMPLATE_POOL" Owner 0;
    /// Group.
    Group "group" 0x400_0000_0000 "GROUP" "group" "GROUP_POOL" Pool 100;
    /// Access control rule.
    Acl "acl" 0x800_0000_0000 "ACL" "ACL" "ACL_POOL" Free 0;
    /// Datastore.
    Datastore "datastore" 0x1000_0000_0000 "DATASTORE" "datastore" "DATASTORE_POOL" Pool 100;
    /// Cluster.
    Cluster "cluster" 0x2000_0000_0000 "CLUSTER" "cluster" "CLUSTER_POOL" Pool 100;
    /// Document.
    Document "document" 0x4000_0000_0000 "DOCUMENT" "document" "DOCUMENT_POOL" Free 0;
    /// Zone.
    Zone "zone" 0x8000_0000_0000 "ZONE" "zone" "ZONE_POOL" Pool 100;
    /// Virtual router.
    Vrouter "vrouter" 0x4_0000_0000_0000 "VROUTER" "virtual router" "VROUTER_POOL" Free 0;
    /// VM group.
    VmGroup "vm_group" 0x20_0000_0000_0000 "VMGROUP" "vm group" "VM_GROUP_POOL" Owner 0;
    /// Network template.
    VnTemplate "vn_template" 0x40_0000_0000_0000 "VNTEMPLATE" "virtual network template" "VNTEMPLATE_POOL" Owner 0;
    /// Marketplace.
    Marketplace "marketplace" 0x8_0000_0000_0000 "MARKETPLACE" "marketplace" "MARKETPLACE_POOL" Pool 100;
    /// Appliance of a marketplace.
    MarketplaceApp "marketplace_app" 0x10_0000_0000_0000 "MARKETPLACEAPP" "marketplaceapp" "MARKETPLACEAPP_POOL" Owner 0;
    /// Hook.
    Hook "hook" 0x80_0000_0000_0000 "HOOK" "hook" "HOOK_POOL" Pool 0;
    /// Execution of a hook; in no access rule.
    HookExecution "hook_execution" 0 "HOOKEXECUTION" "hook execution" "HOOKLOG" Free 0;
    /// Backup job.
    BackupJob "backup_job" 0x100_0000_0000_0000 "BACKUPJOB" "backup job" "BACKUPJOB_POOL" Owner 0;
    /// Scheduled action.
    SchedAction "sched_action" 0x200_0000_0000_0000 "SCHEDULEDACTION" "scheduled action" "SCHED_ACTION_POOL" Free 0;
    /// Virtual data centre.
    Vdc "vdc" 0x2_0000_0000_0000 "VDC" "VDC" "VDC_POOL" Pool 100;
    /// Security group.
    SecurityGroup "security_group" 0x1_0000_0000_0000 "SECGROUP" "security group" "SECURITY_GROUP_POOL" Owner 100;
}

impl Kind {
    /// The bit of the kind in the resource of an ACL rule.
    #[must_use]
    pub const fn acl_bit(self) -> u64 {
        self.facts().acl_bit
    }

    /// The name in ACL rules and in messages about missing rights.
    #[must_use]
    pub const fn acl_name(self) -> &'static str {
        self.facts().acl_name
    }

    /// The name in error texts.
    #[must_use]
    pub const fn error_name(self) -> &'static str {
        self.facts().error_name
    }
}
