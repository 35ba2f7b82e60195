//! [`VmSight`]: which VMs a caller may see, found once for a whole list. It says of each VM what [`crate::may_see`] says.

use std::collections::HashSet;

use plerion_model::acl::{self, AclQuestion};
use plerion_model::vm::Vm;
use plerion_model::{Id, Kind, Operation, zone};

use crate::auth::{Caller, by_permissions};
use crate::world::World;

/// See the head of the file.
#[derive(Debug)]
pub struct VmSight<'a> {
    caller: &'a Caller,
    all: bool,
    ids: HashSet<Id>,
    groups: HashSet<Id>,
    clusters: HashSet<Id>,
}

impl<'a> VmSight<'a> {
    /// What rules let a caller see of VMs.
    #[must_use]
    pub fn of(world: &World, caller: &'a Caller) -> Self {
        let mut sight = Self {
            caller,
            all: caller.is_admin(),
            ids: HashSet::new(),
            groups: HashSet::new(),
            clusters: HashSet::new(),
        };
        let question = AclQuestion {
            uid: caller.uid,
            groups: &caller.groups,
            kind: Kind::Vm,
            oid: -1,
            gid: -1,
            clusters: &[],
            right: Operation::Use.bit(),
        };
        for who in question.names() {
            for rule in world.rules_for(who) {
                if rule.concerns(&question, zone::LOCAL) {
                    sight.add(rule.resource);
                }
            }
        }
        sight
    }

    fn add(&mut self, resource: u64) {
        let Ok(id) = Id::try_from(resource & 0xffff_ffff) else {
            return;
        };
        self.all |= resource & acl::ALL != 0;
        for (bit, named) in [
            (acl::INDIVIDUAL, &mut self.ids),
            (acl::GROUP, &mut self.groups),
            (acl::CLUSTER, &mut self.clusters),
        ] {
            if resource & bit != 0 {
                named.insert(id);
            }
        }
    }

    /// Whether the caller may see a VM, locks aside.
    #[must_use]
    pub fn sees(&self, vm: &Vm) -> bool {
        let in_cluster = || {
            vm.last_history()
                .is_some_and(|record| self.clusters.contains(&record.cluster))
        };
        self.all
            || by_permissions(self.caller, Operation::Use, &vm.owned)
            || self.ids.contains(&vm.id)
            || self.groups.contains(&vm.owned.gid)
            || in_cluster()
    }
}
