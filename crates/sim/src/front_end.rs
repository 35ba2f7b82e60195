//! [`FrontEnd`]: the real core, dispatcher, intake and scheduler, and around them what the threads of the engine do,
//! here driven by events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use plerion_drivers::LinkEvent;
use plerion_engine::{Clock, Core, Dispatch, Dispatcher, HostSilence, Intake, Sampled};
use plerion_model::Id;
use plerion_protocol::{FromNode, Report, ToNode, Watch};
use plerion_world::{Config, Measurements, Order, Site, World};

use crate::plant::Bug;
use crate::queue::{ConnectionId, Event, FrontEndId, Millis};
use crate::sim_store::SimStore;
use crate::simulation::Simulation;

/// Seconds that a host must not have answered to count as failed: cuts of links are often longer.
const HOST_FAILURE_S: u64 = 10;
/// Seconds between samples of hosts.
pub(crate) const SAMPLE_EVERY_S: u32 = 10;

/// Who waits for the answer to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A call, by its number.
    Call(u64),
    /// The scheduler.
    Scheduler,
    /// The coordinator.
    Coordinator,
}

/// A link to an agent.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    /// Tells it from other links to the same site.
    number: u64,
    pub(crate) connection: Option<ConnectionId>,
    up: bool,
    pub(crate) watch: Watch,
}

/// A front-end process.
pub(crate) struct FrontEnd {
    /// None once it is dead.
    pub(crate) core: Option<Core<SimStore>>,
    pub(crate) epoch: u64,
    pub(crate) published: Arc<World>,
    pub(crate) queue: VecDeque<(Order, Asker)>,
    pub(crate) paused_until: Millis,
    pub(crate) write_due: bool,
    /// It dies after sending this many more messages.
    pub(crate) sends_left: Option<u32>,
    pub(crate) measurements: Measurements,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) intake: Intake,
    pub(crate) links: BTreeMap<Site, Link>,
    pub(crate) coordinate_due: bool,
    pub(crate) schedule_due: bool,
    /// Orders of the scheduler without an answer.
    pub(crate) placing: u32,
    pub(crate) silence: HostSilence,
    /// Executions of the hook that fences which it has begun.
    pub(crate) fencing: BTreeSet<Id>,
}

/// The settings of every front-end of a run.
pub(crate) fn config() -> Config {
    Config {
        host_failure_s: HOST_FAILURE_S,
        ..Config::default()
    }
}

impl Simulation {
    /// Starts a front-end over the database of the run.
    pub(crate) fn front_end_start(&mut self) {
        let first = || {
            Ok([
                ("oneadmin".to_owned(), "secret".to_owned()),
                ("serveradmin".to_owned(), "secret".to_owned()),
            ])
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let core = match Core::start(self.store.clone(), config(), clock, "sim", first) {
            Ok(core) => core,
            Err(error) => return self.violate(format!("a front-end cannot start: {error}")),
        };
        let front_end = FrontEnd {
            epoch: core.epoch(),
            published: core.world().clone(),
            dispatcher: Dispatcher::new(core.epoch()),
            core: Some(core),
            queue: VecDeque::new(),
            paused_until: 0,
            write_due: false,
            sends_left: None,
            measurements: Measurements::default(),
            intake: Intake::new(),
            links: BTreeMap::new(),
            coordinate_due: false,
            schedule_due: false,
            placing: 0,
            silence: HostSilence::default(),
            fencing: BTreeSet::new(),
        };
        let id = self.front_ends.len();
        let world = front_end.published.clone();
        self.say(&format!("f{id} starts with epoch {}", front_end.epoch));
        self.front_ends.push(front_end);
        self.front_end_started(&world);
        self.fences_interrupted(id, &world);
        let watch = Watch {
            interval_s: SAMPLE_EVERY_S,
            ..Watch::default()
        };
        self.link_open(id, Site::FrontEnd, "", watch);
        self.coordinate_soon(id);
        self.schedule_soon(id, 0);
    }

    /// Ends a front-end as by kill -9, and its own agent with it.
    pub(crate) fn front_end_kill(&mut self, id: FrontEndId) {
        let Some(front_end) = self.front_ends.get_mut(id) else {
            return;
        };
        if front_end.core.take().is_none() {
            return;
        }
        front_end.queue.clear();
        front_end.links.clear();
        self.say(&format!("f{id} is dead"));
        self.ledger.front_end_died(id);
        self.connections_close(id);
        let own = self.nodes.first().and_then(|node| node.connection);
        if own.is_some_and(|own| self.connections.get(own).is_some_and(|c| c.front_end == id)) {
            self.agent_kill(0);
        }
    }

    /// The front-ends that are alive.
    pub(crate) fn front_ends_alive(&self) -> Vec<FrontEndId> {
        let alive = self.front_ends.iter().enumerate();
        alive
            .filter(|(_, front_end)| front_end.core.is_some())
            .map(|(id, _)| id)
            .collect()
    }

    /// A front-end that is alive.
    pub(crate) fn alive(&mut self, id: FrontEndId) -> Option<&mut FrontEnd> {
        self.front_ends
            .get_mut(id)
            .filter(|front_end| front_end.core.is_some())
    }

    /// Opens a link.
    pub(crate) fn link_open(&mut self, id: FrontEndId, site: Site, name: &str, watch: Watch) {
        let number = self.number();
        let link = Link {
            name: name.to_owned(),
            number,
            connection: None,
            up: false,
            watch,
        };
        if let Some(front_end) = self.alive(id) {
            front_end.links.insert(site, link);
        }
        self.queue.put(self.now, Event::Connect(id, site, number));
    }

    /// The machine that a link is for; `None` for a link that is gone or connected.
    pub(crate) fn link_name(&mut self, id: FrontEndId, site: Site, number: u64) -> Option<String> {
        let link = self.alive(id)?.links.get(&site)?;
        (link.number == number && link.connection.is_none()).then(|| link.name.clone())
    }

    /// A link is connected; it is up when the agent has answered.
    pub(crate) fn link_connected(&mut self, id: FrontEndId, site: Site, connection: ConnectionId) {
        if let Some(link) = self
            .alive(id)
            .and_then(|front_end| front_end.links.get_mut(&site))
        {
            link.connection = Some(connection);
            link.up = false;
        }
    }

    /// A front-end notices that a connection is gone.
    pub(crate) fn link_lost(&mut self, connection: ConnectionId) {
        let Some((id, site, number)) = self
            .connections
            .get(connection)
            .map(|connection| (connection.front_end, connection.site, connection.link))
        else {
            return;
        };
        let Some(link) = self
            .alive(id)
            .and_then(|front_end| front_end.links.get_mut(&site))
        else {
            return;
        };
        if link.connection != Some(connection) {
            return;
        }
        link.connection = None;
        link.up = false;
        self.link_event(id, site, LinkEvent::Down("the channel has ended".into()));
        self.connect_later(id, site, number);
    }

    /// A message comes over a connection.
    pub(crate) fn message_take(&mut self, connection: ConnectionId, message: FromNode) {
        let Some((id, site)) = self
            .connections
            .get(connection)
            .map(|connection| (connection.front_end, connection.site))
        else {
            return;
        };
        let Some(link) = self
            .alive(id)
            .and_then(|front_end| front_end.links.get_mut(&site))
        else {
            return;
        };
        if link.connection != Some(connection) {
            return;
        }
        if let FromNode::Hello(hello) = message {
            link.up = true;
            let watch = link.watch.clone();
            self.node_send(connection, ToNode::Watch(watch));
            return self.link_event(id, site, LinkEvent::Up(hello));
        }
        self.link_event(id, site, LinkEvent::Message(message));
    }

    /// A link says something.
    pub(crate) fn link_event(&mut self, id: FrontEndId, site: Site, event: LinkEvent) {
        let silent = self.plant.has(Bug::LinkUpSilent);
        let Some(front_end) = self.alive(id) else { return };
        match event {
            LinkEvent::Up(hello) => {
                let dispatches = front_end.dispatcher.link_up(site);
                if let Site::Host(host) = site {
                    let order = front_end.intake.host_up(host, &hello);
                    self.order(id, order);
                }
                let dispatches = if silent { Vec::new() } else { dispatches };
                self.dispatch(id, dispatches);
            }
            LinkEvent::Down(reason) => {
                front_end.dispatcher.link_down(site);
                if let Site::Host(host) = site {
                    let order = front_end.intake.host_down(host, &reason);
                    self.order(id, order);
                }
            }
            LinkEvent::Message(message) => self.message(id, site, message),
        }
    }

    fn message(&mut self, id: FrontEndId, site: Site, message: FromNode) {
        let now = self.clock.now();
        let Some(front_end) = self.alive(id) else { return };
        match message {
            FromNode::Done(report) => self.reported(id, site, *report),
            FromNode::Settled(keys) => {
                let world = front_end.published.clone();
                let dispatches = front_end.dispatcher.settled(site, &keys, &world);
                self.dispatch(id, dispatches.into_iter().collect());
            }
            FromNode::Domain { name, uuid, state } => {
                let world = front_end.published.clone();
                if let Site::Host(host) = site
                    && let Some(order) = front_end.intake.domain(&world, host, &name, &uuid, state)
                {
                    self.order(id, order);
                }
            }
            FromNode::Sample {
                host: sample,
                vms,
                wilds,
                datastores,
            } => {
                let mut orders = Vec::new();
                match site {
                    Site::FrontEnd => front_end.intake.datastores(&datastores),
                    Site::Host(host) => {
                        let world = front_end.published.clone();
                        let sampled = Sampled {
                            host: &sample,
                            vms: &vms,
                            wilds: &wilds,
                            datastores: &datastores,
                        };
                        orders = front_end.intake.sample(&world, host, now, &sampled);
                    }
                }
                if let Some(measurements) = front_end.intake.take_changed() {
                    front_end.measurements = measurements;
                }
                for order in orders {
                    self.order(id, order);
                }
            }
            FromNode::Hello(_)
            | FromNode::Refused(_)
            | FromNode::Pong(_)
            | FromNode::Leases(_)
            | FromNode::ProbesTaken(..)
            | FromNode::Probed(_) => {}
        }
    }

    fn reported(&mut self, id: FrontEndId, site: Site, mut report: Report) {
        let drops = self.plant.has(Bug::ResultDropped) && self.random.chance(20);
        let late_taken = self.plant.has(Bug::LateResultTaken);
        let Some(front_end) = self.alive(id) else { return };
        if drops {
            return;
        }
        if late_taken {
            let vm = report.key.id;
            let now = front_end.published.outbox.keys().find(|key| {
                key.kind == plerion_model::Kind::Vm && key.id == vm && key.step > report.key.step
            });
            if let (Some(now), plerion_protocol::ObjectKind::Vm) = (now, report.key.kind) {
                report.key.step = now.step;
                report.key.part = now.part.saturating_mul(256);
            }
        }
        let world = front_end.published.clone();
        let dispatches = front_end.dispatcher.reported(site, &report, &world);
        self.dispatch(id, dispatches);
    }

    /// Gives an order to the writer.
    pub(crate) fn order(&mut self, id: FrontEndId, order: Order) {
        self.order_from(id, order, Asker::Coordinator);
    }

    /// Gives somebody's order to the writer.
    pub(crate) fn order_from(&mut self, id: FrontEndId, order: Order, asker: Asker) {
        let pause = self.random.between(0, 20);
        let time = self.now + pause;
        let Some(front_end) = self.alive(id) else { return };
        front_end.queue.push_back((order, asker));
        if !front_end.write_due {
            front_end.write_due = true;
            self.queue.put(time, Event::Write(id));
        }
    }

    /// What the dispatcher wants done.
    pub(crate) fn dispatch(&mut self, id: FrontEndId, dispatches: Vec<Dispatch>) {
        for dispatch in dispatches {
            match dispatch {
                Dispatch::Send(site, message) => {
                    if self
                        .alive(id)
                        .is_some_and(|front_end| front_end.sends_left == Some(0))
                    {
                        self.fault_count("front-end killed between sends");
                        return self.front_end_fail(id);
                    }
                    if !self.send(id, site, *message)
                        && let Some(front_end) = self.alive(id)
                    {
                        front_end.dispatcher.link_down(site);
                    }
                }
                Dispatch::Order(order) => self.order(id, *order),
                Dispatch::Keep { .. } => {}
            }
        }
    }

    /// Hands a message to a link. Returns whether that was up.
    pub(crate) fn send(&mut self, id: FrontEndId, site: Site, message: ToNode) -> bool {
        let mistaken = self.plant.has(Bug::HostMistaken) && matches!(message, ToNode::Do(_));
        let Some(front_end) = self.alive(id) else {
            return false;
        };
        if let Some(left) = &mut front_end.sends_left {
            *left = left.saturating_sub(1);
        }
        let other = front_end
            .links
            .iter()
            .find(|(site, link)| link.up && **site != Site::FrontEnd);
        let site = match (other, site) {
            (Some((other, _)), Site::Host(_)) if mistaken => *other,
            _ => site,
        };
        match front_end.links.get(&site) {
            Some(Link {
                connection: Some(connection),
                up: true,
                ..
            }) => {
                let connection = *connection;
                self.node_send(connection, message);
                true
            }
            _ => false,
        }
    }
}
