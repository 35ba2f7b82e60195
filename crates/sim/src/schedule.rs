//! The scheduler of a front-end: plans when something was committed, and now and then by itself.

use std::time::Duration;

use plerion_engine::Clock as _;
use plerion_model::Kind;
use plerion_scheduler::{Limits, autostart_plan, failure_plan, plan};
use plerion_template::Template;
use plerion_world::{Caller, Command, LeaseWords, Order};

use crate::front_end::Asker;
use crate::plant::Bug;
use crate::queue::{Event, FrontEndId, Millis};
use crate::simulation::Simulation;

/// The scheduler looks by itself this often.
const SCHEDULE_EVERY: Millis = 15_000;

/// Most scheduled actions that are done at once.
const DUE_MAX: usize = 100;

impl Simulation {
    /// Has the scheduler look soon.
    pub(crate) fn schedule_soon(&mut self, id: FrontEndId, pause: Millis) {
        let time = self.now + pause;
        if let Some(front_end) = self.alive(id)
            && !front_end.schedule_due
        {
            front_end.schedule_due = true;
            self.queue.put(time, Event::Schedule(id));
        }
    }

    /// Plans once; not before the orders of the last plan are through.
    pub(crate) fn schedule(&mut self, id: FrontEndId) {
        let now = self.clock.now();
        let ignored = self.plant.has(Bug::CapacityIgnored);
        self.due_do(id);
        let Some(front_end) = self.alive(id) else { return };
        front_end.schedule_due = false;
        if front_end.placing > 0
            || !(front_end.published.awaits_placement()
                || front_end.published.awaits_restarts()
                || front_end.published.has_lost_vms())
        {
            return self.schedule_soon(id, SCHEDULE_EVERY);
        }
        let world = front_end.published.clone();
        let mut plan = plan(&world, &front_end.measurements, now, &Limits::default());
        let mut wild = Vec::new();
        if ignored && let Some(host) = world.hosts.values().next() {
            wild.extend(plan.refused.drain(..).map(|refusal| Command::VmDeploy {
                id: refusal.vm,
                host: host.id,
                enforce: false,
                datastore: -1,
            }));
        }
        let mut commands = plan.commands(&world);
        commands.extend(autostart_plan(&world, now).commands(&world));
        commands.extend(self.failure_commands(id));
        commands.append(&mut wild);
        let Some(front_end) = self.alive(id) else { return };
        front_end.placing = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        for command in commands {
            let caller = Caller::system();
            self.order_from(id, Order { caller, command }, Asker::Scheduler);
        }
        self.schedule_soon(id, SCHEDULE_EVERY);
    }

    /// Has what was scheduled and is due done. What is still in the queue is asked for twice, and done once.
    fn due_do(&mut self, id: FrontEndId) {
        let now = self.clock.now();
        let Some(front_end) = self.alive(id) else { return };
        let due: Vec<_> = front_end.published.sched_due(now).take(DUE_MAX).collect();
        for (time, action) in due {
            let command = Command::SchedDue { id: action, time };
            let caller = Caller::system();
            self.order(id, Order { caller, command });
        }
    }

    /// What is decided about hosts that do not answer.
    fn failure_commands(&mut self, id: FrontEndId) -> Vec<Command> {
        let mut clock = self.begun + Duration::from_millis(self.now);
        if self.plant.has(Bug::SilenceDoubled) {
            clock += Duration::from_millis(self.now);
        }
        let now = self.clock.now();
        let impatient = self.plant.has(Bug::SilenceProves);
        let Some(front_end) = self.alive(id) else {
            return Vec::new();
        };
        let world = front_end.published.clone();
        let silent = front_end.silence.look(&world, clock);
        let plan = failure_plan(&world, &silent, &LeaseWords::new(), now);
        if let Some(seconds) = plan.next_s {
            self.queue.put(self.now + seconds * 1000, Event::Schedule(id));
        }
        let mut commands = plan.commands(&world);
        if impatient {
            let mut template = Template::new();
            template.set("FENCED_BY_HAND", "YES");
            commands.extend(
                silent
                    .iter()
                    .filter(|(_, seconds)| **seconds > 15)
                    .map(|(host, _)| Command::Update {
                        kind: Kind::Host,
                        id: *host,
                        template: template.clone(),
                        append: true,
                    }),
            );
        }
        commands
    }
}
