//! Which threads find work in a change. Waking one costs as much as a small change does, so the others sleep on.

use plerion_world::World;

/// Who is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Hosts, clusters, datastores or the outbox have changed.
    pub(crate) coordinator: bool,
    /// VMs wait to be placed, moved or started again, or are lost: any change may have made room for them.
    pub(crate) scheduler: bool,
    /// Executions of hooks have come.
    pub(crate) hooks: bool,
    /// Another scheduled action is the next one, or at another time.
    pub(crate) timer: bool,
}

/// Who finds work after a change from one world to the next.
pub(crate) fn woken(before: &World, after: &World) -> Woken {
    Woken {
        coordinator: !(before.same_outbox(after) && before.same_places(after)),
        scheduler: after.awaits_placement() || after.awaits_restarts() || after.has_lost_vms(),
        hooks: !before.hook_executions.same(&after.hook_executions),
        timer: before.sched_next() != after.sched_next(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plerion_model::Kind;
    use plerion_template::Template;
    use plerion_world::{
        Caller, Command, Config, Context, HostReport, Order, SchedCommand, apply, bootstrap,
    };

    use super::*;

    fn step(world: &mut World, command: Command) -> Woken {
        let context = Context { now: 2, random: 2 };
        let caller = Caller::system();
        let after = apply(world, &Order { caller, command }, &context)
            .expect("accepted")
            .world;
        let woken = woken(world, &after);
        *world = after;
        woken
    }

    fn vm(hold: bool) -> Command {
        let template = Template::parse("CPU=1\nMEMORY=64").expect("a template");
        Command::VmAllocate { template, hold }
    }

    #[test]
    fn those_with_work_are_woken_and_no_others() {
        let (nobody, both) = ((false, false), (true, true));
        let context = Context { now: 1, random: 1 };
        let (mut world, _) = bootstrap(&World::new(Config::default()), &context, ["a", "b"], ["x", "y"]);
        let mut check = |command, (coordinator, scheduler)| {
            let expect = Woken {
                coordinator,
                scheduler,
                hooks: false,
                timer: false,
            };
            let about = format!("{command:?}");
            assert_eq!(step(&mut world, command), expect, "{about}");
        };
        let host = Command::HostAllocate {
            name: "node".into(),
            im_mad: "dummy".into(),
            vm_mad: "dummy".into(),
            cluster: 0,
        };
        check(host, (true, false));
        let report = HostReport::Up {
            total_cpu: 400,
            total_memory_kib: 4 << 20,
            boot_id: "b".into(),
            facts: BTreeMap::new(),
        };
        check(Command::HostReported { id: 0, report }, (true, false));
        let template = Template::parse("NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy").expect("a template");
        check(Command::DatastoreAllocate { template, cluster: 0 }, (true, false));
        check(vm(true), nobody);
        check(Command::GroupAllocate { name: "g".into() }, nobody);
        check(vm(false), (false, true));
        // The one that waits may fit now.
        check(vm(true), (false, true));
        let deploy = |id| Command::VmDeploy {
            id,
            host: 0,
            enforce: false,
            datastore: 100,
        };
        check(vm(false), (false, true));
        check(deploy(1), both);
        check(deploy(3), (true, false));
        // What is under way is no news.
        check(vm(true), nobody);
        let template = Template::parse("SCHED_ACTION=[ACTION=poweroff, TIME=100]").expect("a template");
        let add = Command::Sched(SchedCommand::Add {
            kind: Kind::Vm,
            id: 0,
            template,
        });
        let alone = Woken {
            coordinator: false,
            scheduler: false,
            hooks: false,
            timer: true,
        };
        assert_eq!(step(&mut world, add), alone);
    }
}
