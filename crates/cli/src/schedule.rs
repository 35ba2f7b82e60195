//! Scheduled actions: the section of `show`, and the options that schedule an action.

use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};
use roxmltree::Node;

use crate::error::CliError;
use crate::family::Input;
use crate::format;
use crate::layout;
use crate::table::{Column, Table};
use crate::xml;

/// The section about what is going to happen to a VM; nothing when nothing is.
pub fn section(vm: Node<'_, '_>, now: i64) -> String {
    let Some(template) = xml::child(vm, "TEMPLATE") else {
        return String::new();
    };
    let mut table = Table::new(&[
        Column::right("ID", 5),
        Column::right("ACTION", 5).adjusted(),
        Column::right("ARGS", 5).adjusted(),
        Column::right("SCHEDULED", 11),
        Column::right("REPEAT", 5).adjusted(),
        Column::right("END", 5).adjusted(),
        Column::left("STATUS", 50),
    ]);
    for action in xml::elements(template).filter(|node| node.has_tag_name("SCHED_ACTION")) {
        table.rows.push(vec![
            xml::text(action, "ID"),
            xml::text(action, "ACTION"),
            xml::text_or_dash(action, "ARGS"),
            format::time_text(xml::number(action, "TIME"), "%m/%d %H:%M"),
            repeat_text(action),
            end_text(action),
            status_text(action, now),
        ]);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    layout::head("SCHEDULED ACTIONS") + &table.render()
}

fn repeat_text(action: Node<'_, '_>) -> String {
    let days = xml::text(action, "DAYS");
    match xml::text(action, "REPEAT").as_str() {
        "0" => format!("Weekly {days}"),
        "1" => format!("Monthly {days}"),
        "2" => format!("Yearly {days}"),
        "3" => format!("Each {days} hours"),
        _ => String::new(),
    }
}

fn end_text(action: Node<'_, '_>) -> String {
    match xml::text(action, "END_TYPE").as_str() {
        "0" => "None".to_owned(),
        "1" => format!("After {} times", xml::text(action, "END_VALUE")),
        "2" => format::time_text(xml::number(action, "END_VALUE"), "%m/%d/%Y"),
        _ => String::new(),
    }
}

fn status_text(action: Node<'_, '_>, now: i64) -> String {
    let message = xml::text(action, "MESSAGE");
    if !message.is_empty() {
        return message;
    }
    let time = xml::number(action, "TIME");
    let done = xml::number(action, "DONE");
    if done >= time && done > 0 {
        return format!("Done on {}", format::time_text(done, "%m/%d %H:%M"));
    }
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let left = (time - now) as f64;
    let (amount, unit) = match left.abs() {
        seconds if seconds < 3600.0 => (left / 60.0, "minutes"),
        seconds if seconds < 86_400.0 => (left / 3600.0, "hours"),
        _ => (left / 86_400.0, "days"),
    };
    if left < 0.0 {
        format!("Overdue {:.2} {unit}", -amount)
    } else {
        format!("Next in {amount:.2} {unit}")
    }
}

/// What the options schedule: the template for one.vm.schedadd, and the time of the first run.
#[derive(Debug)]
pub struct Scheduled {
    /// The template.
    pub template: String,
    /// When it runs first, for the message.
    pub when: String,
}

/// The scheduled action the options ask for; `None` when it is to be done at once.
pub fn from_options(
    input: &Input,
    action: &str,
    args: &[String],
    vm_created: i64,
    now: i64,
) -> Result<Option<Scheduled>, CliError> {
    let Some(time) = input.value("schedule") else {
        if ["weekly", "monthly", "yearly", "hourly", "end"]
            .iter()
            .any(|name| input.has(name))
        {
            return Err(CliError::text(
                "A repeated action needs its first time, too. Add --schedule TIME.",
            ));
        }
        return Ok(None);
    };
    let relative = time.strip_prefix('+');
    let seconds = match relative {
        Some(offset) => vm_created + offset_parse(offset)?,
        None => time_parse(time, now)?,
    };
    let mut pairs = vec![("ACTION", action.to_owned())];
    if !args.is_empty() {
        pairs.push(("ARGS", args.join(",")));
    }
    pairs.push((
        "TIME",
        if relative.is_some() {
            format!("+{}", seconds.saturating_sub(vm_created))
        } else {
            seconds.to_string()
        },
    ));
    pairs.extend(repetition(input, now)?);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", crate::template_text::quoted(value)))
        .collect();
    Ok(Some(Scheduled {
        template: format!("SCHED_ACTION=[{}]", pairs.join(", ")),
        when: format::time_text(seconds, "%Y-%m-%d %H:%M:%S %z"),
    }))
}

fn repetition(input: &Input, now: i64) -> Result<Vec<(&'static str, String)>, CliError> {
    let given: Vec<(&str, &str)> = [
        ("weekly", "0"),
        ("monthly", "1"),
        ("yearly", "2"),
        ("hourly", "3"),
    ]
    .into_iter()
    .filter(|(name, _)| input.has(name))
    .collect();
    let (name, number) = match given.as_slice() {
        [] => return Ok(Vec::new()),
        [one] => *one,
        _ => {
            return Err(CliError::text(
                "An action repeats in one way only: --hourly, --weekly, --monthly or --yearly.",
            ));
        }
    };
    let mut pairs = vec![
        ("REPEAT", number.to_owned()),
        ("DAYS", input.value(name).unwrap_or_default().to_owned()),
    ];
    let (end_type, end_value) = match input.value("end") {
        None => ("0", None),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => ("1", Some(text.to_owned())),
        Some(text) => ("2", Some(time_parse(text, now)?.to_string())),
    };
    pairs.push(("END_TYPE", end_type.to_owned()));
    pairs.extend(end_value.map(|value| ("END_VALUE", value)));
    Ok(pairs)
}

/// Seconds, or a number with one of the units m, h, d, w.
fn offset_parse(text: &str) -> Result<i64, CliError> {
    let bad = || {
        CliError::text(format!(
            "'+{text}' is no time. Use +SECONDS, or +NUMBER with m, h, d or w."
        ))
    };
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        Some((at, 'w')) => (&text[..at], 604_800),
        _ => (text, 1),
    };
    digits
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(bad)
}

/// A date or time in one of the usual forms, in the local zone; without a year the next one to come.
fn time_parse(text: &str, now: i64) -> Result<i64, CliError> {
    let zone = format::zone();
    let today = Timestamp::from_second(now)
        .unwrap_or_default()
        .to_zoned(zone.clone());
    for form in [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M",
    ] {
        if let Ok(time) = DateTime::strptime(form, text) {
            return zoned_seconds(time.to_zoned(zone));
        }
    }
    for (prefix, form) in [
        ("", "%Y-%m-%d %H:%M"),
        ("", "%m/%d/%Y %H:%M"),
        ("year", "%Y/%m/%d %H:%M"),
    ] {
        let dated = if prefix.is_empty() {
            format!("{text} 00:00")
        } else if text.contains(':') {
            format!("{}/{text}", today.year())
        } else {
            format!("{}/{text} 00:00", today.year())
        };
        if let Ok(time) = DateTime::strptime(form, &dated) {
            let seconds = zoned_seconds(time.to_zoned(zone.clone()))?;
            if prefix == "year" && seconds < now {
                let next = time.checked_add(jiff::Span::new().years(1));
                return zoned_seconds(next.and_then(|time| time.to_zoned(zone)));
            }
            return Ok(seconds);
        }
    }
    if let Ok(time) = jiff::civil::Time::strptime("%H:%M", text) {
        return zoned_seconds(today.date().to_datetime(time).to_zoned(zone));
    }
    Err(CliError::text(format!(
        "'{text}' is no time. Use MM/DD HH:MM, MM/DD/YYYY HH:MM, YYYY-MM-DD HH:MM, HH:MM or +SECONDS."
    )))
}

fn zoned_seconds(time: Result<Zoned, jiff::Error>) -> Result<i64, CliError> {
    time.map(|time| time.timestamp().as_second())
        .map_err(|error| CliError::text(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> i64 {
        let time = jiff::civil::date(year, month, day).at(hour, minute, 0, 0);
        time.to_zoned(format::zone())
            .expect("a time")
            .timestamp()
            .as_second()
    }

    #[test]
    fn times_come_in_many_forms() {
        let now = local(2026, 11, 23, 5, 31);
        for (text, expected) in [
            ("12/24 02:00", local(2026, 12, 24, 2, 0)),
            ("01/02 02:00", local(2027, 1, 2, 2, 0)),
            ("12/31/2027", local(2027, 12, 31, 0, 0)),
            ("2027-02-03 04:05", local(2027, 2, 3, 4, 5)),
            ("23:00", local(2026, 11, 23, 23, 0)),
        ] {
            assert_eq!(time_parse(text, now).expect(text), expected, "{text}");
        }
        assert!(time_parse("soon", now).is_err());
    }

    #[test]
    fn offsets_have_units() {
        assert_eq!(offset_parse("200000").expect("good"), 200_000);
        assert_eq!(offset_parse("2h").expect("good"), 7_200);
        assert!(offset_parse("2x").is_err());
    }
}
