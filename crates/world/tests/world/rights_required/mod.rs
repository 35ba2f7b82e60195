//! Which rights each command needs: what somebody lacks who has none, and what somebody lacks who owns the VM alone. A
//! refusal names every right that lacks, so a right that is no longer asked for changes the text.

mod accounts;
mod networks;
mod places;
mod templates;
mod vms;
mod vms_owned;

use plerion_world::{Caller, Command};

use crate::cloud::stage::Stage;

/// What each command lacks.
type Table = Vec<(&'static str, Command)>;

fn check(mut stage: Stage, caller: &Caller, table: Table) {
    let mut wrong = Vec::new();
    for (expected, command) in table {
        let shown = format!("{command:?}");
        let lacks = stage.lacks(caller, command);
        if lacks != expected {
            wrong.push(format!("{shown}:\n  expected {expected}\n  lacks    {lacks}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
