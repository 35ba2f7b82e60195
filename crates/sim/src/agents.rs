//! What agents and machines do as time goes by: messages, jobs, restarts, guests, samples.

use plerion_model::Id;
use plerion_protocol::{
    Action, ActionError, ActionKey, DomainState, ErrorKind, FromNode, Report, Request, ToNode,
};

use crate::node::{Class, Outcome, Taken, Verdict};
use crate::plant::Bug;
use crate::queue::{ConnectionId, Event, GuestEnd, Millis, NodeId};
use crate::simulation::Simulation;
use crate::trace::action_text;

/// Longest time until an agent runs again.
const AGENT_START_MAX: Millis = 5_000;
/// Longest time until a host is up again.
const HOST_START_MAX: Millis = 40_000;
/// Longest time until a guest reacts to the power button.
const GUEST_REACTS_MAX: Millis = 20_000;
/// Longest time that a command in a guest takes.
const COMMAND_MAX: Millis = 30_000;
/// Longest time for which an action hangs: copies have hours, which no run waits for.
const HANG_MAX: Millis = 600_000;
/// How much longer an action takes that takes long.
const SLOW_FACTOR: Millis = 15;
/// Longest delay of a sample.
const SAMPLE_DELAY_MAX: Millis = 5_000;

impl Simulation {
    /// A message reaches an agent; it is obeyed only if it comes over the newest connection.
    pub(crate) fn node_take(&mut self, connection: ConnectionId, message: ToNode) {
        let Some(number) = self.connections.get(connection).map(|connection| connection.node) else {
            return;
        };
        let obeys_all = self.plant.has(Bug::EpochIgnored);
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        let current = node.connection == Some(connection) || obeys_all;
        if !(node.running && node.booted && current) {
            return;
        }
        match message {
            ToNode::Do(request) => self.request(number, *request),
            ToNode::Forget(keys) => node.forget(&keys),
            ToNode::Watch(watch) => {
                let unwanted = watch.unwanted.clone();
                node.watch = Some(watch);
                node.watches += 1;
                let event = Event::Sample(number, node.life, node.watches);
                self.queue.put(self.now, event);
                for (name, uuid) in unwanted {
                    if self.runs(number, &name, &uuid) {
                        self.domain_gone(number, &name, DomainState::Off);
                    }
                }
                self.domains_announce(number);
            }
            ToNode::Hello(_) | ToNode::Ping(_) | ToNode::Probes(_) => {}
        }
    }

    fn request(&mut self, number: NodeId, request: Request) {
        let obeys_all = self.plant.has(Bug::EpochIgnored);
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        if request.epoch < node.epoch && !obeys_all {
            let error = ActionError::new(ErrorKind::Epoch, "another front-end leads");
            return self.node_report(number, request.key, request.attempt, Err(error));
        }
        let highest = node.epoch;
        match node.take(&request) {
            Taken::Answer(outcome) => self.node_report(number, request.key, request.attempt, outcome),
            Taken::Joined => {}
            Taken::New => {
                if request.epoch < highest {
                    let name = action_text(&request.action);
                    return self.violate(format!(
                        "an agent began \"{name}\" for epoch {} after it had obeyed epoch {highest}",
                        request.epoch
                    ));
                }
                let verdict = self.verdict_draw(&request.action);
                let job = self.number();
                if let Some(node) = self.nodes.get_mut(number) {
                    node.begin(request, job, verdict);
                }
                self.jobs_start(number);
            }
        }
    }

    fn verdict_draw(&mut self, action: &Action) -> Verdict {
        if self.calm {
            return Verdict::Does;
        }
        let deaf =
            matches!(action, Action::DomainShutdown { .. }) && self.random.chance(self.profile.guest_deaf);
        if deaf {
            self.fault_count("guest does not react");
            return Verdict::Late;
        }
        if matches!(action, Action::Transfer { .. }) && self.random.chance(self.profile.transfer_cut) {
            self.fault_count("transfer cut off");
            Verdict::Cut
        } else if self.random.chance(self.profile.action_fails) {
            self.fault_count("action fails");
            Verdict::Fails
        } else if self.random.chance(self.profile.action_denied)
            // Whether a domain was moved is looked at before its failure is reported.
            && !matches!(action, Action::DomainMigrate { .. })
        {
            self.fault_count("action done and said to have failed");
            Verdict::DoesAndFails
        } else if self.random.chance(self.profile.action_half) {
            self.fault_count("action fails after half its work");
            Verdict::Half
        } else if self.random.chance(self.profile.action_hangs) {
            self.fault_count("action hangs");
            Verdict::Late
        } else {
            Verdict::Does
        }
    }

    /// Starts the jobs that may run now.
    fn jobs_start(&mut self, number: NodeId) {
        while let Some(node) = self.nodes.get_mut(number) {
            let Some(key) = node.next_job() else { return };
            let life = node.life;
            let Some(job) = node.jobs.get(&key).cloned() else {
                return;
            };
            let time = self.job_time(&job.request, job.class, job.verdict);
            self.say(&format!(
                "n{number} begins {key} {}",
                action_text(&job.request.action)
            ));
            self.queue
                .put(self.now + time, Event::JobEnd(number, life, key, job.number));
        }
    }

    fn job_time(&mut self, request: &Request, class: Class, verdict: Verdict) -> Millis {
        let deadline = Millis::from(request.deadline_s) * 1000;
        if verdict == Verdict::Late {
            return deadline.min(HANG_MAX);
        }
        let time = match class {
            Class::Wait => {
                let Action::DomainShutdown { name, .. } = &request.action else {
                    return self.random.between(500, COMMAND_MAX);
                };
                let runs = self.nodes.iter().any(|node| node.domains.contains_key(name));
                if runs {
                    self.random.between(500, GUEST_REACTS_MAX)
                } else {
                    20
                }
            }
            Class::Copy => self.random.between(100, 5_000),
            // Guest agents are slow.
            Class::Other if matches!(request.action, Action::GuestExec { .. }) => {
                self.random.between(20, GUEST_REACTS_MAX)
            }
            Class::Other => self.random.between(20, 1_500),
        };
        let slow = !self.calm && self.random.chance(self.profile.action_slow);
        if slow {
            self.fault_count("slow action");
        }
        let time = if slow { time * SLOW_FACTOR } else { time };
        time.min(deadline)
    }

    /// A job ends, unless its agent has died since or another one took its place.
    pub(crate) fn job_end(&mut self, number: NodeId, life: u64, key: ActionKey, job: u64) {
        let Some(node) = self
            .nodes
            .get_mut(number)
            .filter(|node| node.life == life && node.running)
        else {
            return;
        };
        if node.jobs.get(&key).is_none_or(|known| known.number != job) {
            return;
        }
        let Some(job) = node.jobs.remove(&key) else { return };
        let outcome = match job.verdict {
            Verdict::Does => self.effect_of(number, key, &job.request.action),
            Verdict::Half => {
                self.effect_half(number, &job.request.action);
                Err(ActionError::new(
                    ErrorKind::Failed,
                    "it failed when it was half done",
                ))
            }
            Verdict::DoesAndFails => match self.effect_of(number, key, &job.request.action) {
                Ok(_) => Err(ActionError::new(ErrorKind::Failed, "it failed, as it seemed")),
                failed => failed,
            },
            Verdict::Fails => Err(ActionError::new(ErrorKind::Failed, "it failed")),
            Verdict::Late => Err(ActionError::new(ErrorKind::Deadline, "too late")),
            Verdict::Stopped => Err(ActionError::new(ErrorKind::Failed, "a newer step has stopped it")),
            Verdict::Cut => Err(ActionError::new(
                ErrorKind::Unreachable,
                "the connection was lost",
            )),
        };
        if outcome.is_err() {
            self.move_denied(&job.request.action);
        }
        if let Some(node) = self.nodes.get_mut(number)
            && let Some(entry) = node.journal.get_mut(&key)
        {
            entry.attempt = job.request.attempt;
            entry.outcome = Some(outcome.clone());
        }
        self.jobs_start(number);
        if !self.calm && self.random.chance(self.profile.answer_lost) {
            self.fault_count("answer lost");
            self.say(&format!("n{number} cannot tell how {key} has ended"));
            return self.connections_cut(number, true);
        }
        self.node_report(number, key, job.request.attempt, outcome);
    }

    fn node_report(&mut self, number: NodeId, key: ActionKey, attempt: u32, outcome: Outcome) {
        let report = Report {
            key,
            attempt,
            result: outcome,
        };
        self.node_say(number, FromNode::Done(Box::new(report)));
    }

    /// Sends over the connection that the agent obeys; without one the message is dropped.
    pub(crate) fn node_say(&mut self, number: NodeId, message: FromNode) {
        if let Some(connection) = self.nodes.get(number).and_then(|node| node.connection) {
            self.front_end_send(connection, message);
        }
    }

    /// The domains are known again after libvirt was restarted.
    pub(crate) fn libvirt_up(&mut self, number: NodeId) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.libvirt_down = false;
        }
        self.domains_announce(number);
    }

    /// An agent that makes mistakes takes the silence of libvirt for the end of all domains.
    pub(crate) fn libvirt_plant(&mut self, number: NodeId) {
        let believes = self.plant.has(Bug::LibvirtBelieved);
        let Some(node) = self.nodes.get(number).filter(|_| believes) else {
            return;
        };
        let known: Vec<(String, String)> = node
            .domains
            .iter()
            .map(|(name, domain)| (name.clone(), domain.uuid.clone()))
            .collect();
        for (name, uuid) in known {
            let state = DomainState::Gone;
            self.node_say(number, FromNode::Domain { name, uuid, state });
        }
    }

    fn domains_announce(&mut self, number: NodeId) {
        let Some(node) = self.nodes.get(number).filter(|node| !node.libvirt_down) else {
            return;
        };
        let known: Vec<(String, String)> = node
            .domains
            .iter()
            .map(|(name, domain)| (name.clone(), domain.uuid.clone()))
            .collect();
        for (name, uuid) in known {
            let state = DomainState::Running;
            self.node_say(number, FromNode::Domain { name, uuid, state });
        }
    }

    /// A sample is due.
    pub(crate) fn sample(&mut self, number: NodeId, life: u64, watches: u64) {
        let slow = !self.calm && self.random.chance(self.profile.sample_slow);
        let delay = self.random.between(1, SAMPLE_DELAY_MAX);
        let Some(node) = self
            .nodes
            .get(number)
            .filter(|node| node.running && node.life == life)
        else {
            return;
        };
        let Some(watch) = node.watch.clone().filter(|_| node.watches == watches) else {
            return;
        };
        // Without libvirt nothing is known of the domains, and no sample is sent.
        let silent = node.libvirt_down && watch.hypervisor;
        let message = node.sample(&watch);
        let mut next = self.now + Millis::from(watch.interval_s) * 1000;
        if silent {
            return self.queue.put(next, Event::Sample(number, life, watches));
        }
        if slow {
            self.fault_count("slow sample");
            next += delay;
            self.queue.put(
                self.now + delay,
                Event::SampleSend(number, life, Box::new(message)),
            );
        } else {
            self.node_say(number, message);
        }
        self.queue.put(next, Event::Sample(number, life, watches));
    }

    /// A sample that was taken some time ago is sent.
    pub(crate) fn sample_send(&mut self, number: NodeId, life: u64, message: FromNode) {
        if self
            .nodes
            .get(number)
            .is_some_and(|node| node.running && node.life == life)
        {
            self.node_say(number, message);
        }
    }

    /// Kills an agent: what ran is done or not; what waited is not.
    pub(crate) fn agent_kill(&mut self, number: NodeId) {
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.running) else {
            return;
        };
        node.running = false;
        node.life += 1;
        node.connection = None;
        node.watch = None;
        node.waiting.clear();
        let jobs = std::mem::take(&mut node.jobs);
        self.say(&format!("n{number} agent killed"));
        for job in jobs.into_values().filter(|job| job.running) {
            self.fault_count("agent killed in the middle of an action");
            let does = matches!(job.verdict, Verdict::Does | Verdict::DoesAndFails);
            let done = does && job.class != Class::Wait;
            if done && self.random.chance(500) {
                // Its result is not seen by anybody; that is what the journal is for.
                let _ = self.effect_of(number, job.request.key, &job.request.action);
            } else if done && self.random.chance(500) {
                self.effect_half(number, &job.request.action);
            }
        }
        self.connections_cut(number, true);
        let pause = self.random.between(50, AGENT_START_MAX);
        self.queue.put(self.now + pause, Event::AgentStart(number));
    }

    /// An agent starts and settles its journal.
    pub(crate) fn agent_start(&mut self, number: NodeId) {
        let repeats = self.plant.has(Bug::CommandRepeated);
        if let Some(node) = self.nodes.get_mut(number)
            && node.booted
            && !node.running
        {
            node.running = true;
            node.settle(repeats);
        }
    }

    /// Reboots a host: its domains are gone, its files are not.
    pub(crate) fn host_reboot(&mut self, number: NodeId) {
        self.agent_kill(number);
        let old_id = self.plant.has(Bug::BootIdOld);
        let Some(node) = self
            .nodes
            .get_mut(number)
            .filter(|node| node.booted && !node.is_front_end())
        else {
            return;
        };
        node.booted = false;
        if !old_id {
            node.boots += 1;
        }
        self.restarts_expect(number);
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        let names: Vec<String> = node.domains.keys().cloned().collect();
        self.say(&format!("n{number} reboots"));
        for name in names {
            self.domain_remove(number, &name);
        }
        let pause = self.random.between(1_000, HOST_START_MAX);
        self.queue.put(self.now + pause, Event::HostStart(number));
    }

    /// A host is up again, and its agent with it.
    pub(crate) fn host_start(&mut self, number: NodeId) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.booted = true;
        }
        self.agent_start(number);
    }

    /// A domain is gone: whoever waits for that has its result, and the front-end is told.
    pub(crate) fn domain_gone(&mut self, number: NodeId, name: &str, state: DomainState) {
        let Some(uuid) = self.domain_remove(number, name) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        let life = node.life;
        let mut ended = Vec::new();
        for (key, job) in &mut node.jobs {
            let waits =
                matches!(&job.request.action, Action::DomainShutdown { name: other, .. } if other == name);
            if waits && job.running {
                job.verdict = Verdict::Does;
                ended.push(Event::JobEnd(number, life, *key, job.number));
            }
        }
        for event in ended {
            self.queue.put(self.now, event);
        }
        let name = name.to_owned();
        if self
            .nodes
            .get(number)
            .is_some_and(|node| node.running && !node.libvirt_down)
        {
            self.node_say(number, FromNode::Domain { name, uuid, state });
        }
    }

    /// A guest ends by itself, if it still is the one that was meant.
    pub(crate) fn guest_end(&mut self, number: NodeId, vm: Id, start: u64, end: GuestEnd) {
        let name = format!("one-{vm}");
        let there = self
            .nodes
            .get(number)
            .and_then(|node| node.domains.get(&name))
            .is_some_and(|domain| domain.start == start);
        if !there || self.calm {
            return;
        }
        self.checker.to_run.remove(&vm);
        match end {
            GuestEnd::Off => {
                self.fault_count("guest powers itself off");
                self.domain_gone(number, &name, DomainState::Off);
            }
            GuestEnd::Crash => {
                self.fault_count("QEMU dies");
                self.domain_gone(number, &name, DomainState::Crashed);
            }
        }
    }
}
