//! Bridges of virtual networks, made directly as root or by the root helper.

mod bridge;
mod root;
mod wanted;

pub(crate) use root::root_main;
pub(crate) use wanted::bridges_make;
