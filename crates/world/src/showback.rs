//! What VMs cost: their stays on hosts, month by month, times the prices of what they had there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use plerion_model::showback::Showback;
use plerion_model::vm::Vm;
use plerion_model::vm_history::History;
use plerion_model::{ApiError, Id, Seconds, View};

use crate::auth::Caller;
use crate::config::Config;
use crate::txn::Txn;

/// Seconds of an hour.
const HOUR_S: f64 = 3600.0;

/// Writes what VMs cost in some months, in the place of what was there. Answers user 0: there is no object.
pub(crate) fn showback_put(txn: &mut Txn<'_>, caller: &Caller, rows: &[Showback]) -> Result<Id, ApiError> {
    showback_right(caller)?;
    txn.showback_put(rows);
    Ok(0)
}

/// Whether a caller may calculate costs: its primary group is group 0.
///
/// # Errors
/// When it may not.
pub fn showback_right(caller: &Caller) -> Result<(), ApiError> {
    if caller.gid == 0 {
        return Ok(());
    }
    Err(ApiError::authorization(
        caller.uid,
        "Action reserved for group 0 only",
    ))
}

/// A year and a month, 1 to 12.
pub type YearMonth = (i16, i8);

/// Whole months, up to now.
#[derive(Clone, Debug)]
pub struct ShowbackWindow {
    zone: TimeZone,
    /// From then on; 0 from the beginning.
    pub start: Seconds,
    /// Until then.
    pub end: Seconds,
}

impl ShowbackWindow {
    /// From the first month to the last one, both within; `None` is open.
    ///
    /// # Errors
    /// When there is no such month.
    pub fn new(
        zone: &TimeZone,
        first: Option<YearMonth>,
        last: Option<YearMonth>,
        now: Seconds,
    ) -> Result<Self, ApiError> {
        let begin = |month: Option<YearMonth>| {
            month
                .map(|(year, month)| month_begin(zone, year, month).ok_or_else(|| month_missing(year, month)))
                .transpose()
        };
        let after = last
            .map(|(year, month)| month_after(year, month).ok_or_else(|| month_missing(year, month)))
            .transpose()?;
        Ok(Self {
            zone: zone.clone(),
            start: begin(first)?.unwrap_or(0),
            end: begin(after)?.unwrap_or(now).min(now),
        })
    }

    /// The parts of a time that lie in the months of the window: month and hours. A time without length has one part.
    fn parts(&self, begin: Seconds, end: Seconds) -> Vec<(YearMonth, f64)> {
        let end = if end == 0 { self.end } else { end.min(self.end) };
        let mut at = begin.max(self.start);
        let mut parts = Vec::new();
        if at == end {
            parts.extend(month_of(&self.zone, at).map(|month| (month, 0.0)));
        }
        while at < end {
            let Some(month) = month_of(&self.zone, at) else {
                break;
            };
            let next = month_after(month.0, month.1)
                .and_then(|(year, month)| month_begin(&self.zone, year, month))
                .filter(|next| *next > at);
            let Some(next) = next else { break };
            let until = next.min(end);
            #[expect(clippy::cast_precision_loss, reason = "a month has few seconds")]
            let hours = until.saturating_sub(at) as f64 / HOUR_S;
            parts.push((month, hours));
            at = until;
        }
        parts
    }
}

fn month_missing(year: i16, month: i8) -> ApiError {
    ApiError::rpc_api(format!(
        "There is no month {month} of {year}: months are 1 to 12, and -1 for month or year leaves that end open"
    ))
}

fn month_begin(zone: &TimeZone, year: i16, month: i8) -> Option<Seconds> {
    let first = Date::new(year, month, 1).ok()?;
    Some(first.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}

fn month_after(year: i16, month: i8) -> Option<YearMonth> {
    match month {
        1..12 => Some((year, month.checked_add(1)?)),
        12 => Some((year.checked_add(1)?, 1)),
        _ => None,
    }
}

fn month_of(zone: &TimeZone, time: Seconds) -> Option<YearMonth> {
    let date = Timestamp::from_second(time).ok()?.to_zoned(zone.clone()).date();
    Some((date.year(), date.month()))
}

/// Prices of an hour where templates name none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    /// Of a CPU.
    pub cpu: f64,
    /// Of a MiB of memory.
    pub memory: f64,
    /// Of a MiB of disk.
    pub disk: f64,
    /// Whether CPU and memory cost only while the VM runs.
    pub only_running: bool,
}

impl Prices {
    /// As oned.conf says (`DEFAULT_COST`, `SHOWBACK_ONLY_RUNNING`).
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let attributes = &config.attributes;
        let price = |name: &str| number(attributes.pair("DEFAULT_COST", name)).unwrap_or(0.0);
        Self {
            cpu: price("CPU_COST"),
            memory: price("MEMORY_COST"),
            disk: price("DISK_COST"),
            only_running: attributes
                .get("SHOWBACK_ONLY_RUNNING")
                .is_some_and(|text| text.trim().eq_ignore_ascii_case("yes")),
        }
    }
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

/// The costs of one VM in the making.
#[derive(Debug)]
pub struct Bill<'a> {
    window: &'a ShowbackWindow,
    prices: Prices,
    months: BTreeMap<YearMonth, Showback>,
}

impl<'a> Bill<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(window: &'a ShowbackWindow, prices: Prices) -> Self {
        Self {
            window,
            prices,
            months: BTreeMap::new(),
        }
    }

    /// Adds a stay on a host, with the VM as it was then.
    pub fn add(&mut self, record: &History, as_was: &Vm) {
        let price = |name: &str, default: f64| number(as_was.template.get(name)).unwrap_or(default);
        let amount = |name: &str| number(as_was.template.get(name)).unwrap_or(0.0);
        let cpu = price("CPU_COST", self.prices.cpu) * amount("CPU");
        let memory = price("MEMORY_COST", self.prices.memory) * amount("MEMORY");
        let disk = price("DISK_COST", self.prices.disk) * disk_mib(as_was);
        let only_running = self.prices.only_running;
        for (month, hours) in self.window.parts(record.stime, record.etime) {
            let row = self.months.entry(month).or_default();
            row.hours += hours;
            row.disk_cost += disk * hours;
            if !only_running {
                row.cpu_cost += cpu * hours;
                row.memory_cost += memory * hours;
            }
        }
        if record.rstime == 0 {
            return;
        }
        for (month, hours) in self.window.parts(record.rstime, record.retime) {
            let row = self.months.entry(month).or_default();
            row.running_hours += hours;
            if only_running {
                row.cpu_cost += cpu * hours;
                row.memory_cost += memory * hours;
            }
        }
    }

    /// The months, in order, with whose they are.
    #[must_use]
    pub fn rows(self, vm: &Vm, view: &impl View) -> Vec<Showback> {
        let months = self.months.into_iter();
        months
            .map(|((year, month), costs)| Showback {
                vm: vm.id,
                name: vm.name.clone(),
                uid: vm.owned.uid,
                gid: vm.owned.gid,
                uname: view.user_name(vm.owned.uid).to_owned(),
                gname: view.group_name(vm.owned.gid).to_owned(),
                year,
                month,
                ..costs
            })
            .collect()
    }
}

/// What its disks and their snapshots take, in MiB.
fn disk_mib(vm: &Vm) -> f64 {
    let disks = vm.demand.disks.iter();
    let mib = disks.fold(0_u64, |sum, disk| {
        sum.saturating_add(disk.size_mib)
            .saturating_add(disk.snapshots_mib)
    });
    #[expect(clippy::cast_precision_loss, reason = "costs need no more digits")]
    let mib = mib as f64;
    mib
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time in UTC, in seconds.
    fn at(text: &str) -> Seconds {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    fn window(first: Option<YearMonth>, last: Option<YearMonth>, now: &str) -> ShowbackWindow {
        ShowbackWindow::new(&TimeZone::UTC, first, last, at(now)).expect("months")
    }

    #[test]
    fn a_time_is_parted_at_the_ends_of_months() {
        let window = window(None, None, "2026-03-01T12:00:00Z");
        let parts = window.parts(at("2025-12-31T23:00:00Z"), 0);
        assert_eq!(
            parts,
            [
                ((2025, 12), 1.0),
                ((2026, 1), 31.0 * 24.0),
                ((2026, 2), 28.0 * 24.0),
                ((2026, 3), 12.0)
            ]
        );
    }

    #[test]
    fn months_are_those_of_the_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let window = ShowbackWindow::new(&zone, None, None, at("2026-04-01T00:00:00Z")).expect("months");
        // March has an hour less there: summer time begins.
        let parts = window.parts(at("2026-02-28T23:00:00Z"), 0);
        assert_eq!(parts, [((2026, 3), 31.0 * 24.0 - 1.0), ((2026, 4), 2.0)]);
    }

    #[test]
    fn only_what_is_within_the_window_counts() {
        let february = window(Some((2026, 2)), Some((2026, 2)), "2026-06-01T00:00:00Z");
        let all = february.parts(at("2020-01-01T00:00:00Z"), 0);
        assert_eq!(all, [((2026, 2), 28.0 * 24.0)]);
        assert_eq!(february.parts(at("2026-03-02T00:00:00Z"), 0), []);
        assert_eq!(
            february.parts(at("2026-01-02T00:00:00Z"), at("2026-01-03T00:00:00Z")),
            []
        );
        let moment = at("2026-02-03T00:00:00Z");
        assert_eq!(february.parts(moment, moment), [((2026, 2), 0.0)]);
    }

    #[test]
    fn months_that_do_not_exist_are_refused() {
        for month in [(2026, 13), (2026, 0), (32_000, 1), (-20_000, 3)] {
            for (first, last) in [(Some(month), None), (None, Some(month))] {
                let refusal = ShowbackWindow::new(&TimeZone::UTC, first, last, 0).expect_err("refused");
                assert!(refusal.text.contains("There is no month"), "{refusal}");
            }
        }
        assert!(ShowbackWindow::new(&TimeZone::UTC, None, Some((9999, 12)), 0).is_err());
    }
}
