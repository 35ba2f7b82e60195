//! What is kept of answers, so that pools need not be rendered anew each time.

use plerion_world::World;

use crate::host_cache::HostCache;
use crate::short_cache::ShortCache;

/// All caches of bodies.
#[derive(Default)]
pub(crate) struct Caches {
    /// Short bodies of VMs.
    pub(crate) vms: ShortCache,
    /// Bodies of hosts.
    pub(crate) hosts: HostCache,
}

impl Caches {
    /// Lets go of the bodies of objects that are gone.
    pub(crate) fn prune(&self, world: &World) {
        self.vms.prune(world);
        self.hosts.prune(world);
    }
}
