//! [`Stores`]: the system datastores, their space and what is planned to be put there.

use std::collections::HashMap;

use plerion_model::datastore::{Datastore, DatastoreType};
use plerion_model::{Id, Seconds};
use plerion_world::{Measurements, World};

use crate::document::StoreDocument;
use crate::hosts::{HostRow, Starting};
use crate::path::Tree;
use crate::space::{Need, Space};
use crate::view::PlanView;

/// A system datastore during planning.
#[derive(Debug)]
pub(crate) struct StoreRow<'w> {
    /// The datastore.
    pub(crate) store: &'w Datastore,
    /// Whether its space is one for all hosts; else each host tells its own.
    shared: bool,
    /// Its space as measured, where it is shared.
    space: Option<Space>,
    /// MiB promised of it since, where it is shared.
    taken: u64,
    tree: Tree,
}

/// An image datastore's space.
#[derive(Debug)]
struct ImageSpace {
    free: Option<u64>,
    taken: u64,
}

/// The system datastores, by ascending id, and what is known of the image datastores.
#[derive(Debug)]
pub(crate) struct Stores<'w> {
    rows: Vec<StoreRow<'w>>,
    /// By row of a cluster: its system datastores.
    by_cluster: Vec<Vec<usize>>,
    images: HashMap<Id, ImageSpace>,
    /// Measurements of hosts older than this tell no space.
    sample_since: Seconds,
}

impl<'w> Stores<'w> {
    /// Those of a world. `clusters` are the ids of the clusters by row.
    pub(crate) fn new(
        world: &'w World,
        measurements: &'w Measurements,
        clusters: &[Id],
        sample_since: Seconds,
    ) -> Self {
        let of_kind = |kind: DatastoreType| world.datastores.values().filter(move |store| store.kind == kind);
        let space_of = |store: &Datastore| {
            let (total, free, used) = measurements
                .datastores
                .get(&store.id)
                .copied()
                .unwrap_or_default();
            Space::measured(total, free, used, &store.template)
        };
        let rows: Vec<StoreRow<'w>> = of_kind(DatastoreType::System)
            .map(|store| {
                let mut tree = Tree::default();
                store.render(&mut tree, &PlanView::new(world, measurements, None));
                StoreRow {
                    store,
                    shared: store.is_shared(),
                    space: space_of(store).filter(|_| store.is_shared()),
                    taken: 0,
                    tree,
                }
            })
            .collect();
        let by_cluster = clusters
            .iter()
            .map(|cluster| {
                rows.iter()
                    .enumerate()
                    .filter(|(_, row)| row.store.clusters.contains(cluster))
                    .map(|(index, _)| index)
                    .collect()
            })
            .collect();
        // Some datastores have no space of their own to be measured; they say so.
        let unchecked = |store: &Datastore| {
            store
                .template
                .get("DATASTORE_CAPACITY_CHECK")
                .is_some_and(|text| text.eq_ignore_ascii_case("no"))
        };
        let images = of_kind(DatastoreType::Image)
            .map(|store| {
                let free = space_of(store)
                    .filter(|_| !unchecked(store))
                    .map(|space| space.free);
                (store.id, ImageSpace { free, taken: 0 })
            })
            .collect();
        Self {
            rows,
            by_cluster,
            images,
            sample_since,
        }
    }

    /// The system datastores.
    pub(crate) fn rows(&self) -> &[StoreRow<'w>] {
        &self.rows
    }

    /// A system datastore.
    pub(crate) fn row(&self, store: usize) -> Option<&StoreRow<'w>> {
        self.rows.get(store)
    }

    /// The system datastores of a cluster, by ascending id.
    pub(crate) fn of_cluster(&self, cluster_row: usize) -> &[usize] {
        self.by_cluster.get(cluster_row).map_or(&[], Vec::as_slice)
    }

    /// Number of clusters.
    pub(crate) fn clusters(&self) -> usize {
        self.by_cluster.len()
    }

    /// Space of a system datastore as a host sees it, less what is planned; `None` when it is not known.
    pub(crate) fn space(&self, row: &StoreRow<'_>, host: Option<&HostRow<'_>>) -> Option<Space> {
        if row.shared {
            return row.space.map(|space| space.less(row.taken));
        }
        let host = host?;
        let sample = host.sample.filter(|sample| sample.time >= self.sample_since)?;
        let id = row.store.id;
        let (_, total, used, free) = *sample.datastores.iter().find(|(seen, ..)| *seen == id)?;
        let taken = host
            .taken
            .iter()
            .find(|(seen, _)| *seen == id)
            .map_or(0, |(_, taken)| *taken);
        Space::measured(total, free, used, &row.store.template).map(|space| space.less(taken))
    }

    /// Free MiB of an image datastore, less what is planned; `None` when it is not known.
    pub(crate) fn image_free(&self, datastore: Id) -> Option<u64> {
        let image = self.images.get(&datastore)?;
        image.free.map(|free| free.saturating_sub(image.taken))
    }

    /// A system datastore as expressions see it from a host.
    pub(crate) fn document<'a>(
        &'a self,
        row: &'a StoreRow<'w>,
        host: Option<&HostRow<'_>>,
    ) -> StoreDocument<'a> {
        StoreDocument::new(&row.tree, self.space(row, host))
    }

    /// Promises space.
    pub(crate) fn take(&mut self, store: usize, need: &Need, host: &mut HostRow<'_>) {
        if let Some(row) = self.rows.get_mut(store) {
            if row.shared {
                row.taken = row.taken.saturating_add(need.system);
            } else if need.system > 0 {
                host.take(row.store.id, need.system);
            }
        }
        for (id, mib) in &need.images {
            if let Some(image) = self.images.get_mut(id) {
                image.taken = image.taken.saturating_add(*mib);
            }
        }
    }

    /// Counts what VMs that are starting will fill.
    pub(crate) fn starting_take(
        &mut self,
        world: &World,
        starting: &[Starting<'_>],
        hosts: &mut [HostRow<'w>],
    ) {
        for vm in starting
            .iter()
            .filter(|starting| starting.files)
            .map(|starting| starting.vm)
        {
            let Some(last) = vm.last_history() else { continue };
            let store = self
                .rows
                .binary_search_by_key(&last.datastore, |row| row.store.id);
            let host = hosts.binary_search_by_key(&last.host, |row| row.host.id);
            if let (Ok(store), Ok(host)) = (store, host)
                && let (Some(row), Some(host)) = (self.rows.get(store), hosts.get_mut(host))
            {
                let mut need = Need::of(world, &vm.demand.disks, row.store, vm.files_at_front_end);
                if row.shared && vm.files_at_front_end {
                    // The files of a stopped VM stay where they are when all hosts see them.
                    need.system = 0;
                }
                self.take(store, &need, host);
            }
        }
    }
}
