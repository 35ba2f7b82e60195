//! The bridges that a domain wants: found, or made by whoever may.

use std::sync::Mutex;

use plerion_protocol::Bridge;

use super::bridge::bridge_exists;
use super::root::{RootTask, root_call};
use crate::fault::Act;
use crate::limits::Limits;
use crate::names::interface_check;

/// Two VMs of one network must not make its bridge at the same time.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes the bridges that are missing.
pub(crate) fn bridges_make(bridges: &[Bridge], limits: &Limits) -> Act<()> {
    for bridge in bridges {
        interface_check(&bridge.name)?;
        bridge.phydev.as_deref().map_or(Ok(()), interface_check)?;
        let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if bridge_exists(&bridge.name)? {
            continue;
        }
        let task = RootTask::BridgeMake {
            name: bridge.name.clone(),
            phydev: bridge.phydev.clone(),
        };
        root_call(task, limits)?;
    }
    Ok(())
}
