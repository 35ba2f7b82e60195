//! The scheduler of a front-end: plans when something was committed, and now and then by itself.

use plerion_engine::Clock as _;
use plerion_scheduler::{Limits, autostart_plan, plan};
use plerion_world::{Caller, Command, Order};

use crate::front_end::Asker;
use crate::plant::Bug;
use crate::queue::{Event, FrontEndId, Millis};
use crate::simulation::Simulation;

/// The scheduler looks by itself this often.
const SCHEDULE_EVERY: Millis = 15_000;

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
        let Some(front_end) = self.alive(id) else { return };
        front_end.schedule_due = false;
        if front_end.placing > 0
            || !(front_end.published.awaits_placement() || front_end.published.awaits_restarts())
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
        commands.append(&mut wild);
        front_end.placing = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        for command in commands {
            let caller = Caller::system();
            self.order_from(id, Order { caller, command }, Asker::Scheduler);
        }
        self.schedule_soon(id, SCHEDULE_EVERY);
    }
}
