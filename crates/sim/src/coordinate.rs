//! The coordinator of a front-end: fits links to hosts, and takes up what the outbox asks for.

use plerion_drivers::Environment;
use plerion_engine::{Clock as _, unwanted};
use plerion_model::Id;
use plerion_model::datastore::DatastoreType;
use plerion_model::host::{Host, HostState};
use plerion_protocol::{SshTarget, ToNode, Watch};
use plerion_template::Template;
use plerion_world::{Command, Order, Site, World};

use crate::front_end::SAMPLE_EVERY_S;
use crate::queue::{Event, FrontEndId, Millis};
use crate::simulation::Simulation;

/// What was lost within the front-end is given again after this.
const BEAT: Millis = 200;

impl Simulation {
    /// Has the coordinator look at the world soon.
    pub(crate) fn coordinate_soon(&mut self, id: FrontEndId) {
        let time = self.now + self.random.between(0, 30);
        if let Some(front_end) = self.alive(id)
            && !front_end.coordinate_due
        {
            front_end.coordinate_due = true;
            self.queue.put(time, Event::Coordinate(id));
        }
    }

    /// An order from within was refused; it is given again with the next beat.
    pub(crate) fn order_refused(&mut self, id: FrontEndId, order: &Order) {
        if let Command::IntentEnded { key, .. } = &order.command {
            let time = self.now + BEAT;
            if let Some(front_end) = self.alive(id) {
                front_end.dispatcher.order_lost(*key);
                self.queue.put(time, Event::Coordinate(id));
            }
        }
    }

    /// The world has changed.
    pub(crate) fn coordinate(&mut self, id: FrontEndId) {
        let Some(front_end) = self.alive(id) else { return };
        front_end.coordinate_due = false;
        let world = front_end.published.clone();
        self.hosts_fit(id, &world);
        self.carry_out(id, &world);
        self.fences_begin(id, &world);
    }

    /// Takes up what a world asks for.
    pub(crate) fn carry_out(&mut self, id: FrontEndId, world: &World) {
        let now = self.clock.now();
        let hypervisor_conf = Template::new();
        let ssh_target = |host: &str| SshTarget {
            host: host.to_owned(),
            options: Vec::new(),
            program: "plerion".into(),
        };
        let environment = Environment {
            hypervisor_conf: &hypervisor_conf,
            now,
            ssh_target: &ssh_target,
        };
        let Some(front_end) = self.alive(id) else { return };
        front_end.intake.world_changed(world);
        let dispatches = front_end.dispatcher.world_changed(world, &environment);
        self.dispatch(id, dispatches);
    }

    fn hosts_fit(&mut self, id: FrontEndId, world: &World) {
        let Some(front_end) = self.alive(id) else { return };
        let mut closed = Vec::new();
        front_end.links.retain(|site, link| {
            let Site::Host(host) = site else { return true };
            let keep = world
                .hosts
                .get(*host)
                .is_some_and(|host| is_linked(host) && host.name == link.name);
            if !keep {
                closed.extend(link.connection);
            }
            keep
        });
        let mut opened = Vec::new();
        let mut watched = Vec::new();
        for host in world.hosts.values().filter(|host| is_linked(host)) {
            let watch = watch_of(world, host);
            match front_end.links.get_mut(&Site::Host(host.id)) {
                None => opened.push((host.id, host.name.clone(), watch)),
                Some(link) if link.watch != watch => {
                    link.watch = watch.clone();
                    watched.push((host.id, watch));
                }
                Some(_) => {}
            }
        }
        for connection in closed {
            self.connection_close(connection);
        }
        for (host, name, watch) in opened {
            self.link_open(id, Site::Host(host), &name, watch);
        }
        for (host, watch) in watched {
            // When it is down, the watch is sent with the next connection.
            let _ = self.send(id, Site::Host(host), ToNode::Watch(watch));
        }
    }
}

/// Whether a host has an agent that is wanted.
fn is_linked(host: &Host) -> bool {
    host.im_mad != "dummy" && host.state != HostState::Offline
}

/// What a host's agent watches: the system datastores of its cluster.
fn watch_of(world: &World, host: &Host) -> Watch {
    let location = &world.config.datastore_location;
    let stores = world.datastores.values();
    let datastores: Vec<(Id, String)> = stores
        .filter(|store| store.kind == DatastoreType::System && store.clusters.contains(&host.cluster_id))
        .map(|store| (store.id, format!("{location}/{}", store.id)))
        .collect();
    Watch {
        interval_s: SAMPLE_EVERY_S,
        datastores,
        hypervisor: true,
        caches: Vec::new(),
        unwanted: unwanted(world, host),
        leases: Vec::new(),
        looks: Vec::new(),
    }
}
