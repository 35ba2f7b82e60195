//! Bridges of virtual networks, made directly as root or by the root helper.

mod bridge;
mod root;

pub(crate) use bridge::bridges_make;
pub(crate) use root::root_main;
