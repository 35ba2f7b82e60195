//! Which objects a pool call wants, and which VMs its caller may see.

use std::sync::Arc;

use plerion_engine::Snapshot;
use plerion_model::vm::Vm;
use plerion_model::{ApiError, Id, Owned};
use plerion_world::{Caller, VmSight};

use crate::reject::Reject;
use crate::xmlrpc::Params;

/// Which objects a call wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    flag: i32,
    pub(crate) start: i32,
    pub(crate) end: i32,
}

impl Filter {
    pub(crate) fn read(params: &mut Params) -> Result<Self, Reject> {
        let filter = Self {
            flag: params.int()?,
            start: params.int()?,
            end: params.int()?,
        };
        filter.checked()
    }

    /// Those of some owners, whatever their ids.
    pub(crate) fn owners(flag: i32) -> Result<Self, Reject> {
        Self {
            flag,
            ..Self::everybody()
        }
        .checked()
    }

    /// Everybody's.
    pub(crate) const fn everybody() -> Self {
        Self {
            flag: -2,
            start: -1,
            end: -1,
        }
    }

    fn checked(self) -> Result<Self, Reject> {
        let filter = self;
        if filter.flag < -4 {
            return Err(ApiError::rpc_api("Incorrect filter_flag: it is -4 (primary group), -3 (own), -2 (all), -1 (own and groups) or a user id").into());
        }
        Ok(filter)
    }

    pub(crate) fn wants(self, caller: &Caller, owned: &Owned) -> bool {
        match self.flag {
            -4 => owned.gid == caller.gid,
            -3 => owned.uid == caller.uid,
            -2 => true,
            -1 => owned.uid == caller.uid || caller.groups.contains(&owned.gid),
            uid => owned.uid == uid,
        }
    }

    /// How many to leave out and how many to show, when a page is asked for and no range of ids.
    pub(crate) fn paged(self) -> Option<(usize, usize)> {
        (self.end < -1).then(|| {
            let size = usize::try_from(self.end.unsigned_abs()).unwrap_or(usize::MAX);
            (usize::try_from(self.start).unwrap_or(0), size)
        })
    }

    /// Keeps a page, or a range of ids, of ids in the order in which they are shown.
    pub(crate) fn page(self, ids: Vec<Id>) -> Vec<Id> {
        if let Some((skip, size)) = self.paged() {
            return ids.into_iter().skip(skip).take(size).collect();
        }
        self.range(ids)
    }

    /// Keeps a range of ids, if one is asked for.
    pub(crate) fn range(self, ids: Vec<Id>) -> Vec<Id> {
        if self.paged().is_some() {
            return ids;
        }
        let in_range = |id: &Id| (self.start < 0 || *id >= self.start) && (self.end < 0 || *id <= self.end);
        ids.into_iter().filter(in_range).collect()
    }

    /// Everybody's, for tests.
    #[cfg(test)]
    pub(crate) const fn all(start: i32, end: i32) -> Self {
        Self { flag: -2, start, end }
    }
}

/// The living VMs that the caller wants and may see.
pub(crate) fn vms_visible<'a>(
    snapshot: &'a Snapshot,
    caller: &'a Caller,
    filter: Filter,
) -> impl DoubleEndedIterator<Item = &'a Arc<Vm>> {
    let sight = VmSight::of(&snapshot.world, caller);
    let living = snapshot.world.vms.values();
    living.filter(move |vm| filter.wants(caller, &vm.owned) && sight.sees(vm))
}
