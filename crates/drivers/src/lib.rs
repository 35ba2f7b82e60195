//! The front-end's door to the drivers: what an intent means for agents, and the links to them.
//!
//! [`intent_plan`] turns an intent of the outbox into steps for agents; the built-in drivers and the dummy ones are
//! decided there; drivers that are not built in are asked by their scripts. [`HostLink`] is a channel to one agent: over SSH, to a child process, or made up by the simulator.

mod image_source;
mod intent;
mod link;
mod plan;
mod plan_backup;
mod plan_context;
mod plan_device;
mod plan_disk_save;
mod plan_domain;
mod plan_guest;
mod plan_image;
mod plan_migrate;
mod plan_orphan;
mod plan_script;
mod plan_script_disk;
mod plan_script_image;
mod plan_snapshot;
mod plan_transfer;
mod plan_vm;
mod plan_xml;
mod push;
mod ssh;
mod transfer;

pub use image_source::image_source;
pub use intent::intent_plan;
pub use link::{HostLink, LinkDown, LinkEvent, LinkMaker, LinkSink, LinkTarget};
pub use plan::{Environment, Place, Plan, Step, output_of};
pub use plan_script_image::{datastore_is_scripted, datastore_monitor, image_stat};
pub use plerion_domain::driver_conf_unknown as hypervisor_conf_unknown;
pub use push::program_identity;
pub use ssh::{GREETING_MAX, ProcessLinks, SshSettings};
