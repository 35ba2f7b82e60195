//! Leases on shared datastores: this host's own, and what is seen of those of hosts that do not answer.
//!
//! The keeper of a datastore writes a file there again and again, and ends the guests that have files there when it could not
//! for too long. The observer tells whether another host's lease has ended and whether the disks of its VMs are still locked.
//! It is the locks that prove something: an agent that was stopped renews nothing, and its guests run on.

mod boot_clock;
mod file_system;
mod guests;
mod keeper;
mod locks;
mod observer;
mod paper;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use plerion_protocol::{FromNode, Watch};

use crate::hypervisor::Hypervisor;
use crate::roots::Roots;
use keeper::Keeper;
use observer::Observer;

/// Datastores on which a lease is kept.
const KEEPERS_MAX: usize = 100;

/// The leases of an agent.
pub(crate) struct Leases {
    cloud: String,
    hypervisor: Hypervisor,
    /// By directory of the datastore.
    keepers: Mutex<BTreeMap<String, Arc<Keeper>>>,
    observer: Observer,
}

impl Leases {
    pub(crate) fn new(
        cloud: &str,
        hypervisor: Hypervisor,
        emit: Box<dyn Fn(FromNode) + Send + Sync>,
    ) -> Self {
        Self {
            cloud: cloud.to_owned(),
            hypervisor,
            keepers: Mutex::default(),
            observer: Observer::new(cloud, emit),
        }
    }

    /// Sets which leases are kept and which are looked at.
    pub(crate) fn watch(&self, watch: &Watch, roots: &Roots) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|directory, keeper| {
            let stays = watch.leases.iter().any(|keep| keep.directory == *directory);
            if !stays {
                keeper.end();
            }
            stays
        });
        for keep in watch.leases.iter().take(KEEPERS_MAX) {
            if keepers
                .get(&keep.directory)
                .is_some_and(|keeper| keeper.keeps(keep))
            {
                continue;
            }
            let keeper = Keeper::start(&self.cloud, keep, roots, &self.hypervisor);
            if let Some(old) = keepers.insert(keep.directory.clone(), keeper) {
                old.end();
            }
        }
        drop(keepers);
        self.observer.watch(&watch.looks, roots);
    }

    /// Whether guests run that a lease is kept for.
    pub(crate) fn is_needed(&self) -> bool {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.values().any(|keeper| keeper.has_guests())
    }
}
