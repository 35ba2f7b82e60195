//! Scheduled actions: what is to be done with an object, when, and how often.
//!
//! When an action is due and when the next time comes are pure functions of the action, the time and a time zone. The
//! numbers of `REPEAT` and `END_TYPE` are those of the wire format.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use plerion_template::Markup;
use serde::{Deserialize, Serialize};

use crate::{Id, Kind, Seconds};

/// Most hours between two runs (a week less an hour, recorded).
const HOURS_MAX: u16 = 167;
/// Days that are looked at for the next run: the last day of a leap year comes once in eight years at worst.
const DAYS_AHEAD_MAX: usize = 8 * 366 + 1;

/// How an action repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// On days of the week: 0 is Sunday.
    Weekly(BTreeSet<u16>),
    /// On days of the month, from 1.
    Monthly(BTreeSet<u16>),
    /// On days of the year, from 0.
    Yearly(BTreeSet<u16>),
    /// Every so many hours.
    Hourly(u16),
}

impl Repeat {
    /// Reads `REPEAT` and `DAYS`.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn parse(repeat: &str, days: &str) -> Result<Self, String> {
        let set = |low: u16, high: u16| days_parse(days, low, high);
        match repeat.trim() {
            "0" => Ok(Self::Weekly(set(0, 6)?)),
            "1" => Ok(Self::Monthly(set(1, 31)?)),
            "2" => Ok(Self::Yearly(set(0, 365)?)),
            "3" => match days.trim().parse::<u16>() {
                Ok(hours) if (1..=HOURS_MAX).contains(&hours) => Ok(Self::Hourly(hours)),
                _ => Err(format!(
                    "DAYS is \"{days}\": with REPEAT 3 it is one number of hours, from 1 to {HOURS_MAX}"
                )),
            },
            other => Err(format!(
                "REPEAT is \"{other}\": it is 0 (weekly), 1 (monthly), 2 (yearly) or 3 (hourly)"
            )),
        }
    }

    const fn number(&self) -> i64 {
        match self {
            Self::Weekly(_) => 0,
            Self::Monthly(_) => 1,
            Self::Yearly(_) => 2,
            Self::Hourly(_) => 3,
        }
    }

    fn days_text(&self) -> String {
        match self {
            Self::Weekly(days) | Self::Monthly(days) | Self::Yearly(days) => {
                let days: Vec<String> = days.iter().map(u16::to_string).collect();
                days.join(",")
            }
            Self::Hourly(hours) => hours.to_string(),
        }
    }

    /// Whether it names a day. Hours are no days.
    fn takes(&self, date: Date) -> bool {
        let has = |days: &BTreeSet<u16>, day: i16| u16::try_from(day).is_ok_and(|day| days.contains(&day));
        match self {
            Self::Weekly(days) => has(days, i16::from(date.weekday().to_sunday_zero_offset())),
            Self::Monthly(days) => has(days, i16::from(date.day())),
            Self::Yearly(days) => has(days, date.day_of_year().saturating_sub(1)),
            Self::Hourly(_) => false,
        }
    }

    /// The first time after `time` and after `now`, at the time of day of `time` in the zone.
    #[must_use]
    pub fn next(&self, time: Seconds, now: Seconds, zone: &TimeZone) -> Option<Seconds> {
        let from = time.max(now);
        if let Self::Hourly(hours) = self {
            let step = i64::from(*hours).checked_mul(3600).filter(|step| *step > 0)?;
            let passed = from.checked_sub(time)?.checked_div(step)?;
            return time.checked_add(passed.checked_add(1)?.checked_mul(step)?);
        }
        let clock = Timestamp::from_second(time).ok()?.to_zoned(zone.clone()).time();
        let mut date = Timestamp::from_second(from).ok()?.to_zoned(zone.clone()).date();
        for _ in 0..DAYS_AHEAD_MAX {
            if self.takes(date) {
                // An hour that a day does not have (the clock is put forward) becomes the one after it.
                let at = date.to_datetime(clock).to_zoned(zone.clone()).ok()?;
                let second = at.timestamp().as_second();
                if second > from {
                    return Some(second);
                }
            }
            date = date.checked_add(Span::new().days(1)).ok()?;
        }
        None
    }
}

fn days_parse(text: &str, low: u16, high: u16) -> Result<BTreeSet<u16>, String> {
    let day = |part: &str| {
        let day = part.trim().parse::<u16>().ok();
        day.filter(|day| (low..=high).contains(day))
    };
    let days: Option<BTreeSet<u16>> = text.split(',').map(day).collect();
    days.ok_or_else(|| format!("DAYS is \"{text}\": it is a list of numbers from {low} to {high}"))
}

/// When a repeated action ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Never.
    Never,
    /// After so many more runs.
    Times(i64),
    /// At a time.
    Date(Seconds),
}

impl End {
    /// Reads `END_TYPE` and `END_VALUE`.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn parse(end_type: &str, value: &str) -> Result<Self, String> {
        let number = || {
            let number = value.trim().parse::<i64>().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| format!("END_VALUE is \"{value}\": it is a number, 0 or more"))
        };
        match end_type.trim() {
            "" | "-1" | "0" => Ok(Self::Never),
            "1" => number().map(Self::Times),
            "2" => number().map(Self::Date),
            other => Err(format!(
                "END_TYPE is \"{other}\": it is 0 (never), 1 (a number of times) or 2 (a date)"
            )),
        }
    }
}

/// A repetition and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// On which days, or hours apart.
    pub repeat: Repeat,
    /// Until when.
    pub end: End,
}

/// A scheduled action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedAction {
    /// Id, among those of all objects.
    pub id: Id,
    /// Kind of the object that it is for.
    pub parent_kind: Kind,
    /// The object.
    pub parent: Id,
    /// What is to be done.
    pub action: String,
    /// Its arguments, with commas between them.
    pub args: String,
    /// When.
    pub time: Seconds,
    /// How often; once without.
    pub repetition: Option<Repetition>,
    /// When it was done last.
    pub done: Option<Seconds>,
    /// Why the last run failed; empty when it did not.
    pub message: String,
    /// How long before clients give notice of it, as they said (a time, or seconds).
    pub warning: Seconds,
}

crate::entity::entity!(SchedAction);

impl SchedAction {
    /// When it is to be done next; `None` when it is over.
    #[must_use]
    pub fn due(&self) -> Option<Seconds> {
        self.done.is_none_or(|done| done < self.time).then_some(self.time)
    }

    /// Notes a run: when, why it failed (empty when it did not), and when the next one is. Times that were missed are
    /// made up for by that one run; the next one lies after `now`.
    pub fn ran(&mut self, now: Seconds, message: String, zone: &TimeZone) {
        // A clock that was put back does not make it due again.
        self.done = Some(now.max(self.time));
        self.message = message;
        let Some(repetition) = &mut self.repetition else {
            return;
        };
        let next = repetition.repeat.next(self.time, now, zone);
        let over = match &mut repetition.end {
            End::Never => false,
            End::Times(left) => {
                *left = left.saturating_sub(1).max(0);
                *left == 0
            }
            End::Date(end) => next.is_some_and(|next| next > *end),
        };
        if let Some(next) = next.filter(|_| !over) {
            self.time = next;
        }
    }

    /// `<SCHED_ACTION>`.
    pub fn render(&self, out: &mut impl Markup) {
        let kind = match self.parent_kind {
            Kind::Vm => "VM",
            other => other.acl_name(),
        };
        let (repeat, days, end) = match &self.repetition {
            None => (-1, String::new(), (-1, -1)),
            Some(repetition) => {
                let end = match repetition.end {
                    End::Never => (0, -1),
                    End::Times(left) => (1, left),
                    End::Date(end) => (2, end),
                };
                (repetition.repeat.number(), repetition.repeat.days_text(), end)
            }
        };
        out.open("SCHED_ACTION");
        out.number("ID", i64::from(self.id));
        out.number("PARENT_ID", i64::from(self.parent));
        out.element("TYPE", kind);
        out.element("ACTION", &self.action);
        out.element("ARGS", &self.args);
        out.number("TIME", self.time);
        out.number("REPEAT", repeat);
        out.element("DAYS", &days);
        out.number("END_TYPE", end.0);
        out.number("END_VALUE", end.1);
        out.number("DONE", self.done.unwrap_or(-1));
        out.element("MESSAGE", &self.message);
        out.number("WARNING", self.warning);
        out.close("SCHED_ACTION");
    }
}

/// `<SCHED_ACTIONS>`: the ids of an object's actions.
pub fn render_ids<'a>(out: &mut impl Markup, actions: impl Iterator<Item = &'a SchedAction>) {
    out.open("SCHED_ACTIONS");
    for action in actions {
        out.number("ID", i64::from(action.id));
    }
    out.close("SCHED_ACTIONS");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(time: Seconds, repetition: Option<Repetition>) -> SchedAction {
        SchedAction {
            id: 0,
            parent_kind: Kind::Vm,
            parent: 0,
            action: "poweroff".into(),
            args: String::new(),
            time,
            repetition,
            done: None,
            message: String::new(),
            warning: 0,
        }
    }

    fn repeated(repeat: &str, days: &str, end: End) -> Option<Repetition> {
        let repeat = Repeat::parse(repeat, days).expect("good");
        Some(Repetition { repeat, end })
    }

    fn at(text: &str) -> Seconds {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    #[test]
    fn once_is_once() {
        let mut action = action(100, None);
        assert_eq!(action.due(), Some(100));
        action.ran(150, "no".into(), &TimeZone::UTC);
        assert_eq!((action.due(), action.done, action.time), (None, Some(150), 100));
    }

    #[test]
    fn the_next_time_has_the_same_time_of_day() {
        // A Monday.
        let start = at("2026-11-23T02:30:00Z");
        let table = [
            ("0", "1,5", start, "2026-11-27T02:30:00Z"),
            ("0", "1", start, "2026-11-30T02:30:00Z"),
            ("0", "0", at("2026-12-06T02:29:59Z"), "2026-12-06T02:30:00Z"),
            ("1", "31", start, "2026-12-31T02:30:00Z"),
            ("1", "30", at("2027-01-31T00:00:00Z"), "2027-03-30T02:30:00Z"),
            ("2", "0", start, "2027-01-01T02:30:00Z"),
            ("2", "365", start, "2028-12-31T02:30:00Z"),
            ("3", "12", start, "2026-11-23T14:30:00Z"),
            ("3", "12", at("2026-11-24T02:30:00Z"), "2026-11-24T14:30:00Z"),
        ];
        for (repeat, days, now, expect) in table {
            let repeat = Repeat::parse(repeat, days).expect("good");
            assert_eq!(
                repeat.next(start, now, &TimeZone::UTC),
                Some(at(expect)),
                "{repeat:?}"
            );
        }
    }

    #[test]
    fn the_time_of_day_is_that_of_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        // Monday 01:00 there, Sunday here.
        let start = at("2026-11-22T17:00:00Z");
        let weekly = Repeat::parse("0", "2").expect("good");
        assert_eq!(weekly.next(start, start, &zone), Some(at("2026-11-23T17:00:00Z")));
    }

    #[test]
    fn missed_times_are_made_up_for_once() {
        let mut action = action(0, repeated("3", "1", End::Times(3)));
        action.ran(36_000, String::new(), &TimeZone::UTC);
        assert_eq!(action.due(), Some(39_600));
        action.ran(39_600, String::new(), &TimeZone::UTC);
        assert_eq!(action.due(), Some(43_200));
        action.ran(43_200, String::new(), &TimeZone::UTC);
        assert_eq!(action.due(), None);
    }

    #[test]
    fn an_end_is_an_end() {
        let mut action = action(0, repeated("3", "1", End::Date(7_200)));
        for (now, next) in [(0, Some(3_600)), (3_600, Some(7_200)), (7_200, None)] {
            action.ran(now, String::new(), &TimeZone::UTC);
            assert_eq!(action.due(), next);
        }
    }

    #[test]
    fn wrong_repetitions_are_refused() {
        for (repeat, days) in [
            ("0", "7"),
            ("1", "0"),
            ("2", "366"),
            ("3", "168"),
            ("3", "1,2"),
            ("4", "1"),
            ("0", ""),
        ] {
            assert!(Repeat::parse(repeat, days).is_err(), "{repeat} {days}");
        }
        assert!(End::parse("1", "-3").is_err());
        assert!(End::parse("3", "1").is_err());
    }
}
