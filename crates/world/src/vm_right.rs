//! Which right an operation on a VM needs: `VM_ADMIN_OPERATIONS`, `VM_MANAGE_OPERATIONS` and `VM_USE_OPERATIONS`.
//!
//! The template of the user comes first, then that of the group, then `oned.conf`, then what is built in.

use plerion_lifecycle::{Event, Recover};
use plerion_model::{Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::Caller;
use crate::world::World;

/// Lists and the right that they stand for; where several name an operation, the highest right counts.
const LISTS: [(&str, Operation); 3] = [
    ("VM_ADMIN_OPERATIONS", Operation::Admin),
    ("VM_MANAGE_OPERATIONS", Operation::Manage),
    ("VM_USE_OPERATIONS", Operation::Use),
];

/// A class of operations on VMs, by the names of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmClass {
    Undeploy,
    Hold,
    Release,
    Stop,
    Suspend,
    Resume,
    Reboot,
    Poweroff,
    Terminate,
    Resize,
    UpdateConf,
    Rename,
    Update,
    Exec,
    Migrate,
    Delete,
    Recover,
    Retry,
    Deploy,
    Resched,
    Backup,
    Restore,
}

impl VmClass {
    /// The class of an action; `None` for what is no action.
    pub(crate) const fn of_event(event: Event) -> Option<Self> {
        Some(match event {
            Event::Deploy => Self::Deploy,
            Event::Hold => Self::Hold,
            Event::Release => Self::Release,
            Event::Terminate { .. } => Self::Terminate,
            Event::Undeploy { .. } => Self::Undeploy,
            Event::Poweroff { .. } => Self::Poweroff,
            Event::Stop => Self::Stop,
            Event::Suspend => Self::Suspend,
            Event::Resume => Self::Resume,
            Event::Reboot { .. } => Self::Reboot,
            Event::Relocate(_) => Self::Migrate,
            Event::Resize => Self::Resize,
            Event::Reconfigure => Self::UpdateConf,
            Event::Backup => Self::Backup,
            Event::RestoreDisks => Self::Restore,
            Event::Resched | Event::Unresched => Self::Resched,
            Event::Recover(recover) => Self::of_recover(recover),
            // Changes of devices have calls of their own, and the rest happens by itself.
            Event::Device(_)
            | Event::Done
            | Event::Failed
            | Event::SeenRunning
            | Event::SeenOff
            | Event::HostLost
            | Event::HostRestarted
            | Event::Images(_) => return None,
        })
    }

    /// The class of a way to settle a VM.
    pub(crate) const fn of_recover(recover: Recover) -> Self {
        match recover {
            Recover::Failure | Recover::Success => Self::Recover,
            Recover::Retry => Self::Retry,
            Recover::Delete | Recover::DeleteRecreate | Recover::DeleteDb => Self::Delete,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Undeploy => "undeploy",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Stop => "stop",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Reboot => "reboot",
            Self::Poweroff => "poweroff",
            Self::Terminate => "terminate",
            Self::Resize => "resize",
            Self::UpdateConf => "updateconf",
            Self::Rename => "rename",
            Self::Update => "update",
            Self::Exec => "exec",
            Self::Migrate => "migrate",
            Self::Delete => "delete",
            Self::Recover => "recover",
            Self::Retry => "retry",
            Self::Deploy => "deploy",
            Self::Resched => "resched",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }

    const fn built_in(self) -> Operation {
        match self {
            Self::Migrate
            | Self::Delete
            | Self::Recover
            | Self::Retry
            | Self::Deploy
            | Self::Resched
            | Self::Backup
            | Self::Restore => Operation::Admin,
            Self::Undeploy
            | Self::Hold
            | Self::Release
            | Self::Stop
            | Self::Suspend
            | Self::Resume
            | Self::Reboot
            | Self::Poweroff
            | Self::Terminate
            | Self::Resize
            | Self::UpdateConf
            | Self::Rename
            | Self::Update
            | Self::Exec => Operation::Manage,
        }
    }
}

/// The right that a caller needs for a class of operations.
pub(crate) fn vm_right(world: &World, caller: &Caller, class: VmClass) -> Operation {
    let user = world.users.get(caller.uid);
    let group = world.groups.get(caller.gid);
    user.and_then(|user| listed(&user.template, class))
        .or_else(|| group.and_then(|group| listed(&group.template, class)))
        .or_else(|| listed_in(|name| Template::get(&world.config.attributes, name), class))
        .unwrap_or_else(|| class.built_in())
}

/// Whether an attribute of a user or group says which rights it needs. Only administrators may set such a one, whatever
/// `oned.conf` lists as restricted: it would give its owner rights.
pub(crate) fn is_right_list(name: &str) -> bool {
    LISTS.iter().any(|(list, _)| list.eq_ignore_ascii_case(name))
}

/// What an administrator has set of it stays when anybody else replaces the template of a user or group.
pub(crate) fn rights_keep(caller: &Caller, kind: Kind, old: &Template, new: &mut Template) {
    if caller.is_admin() || !matches!(kind, Kind::User | Kind::Group) {
        return;
    }
    for (name, _) in LISTS {
        if let Some(value) = old.get(name) {
            new.set(name, value);
        }
    }
}

fn listed(template: &PackedTemplate, class: VmClass) -> Option<Operation> {
    listed_in(|name| template.get(name), class)
}

fn listed_in<'a>(list: impl Fn(&str) -> Option<&'a str>, class: VmClass) -> Option<Operation> {
    let names = |text: &str| {
        text.split(',')
            .any(|name| name.trim().eq_ignore_ascii_case(class.name()))
    };
    LISTS
        .iter()
        .find(|(name, _)| list(name).is_some_and(names))
        .map(|(_, right)| *right)
}
