//! The objects of a cloud: one file per kind with its typed fields, states and XML form.
//!
//! Pure: no I/O, no clock. What can be derived (members of a group, VMs of a host, used leases, names of owners) is
//! not stored in an object; the XML form asks a [`View`] for it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod acl;
pub mod autostart;
pub mod backupjob;
pub mod cluster;
pub mod datastore;
pub mod document;
pub mod entity;
pub mod error;
pub mod group;
pub mod group_vlan;
pub mod hook;
pub mod host;
pub mod host_failure;
pub mod image;
pub mod kind;
pub mod marketplace;
pub mod marketplaceapp;
pub mod numa;
pub mod numa_place;
pub mod numbers;
pub mod pci;
pub mod permissions;
pub mod quota;
pub mod quota_section;
pub mod quota_usage;
pub mod sched_action;
pub mod secgroup;
pub mod showback;
pub mod snapshot;
pub mod user;
pub mod vdc;
pub mod view;
pub mod vm;
pub mod vm_backup;
pub mod vm_device;
pub mod vm_history;
pub mod vm_holds;
pub mod vm_short;
pub mod vm_state;
mod vm_use;
pub mod vmgroup;
pub mod vmtemplate;
pub mod vnet;
pub mod vnet_address;
pub mod vnet_range;
pub mod vntemplate;
pub mod vrouter;
mod wire_enum;
pub mod zone;

pub use entity::Entity;
pub use error::{ApiError, ErrorCode};
pub use kind::{Kind, NameScope};
pub use permissions::{Lock, LockLevel, Operation, Owned, Permissions};
pub use view::View;

/// Id of an object within its kind.
pub type Id = i32;
/// Seconds since 1970-01-01 UTC.
pub type Seconds = i64;
