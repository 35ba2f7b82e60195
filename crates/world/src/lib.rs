//! The state of a cloud and what commands do to it, as pure functions.
//!
//! [`World`] is an immutable snapshot; [`apply`] takes one, a [`Command`] and a [`Context`] (the time and identifiers
//! that were drawn for it), and gives the next snapshot, the [`Change`] to be written, and the reply. There is no I/O,
//! no clock and no randomness here, so a history can be run again and gives the same. Permissions, leases, capacity
//! and quotas are decided here and nowhere else.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod account;
mod acl;
mod apply;
mod auth;
mod auth_driver;
mod backup_run;
mod backupjob;
mod bootstrap;
mod change;
mod cluster;
mod command;
mod config;
mod context;
mod datastore;
mod disk_size;
mod document;
mod elsewhere;
mod encrypted;
mod encrypted_begin;
mod generic;
mod group;
mod group_vlan;
mod hook;
mod hook_fire;
mod host;
mod host_failure;
mod image;
mod image_default;
mod image_restore;
mod image_shareable;
mod image_snapshot;
mod index;
mod kinds;
mod marketplace;
mod name;
mod object;
mod on_behalf;
mod owner;
mod pairs;
mod pool;
mod quota;
mod range_leases;
mod restricted;
mod sched_action;
mod sched_due;
mod secgroup;
mod secret;
mod secrets;
mod showback;
mod stencil;
mod strangers;
mod txn;
mod user;
mod user_external;
mod vdc;
mod view;
mod vm;
mod vm_allocate;
mod vm_autostart;
mod vm_backup;
mod vm_backup_end;
mod vm_cause;
mod vm_cloning;
mod vm_context;
mod vm_deploy;
mod vm_device;
mod vm_device_command;
mod vm_device_end;
mod vm_disk;
mod vm_disk_change;
mod vm_disk_end;
mod vm_disk_image;
mod vm_disk_real;
mod vm_disk_save;
mod vm_disk_snapshot;
mod vm_disk_snapshot_end;
mod vm_exec;
mod vm_exec_end;
mod vm_files;
mod vm_history;
mod vm_migrate;
mod vm_migrate_end;
mod vm_nic;
mod vm_nic_auto;
mod vm_nic_change;
mod vm_nic_end;
mod vm_nic_mode;
mod vm_numa;
mod vm_pci;
mod vm_require;
mod vm_resize;
mod vm_resize_end;
mod vm_restart;
mod vm_right;
mod vm_sight;
mod vm_snapshot;
mod vm_snapshot_end;
mod vm_state;
mod vm_stay;
mod vm_system_store;
mod vm_template;
mod vm_updateconf;
mod vmgroup;
mod vmgroup_affinity;
mod vmtemplate_extended;
mod vmtemplate_images;
mod vmtemplate_instantiate;
mod vnet;
mod vnet_change;
mod vnet_lease;
mod vnet_range;
mod vnet_reserve;
mod vnet_vlan;
mod vntemplate;
mod vrouter;
mod world;
mod zone;

pub use acl::AclCommand;
pub use apply::{Applied, apply, apply_refused};
pub use auth::{Caller, Target, TokenLimit, may_see, require_right, require_see};
pub use auth_driver::{AuthDrivers, CORE, DriverConf, PUBLIC, SERVER_PREFIX};
pub use backupjob::BackupJobCommand;
pub use bootstrap::bootstrap;
pub use change::{
    Change, CommandEnd, ImageAsk, ImageSnapshot, Intent, IntentKey, IntentResult, LogEntry, Output, Site,
    StayEnd, Task,
};
pub use cluster::Member;
pub use command::{Command, Order, Reply};
pub use config::Config;
pub use context::Context;
pub use document::DocumentCommand;
pub use elsewhere::{
    Fencing, HostStanding, Lease, LeaseWord, LeaseWords, Standing, Verdict, may_start_elsewhere,
};
pub use encrypted::{object_opened, values_foreign, vm_opened};
pub use encrypted_begin::secrets_begin;
pub use hook::HookCommand;
pub use hook_fire::{ApiCall, call_is_hooked};
pub use host::{HostReport, HostStatus, OWN_RESERVED, OwnReport, PROBES_SYNC};
pub use host_failure::{FAILURE_MESSAGE, FailureCommand};
pub use image::ImageSpec;
pub use index::{HostLoad, Usage};
pub use marketplace::MarketCommand;
pub use object::Object;
pub use pairs::TRANSFER_BUILT_IN;
pub use pairs::{PairRefusal, datastores_fit};
pub use pool::Pool;
pub use quota::QuotaCommand;
pub use sched_action::SchedCommand;
pub use secgroup::SecgroupCommand;
pub use secret::Reading;
pub use secrets::{Scope, Secrets};
pub use showback::{Bill, Prices, ShowbackWindow, YearMonth, showback_right};
pub use strangers::{Strangers, Wild, strangers_differ};
pub use user_external::{ExternalCommand, VouchedGroup, groups_differ};
pub use vdc::{VdcCommand, vdcs_begin};
pub use view::{Measurements, Snapshot};
pub use vm_autostart::AutostartCommand;
pub use vm_backup::VmBackupCommand;
pub use vm_deploy::host_refusal;
pub use vm_device_command::VmDeviceCommand;
pub use vm_exec::GuestCommand;
pub use vm_migrate::{Migration, memory_binds};
pub use vm_nic_auto::nics_refusal;
pub use vm_nic_end::vm_without_nic;
pub use vm_numa::numa_find;
pub use vm_pci::pci_find;
pub use vm_restart::AUTOSTART_MESSAGE;
pub use vm_sight::VmSight;
pub use vmgroup::VmGroupCommand;
pub use vmgroup_affinity::{affinity_refusal, hosts_of};
pub use vmtemplate_extended::template_extended;
pub use vmtemplate_images::TemplateImagesCommand;
pub use vnet::{VnetCommand, VnetRecover};
pub use vntemplate::VnTemplateCommand;
pub use vrouter::VrouterCommand;
pub use world::World;
