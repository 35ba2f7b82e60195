//! Escaped short bodies of VMs: pools are asked for often, and most VMs have not changed since the last time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use plerion_model::Id;
use plerion_model::group::Group;
use plerion_model::user::User;
use plerion_model::vm::Vm;
use plerion_template::EscapedXml;
use plerion_world::{Snapshot as View, World};

/// Most bodies that are kept.
const ENTRIES_MAX: usize = 200_000;

/// A body, and the objects that it was made of: it holds as long as they are the same ones.
struct Entry {
    vm: Arc<Vm>,
    user: Option<Arc<User>>,
    group: Option<Arc<Group>>,
    body: Box<[u8]>,
}

/// Whether what was kept is what is there now: the same object, or none both times.
pub(crate) fn same<T>(kept: Option<&Arc<T>>, now: Option<&Arc<T>>) -> bool {
    match (kept, now) {
        (Some(kept), Some(now)) => Arc::ptr_eq(kept, now),
        (None, None) => true,
        _ => false,
    }
}

impl Entry {
    fn holds(&self, vm: &Arc<Vm>, world: &World) -> bool {
        Arc::ptr_eq(&self.vm, vm)
            && same(self.user.as_ref(), world.users.get(vm.owned.uid))
            && same(self.group.as_ref(), world.groups.get(vm.owned.gid))
    }
}

/// See the head of the file.
#[derive(Default)]
pub(crate) struct ShortCache {
    entries: RwLock<HashMap<Id, Entry>>,
}

impl ShortCache {
    /// Writes the short body of a VM.
    pub(crate) fn render(&self, out: &mut EscapedXml, vm: &Arc<Vm>, world: &World, view: &View<'_>) {
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(&vm.id).filter(|entry| entry.holds(vm, world)) {
                out.raw(&entry.body);
                return;
            }
        }
        let mut body = EscapedXml::with_capacity(1024);
        vm.render_short(&mut body, view);
        let body = body.into_bytes().into_boxed_slice();
        out.raw(&body);
        let entry = Entry {
            vm: vm.clone(),
            user: world.users.get(vm.owned.uid).cloned(),
            group: world.groups.get(vm.owned.gid).cloned(),
            body,
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(vm.id, entry);
    }

    /// Lets go of the bodies of VMs that are gone.
    pub(crate) fn prune(&self, world: &World) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() > world.vms.len() {
            entries.retain(|id, _| world.vms.get(*id).is_some());
        }
    }
}
