//! VMs that start again by themselves: what is asked for, and how far it has come.

use plerion_template::PackedTemplate;
use serde::{Deserialize, Serialize};

use crate::Seconds;

/// What `AUTOSTART` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autostart {
    /// A VM that went off stays off.
    #[default]
    No,
    /// What ran when its host went down, or whose QEMU died, runs again.
    Yes,
    /// After a restart of its host it runs, even where somebody had switched it off.
    Always,
}

impl Autostart {
    /// The meaning of a value; `None` where it has none. (`yes`, `true` and `always` are the words of the hook scripts that
    /// administrators have from before.)
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim();
        let is = |known: &[&str]| known.iter().any(|known| word.eq_ignore_ascii_case(known));
        if is(&["yes", "true"]) {
            Some(Self::Yes)
        } else if is(&["always"]) {
            Some(Self::Always)
        } else if is(&["no", "false"]) {
            Some(Self::No)
        } else {
            None
        }
    }

    /// What a template asks for; `None` where it is silent or says something without a meaning.
    #[must_use]
    pub fn of(template: &PackedTemplate) -> Option<Self> {
        template.get("AUTOSTART").and_then(Self::parse)
    }
}

/// How a domain came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainEnd {
    /// Its guest switched itself off, or somebody ended it on the host.
    Guest,
    /// It was shut down because its host is shutting down.
    HostStops,
    /// Its QEMU died.
    Crash,
    /// It is not there any more, and nobody saw why.
    Unseen,
}

impl DomainEnd {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Guest, Self::HostStops, Self::Crash, Self::Unseen];

    /// What is noted about it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Guest => "its domain is gone: the guest switched itself off, or it was ended on the host",
            Self::HostStops => "its domain is gone: its host is shutting down",
            Self::Crash => "its domain is gone: its QEMU ended",
            Self::Unseen => {
                "its domain is gone, and why was not seen: the guest switched itself off, or its QEMU ended"
            }
        }
    }
}

/// Whether a VM is off although it is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// It is not.
    #[default]
    No,
    /// It is, and can be started.
    Now,
    /// It is, and can be started once its host has been restarted: it is shutting down.
    AfterBoot,
}

/// How far it has come with starting a VM again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Whether it is off although it is to run.
    pub due: Due,
    /// When it went off.
    pub since: Seconds,
    /// Starts tried since it last ran for [`RESTART_WELL_S`].
    pub tries: u32,
    /// When the last one was tried; 0 for none.
    pub tried: Seconds,
}

/// Starts that are tried before it is left to somebody: their pauses are [`RESTART_PAUSES_S`].
pub const RESTART_TRIES_MAX: u32 = 4;
/// Seconds before each try, counted from when the VM went off or the last try.
pub const RESTART_PAUSES_S: [Seconds; RESTART_TRIES_MAX as usize] = [0, 10, 60, 300];
/// Seconds that a VM must have run for its earlier tries to be forgotten.
pub const RESTART_WELL_S: Seconds = 600;

impl Restart {
    /// A VM went off although it is to run. `before` is what was noted of an earlier time.
    #[must_use]
    pub fn fallen(before: Option<Self>, due: Due, now: Seconds) -> Self {
        let recent =
            before.filter(|before| before.tried > 0 && now.saturating_sub(before.tried) < RESTART_WELL_S);
        Self {
            due,
            since: now,
            tries: recent.map_or(0, |before| before.tries),
            tried: recent.map_or(0, |before| before.tried),
        }
    }

    /// Its host has been restarted: what was tried before counts no more.
    #[must_use]
    pub const fn anew(now: Seconds) -> Self {
        Self {
            due: Due::Now,
            since: now,
            tries: 0,
            tried: 0,
        }
    }

    /// The time from which the next start may be tried; `None` when there is none any more.
    #[must_use]
    pub fn next_try(&self) -> Option<Seconds> {
        let pause = RESTART_PAUSES_S.get(usize::try_from(self.tries).ok()?)?;
        Some(self.since.max(self.tried).saturating_add(*pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expect) in [
            ("yes", Some(Autostart::Yes)),
            (" True ", Some(Autostart::Yes)),
            ("ALWAYS", Some(Autostart::Always)),
            ("no", Some(Autostart::No)),
            ("false", Some(Autostart::No)),
            ("sometimes", None),
            ("", None),
        ] {
            assert_eq!(Autostart::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn what_falls_again_and_again_is_tried_ever_more_rarely_and_then_left() {
        let mut now = 1000;
        let mut restart = Restart::fallen(None, Due::Now, now);
        let mut waits = Vec::new();
        while let Some(time) = restart.next_try() {
            waits.push(time - now);
            now = time;
            restart = Restart {
                due: Due::No,
                tries: restart.tries + 1,
                tried: now,
                ..restart
            };
            now += 5;
            restart = Restart::fallen(Some(restart), Due::Now, now);
        }
        assert_eq!(waits, [0, 10, 60, 300]);
        assert_eq!(
            Restart::fallen(Some(restart), Due::Now, now + 10_000).next_try(),
            Some(now + 10_000)
        );
        assert_eq!(Restart::anew(now).next_try(), Some(now));
    }
}
