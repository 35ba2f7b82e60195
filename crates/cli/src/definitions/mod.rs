//! The tables of all commands: subcommands, arguments and options. What they do is in `families`.

mod accounting;
mod accounts;
mod backupjob;
mod hook;
mod infrastructure;
mod market;
mod shared;
mod storage;
mod vdc;
mod vm;
mod vnet;

use crate::definition::Command;

/// All commands.
pub static COMMANDS: [&Command; 22] = [
    &vm::VM,
    &infrastructure::HOST,
    &infrastructure::CLUSTER,
    &storage::IMAGE,
    &storage::DATASTORE,
    &vnet::VNET,
    &vm::TEMPLATE,
    &accounts::USERS,
    &accounts::GROUPS,
    &vnet::SECGROUP,
    &vnet::VNTEMPLATE,
    &vm::VROUTER,
    &vm::VMGROUP,
    &market::MARKET,
    &market::MARKETAPP,
    &vdc::VDC,
    &hook::HOOK,
    &backupjob::BACKUPJOB,
    &infrastructure::ZONE,
    &accounts::RULES,
    &accounting::ACCOUNTING,
    &accounting::SHOWBACK,
];

/// The command of that name.
pub fn command_find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name).copied()
}
