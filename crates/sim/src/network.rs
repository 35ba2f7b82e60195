//! Connections between front-ends and agents: messages take time, come in order, and are lost when a connection is cut.

use plerion_drivers::LinkEvent;
use plerion_protocol::{FromNode, ToNode};
use plerion_world::Site;

use crate::plant::Bug;
use crate::queue::{ConnectionId, Event, FrontEndId, Millis, NodeId};
use crate::simulation::Simulation;

/// Longest time of a message.
const LATENCY_MAX: Millis = 40;
/// Longest time after which what was in flight when a connection was cut still arrives.
const LATE_MAX: Millis = 8_000;
/// Longest time after which a front-end notices that a connection is gone.
const NOTICE_MAX: Millis = 10_000;
/// Longest pause before a front-end connects again.
const PAUSE_MAX: Millis = 4_000;

/// One way of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// When its last message arrives.
    last: Millis,
    /// Whether something was lost: then so is all that follows.
    lost: bool,
}

/// A connection of a front-end to an agent.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) front_end: FrontEndId,
    pub(crate) node: NodeId,
    pub(crate) site: Site,
    /// Number of the front-end's link.
    pub(crate) link: u64,
    /// When it was cut, and by how much what was in flight is late.
    cut: Option<(Millis, Millis)>,
    to_node: Way,
    from_node: Way,
}

impl Simulation {
    fn latency(&mut self) -> Millis {
        self.random.between(1, LATENCY_MAX)
    }

    /// A front-end tries to open a link.
    pub(crate) fn connect(&mut self, front_end: FrontEndId, site: Site, link: u64) {
        let Some(name) = self.link_name(front_end, site, link) else {
            return;
        };
        let Some(node) = self.nodes.iter().position(|node| node.name == name) else {
            return self.connect_fails(front_end, site, link, "no such host");
        };
        let epoch = self
            .front_ends
            .get(front_end)
            .map_or(0, |front_end| front_end.epoch);
        let obeys = self.plant.has(Bug::EpochIgnored);
        let number = self.connections.len();
        let Some(machine) = self.nodes.get_mut(node) else {
            return;
        };
        if !(machine.reachable && machine.booted && machine.running) {
            return self.connect_fails(front_end, site, link, "the host does not answer");
        }
        if epoch < machine.epoch && !obeys {
            return self.connect_fails(
                front_end,
                site,
                link,
                "the agent refuses: another front-end leads",
            );
        }
        machine.epoch = machine.epoch.max(epoch);
        machine.connection = Some(number);
        let hello = FromNode::Hello(Box::new(machine.hello()));
        let settled = machine.settled_keys();
        self.connections.push(Connection {
            front_end,
            node,
            site,
            link,
            cut: None,
            to_node: Way::default(),
            from_node: Way::default(),
        });
        self.link_connected(front_end, site, number);
        self.front_end_send(number, hello);
        if !settled.is_empty() && !self.plant.has(Bug::JournalUntold) {
            self.front_end_send(number, FromNode::Settled(settled));
        }
    }

    fn connect_fails(&mut self, front_end: FrontEndId, site: Site, link: u64, reason: &str) {
        self.link_event(front_end, site, LinkEvent::Down(reason.to_owned()));
        self.connect_later(front_end, site, link);
    }

    /// Has a front-end connect after a pause.
    pub(crate) fn connect_later(&mut self, front_end: FrontEndId, site: Site, link: u64) {
        let pause = self.random.between(500, PAUSE_MAX);
        self.queue
            .put(self.now + pause, Event::Connect(front_end, site, link));
    }

    /// A message on its way to an agent.
    pub(crate) fn node_send(&mut self, number: ConnectionId, message: ToNode) {
        let twice = matches!(message, ToNode::Do(_)) && self.random.chance(self.profile.duplicate);
        let Some(time) = self.way_time(number, true) else {
            return;
        };
        let event = Event::ToNode(number, Box::new(message));
        if twice {
            self.fault_count("duplicate message");
            self.queue.put(time, event.clone());
        }
        self.queue.put(time, event);
    }

    /// A message on its way to a front-end.
    pub(crate) fn front_end_send(&mut self, number: ConnectionId, message: FromNode) {
        let twice = matches!(message, FromNode::Done(_)) && self.random.chance(self.profile.duplicate);
        let Some(time) = self.way_time(number, false) else {
            return;
        };
        let event = Event::FromNode(number, Box::new(message));
        if twice {
            self.fault_count("duplicate message");
            self.queue.put(time, event.clone());
        }
        self.queue.put(time, event);
    }

    /// When a message arrives that is sent now; never on a connection that is cut.
    fn way_time(&mut self, number: ConnectionId, to_node: bool) -> Option<Millis> {
        let time = self.now + self.latency();
        let connection = self.connections.get_mut(number)?;
        if connection.cut.is_some() {
            return None;
        }
        let way = if to_node {
            &mut connection.to_node
        } else {
            &mut connection.from_node
        };
        way.last = way.last.max(time);
        Some(way.last)
    }

    /// Whether a message that is due arrives now; one of a connection that was cut is late or lost.
    pub(crate) fn arrives(&mut self, number: ConnectionId, event: Event) -> Option<Event> {
        let lost_now = self.random.chance(500);
        let connection = self.connections.get_mut(number)?;
        let Some((cut, late)) = connection.cut else {
            return Some(event);
        };
        let way = match event {
            Event::ToNode(..) => &mut connection.to_node,
            _ => &mut connection.from_node,
        };
        if self.now < cut + late {
            let time = self.now + late;
            self.queue.put(time, event);
            return None;
        }
        way.lost |= lost_now;
        if way.lost {
            self.fault_count("lost message");
            return None;
        }
        self.fault_count("late message");
        Some(event)
    }

    /// Cuts all connections of a machine.
    pub(crate) fn connections_cut(&mut self, node: NodeId, at_once: bool) {
        for number in 0..self.connections.len() {
            let late = self.random.between(1, LATE_MAX);
            let notice = if at_once {
                20
            } else {
                self.random.between(20, NOTICE_MAX)
            };
            let now = self.now;
            let Some(connection) = self.connections.get_mut(number) else {
                continue;
            };
            if connection.node == node && connection.cut.is_none() {
                connection.cut = Some((now, late));
                self.queue.put(now + notice, Event::Lost(number));
            }
        }
    }

    /// Closes the connections of a front-end that is dead: what it had sent still arrives.
    pub(crate) fn connections_close(&mut self, front_end: FrontEndId) {
        for number in 0..self.connections.len() {
            let late = self.random.between(1, LATE_MAX);
            let now = self.now;
            if let Some(connection) = self.connections.get_mut(number)
                && connection.front_end == front_end
                && connection.cut.is_none()
            {
                connection.cut = Some((now, late));
            }
        }
    }

    /// Closes one connection on purpose.
    pub(crate) fn connection_close(&mut self, number: ConnectionId) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(number)
            && connection.cut.is_none()
        {
            connection.cut = Some((now, 1));
        }
    }
}
