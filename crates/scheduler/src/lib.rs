//! Which pending VM goes to which host and system datastore, and why the others wait: [`plan`], a pure function.
//!
//! A plan is made from a snapshot and is a proposal: each placement is checked again when it is applied. VMs are taken
//! by priority, then by id; one that cannot be placed holds up nobody. A host is fit when it is monitored, meets the
//! requirements (those that follow from the VM's networks and datastores, then the user's), has CPU and memory left, and
//! has a system datastore for the VM. Of the fit ones the one with the highest rank is taken.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod autostart;
mod class;
mod columns;
mod document;
mod failure;
mod host_document;
mod hosts;
mod limits;
mod orders;
mod owner;
mod path;
mod plan;
mod planner;
mod ranking;
mod reason;
mod rule;
mod space;
mod stores;
mod summary;
mod verdict;
mod view;

pub use autostart::{AutostartPlan, autostart_plan, hosts_heard};
pub use failure::{FailurePlan, failure_plan};
pub use limits::Limits;
pub use plan::{Placement, Plan, plan};
pub use reason::Reason;
pub use verdict::{HostVerdict, Refusal};
