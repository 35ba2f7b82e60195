//! `onevm`: creating VMs and moving them through their life.

use plerion_client::Param;

use super::{common, template, vm_show, vm_tables};
use crate::error::CliError;
use crate::family::Show;
use crate::family::{Input, ListSpec};
use crate::kind::Kind;
use crate::schedule;
use crate::session::Session;
use crate::sources;
use crate::states;
use crate::template_build::{Builder, vm_template};
use crate::xml;

/// The table of VMs.
pub static LIST: &ListSpec = &vm_tables::LIST;
/// How one VM is shown.
pub const SHOW: Show = vm_show::show;

/// How long between two looks at a VM that is waited for.
const WAIT_STEP: std::time::Duration = std::time::Duration::from_millis(500);
/// How long a VM is waited for unless `--timeout` says otherwise, in seconds.
const WAIT_SECONDS: i32 = 300;

/// `create`, from a file, standard input or options.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let from_options = vm_template(input, true)?;
    let text = if !input.text(0).is_empty() {
        sources::file_read(input.text(0))? + "\n" + &from_options
    } else if from_options.is_empty() {
        sources::required("")?
    } else {
        from_options
    };
    if input.has("dry") {
        return session.print(&text);
    }
    for _ in 0..template::multiple(input)? {
        let id = session.call_id(
            "one.vm.allocate",
            &[text.as_str().into(), input.has("hold").into()],
        )?;
        common::id_print(session, id)?;
    }
    Ok(())
}

/// `deploy`.
pub fn deploy(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let extra = input
        .value("file")
        .map(sources::file_read)
        .transpose()?
        .unwrap_or_default();
    session.each(Kind::Vm, &input.ids(0), "deployed", |session, id| {
        let params = [
            id.into(),
            input.id(1).into(),
            input.has("enforce").into(),
            input.id(2).into(),
            extra.as_str().into(),
        ];
        session.call("one.vm.deploy", &params).map(drop)
    })
}

/// `migrate`: live, or with the VM saved, switched off or cut off meanwhile.
pub fn migrate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let way = if input.has("poff") {
        1
    } else if input.has("poff-hard") {
        2
    } else {
        0
    };
    session.each(Kind::Vm, &input.ids(0), "migrated", |session, id| {
        let params = [
            id.into(),
            input.id(1).into(),
            input.has("live").into(),
            input.has("enforce").into(),
            input.id(2).into(),
            way.into(),
        ];
        session.call("one.vm.migrate", &params).map(drop)
    })
}

/// Carries an action out, or schedules it when the options say so.
fn action(session: &mut Session, input: &Input, name: &str) -> Result<(), CliError> {
    let name = if input.has("hard") {
        format!("{name}-hard")
    } else {
        name.to_owned()
    };
    let call = |session: &mut Session, id: i32| {
        session
            .call("one.vm.action", &[name.as_str().into(), id.into()])
            .map(drop)
    };
    act_or_schedule(session, input, &name, &[], call)
}

/// Calls `act` for each VM, or schedules `name` with `args` instead.
pub fn act_or_schedule(
    session: &mut Session,
    input: &Input,
    name: &str,
    args: &[String],
    mut act: impl FnMut(&mut Session, i32) -> Result<(), CliError>,
) -> Result<(), CliError> {
    session.each(Kind::Vm, &input.ids(0), name, |session, id| {
        let created = if input.value("schedule").is_some_and(|time| time.starts_with('+')) {
            let text = session.info(Kind::Vm, id)?;
            xml::number(xml::document_parse(&text)?.root_element(), "STIME")
        } else {
            0
        };
        match schedule::from_options(input, name, args, created, session.now)? {
            None => act(session, id),
            Some(scheduled) => {
                session.call("one.vm.schedadd", &[id.into(), scheduled.template.into()])?;
                session.print(&format!("VM {id}: {name} scheduled at {}\n", scheduled.when))
            }
        }
    })
}

/// `terminate`.
pub fn terminate(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "terminate")
}

/// `poweroff`.
pub fn poweroff(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "poweroff")
}

/// `reboot`.
pub fn reboot(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "reboot")
}

/// `undeploy`.
pub fn undeploy(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "undeploy")
}

/// `resume`.
pub fn resume(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "resume")
}

/// `suspend`.
pub fn suspend(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "suspend")
}

/// `stop`.
pub fn stop(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "stop")
}

/// `hold`.
pub fn hold(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "hold")
}

/// `release`.
pub fn release(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "release")
}

/// `resched`.
pub fn resched(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "resched")
}

/// `unresched`.
pub fn unresched(session: &mut Session, input: &Input) -> Result<(), CliError> {
    action(session, input, "unresched")
}

/// Ways out for a VM that is stuck, with their numbers on the wire.
const RECOVERIES: [(&str, i32); 6] = [
    ("failure", 0),
    ("success", 1),
    ("retry", 2),
    ("delete", 3),
    ("recreate", 4),
    ("delete-db", 5),
];

/// `recover`.
pub fn recover(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let Some((_, operation)) = RECOVERIES.iter().find(|(name, _)| input.has(name)) else {
        return Err(CliError::text(
            "Need to specify the result of the pending action.\n\
             \t--success recover the VM by succeeding the missing action.\n\
             \t--failure recover the VM by failing the missing action.\n\
             \t--retry recover the VM by retrying the last failed action.\n\
             \t--delete no recover possible, delete the VM.\n\
             \t--recreate no recover possible, delete and recreate the VM.\n\
             \t--delete-db no recover possible, delete the VM from the DB. No action performed on the hypervisor",
        ));
    };
    session.each(Kind::Vm, &input.ids(0), "recovered", |session, id| {
        session
            .call("one.vm.recover", &[id.into(), (*operation).into()])
            .map(drop)
    })
}

/// `wait`: until the VM is in a state, by its long or short name.
pub fn wait(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let wanted = input.value("state").unwrap_or("RUNNING").to_ascii_uppercase();
    let limit = u64::try_from(input.number("timeout").unwrap_or(WAIT_SECONDS)).unwrap_or(0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(limit);
    session.each(Kind::Vm, &input.ids(0), "reached", |session, id| {
        loop {
            let text = session.info(Kind::Vm, id)?;
            let document = xml::document_parse(&text)?;
            let vm = document.root_element();
            let (state, lcm) = (xml::number(vm, "STATE"), xml::number(vm, "LCM_STATE"));
            let name = if state == states::VM_ACTIVE {
                states::lcm_state(lcm)
            } else {
                states::vm_state(state)
            };
            if wanted == name || wanted.eq_ignore_ascii_case(states::vm_short(state, lcm)) {
                return Ok(());
            }
            if std::time::Instant::now() >= deadline {
                return Err(CliError::text(format!(
                    "VM {id} is {name}, not {wanted}, after {limit} s."
                )));
            }
            // The interface has no call that waits.
            std::thread::sleep(WAIT_STEP);
        }
    })
}

/// `resize`.
pub fn resize(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let template = match input.value("file") {
        Some(path) => sources::file_read(path)?,
        None => {
            let mut builder = Builder::default();
            for (option, attribute) in [("cpu", "CPU"), ("vcpu", "VCPU"), ("memory", "MEMORY")] {
                builder.option(input, option, attribute);
            }
            builder.into_text()
        }
    };
    let params = [input.id(0).into(), template.into(), input.has("enforce").into()];
    session.call("one.vm.resize", &params).map(drop)
}

/// `updateconf`: the parts of the template that the next boot reads.
pub fn updateconf(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = input.id(0);
    let append = input.has("append");
    let text = sources::edited(input.text(1), || {
        if append {
            Ok(String::new())
        } else {
            conf_read(session, id)
        }
    })?;
    let Some(text) = text else { return Ok(()) };
    session
        .call(
            "one.vm.updateconf",
            &[id.into(), text.into(), i32::from(append).into()],
        )
        .map(drop)
}

/// Attributes `updateconf` may change.
const CONF: [&str; 11] = [
    "OS",
    "FEATURES",
    "INPUT",
    "GRAPHICS",
    "VIDEO",
    "RAW",
    "CPU_MODEL",
    "CONTEXT",
    "BACKUP_CONFIG",
    "TPM",
    "NIC_DEFAULT",
];

fn conf_read(session: &mut Session, id: i32) -> Result<String, CliError> {
    let text = session.info(Kind::Vm, id)?;
    let document = xml::document_parse(&text)?;
    let Some(body) = xml::child(document.root_element(), "TEMPLATE") else {
        return Ok(String::new());
    };
    let others: Vec<&str> = xml::elements(body)
        .map(|node| node.tag_name().name())
        .filter(|name| !CONF.contains(name))
        .collect();
    Ok(crate::template_text::template_render(body, &others))
}

/// `backupmode`.
pub fn backup_mode(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let mode = match input.text(1).to_ascii_lowercase().as_str() {
        "full" => "FULL",
        "increment" => "INCREMENT",
        other => {
            return Err(CliError::text(format!(
                "The backup mode '{other}' is not known. Use full or increment."
            )));
        }
    };
    let conf = format!("BACKUP_CONFIG=[ MODE=\"{mode}\" ]");
    session
        .call("one.vm.updateconf", &[input.id(0).into(), conf.into(), 1.into()])
        .map(drop)
}

/// `backup`.
pub fn backup(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let datastore = input.number("datastore").unwrap_or(-1);
    let args = [
        datastore.to_string(),
        if input.has("reset") { "YES" } else { "NO" }.to_owned(),
    ];
    act_or_schedule(session, input, "backup", &args, |session, id| {
        let params = [id.into(), datastore.into(), input.has("reset").into()];
        session
            .call("one.vm.backup", &params)
            .map(drop)
            .map_err(|error| CliError::text(format!("Error creating VM backup: {error}")))
    })
}

/// Calls `method(id)` for each VM.
fn plain_call(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    session.each(Kind::Vm, &input.ids(0), done, |session, id| {
        session.call(&Kind::Vm.method(method), &[id.into()]).map(drop)
    })
}

/// `backup-cancel`.
pub fn backup_cancel(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plain_call(session, input, "backupcancel", "backup canceled")
}

/// `restore`.
pub fn restore(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let option = |name: &str| Param::from(input.number(name).unwrap_or(-1));
    let params = [
        input.id(0).into(),
        input.id(1).into(),
        option("increment"),
        option("disk-id"),
    ];
    let outcome = session.call("one.vm.restore", &params);
    outcome
        .map(drop)
        .map_err(|error| CliError::text(format!("Error restoring: {error}")))
}

/// `exec`: a command inside the guest.
pub fn exec(session: &mut Session, input: &Input) -> Result<(), CliError> {
    session.each(Kind::Vm, &input.ids(0), "started", |session, id| {
        let stdin = input.value("stdin").unwrap_or_default();
        session
            .call("one.vm.exec", &[id.into(), input.text(1).into(), stdin.into()])
            .map(drop)
    })
}

/// `exec-retry`.
pub fn exec_retry(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plain_call(session, input, "retryexec", "started again")
}

/// `exec-cancel`.
pub fn exec_cancel(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plain_call(session, input, "cancelexec", "canceled")
}

/// `sched-delete`.
pub fn schedule_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let outcome = session.call("one.vm.scheddelete", &[input.id(0).into(), input.id(1).into()]);
    outcome
        .map(drop)
        .map_err(|error| CliError::text(format!("Error deleting: {error}")))
}

/// `sched-update`.
pub fn schedule_update(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let (id, action_id) = (input.id(0), input.id(1));
    let Some(text) = sources::edited(input.text(2), || schedule_read(session, id, action_id))? else {
        return Ok(());
    };
    session
        .call("one.vm.schedupdate", &[id.into(), action_id.into(), text.into()])
        .map(drop)
}

fn schedule_read(session: &mut Session, id: i32, action_id: i32) -> Result<String, CliError> {
    let text = session.info(Kind::Vm, id)?;
    let document = xml::document_parse(&text)?;
    let wanted = action_id.to_string();
    let found = xml::child(document.root_element(), "TEMPLATE")
        .and_then(|body| xml::children(body, "SCHED_ACTION").find(|entry| xml::text(*entry, "ID") == wanted));
    let entry =
        found.ok_or_else(|| CliError::text(format!("VM {id} has no scheduled action {action_id}.")))?;
    let pairs: Vec<String> = xml::elements(entry)
        .filter(|node| {
            !matches!(
                node.tag_name().name(),
                "ID" | "PARENT_ID" | "TYPE" | "DONE" | "MESSAGE" | "WARNING"
            )
        })
        .map(|node| crate::template_build::pair(node.tag_name().name(), &xml::text_of(node)))
        .collect();
    let mut builder = Builder::default();
    builder.vector("SCHED_ACTION", &pairs);
    Ok(builder.into_text())
}

/// `vmgroup-add`.
pub fn vmgroup_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let params = [input.id(0).into(), input.id(1).into(), input.text(2).into()];
    session.call("one.vm.vmgroupadd", &params).map(drop)
}

/// `vmgroup-del`.
pub fn vmgroup_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plain_call(session, input, "vmgroupdel", "taken out of its group")
}
