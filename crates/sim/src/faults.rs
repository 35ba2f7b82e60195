//! Faults of machines, links and front-ends; and the end of all faults.

use plerion_model::host::HostState;
use plerion_world::{Caller, Command, HostStatus, Order};

use crate::front_end::Asker;
use crate::queue::{Event, Millis};
use crate::simulation::Simulation;

/// Longest time for which a link is cut.
const CUT_MAX: Millis = 60_000;
/// Longest time for which a front-end stands still.
const PAUSE_MAX: Millis = 60_000;

/// Longest time for which a disk is full.
const FULL_MAX: Millis = 60_000;
/// Longest time that libvirt takes to restart.
const LIBVIRT_MAX: Millis = 20_000;
/// Largest jump of the clock, in seconds.
const JUMP_MAX_S: u64 = 100_000;

/// What can break.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LinkCut,
    AgentKill,
    HostReboot,
    FrontEndPause,
    FrontEndTakeover,
    FrontEndKill,
    DiskFull,
    LibvirtRestart,
    ClockJump,
}

impl Simulation {
    /// Something breaks, and the next thing is due.
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.random.between(1, self.profile.fault_every * 2);
        self.queue.put(self.now + pause, Event::Fault);
        let weights = [
            (Fault::LinkCut, self.profile.link_cut),
            (Fault::AgentKill, self.profile.agent_kill),
            (Fault::HostReboot, self.profile.host_reboot),
            (Fault::FrontEndPause, self.profile.front_end_pause),
            (Fault::FrontEndTakeover, self.profile.front_end_takeover),
            (Fault::FrontEndKill, self.profile.front_end_kill),
            (Fault::DiskFull, self.profile.disk_full),
            (Fault::LibvirtRestart, self.profile.libvirt_restart),
            (Fault::ClockJump, self.profile.clock_jump),
        ];
        let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return;
        }
        let mut left = self.random.below(total);
        for (fault, weight) in weights {
            if left < weight {
                return self.fault_do(fault);
            }
            left -= weight;
        }
    }

    fn fault_do(&mut self, fault: Fault) {
        let nodes: Vec<usize> = (0..self.nodes.len()).collect();
        let hosts: Vec<usize> = (1..self.nodes.len()).collect();
        match fault {
            Fault::LinkCut => {
                if let Some(node) = self.random.pick(&hosts) {
                    self.link_cut(node);
                }
            }
            Fault::AgentKill => {
                if let Some(node) = self.random.pick(&nodes) {
                    self.fault_count("agent killed");
                    self.agent_kill(node);
                }
            }
            Fault::HostReboot => {
                if let Some(node) = self.random.pick(&hosts) {
                    self.fault_count("host rebooted");
                    self.host_reboot(node);
                }
            }
            Fault::FrontEndPause => {
                let alive = self.front_ends_alive();
                let time = self.now + self.random.between(100, PAUSE_MAX);
                if let Some(id) = self.random.pick(&alive)
                    && let Some(front_end) = self.front_ends.get_mut(id)
                {
                    front_end.paused_until = time;
                    self.fault_count("front-end paused");
                }
            }
            Fault::FrontEndTakeover => {
                if self.front_ends_alive().len() == 1 {
                    self.fault_count("front-end taken over");
                    self.front_end_start();
                }
            }
            Fault::DiskFull => {
                // The front-end's more often than one of many.
                let front_end = self.random.chance(300).then_some(0);
                if let Some(node) = front_end.or_else(|| self.random.pick(&hosts)) {
                    self.disk_fill(node);
                }
            }
            Fault::LibvirtRestart => {
                if let Some(node) = self.random.pick(&hosts) {
                    self.libvirt_down(node);
                }
            }
            Fault::ClockJump => {
                let forward = i64::try_from(self.random.between(1, JUMP_MAX_S)).unwrap_or(1);
                let seconds = if self.random.chance(500) {
                    forward
                } else {
                    -forward
                };
                self.say(&format!("the clock jumps by {seconds} s"));
                self.fault_count("clock jumps");
                self.clock.jump(seconds);
            }
            Fault::FrontEndKill => {
                let alive = self.front_ends_alive();
                if let Some(id) = self.random.pick(&alive) {
                    self.fault_count("front-end killed");
                    self.front_end_fail(id);
                }
            }
        }
    }

    fn disk_fill(&mut self, number: usize) {
        let time = self.now + self.random.between(1_000, FULL_MAX);
        let Some(node) = self.nodes.get_mut(number).filter(|node| !node.disk_full) else {
            return;
        };
        node.disk_full = true;
        self.say(&format!("n{number} has no room"));
        self.fault_count(if number == 0 {
            "disk full on the front-end"
        } else {
            "disk full on a host"
        });
        self.queue.put(time, Event::DiskFree(number));
    }

    fn libvirt_down(&mut self, number: usize) {
        let time = self.now + self.random.between(200, LIBVIRT_MAX);
        let Some(node) = self.nodes.get_mut(number).filter(|node| !node.libvirt_down) else {
            return;
        };
        node.libvirt_down = true;
        self.say(&format!("n{number} libvirt restarts"));
        self.fault_count("libvirt restarted");
        self.libvirt_plant(number);
        self.queue.put(time, Event::LibvirtUp(number));
    }

    fn link_cut(&mut self, number: usize) {
        let time = self.now + self.random.between(50, CUT_MAX);
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.reachable) else {
            return;
        };
        node.reachable = false;
        self.say(&format!("n{number} cut off"));
        self.fault_count("link cut");
        self.connections_cut(number, false);
        self.queue.put(time, Event::LinkHeal(number));
    }

    /// Ends all faults: links are healed, the front-end that leads goes on, hosts are enabled.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        self.say("calm");
        self.profile.duplicate = 0;
        self.clock.catch_up();
        for number in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(number) else {
                continue;
            };
            node.reachable = true;
            node.disk_full = false;
            let down = std::mem::take(&mut node.libvirt_down);
            let booted = node.booted;
            if down {
                self.libvirt_up(number);
            }
            if !booted {
                self.host_start(number);
            }
            self.agent_start(number);
        }
        let alive = self.front_ends_alive();
        for id in &alive {
            if let Some(front_end) = self.front_ends.get_mut(*id) {
                front_end.paused_until = 0;
                front_end.sends_left = None;
            }
        }
        // One that was replaced does not come back to its own when its successor has died: agents obey it no more.
        let newest = self.front_ends.len().checked_sub(1);
        let leader = newest.filter(|newest| alive.contains(newest));
        for id in alive {
            if Some(id) != leader {
                self.front_end_kill(id);
            }
        }
        if leader.is_none() && !self.start_due {
            self.start_due = true;
            self.queue.put(self.now + 1, Event::FrontEndStart);
        }
    }

    /// Enables the hosts that somebody had taken out of service.
    fn hosts_enable(&mut self) {
        let Some(id) = self.front_ends_alive().first().copied() else {
            return;
        };
        let Some(front_end) = self.front_ends.get(id) else {
            return;
        };
        let hosts: Vec<_> = front_end
            .published
            .hosts
            .values()
            .filter(|host| matches!(host.state, HostState::Offline | HostState::Disabled))
            .map(|host| host.id)
            .collect();
        if !front_end.queue.is_empty() {
            return;
        }
        for host in hosts {
            let command = Command::HostSetStatus {
                id: host,
                status: HostStatus::Enabled,
            };
            let caller = Caller::system();
            self.order_from(id, Order { caller, command }, Asker::Coordinator);
        }
    }

    /// Whether nothing is under way any more.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.hosts_enable();
        let alive = self.front_ends_alive();
        let [id] = alive.as_slice() else { return false };
        let idle = self.nodes.iter().all(|node| node.running && node.jobs.is_empty());
        let Some(front_end) = self.front_ends.get(*id) else {
            return false;
        };
        let world = &front_end.published;
        let hosts_up = world
            .hosts
            .values()
            .all(|host| host.state == HostState::Monitored);
        let restarts = world
            .restarting_vms()
            .any(|vm| vm.restart.is_some_and(|restart| restart.next_try().is_some()));
        idle && front_end.queue.is_empty() && world.outbox.is_empty() && hosts_up && !restarts
    }
}
