//! Domains: starting and ending them, and knowing at once when they change.

mod checkpoint;
mod device;
mod disk_copy;
mod disk_snapshot;
mod domain;
mod events;
mod guest_agent;
mod guest_command;
mod guest_info;
mod host_stops;
pub(crate) mod kvm_probe;
mod stats;
mod virsh;
mod watch;
mod xml;

pub(crate) use domain::{Hypervisor, Start};
pub(crate) use stats::DomainStat;
pub(crate) use virsh::Virsh;
