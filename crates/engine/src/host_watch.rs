//! What the agent of a host watches.

use std::collections::BTreeMap;

use plerion_model::Id;
use plerion_model::datastore::{Datastore, DatastoreType};
use plerion_model::host::Host;
use plerion_protocol::{CacheWatch, LeaseKeep, LeaseLook, Watch};
use plerion_template::PackedTemplate;
use plerion_world::World;

/// Days after its last use that an image stays in a cache, where IMAGE_CACHE_DAYS of the system datastore is silent.
const CACHE_DAYS: u64 = 30;
/// Percent of the file system that are to be free, where IMAGE_CACHE_FREE is silent.
const CACHE_FREE_PERCENT: u8 = 10;
/// Seconds of a day.
const DAY_S: u64 = 24 * 3600;

/// Lost VMs by the host that looks at their leases.
pub(crate) type Looked = BTreeMap<Id, Vec<Id>>;

/// The lost VMs whose leases are looked at.
pub(crate) fn looked(world: &World) -> Looked {
    let mut looked = Looked::new();
    for vm in world.lost_vms() {
        if let Some(host) = world.lease_observer(vm) {
            looked.entry(host).or_default().push(vm.id);
        }
    }
    looked
}

/// What a host's agent watches: the system datastores of its cluster, the caches of images in them, and leases there.
pub(crate) fn watch_of(world: &World, host: &Host, interval_s: u32, looked: &Looked) -> Watch {
    let location = host
        .template
        .get("DATASTORE_LOCATION")
        .unwrap_or(&world.config.datastore_location);
    let directory = |store: &Datastore| format!("{}/{}", location.trim_end_matches('/'), store.id);
    let stores = || {
        world
            .datastores
            .values()
            .filter(|store| store.kind == DatastoreType::System && store.tm_mad != "dummy")
            .filter(|store| store.clusters.contains(&host.cluster_id))
    };
    Watch {
        interval_s,
        datastores: stores().map(|store| (store.id, directory(store))).collect(),
        hypervisor: true,
        caches: stores()
            .filter(|store| store.tm_mad == "ssh")
            .map(|store| cache_of(&store.template, directory(store)))
            .collect(),
        unwanted: unwanted(world, host),
        leases: leases(world, host, &directory),
        looks: looks(world, looked.get(&host.id), &directory),
    }
}

/// The leases that a host keeps: on the system datastores of its cluster that ask for one.
fn leases(world: &World, host: &Host, directory: &impl Fn(&Datastore) -> String) -> Vec<LeaseKeep> {
    let stores = world.datastores.values();
    stores
        .filter(|store| store.clusters.contains(&host.cluster_id))
        .filter_map(|store| {
            Some(LeaseKeep {
                directory: directory(store),
                host: host.id,
                seconds: store.lease_seconds()?,
            })
        })
        .collect()
}

/// Where a host looks for the leases of lost VMs of other hosts.
fn looks(world: &World, vms: Option<&Vec<Id>>, directory: &impl Fn(&Datastore) -> String) -> Vec<LeaseLook> {
    vms.into_iter()
        .flatten()
        .filter_map(|id| {
            let vm = world.vms.get(*id)?;
            let store = world.datastores.get(vm.last_history()?.datastore)?;
            let lost = world.hosts.get(vm.held_host()?)?;
            Some(LeaseLook {
                vm: vm.id,
                uuid: vm.uuid().to_owned(),
                host: lost.id,
                loss: lost.loss.as_ref()?.number,
                directory: directory(store),
                seconds: store.lease_seconds()?,
            })
        })
        .collect()
}

/// Copies of VMs that were given up on the host, and are not (back) there: names and UUIDs of domains that must not run.
#[must_use]
pub fn unwanted(world: &World, host: &Host) -> Vec<(String, String)> {
    host.given_up
        .iter()
        .filter(|(id, _)| {
            let vm = world.vms.get(**id);
            vm.and_then(|vm| vm.held_host()) != Some(host.id)
        })
        .map(|(id, uuid)| (format!("one-{id}"), uuid.clone()))
        .collect()
}

fn cache_of(template: &PackedTemplate, directory: String) -> CacheWatch {
    let number = |name: &str| {
        template
            .get(name)
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let free_percent = number("IMAGE_CACHE_FREE")
        .and_then(|percent| u8::try_from(percent).ok())
        .filter(|percent| *percent <= 100);
    CacheWatch {
        directory,
        unused_s: number("IMAGE_CACHE_DAYS")
            .unwrap_or(CACHE_DAYS)
            .saturating_mul(DAY_S),
        free_percent: free_percent.unwrap_or(CACHE_FREE_PERCENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_template::Template;

    fn cache(text: &str) -> (u64, u8) {
        let template = Template::parse_or_empty(text).expect("a template");
        let cache = cache_of(&PackedTemplate::new(&template), "/ds/0".into());
        (cache.unused_s, cache.free_percent)
    }

    #[test]
    fn caches_are_pruned_as_the_datastore_says() {
        assert_eq!(cache(""), (30 * DAY_S, 10));
        assert_eq!(cache("IMAGE_CACHE_DAYS=2\nIMAGE_CACHE_FREE=25"), (2 * DAY_S, 25));
        assert_eq!(
            cache("IMAGE_CACHE_DAYS=soon\nIMAGE_CACHE_FREE=250"),
            (30 * DAY_S, 10)
        );
    }
}
