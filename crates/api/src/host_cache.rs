//! Escaped bodies of hosts: pools of hosts are asked for often, and between two samples most hosts stay as they are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use plerion_model::cluster::Cluster;
use plerion_model::host::Host;
use plerion_model::view::HostSampleView;
use plerion_model::{Id, View as _};
use plerion_template::EscapedXml;
use plerion_world::{HostLoad, Snapshot as View, World};

use crate::short_cache::same;

/// Most bodies that are kept: some 2 KB each, and eight bytes or so for each VM of the host.
const ENTRIES_MAX: usize = 20_000;
/// Room for a body while it is made, in bytes.
const BODY_BYTES: usize = 4 * 1024;

/// All that a body is made of: it holds as long as these are the same.
struct Parts {
    host: Arc<Host>,
    cluster: Option<Arc<Cluster>>,
    sample: Option<Arc<HostSampleView>>,
    load: HostLoad,
}

impl Parts {
    fn of(host: &Arc<Host>, view: &View<'_>) -> Self {
        Self {
            host: host.clone(),
            cluster: view.world.clusters.get(host.cluster_id).cloned(),
            sample: view.host_sample(host.id),
            load: view.world.host_load(host.id),
        }
    }

    fn same(&self, now: &Self) -> bool {
        Arc::ptr_eq(&self.host, &now.host)
            && same(self.cluster.as_ref(), now.cluster.as_ref())
            && same(self.sample.as_ref(), now.sample.as_ref())
            && self.load.same(&now.load)
    }
}

struct Entry {
    parts: Parts,
    body: Box<[u8]>,
}

/// See the head of the file.
#[derive(Default)]
pub(crate) struct HostCache {
    entries: RwLock<HashMap<Id, Entry>>,
}

impl HostCache {
    /// Writes the body of a host.
    pub(crate) fn render(&self, out: &mut EscapedXml, host: &Arc<Host>, view: &View<'_>) {
        let parts = Parts::of(host, view);
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(&host.id).filter(|entry| entry.parts.same(&parts)) {
                out.raw(&entry.body);
                return;
            }
        }
        let mut body = EscapedXml::with_capacity(BODY_BYTES);
        host.render(&mut body, view);
        let body = body.into_bytes().into_boxed_slice();
        out.raw(&body);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(host.id, Entry { parts, body });
    }

    /// Lets go of the bodies of hosts that are gone.
    pub(crate) fn prune(&self, world: &World) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() > world.hosts.len() {
            entries.retain(|id, _| world.hosts.get(*id).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plerion_model::Kind;
    use plerion_template::Template;
    use plerion_world::{
        Caller, Command, Config, Context, HostReport, Measurements, Order, Reply, apply, bootstrap,
    };

    use super::*;

    impl HostCache {
        fn len(&self) -> usize {
            self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
        }
    }

    struct Cloud {
        world: World,
        measurements: Measurements,
        cache: HostCache,
    }

    impl Cloud {
        fn new() -> Self {
            let context = Context { now: 1, random: 1 };
            let (world, _) = bootstrap(&World::new(Config::default()), &context, ["a", "b"], ["x", "y"]);
            let (measurements, cache) = Default::default();
            Self {
                world,
                measurements,
                cache,
            }
        }

        fn give(&mut self, command: Command) -> Id {
            let context = Context { now: 2, random: 2 };
            let caller = Caller::system();
            let applied = apply(&self.world, &Order { caller, command }, &context).expect("accepted");
            self.world = applied.world;
            match applied.reply {
                Reply::Id(id) => id,
                Reply::Text(_) | Reply::Nothing => -1,
            }
        }

        fn made(&mut self, text: &str, command: impl FnOnce(Template) -> Command) -> Id {
            self.give(command(Template::parse(text).expect("a template")))
        }

        fn host_make(&mut self) {
            self.give(Command::HostAllocate {
                name: "node".into(),
                im_mad: "dummy".into(),
                vm_mad: "dummy".into(),
                cluster: 0,
            });
        }

        /// Both renderings, one that may be of the cache and a fresh one, must be equal. Gives the body.
        fn body(&self) -> String {
            let view = View {
                world: &self.world,
                measurements: &self.measurements,
            };
            let host = self.world.hosts.get(0).expect("a host");
            let mut fresh = EscapedXml::with_capacity(0);
            host.render(&mut fresh, &view);
            let fresh = fresh.into_bytes();
            for _ in 0..2 {
                let mut out = EscapedXml::with_capacity(0);
                self.cache.render(&mut out, host, &view);
                assert_eq!(out.into_bytes(), fresh);
            }
            String::from_utf8(fresh).expect("text")
        }
    }

    fn update(kind: Kind) -> impl FnOnce(Template) -> Command {
        move |template| Command::Update {
            kind,
            id: 0,
            template,
            append: true,
        }
    }

    #[test]
    fn all_that_a_body_is_made_of_makes_it_anew() {
        let mut cloud = Cloud::new();
        cloud.host_make();
        let mut bodies = vec![cloud.body()];
        let report = HostReport::Up {
            total_cpu: 400,
            total_memory_kib: 4 << 20,
            boot_id: "b".into(),
            facts: BTreeMap::new(),
        };
        cloud.give(Command::HostReported { id: 0, report });
        bodies.push(cloud.body());
        cloud.made("NOTE=x", update(Kind::Host));
        bodies.push(cloud.body());
        cloud.made("RESERVED_CPU=100", update(Kind::Cluster));
        bodies.push(cloud.body());
        let store = cloud.made("NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", |template| {
            Command::DatastoreAllocate { template, cluster: 0 }
        });
        let vm = cloud.made("CPU=1\nMEMORY=64", |template| Command::VmAllocate {
            template,
            hold: false,
        });
        cloud.give(Command::VmDeploy {
            id: vm,
            host: 0,
            enforce: false,
            datastore: store,
        });
        bodies.push(cloud.body());
        for time in [10, 20] {
            let sample = HostSampleView {
                time,
                ..HostSampleView::default()
            };
            cloud.measurements.hosts.insert(0, Arc::new(sample));
            bodies.push(cloud.body());
        }
        let count = bodies.len();
        bodies.dedup();
        assert_eq!(bodies.len(), count, "a change that does not show");
    }

    #[test]
    fn bodies_of_hosts_that_are_gone_are_let_go() {
        let mut cloud = Cloud::new();
        cloud.host_make();
        cloud.body();
        cloud.cache.prune(&cloud.world);
        assert_eq!(cloud.cache.len(), 1);
        cloud.give(Command::Delete {
            kind: Kind::Host,
            id: 0,
        });
        cloud.cache.prune(&cloud.world);
        assert_eq!(cloud.cache.len(), 0);
    }
}
