//! VMs that a search finds.

use std::sync::Arc;

use plerion_engine::{Engine, Snapshot};

use crate::info::view_of;
use crate::pool_done::Listed;
use crate::pool_filter::Filter;
use crate::search::Search;

/// Those of some VMs that a search finds, and of them the page that a filter asks for. Bodies are looked through one by one as
/// the answer is made.
pub(crate) struct Found<I> {
    all: I,
    search: Search,
    engine: Arc<Engine>,
    snapshot: Snapshot,
    skip: usize,
    left: usize,
}

impl<I: Iterator<Item = Result<Listed, String>>> Found<I> {
    pub(crate) fn new(
        all: I,
        search: Search,
        engine: &Arc<Engine>,
        snapshot: &Snapshot,
        filter: Filter,
    ) -> Self {
        let (skip, left) = filter.paged().unwrap_or((0, usize::MAX));
        Self {
            all,
            search,
            engine: engine.clone(),
            snapshot: snapshot.clone(),
            skip,
            left,
        }
    }

    fn finds(&self, listed: Listed) -> Result<bool, String> {
        let view = view_of(&self.snapshot);
        match listed {
            Listed::Living(id) => {
                let vm = self.snapshot.world.vms.get(id);
                Ok(vm.is_some_and(|vm| self.search.finds(vm, &view)))
            }
            Listed::Done(id) => {
                let vm = self.engine.reader().vm(id).map_err(|error| error.to_string())?;
                Ok(vm.is_some_and(|vm| self.search.finds(&vm, &view)))
            }
        }
    }
}

impl<I: Iterator<Item = Result<Listed, String>>> Iterator for Found<I> {
    type Item = Result<Listed, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let found = self
                .all
                .next()?
                .and_then(|listed| Ok(self.finds(listed)?.then_some(listed)));
            match found {
                Ok(None) => {}
                Ok(Some(_)) if self.skip > 0 => self.skip -= 1,
                Ok(Some(listed)) => {
                    self.left -= 1;
                    return Some(Ok(listed));
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
