//! Commands in guests: what starting, awaiting and ending one means.

use plerion_protocol::Action;

use crate::plan::{Plan, QUICK_DEADLINE_S, Stay};
use crate::plan_domain::Driver;

/// Longest that a command may run, in seconds: it is ended then.
const COMMAND_DEADLINE_S: u32 = 3600;

fn noted(stay: &Stay<'_>, name: &str) -> String {
    let noted = stay.vm.template.pair("QEMU_GA_EXEC", name);
    noted.unwrap_or_default().to_owned()
}

/// The process id of the command; none on dummy hosts, where nothing runs.
fn pid(stay: &Stay<'_>) -> Result<i64, String> {
    let text = noted(stay, "PID");
    text.parse()
        .map_err(|_| format!("VM {} has no command whose process is known", stay.vm.id))
}

/// Starts the command that the template names.
pub(crate) fn guest_exec(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    if driver == Driver::Libvirt {
        let (name, uuid) = stay.domain();
        let (command, stdin) = (noted(stay, "COMMAND"), noted(stay, "STDIN"));
        let action = Action::GuestExec {
            name,
            uuid,
            command,
            stdin,
        };
        plan.host(stay.host.id, action, QUICK_DEADLINE_S);
    }
    Ok(())
}

/// Waits for its end.
pub(crate) fn guest_await(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    if driver == Driver::Libvirt {
        let (name, uuid) = stay.domain();
        let action = Action::GuestAwait {
            name,
            uuid,
            pid: pid(stay)?,
        };
        plan.host(stay.host.id, action, COMMAND_DEADLINE_S);
    }
    Ok(())
}

/// Ends it.
pub(crate) fn guest_cancel(plan: &mut Plan, stay: &Stay<'_>, driver: Driver) -> Result<(), String> {
    if driver == Driver::Libvirt {
        let (name, uuid) = stay.domain();
        let action = Action::GuestKill {
            name,
            uuid,
            pid: pid(stay)?,
        };
        plan.host(stay.host.id, action, QUICK_DEADLINE_S);
    }
    Ok(())
}
