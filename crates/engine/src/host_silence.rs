//! For how long hosts do not answer, by a clock that never jumps: that of the machine may.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plerion_model::Id;
use plerion_world::World;

/// Most that counts between two looks. They are never further apart than that unless the front-end itself was stopped, and then
/// it could not have heard anybody.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// How long each host does not answer, as far as this front-end has seen, with the number of that loss.
#[derive(Debug, Default)]
pub struct HostSilence {
    silent: BTreeMap<Id, (u64, Duration)>,
    looked: Option<Instant>,
}

impl HostSilence {
    /// For how many seconds hosts were seen not to answer. One that has answered in between begins anew; and so do all after a
    /// start of the front-end.
    pub fn look(&mut self, world: &World, now: Instant) -> BTreeMap<Id, u64> {
        let passed = self
            .looked
            .map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked));
        let passed = passed.min(LOOK_MAX);
        self.looked = Some(now);
        let before = std::mem::take(&mut self.silent);
        let lost = world
            .hosts
            .values()
            .filter_map(|host| Some((host.id, host.loss.as_ref()?.number)));
        self.silent = lost
            .map(|(id, number)| {
                let known = before.get(&id).filter(|(known, _)| *known == number);
                let silent = known.map_or(Duration::ZERO, |(_, silent)| silent.saturating_add(passed));
                (id, (number, silent))
            })
            .collect();
        self.silent
            .iter()
            .map(|(id, (_, silent))| (*id, silent.as_secs()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_world::{Caller, Command, Config, Context, HostReport, Order, apply, bootstrap};

    fn give(world: &mut World, command: Command) {
        let context = Context { now: 1, random: 1 };
        let caller = Caller::system();
        *world = apply(world, &Order { caller, command }, &context)
            .expect("accepted")
            .world;
    }

    fn report(world: &mut World, report: HostReport) {
        give(world, Command::HostReported { id: 0, report });
    }

    #[test]
    fn silence_grows_with_looks_and_begins_anew_with_each_loss() {
        let context = Context { now: 1, random: 1 };
        let (mut world, _) = bootstrap(&World::new(Config::default()), &context, ["a", "b"], ["x", "y"]);
        let host = Command::HostAllocate {
            name: "node".into(),
            im_mad: "kvm".into(),
            vm_mad: "kvm".into(),
            cluster: 0,
        };
        give(&mut world, host);
        let up = HostReport::Up {
            total_cpu: 400,
            total_memory_kib: 1,
            boot_id: "b".into(),
            facts: BTreeMap::new(),
        };
        let down = || HostReport::Down("silent".into());
        let mut silence = HostSilence::default();
        let begin = Instant::now();
        let mut look = |world: &World, second| {
            silence
                .look(world, begin + Duration::from_secs(second))
                .get(&0)
                .copied()
        };
        assert_eq!(look(&world, 0), None);
        report(&mut world, down());
        assert_eq!(look(&world, 5), Some(0), "it is not known when it went away");
        assert_eq!(look(&world, 15), Some(10));
        assert_eq!(look(&world, 3615), Some(30), "the front-end itself was stopped");
        // It answered and went away again between two looks.
        report(&mut world, up);
        report(&mut world, down());
        assert_eq!(look(&world, 3620), Some(0));
        assert_eq!(look(&world, 3621), Some(1));
    }
}
