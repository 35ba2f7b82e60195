//! Figures for people: sizes, times, texts of a given width.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Units of [`size_text`], each 1024 times the one before.
const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];

/// A size given in KiB with the unit that keeps it at or below 1024, one digit behind the point.
pub fn size_text(kib: i64) -> String {
    unit_text(kib, 0)
}

/// A size given in bytes, in KiB or a larger unit.
pub fn bytes_text(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let kib = bytes as f64 / 1024.0;
    value_text(kib, 0)
}

/// A number of the unit at `unit`, in the unit that keeps it at or below 1024.
fn unit_text(amount: i64, unit: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let value = amount as f64;
    value_text(value, unit)
}

fn value_text(mut value: f64, mut unit: usize) -> String {
    while value > 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{}{}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

/// A size given in MiB.
pub fn size_text_mib(mib: i64) -> String {
    unit_text(mib, 1)
}

/// The zone that the caller asked for.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Shows times in another zone than the local one. The first call counts.
pub fn zone_set(zone: TimeZone) {
    ZONE.get_or_init(|| zone);
}

/// The local zone, or the one asked for; tests have one of their own so that they do not depend on the machine's.
pub fn zone() -> TimeZone {
    if cfg!(test) {
        TimeZone::UTC
    } else {
        ZONE.get().cloned().unwrap_or_else(TimeZone::system)
    }
}

/// A point in time in the local zone, in a strftime format; a dash for zero.
pub fn time_text(seconds: i64, format: &str) -> String {
    if seconds == 0 {
        return "-".to_owned();
    }
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(zone()).strftime(format).to_string(),
        Err(_) => "-".to_owned(),
    }
}

/// `11/23 05:31:19`.
pub fn moment_text(seconds: i64) -> String {
    time_text(seconds, "%m/%d %H:%M:%S")
}

/// A duration as days, hours and minutes: `  0d 00h00m`.
pub fn duration_text(seconds: i64) -> String {
    let minutes = seconds.max(0) / 60;
    format!(
        "{:>3}d {:02}h{:02}m",
        minutes / 1440,
        minutes / 60 % 24,
        minutes % 60
    )
}

/// A duration as days, hours, minutes and seconds: `  0d 00h00m00s`.
pub fn period_text(seconds: i64) -> String {
    format!("{}{:02}s", duration_text(seconds), seconds.max(0) % 60)
}

/// A duration as hours, minutes and seconds: `0h00m00s`.
pub fn clock_text(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{}h{:02}m{:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// How many columns a text takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text cut or filled to exactly `columns`; a wide letter that would stick out is left out.
pub fn fit(text: &str, columns: usize, right: bool) -> String {
    let mut cut = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let letter = if letter == '\n' || letter == '\t' {
            ' '
        } else {
            letter
        };
        let letter_width = letter.width().unwrap_or(0);
        if used + letter_width > columns {
            break;
        }
        used += letter_width;
        cut.push(letter);
    }
    pad(&cut, columns, right)
}

/// The text filled to at least `columns`.
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let fill = " ".repeat(columns.saturating_sub(width(text)));
    if right {
        format!("{fill}{text}")
    } else {
        format!("{text}{fill}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            (size_text_mib(0), size_text_mib(1)),
            ("0M".to_owned(), "1M".to_owned())
        );
        for (kib, expected) in [
            (0, "0K"),
            (1024, "1024K"),
            (2048, "2M"),
            (1024 * 1024, "1024M"),
            (1_835_008, "1.8G"),
            (258_020 * 1024, "252G"),
            (74_625 * 1024, "72.9G"),
            (4_796_800 * 1024, "4.6T"),
        ] {
            assert_eq!(size_text(kib), expected);
        }
    }

    #[test]
    fn wide_letters_are_cut_by_columns() {
        assert_eq!(fit("数据库服务器", 5, false), "数据 ");
        assert_eq!(fit("西区", 6, true), "  西区");
        assert_eq!(fit("abcdef", 3, false), "abc");
    }

    #[test]
    fn durations() {
        assert_eq!(duration_text(90_061), "  1d 01h01m");
        assert_eq!(clock_text(3_661), "1h01m01s");
    }
}
