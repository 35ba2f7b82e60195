//! The life cycle of VMs as a pure function: `vm_step(phase, …, event)` gives the next phases or a refusal.
//!
//! ```text
//!  PENDING <-> HOLD        STOPPED, UNDEPLOYED --resume--> PENDING
//!     | deploy
//!  PROLOG > BOOT > RUNNING ---poweroff--> SHUTDOWN_POWEROFF > POWEROFF --resume--> BOOT_POWEROFF > RUNNING
//!                     |-------suspend--> SAVE_SUSPEND > SUSPENDED --resume--> BOOT_SUSPENDED > RUNNING
//!                     |-------stop--> SAVE_STOP > EPILOG_STOP > STOPPED
//!                     |-------undeploy--> SHUTDOWN_UNDEPLOY > EPILOG_UNDEPLOY > UNDEPLOYED
//!                     |-------terminate--> SHUTDOWN > EPILOG > DONE
//!                     |-------migrate--> SAVE_MIGRATE > PROLOG_MIGRATE > BOOT_MIGRATE or BOOT > RUNNING
//!                     '-------live--> MIGRATE > RUNNING
//!  POWEROFF, SUSPENDED --migrate--> PROLOG_MIGRATE_POWEROFF, _SUSPEND > POWEROFF, SUSPENDED
//!  UNKNOWN --migrate--> PROLOG_MIGRATE_UNKNOWN > BOOT > RUNNING
//! ```
//!
//! Changes of devices (`device.rs`) lead back to where the VM was:
//!
//! ```text
//!  RUNNING > HOTPLUG, HOTPLUG_NIC, DISK_SNAPSHOT, … > RUNNING
//!  POWEROFF > HOTPLUG_PROLOG_POWEROFF, DISK_RESIZE_POWEROFF, … > POWEROFF
//!  RUNNING > BACKUP > RUNNING; POWEROFF > BACKUP_POWEROFF, RESTORE > POWEROFF
//! ```
//!
//! No wildcard arms over states or events: a new one does not compile before somebody has thought about it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod device;
mod outcome;
mod reconfigure;
mod relocate;
mod transient;
mod vm;

pub use device::DeviceWork;
pub use outcome::{Outcome, Refusal};
pub use reconfigure::may_reconfigure;
pub use relocate::Relocation;
pub use transient::{Ask, Transient, failure_of, transient};
pub use vm::{Awaited, Event, Recover, vm_step};
