//! [`Simulation`]: one run, from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use plerion_model::Id;

use crate::checks::Checker;
use crate::clock::SimClock;
use crate::files::Files;
use crate::front_end::FrontEnd;
use crate::ledger::Ledger;
use crate::network::Connection;
use crate::node::Node;
use crate::plant::Plant;
use crate::profile::Profile;
use crate::queue::{Event, FrontEndId, Millis, Queue};
use crate::random::Random;
use crate::sim_store::SimStore;
use crate::trace::{Trace, event_text};

/// Time in which everything must come to rest once nothing breaks any more.
const CALM_MAX: Millis = 3_600_000;
/// Time at rest after which nothing more is expected: some rounds of samples.
const REST: Millis = 90_000;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) hosts: usize,
    pub(crate) plant: Plant,
    pub(crate) loud: bool,
}

/// One run.
pub(crate) struct Simulation {
    pub(crate) plant: Plant,
    pub(crate) profile: Profile,
    pub(crate) random: Random,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) now: Millis,
    pub(crate) queue: Queue,
    pub(crate) store: SimStore,
    pub(crate) front_ends: Vec<FrontEnd>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) ledger: Ledger,
    pub(crate) checker: Checker,
    pub(crate) trace: Trace,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What the guest of a domain wrote last to a disk.
    pub(crate) written: BTreeMap<(String, String), u64>,
    pub(crate) violation: Option<String>,
    /// The only VM that is given PCI devices.
    pub(crate) pci_vm: Option<Id>,
    /// Nothing breaks any more, and nobody calls.
    pub(crate) calm: bool,
    /// A front-end is about to start.
    pub(crate) start_due: bool,
    pub(crate) steps: u64,
    numbers: u64,
    /// Where the clock that never jumps begins.
    pub(crate) begun: Instant,
}

impl Simulation {
    /// A run at its beginning.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let profile = Profile::draw(&mut random);
        let mut nodes = vec![Node::new("")];
        nodes.extend((0..settings.hosts).map(|number| Node::new(&format!("node-{number}"))));
        let files = nodes.first().map(|node| node.files.clone()).unwrap_or_default();
        for node in &mut nodes {
            node.files = Files::beside(&files);
        }
        let mut simulation = Self {
            plant: settings.plant,
            profile,
            random,
            clock: Arc::new(SimClock::new(settings.seed)),
            now: 0,
            queue: Queue::default(),
            store: SimStore::new(settings.plant),
            front_ends: Vec::new(),
            nodes,
            connections: Vec::new(),
            ledger: Ledger::default(),
            checker: Checker::new(),
            trace: Trace::default(),
            faults: BTreeMap::new(),
            written: BTreeMap::new(),
            violation: None,
            pci_vm: None,
            calm: false,
            start_due: false,
            steps: 0,
            numbers: 0,
            begun: Instant::now(),
        };
        simulation.trace.loud = settings.loud;
        simulation.front_end_start();
        simulation.installation_fill();
        simulation.queue.put(5_000, Event::Call);
        simulation.queue.put(10_000, Event::Fault);
        simulation
    }

    /// A number unlike any other of the run.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Notes what happens.
    pub(crate) fn say(&mut self, text: &str) {
        self.trace.line(self.now, text);
    }

    /// Counts a fault.
    pub(crate) fn fault_count(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_insert(0) += 1;
    }

    /// Notes that something is wrong; the first time counts.
    pub(crate) fn violate(&mut self, what: String) {
        if self.violation.is_none() {
            self.say(&format!("WRONG: {what}"));
            self.violation = Some(what);
        }
    }

    /// Runs to the end: some steps with faults, then without, until everything is at rest.
    pub(crate) fn run(&mut self, steps: u64) {
        while self.steps < steps && self.violation.is_none() {
            if !self.step() {
                return self.violate("nothing happens any more".into());
            }
        }
        if self.violation.is_some() {
            return;
        }
        self.calm_down();
        let until = self.now + CALM_MAX;
        let mut rest_since = self.now;
        while self.violation.is_none() && self.now < until && self.now < rest_since + REST {
            if !self.step() {
                break;
            }
            if !self.is_at_rest() {
                rest_since = self.now;
            }
        }
        if self.violation.is_none() {
            self.rest_check();
        }
    }

    /// Lets the next event happen. Returns whether there was one.
    fn step(&mut self) -> bool {
        let Some((time, event)) = self.queue.pop() else {
            return false;
        };
        self.steps += 1;
        self.now = time;
        self.clock.set(time);
        if let Some(until) = self.pause_of(&event) {
            self.queue.put(until, event);
            return true;
        }
        let event = match event {
            Event::ToNode(connection, _) | Event::FromNode(connection, _) => {
                match self.arrives(connection, event) {
                    Some(event) => event,
                    None => return true,
                }
            }
            event => event,
        };
        if let Some(text) = event_text(&event) {
            self.say(&text);
        }
        self.happen(event);
        true
    }

    /// Until when an event waits because the front-end that it is for is paused.
    fn pause_of(&self, event: &Event) -> Option<Millis> {
        let id: FrontEndId = match event {
            Event::FromNode(connection, _) | Event::Lost(connection) => {
                self.connections.get(*connection)?.front_end
            }
            Event::Connect(id, ..) | Event::Write(id) | Event::Coordinate(id) | Event::Schedule(id) => *id,
            Event::FenceEnd(id, _) => *id,
            _ => return None,
        };
        let until = self.front_ends.get(id)?.paused_until;
        (until > self.now).then_some(until)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToNode(connection, message) => self.node_take(connection, *message),
            Event::FromNode(connection, message) => self.message_take(connection, *message),
            Event::Connect(front_end, site, link) => self.connect(front_end, site, link),
            Event::Lost(connection) => self.link_lost(connection),
            Event::Write(front_end) => self.write(front_end),
            Event::Coordinate(front_end) => self.coordinate(front_end),
            Event::Schedule(front_end) => self.schedule(front_end),
            Event::FrontEndStart => {
                self.start_due = false;
                self.front_end_start();
            }
            Event::JobEnd(node, life, key, job) => self.job_end(node, life, key, job),
            Event::AgentStart(node) => self.agent_start(node),
            Event::HostStart(node) => self.host_start(node),
            Event::LinkHeal(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.reachable = true;
                }
            }
            Event::DiskFree(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.disk_full = false;
                }
            }
            Event::LibvirtUp(node) => self.libvirt_up(node),
            Event::GuestEnd(node, vm, start, end) => self.guest_end(node, vm, start, end),
            Event::Sample(node, life, watches) => self.sample(node, life, watches),
            Event::SampleSend(node, life, message) => self.sample_send(node, life, *message),
            Event::FenceEnd(front_end, execution) => self.fence_end(front_end, execution),
            Event::Call => self.call(),
            Event::Fault => self.fault(),
        }
    }
}
