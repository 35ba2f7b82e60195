//! Understanding the lines of `virsh event --loop --event lifecycle`.

use plerion_protocol::DomainState;

use crate::names::domain_is_ours;

/// One change of a domain of a cloud; `None` for lines about anything else and for changes that mean nothing here.
pub(crate) fn event_read(line: &str) -> Option<(&str, DomainState)> {
    let rest = line.split_once("event 'lifecycle' for domain '")?.1;
    let (name, what) = rest.split_once("': ")?;
    if !domain_is_ours(name) {
        return None;
    }
    let mut words = what.trim().splitn(2, ' ');
    let (event, detail) = (words.next()?, words.next().unwrap_or(""));
    let state = match (event, detail) {
        ("Started" | "Resumed", _) => DomainState::Running,
        ("Suspended" | "PMSuspended", _) => DomainState::Paused,
        ("Stopped", "Crashed" | "Failed") | ("Crashed", _) => DomainState::Crashed,
        ("Stopped", "Migrated") => DomainState::Migrated,
        ("Stopped", "Saved") => DomainState::Saved,
        ("Stopped", _) => DomainState::Off,
        // Defined and undefined say nothing about running; after Shutdown comes Stopped.
        _ => return None,
    };
    Some((name, state))
}

/// Whether a domain in this state is no longer there.
pub(crate) fn is_gone(state: DomainState) -> bool {
    match state {
        DomainState::Running | DomainState::Paused => false,
        DomainState::Off
        | DomainState::Crashed
        | DomainState::HostStops
        | DomainState::Gone
        | DomainState::Saved
        | DomainState::Migrated => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let state = |what: &str| {
            let line =
                format!("2026-01-23 06:38:20.033+0000: event 'lifecycle' for domain 'one-7': {what}\n");
            event_read(&line).map(|(name, state)| (name.to_owned(), state))
        };
        for (what, expected) in [
            ("Started Booted", Some(DomainState::Running)),
            ("Started Restored", Some(DomainState::Running)),
            ("Resumed Unpaused", Some(DomainState::Running)),
            ("Suspended Paused", Some(DomainState::Paused)),
            ("Stopped Saved", Some(DomainState::Saved)),
            ("Stopped Shutdown", Some(DomainState::Off)),
            ("Stopped Destroyed", Some(DomainState::Off)),
            ("Stopped Failed", Some(DomainState::Crashed)),
            ("Stopped Crashed", Some(DomainState::Crashed)),
            ("Stopped Migrated", Some(DomainState::Migrated)),
            ("Crashed Panicked", Some(DomainState::Crashed)),
            ("Shutdown Finished after host request", None),
            ("Undefined Removed", None),
        ] {
            assert_eq!(
                state(what),
                expected.map(|state| ("one-7".to_owned(), state)),
                "{what}"
            );
        }
        assert_eq!(
            event_read("event 'lifecycle' for domain 'other': Started Booted"),
            None
        );
        assert_eq!(event_read("events received: 5"), None);
    }
}
