//! Every phase and every event, against a table of facts (`states.tsv`).

use std::collections::{BTreeMap, BTreeSet};

use plerion_lifecycle::{Awaited, Event, Recover, Relocation, vm_step};
use plerion_model::vm_history::HistoryAction;
use plerion_model::vm_state::{Phase, VmState};

const TABLE: &str = include_str!("states.tsv");

/// Where a phase leads, by its name.
type Row = BTreeMap<&'static str, &'static str>;

/// The name of an event in the table; changes of devices have a file of their own.
fn name(event: Event) -> Option<&'static str> {
    let by = |soft, hard, is_hard: bool| if is_hard { hard } else { soft };
    Some(match event {
        Event::Deploy => "deploy",
        Event::Hold => "hold",
        Event::Release => "release",
        Event::Terminate { hard } => by("terminate", "terminate-hard", hard),
        Event::Undeploy { hard } => by("undeploy", "undeploy-hard", hard),
        Event::Poweroff { hard } => by("poweroff", "poweroff-hard", hard),
        Event::Reboot { hard } => by("reboot", "reboot-hard", hard),
        Event::Stop => "stop",
        Event::Suspend => "suspend",
        Event::Resume => "resume",
        Event::Resched => "resched",
        Event::Unresched => "unresched",
        Event::Resize => "resize",
        Event::Reconfigure => "reconfigure",
        Event::Backup => "backup",
        Event::RestoreDisks => "restore_disks",
        Event::Relocate(Relocation::Live) => "live-migrate",
        Event::Relocate(Relocation::Save) => "migrate",
        Event::Relocate(Relocation::Poweroff) => "poweroff-migrate",
        Event::Relocate(Relocation::PoweroffHard) => "poweroff-hard-migrate",
        Event::Done => "done",
        Event::Failed => "failed",
        Event::SeenRunning => "seen-running",
        Event::SeenOff => "seen-off",
        Event::HostLost => "host-lost",
        Event::HostRestarted => "host-restarted",
        Event::Recover(Recover::Success) => "recover-success",
        Event::Recover(Recover::Failure) => "recover-failure",
        Event::Recover(Recover::Retry) => "recover-retry",
        Event::Recover(Recover::Delete) => "recover-delete",
        Event::Recover(Recover::DeleteRecreate) => "recover-delete-recreate",
        Event::Recover(Recover::DeleteDb) => "recover-delete-db",
        Event::Images(Awaited::Ready { hold: false }) => "images-ready",
        Event::Images(Awaited::Ready { hold: true }) => "images-ready-on-hold",
        Event::Images(Awaited::Coming) => "images-coming",
        Event::Images(Awaited::Failed) => "images-failed",
        Event::Device(_) => return None,
    })
}

fn table() -> BTreeMap<&'static str, Row> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (event, edges) = line.split_once('\t').expect("event, edges");
            let edges = edges
                .split(' ')
                .map(|edge| edge.split_once('>').expect("FROM>TO"));
            (event, edges.collect())
        })
        .collect()
}

fn expected(row: &Row, phase: Phase) -> Option<&'static str> {
    let own = phase.as_str();
    let active = phase.state == VmState::Active;
    let failure = active && own.ends_with("_FAILURE");
    row.get(own)
        .or_else(|| row.get("FAILURES").filter(|_| failure))
        .or_else(|| row.get("ACTIVE").filter(|_| active))
        .copied()
        .filter(|to| *to != "!")
}

#[test]
fn every_phase_does_with_every_event_what_the_table_says() {
    let table = table();
    let named: BTreeSet<&str> = table.values().flat_map(|row| row.keys().copied()).collect();
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for event in Event::all() {
        let Some(event_name) = name(event) else { continue };
        let row = table
            .get(event_name)
            .unwrap_or_else(|| panic!("no row for {event_name}"));
        // Phases that the table never names belong to devices, disks and backups.
        for phase in Phase::all().filter(|phase| named.contains(phase.as_str())) {
            looked_at += 1;
            let found = vm_step(phase, HistoryAction::None, event)
                .ok()
                .map(|outcome| outcome.path.last().map_or("=", |end| end.as_str()));
            let want = expected(row, phase);
            if found != want {
                wrong.push(format!(
                    "{event_name} in {}: {found:?}, the facts say {want:?}",
                    phase.as_str()
                ));
            }
        }
    }
    assert!(looked_at > 1000, "only {looked_at} were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stay_that_ended_in_a_way_of_its_own_leads_on_in_its_own_way() {
    let active = Phase::active;
    use plerion_model::vm_state::LcmState as L;
    for (from, last, event, to) in [
        (
            Phase::rest(VmState::Pending),
            HistoryAction::Stop,
            Event::Deploy,
            L::PrologResume,
        ),
        (
            Phase::rest(VmState::Pending),
            HistoryAction::Undeploy,
            Event::Deploy,
            L::PrologUndeploy,
        ),
        (
            Phase::rest(VmState::Pending),
            HistoryAction::UndeployHard,
            Event::Deploy,
            L::PrologUndeploy,
        ),
        (
            active(L::PrologMigrate),
            HistoryAction::PoweroffMigrate,
            Event::Done,
            L::Boot,
        ),
        (
            active(L::PrologMigrate),
            HistoryAction::PoweroffHardMigrate,
            Event::Done,
            L::Boot,
        ),
        (
            active(L::PrologMigrateFailure),
            HistoryAction::PoweroffMigrate,
            Event::Recover(Recover::Success),
            L::Boot,
        ),
    ] {
        let outcome = vm_step(from, last, event).expect("possible");
        assert_eq!(outcome.path.last(), Some(&active(to)), "{from:?} {last:?}");
    }
}
