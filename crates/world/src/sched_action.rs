//! Commands on scheduled actions, and what is due.
//!
//! Nothing but [`World`] says what is due when; whoever waits for it asks for the first time and gives
//! [`crate::Command::SchedDue`] then. The action, its result and its next time are one change, so that a front-end that
//! ends between two of them neither forgets an action nor does it twice.

use std::sync::Arc;

use plerion_lifecycle::Event;
use plerion_model::sched_action::{End, Repeat, Repetition, SchedAction};
use plerion_model::{ApiError, Id, Kind, Operation, Seconds};
use plerion_template::{Template, Vector};

use crate::auth::{Caller, Target, require};
use crate::index::Index;
use crate::txn::Txn;
use crate::vm_require::vm_require;
use crate::world::World;

/// Most scheduled actions of an object.
const ACTIONS_MAX: usize = 1000;
/// Longest text of arguments, in bytes.
const ARGS_BYTES_MAX: usize = 1024;

/// Actions on VMs that can be scheduled (the facts' list), and what they are for the life of the VM: nothing for those with a
/// command of their own, which is made when they are due.
pub(crate) const VM_ACTIONS: &[(&str, Option<Event>)] = &[
    ("terminate", Some(Event::Terminate { hard: false })),
    ("terminate-hard", Some(Event::Terminate { hard: true })),
    ("undeploy", Some(Event::Undeploy { hard: false })),
    ("undeploy-hard", Some(Event::Undeploy { hard: true })),
    ("hold", Some(Event::Hold)),
    ("release", Some(Event::Release)),
    ("stop", Some(Event::Stop)),
    ("suspend", Some(Event::Suspend)),
    ("resume", Some(Event::Resume)),
    ("reboot", Some(Event::Reboot { hard: false })),
    ("reboot-hard", Some(Event::Reboot { hard: true })),
    ("poweroff", Some(Event::Poweroff { hard: false })),
    ("poweroff-hard", Some(Event::Poweroff { hard: true })),
    ("snapshot-create", None),
    ("snapshot-revert", None),
    ("snapshot-delete", None),
    ("disk-snapshot-create", None),
    ("disk-snapshot-revert", None),
    ("disk-snapshot-delete", None),
    ("backup", None),
];

/// What can be asked of scheduled actions.
#[derive(Clone, Debug)]
pub enum SchedCommand {
    /// `one.vm.schedadd` and `one.backupjob.schedadd`.
    Add {
        /// Kind of the object.
        kind: Kind,
        /// Object.
        id: Id,
        /// `SCHED_ACTION=[…]`.
        template: Template,
    },
    /// `one.vm.schedupdate`.
    Update {
        /// Kind of the object.
        kind: Kind,
        /// Object.
        id: Id,
        /// Scheduled action.
        action: Id,
        /// What to change.
        template: Template,
    },
    /// `one.vm.scheddelete`.
    Delete {
        /// Kind of the object.
        kind: Kind,
        /// Object.
        id: Id,
        /// Scheduled action.
        action: Id,
    },
}

impl Index {
    /// Puts in (or takes out) a scheduled action.
    pub(crate) fn sched_set(&mut self, action: &SchedAction, add: bool) {
        let owner = (action.parent_kind, action.parent, action.id);
        if add {
            self.scheduled.insert(owner);
        } else {
            self.scheduled.remove(&owner);
        }
        let Some(time) = action.due() else { return };
        if add {
            self.sched_due.insert((time, action.id));
        } else {
            self.sched_due.remove(&(time, action.id));
        }
    }
}

impl World {
    /// The scheduled actions of an object, by ascending id.
    pub fn sched_actions_of(&self, kind: Kind, id: Id) -> impl Iterator<Item = &Arc<SchedAction>> {
        self.index
            .scheduled
            .range((kind, id, Id::MIN)..=(kind, id, Id::MAX))
            .filter_map(|(_, _, action)| self.sched_actions.get(*action))
    }

    /// What is due first: when, and which action.
    #[must_use]
    pub fn sched_next(&self) -> Option<(Seconds, Id)> {
        self.index.sched_due.get_min().copied()
    }

    /// What is due at a time, the longest overdue first.
    pub fn sched_due(&self, now: Seconds) -> impl Iterator<Item = (Seconds, Id)> {
        self.index.sched_due.range(..=(now, Id::MAX)).copied()
    }
}

/// Carries a command out. Answers the id of the scheduled action, or of the VM for one that was deleted (recorded).
pub(crate) fn sched_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &SchedCommand,
) -> Result<Id, ApiError> {
    match command {
        SchedCommand::Add { kind, id, template } => {
            parent_require(txn, caller, *kind, *id)?;
            let vector = one_of(template)?;
            sched_add(txn, *kind, *id, vector)
        }
        SchedCommand::Update {
            kind,
            id,
            action,
            template,
        } => {
            parent_require(txn, caller, *kind, *id)?;
            sched_update(txn, (*kind, *id), *action, one_of(template)?)
        }
        SchedCommand::Delete { kind, id, action } => {
            parent_require(txn, caller, *kind, *id)?;
            action_of(&txn.world, (*kind, *id), *action)
                .ok_or_else(|| ApiError::no_exists(Kind::SchedAction, *action))?;
            txn.delete(Kind::SchedAction, *action);
            Ok(if *kind == Kind::Vm { *id } else { *action })
        }
    }
}

fn parent_require(txn: &Txn<'_>, caller: &Caller, kind: Kind, id: Id) -> Result<(), ApiError> {
    if kind == Kind::Vm {
        return vm_require(txn, caller, id, Operation::Manage);
    }
    let target = Target::of(&txn.world, kind, id)?;
    require(&txn.world, caller, &[(Operation::Manage, target)])
}

fn one_of(template: &Template) -> Result<&Vector, ApiError> {
    let mut all = template.vectors("SCHED_ACTION");
    match (all.next(), all.next()) {
        (Some(vector), None) => Ok(vector),
        (None, _) => Err(ApiError::action(
            "The template holds no SCHED_ACTION: give one as SCHED_ACTION=[ACTION=\"…\", TIME=\"…\"]",
        )),
        (Some(_), Some(_)) => Err(ApiError::action(
            "The template holds more than one SCHED_ACTION: give them one by one",
        )),
    }
}

fn action_of(world: &World, parent: (Kind, Id), action: Id) -> Option<Arc<SchedAction>> {
    let found = world.sched_actions.get(action)?;
    ((found.parent_kind, found.parent) == parent).then(|| found.clone())
}

/// Makes the scheduled actions that the template of a new object holds.
pub(crate) fn sched_create(
    txn: &mut Txn<'_>,
    kind: Kind,
    id: Id,
    template: &Template,
) -> Result<(), ApiError> {
    let refused =
        |error: ApiError| ApiError::allocate(kind, &format!("{}.", error.text.trim_end_matches('.')));
    for vector in template.vectors("SCHED_ACTION") {
        sched_add(txn, kind, id, vector).map_err(refused)?;
    }
    Ok(())
}

fn sched_add(txn: &mut Txn<'_>, kind: Kind, id: Id, vector: &Vector) -> Result<Id, ApiError> {
    if txn.world.sched_actions_of(kind, id).count() >= ACTIONS_MAX {
        return Err(ApiError::action(format!(
            "There are {ACTIONS_MAX} scheduled actions already: delete some first"
        )));
    }
    let time = time_read(txn, kind, id, vector)?;
    let mut action = SchedAction {
        id: -1,
        parent_kind: kind,
        parent: id,
        action: String::new(),
        args: String::new(),
        time,
        repetition: None,
        done: None,
        message: String::new(),
        warning: 0,
    };
    settings_read(&mut action, vector)?;
    action.id = txn.id_next(Kind::SchedAction);
    let made = action.id;
    txn.create(action);
    Ok(made)
}

fn sched_update(txn: &mut Txn<'_>, parent: (Kind, Id), id: Id, vector: &Vector) -> Result<Id, ApiError> {
    let mut found = action_of(&txn.world, parent, id)
        .ok_or_else(|| ApiError::internal(format!("SCHED_ACTION with id = {id} doesn't exist")))?;
    let time = time_read(txn, parent.0, parent.1, vector)?;
    let action = Arc::make_mut(&mut found);
    action.time = time;
    settings_read(action, vector)?;
    txn.update(found);
    Ok(id)
}

/// Reads `TIME`: seconds since 1970, or for VMs seconds after the VM was made (recorded).
fn time_read(txn: &Txn<'_>, kind: Kind, id: Id, vector: &Vector) -> Result<Seconds, ApiError> {
    let text = vector.get("TIME").unwrap_or_default();
    let start = txn
        .world
        .vms
        .get(id)
        .filter(|_| kind == Kind::Vm)
        .map(|vm| vm.stime);
    let digits = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<Seconds>().ok().filter(|_| digits)
    };
    let time = match (text.trim().strip_prefix('+'), start) {
        (Some(after), Some(start)) => digits(after).and_then(|after| start.checked_add(after)),
        (Some(_), None) => None,
        (None, _) => digits(text.trim()),
    };
    // As far as calendars go (the year 9999), so that every later computation has room.
    time.filter(|time| *time < 253_000_000_000).ok_or_else(|| {
        // Recorded.
        ApiError::action(format!(
            "Unable to parse the time value or value is empty: {text}"
        ))
    })
}

/// Reads everything but the time. What is not given stays as it is.
fn settings_read(action: &mut SchedAction, vector: &Vector) -> Result<(), ApiError> {
    if action.parent_kind == Kind::Vm {
        if let Some(name) = vector.get("ACTION") {
            name.trim().to_lowercase().clone_into(&mut action.action);
        }
        if !VM_ACTIONS.iter().any(|(known, _)| *known == action.action) {
            return Err(ApiError::action(format!(
                "ACTION is \"{}\", which cannot be scheduled; these can: {}",
                action.action,
                VM_ACTIONS
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
    } else {
        action.action = "backup".into();
    }
    if let Some(args) = vector.get("ARGS") {
        if args.len() > ARGS_BYTES_MAX {
            return Err(ApiError::action(format!(
                "ARGS is longer than {ARGS_BYTES_MAX} bytes"
            )));
        }
        args.clone_into(&mut action.args);
    }
    if let Some(text) = vector.get("WARNING") {
        action.warning = text
            .trim()
            .trim_start_matches(['+', '-'])
            .parse()
            .map_err(|_| ApiError::action(format!("WARNING is \"{text}\": it is a number of seconds")))?;
    }
    repetition_read(action, vector)
}

fn repetition_read(action: &mut SchedAction, vector: &Vector) -> Result<(), ApiError> {
    match vector.get("REPEAT").map(str::trim) {
        None => {
            if let (Some(repetition), Some(end)) = (&mut action.repetition, vector.get("END_TYPE")) {
                repetition.end =
                    End::parse(end, vector.get("END_VALUE").unwrap_or_default()).map_err(ApiError::action)?;
            }
        }
        Some("" | "-1") => action.repetition = None,
        Some(repeat) => {
            let days = vector.get("DAYS").unwrap_or_default();
            let end_type = vector.get("END_TYPE").unwrap_or_default();
            let end_value = vector.get("END_VALUE").unwrap_or_default();
            action.repetition = Some(Repetition {
                repeat: Repeat::parse(repeat, days).map_err(ApiError::action)?,
                end: End::parse(end_type, end_value).map_err(ApiError::action)?,
            });
        }
    }
    Ok(())
}

/// The scheduled actions of an object go with it.
pub(crate) fn sched_forget(txn: &mut Txn<'_>, kind: Kind, id: Id) {
    let all: Vec<Id> = txn
        .world
        .sched_actions_of(kind, id)
        .map(|action| action.id)
        .collect();
    for action in all {
        txn.delete(Kind::SchedAction, action);
    }
}

/// Notes that an action was done, or why it could not be, and when it is due next.
pub(crate) fn sched_ran(txn: &mut Txn<'_>, id: Id, error: Option<String>) {
    let Some(mut found) = txn.world.sched_actions.get(id).cloned() else {
        return;
    };
    let (kind, parent) = (found.parent_kind, found.parent);
    let (operation, outcome) = match &error {
        None => (
            "info",
            format!("scheduled action {id}: {} was asked for", found.action),
        ),
        Some(error) => (
            "error",
            format!("scheduled action {id}: {} failed: {error}", found.action),
        ),
    };
    txn.log(kind, parent, operation, "", "", &outcome);
    let zone = txn.world.config.time_zone.clone();
    Arc::make_mut(&mut found).ran(txn.context.now, error.unwrap_or_default(), &zone);
    txn.update(found);
}
