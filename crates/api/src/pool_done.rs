//! VMs that are DONE in the answers of pools. However many there are, an answer holds a page of their rows at a time and
//! one body; what the caller may not see is passed over by its row alone, where that says enough.

use std::iter::Peekable;
use std::sync::Arc;

use plerion_engine::{DoneRange, DoneVm, Engine, Snapshot};
use plerion_model::{Id, Kind, Seconds};
use plerion_world::{Caller, Object, Target, may_see};

use crate::pool_filter::Filter;

/// Rows read from the database at a time.
const PAGE_ROWS: u64 = 1_000;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    Descending,
}

/// A VM in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It is in the published world.
    Living(Id),
    /// It is in the database.
    Done(Id),
}

/// The ids of the VMs that are DONE and that the caller wants and may see.
pub(crate) struct DoneVms {
    engine: Arc<Engine>,
    caller: Caller,
    snapshot: Snapshot,
    filter: Filter,
    /// All clusters.
    clusters: Vec<Id>,
    /// What has not been read.
    rest: Option<DoneRange>,
    page: std::vec::IntoIter<DoneVm>,
}

impl DoneVms {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        caller: &Caller,
        snapshot: &Snapshot,
        filter: Filter,
        order: Order,
    ) -> Self {
        let bound = |id: i32, open: Id| {
            if filter.paged().is_some() || id < 0 {
                open
            } else {
                id
            }
        };
        Self {
            engine: engine.clone(),
            caller: caller.clone(),
            snapshot: snapshot.clone(),
            filter,
            clusters: snapshot.world.ids(Kind::Cluster),
            rest: Some(DoneRange {
                first: bound(filter.start, 0),
                last: bound(filter.end, Id::MAX),
                ..DoneRange::all(order == Order::Ascending)
            }),
            page: Vec::new().into_iter(),
        }
    }

    /// Only those that lived between two times.
    pub(crate) fn within(mut self, start: Seconds, end: Seconds) -> Self {
        if let Some(range) = &mut self.rest {
            (range.ended_after, range.made_before) = (start, end);
        }
        self
    }

    /// The next row, of a new page if need be; `None` after the last one.
    fn row(&mut self) -> Result<Option<DoneVm>, String> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        let Some(range) = self.rest.take() else {
            return Ok(None);
        };
        let page = self
            .engine
            .reader()
            .vms_done(range, PAGE_ROWS)
            .map_err(|error| error.to_string())?;
        if page.len() as u64 == PAGE_ROWS {
            self.rest = page.last().and_then(|row| range.after(row.id));
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }

    fn step(&mut self) -> Result<Option<Id>, String> {
        while let Some(row) = self.row()? {
            if self.filter.wants(&self.caller, &row.owned)
                && row_visible(&self.engine, &self.snapshot, &self.caller, &self.clusters, &row)?
            {
                return Ok(Some(row.id));
            }
        }
        Ok(None)
    }
}

/// Whether the caller may see a VM by its row. Rules about clusters need its last host, which is in its body; `clusters`
/// are all there are: who may not see a VM in any of them may not see it.
pub(crate) fn row_visible(
    engine: &Engine,
    snapshot: &Snapshot,
    caller: &Caller,
    clusters: &[Id],
    row: &DoneVm,
) -> Result<bool, String> {
    let world = &snapshot.world;
    let target = Target::owned(Kind::Vm, row.id, &row.owned);
    if may_see(world, caller, &target) {
        return Ok(true);
    }
    if !may_see(world, caller, &target.in_clusters(clusters)) {
        return Ok(false);
    }
    let vm = engine.reader().vm(row.id).map_err(|error| error.to_string())?;
    Ok(vm.is_some_and(|vm| may_see(world, caller, &Target::of_object(&Object::Vm(Arc::new(vm))))))
}

impl Iterator for DoneVms {
    type Item = Result<Id, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Living VMs and those that are DONE, in order, and the part of them that a filter asks for. A VM that ended since the
/// snapshot was published is shown as the snapshot has it, and once.
pub(crate) struct Merged<D: Iterator<Item = Result<Id, String>>> {
    living: Peekable<std::vec::IntoIter<Id>>,
    done: Peekable<D>,
    order: Order,
    skip: usize,
    left: usize,
}

impl<D: Iterator<Item = Result<Id, String>>> Merged<D> {
    /// Both come in the order.
    pub(crate) fn new(living: Vec<Id>, done: D, order: Order, filter: Filter) -> Self {
        let (skip, left) = filter.paged().unwrap_or((0, usize::MAX));
        Self {
            skip,
            left,
            ..Self::whole(living, done, order, filter)
        }
    }

    /// The same with all pages, for what looks through them first.
    pub(crate) fn whole(living: Vec<Id>, done: D, order: Order, filter: Filter) -> Self {
        Self {
            living: filter.range(living).into_iter().peekable(),
            done: done.peekable(),
            order,
            skip: 0,
            left: usize::MAX,
        }
    }

    fn step(&mut self) -> Result<Option<Listed>, String> {
        let done = match self.done.peek() {
            Some(Ok(id)) => Some(*id),
            Some(Err(error)) => return Err(error.clone()),
            None => None,
        };
        let living = self.living.peek().copied();
        let living_first = match (living, done) {
            (None, None) => return Ok(None),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(living), Some(done)) => match self.order {
                Order::Ascending => living <= done,
                Order::Descending => living >= done,
            },
        };
        if !living_first || living == done {
            self.done.next();
        }
        if living_first {
            return Ok(self.living.next().map(Listed::Living));
        }
        Ok(done.map(Listed::Done))
    }
}

impl<D: Iterator<Item = Result<Id, String>>> Iterator for Merged<D> {
    type Item = Result<Listed, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            match self.step() {
                Ok(Some(_)) if self.skip > 0 => self.skip -= 1,
                Ok(Some(listed)) => {
                    self.left -= 1;
                    return Some(Ok(listed));
                }
                Ok(None) => break,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(
        living: &[Id],
        done: &[Result<Id, &str>],
        order: Order,
        filter: [i32; 2],
    ) -> Vec<Result<Id, String>> {
        let done: Vec<Result<Id, String>> = done.iter().map(|id| id.map_err(str::to_owned)).collect();
        let [start, end] = filter;
        let filter = Filter::all(start, end);
        Merged::new(living.to_vec(), done.into_iter(), order, filter)
            .map(|listed| listed.map(|(Listed::Living(id) | Listed::Done(id))| id))
            .collect()
    }

    #[test]
    fn both_are_merged_in_order_and_each_is_shown_once() {
        let done = [Ok(9), Ok(7), Ok(5)];
        let all = merged(&[8, 7, 1], &done, Order::Descending, [-1, -1]);
        assert_eq!(all, [9, 8, 7, 5, 1].map(Ok));
        let done = [Ok(5), Ok(7), Ok(9)];
        let all = merged(&[1, 7, 8], &done, Order::Ascending, [-1, -1]);
        assert_eq!(all, [1, 5, 7, 8, 9].map(Ok));
    }

    #[test]
    fn a_page_is_of_both_and_a_range_of_ids_is_one_of_living_ones_too() {
        let done = [Ok(9), Ok(7), Ok(5)];
        assert_eq!(
            merged(&[8, 7, 1], &done, Order::Descending, [1, -3]),
            [8, 7, 5].map(Ok)
        );
        assert_eq!(merged(&[8, 7, 1], &done, Order::Descending, [4, -3]), [1].map(Ok));
        assert_eq!(
            merged(&[8, 7, 1], &[Ok(7)], Order::Descending, [2, 7]),
            [7].map(Ok)
        );
    }

    #[test]
    fn what_cannot_be_read_ends_the_list() {
        let done = [Ok(9), Err("no database"), Ok(5)];
        let all = merged(&[8], &done, Order::Descending, [-1, -1]);
        assert_eq!(all, [Ok(9), Err("no database".to_owned())]);
    }
}
