//! YAML in block form: texts that another reader would take for a number, a date or a truth value are
//! quoted, long ones are folded at 80 columns.

use std::fmt::Write;

use super::value::Value;

/// The column after which a text is folded at the next blank.
const WIDTH: usize = 80;

/// The text of a value, ending with a newline.
pub fn yaml_render(value: &Value) -> String {
    let mut text = "---\n".to_owned();
    if let Value::Record(members) = value {
        record_write(&mut text, members, 0, false);
    }
    text
}

/// Writes the members at `indent`; with `inline` the first goes on the line already begun.
fn record_write(text: &mut String, members: &[(String, Value)], indent: usize, inline: bool) {
    for (index, (name, member)) in members.iter().enumerate() {
        if index > 0 || !inline {
            text.push_str(&" ".repeat(indent));
        }
        let _ = write!(text, "{name}:");
        match member {
            Value::Record(inner) if inner.is_empty() => text.push_str(" {}\n"),
            Value::Record(inner) => {
                text.push('\n');
                record_write(text, inner, indent + 2, false);
            }
            Value::List(items) => {
                text.push('\n');
                list_write(text, items, indent);
            }
            Value::Text(string) => {
                text.push(' ');
                scalar_write(text, string, indent + name.chars().count() + 2, indent + 2);
            }
        }
    }
}

fn list_write(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push_str("- ");
        match item {
            Value::Record(inner) if inner.is_empty() => text.push_str("{}\n"),
            Value::Record(inner) => record_write(text, inner, indent + 2, true),
            Value::Text(string) => scalar_write(text, string, indent + 2, indent + 2),
            Value::List(inner) => list_write(text, inner, indent + 2),
        }
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn scalar_write(text: &mut String, string: &str, column: usize, indent: usize) {
    match style_of(string) {
        Style::Literal => literal_write(text, string, indent),
        Style::Plain => folded_write(text, string, column, indent, Style::Plain, |letter, text| {
            text.push(letter)
        }),
        Style::Single => {
            text.push('\'');
            folded_write(text, string, column + 1, indent, Style::Single, |letter, text| {
                text.push(letter);
                if letter == '\'' {
                    text.push('\'');
                }
            });
            text.push('\'');
        }
        Style::Double => {
            text.push('"');
            folded_write(text, string, column + 1, indent, Style::Double, double_write);
            text.push('"');
        }
    }
    text.push('\n');
}

fn literal_write(text: &mut String, string: &str, indent: usize) {
    let body = string.strip_suffix('\n');
    text.push_str(match body {
        None => "|-",
        Some(body) if body.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    for line in body.unwrap_or(string).split('\n') {
        text.push('\n');
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
    }
}

/// Writes the letters and breaks the line at a single blank once the width is passed.
fn folded_write(
    text: &mut String,
    string: &str,
    mut column: usize,
    indent: usize,
    style: Style,
    letter_write: impl Fn(char, &mut String),
) {
    let letters: Vec<char> = string.chars().collect();
    let last = letters.len().saturating_sub(1);
    let mut after_blank = false;
    for (index, &letter) in letters.iter().enumerate() {
        let next_is_blank = letters.get(index + 1) == Some(&' ');
        let may_break = letter == ' ' && !after_blank && column > WIDTH && index > 0 && index < last;
        if may_break && (style == Style::Double || !next_is_blank) {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
            if next_is_blank {
                text.push('\\');
                column += 1;
            }
        } else {
            let before = text.len();
            letter_write(letter, text);
            column += text[before..].chars().count();
        }
        after_blank = letter == ' ';
    }
}

fn double_write(letter: char, text: &mut String) {
    match letter {
        '"' | '\\' => {
            text.push('\\');
            text.push(letter);
        }
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        control if control.is_control() => {
            let _ = write!(text, "\\x{:02X}", control as u32);
        }
        _ => text.push(letter),
    }
}

fn style_of(string: &str) -> Style {
    let without_end = string.trim_end_matches('\n');
    if string.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Style::Double;
    }
    if without_end.contains('\n') {
        return Style::Literal;
    }
    if matches!(string, "y" | "Y" | "n" | "N") || starts_oddly(without_end) {
        return Style::Double;
    }
    if string.is_empty() || is_other_type(string) || starts_as_old_float(string) || !may_be_plain(string) {
        return Style::Single;
    }
    Style::Plain
}

/// Whether the text begins with neither letter nor digit and has no quotation mark after that.
fn starts_oddly(string: &str) -> bool {
    let mut letters = string.chars();
    let odd = letters
        .next()
        .is_some_and(|first| !(first.is_alphanumeric() || first == '_'));
    odd && !letters.as_str().contains('"')
}

/// Whether a reader would take the text for something else.
fn is_other_type(string: &str) -> bool {
    let lower = string.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "~" | "null" | "yes" | "no" | "true" | "false" | "on" | "off" | ".inf" | ".nan"
    ) || is_number(&lower)
        || is_date(string)
        || is_base_sixty(string)
}

fn is_number(lower: &str) -> bool {
    let body = lower.strip_prefix(['-', '+']).unwrap_or(lower);
    let digits = |text: &str, good: fn(&char) -> bool| {
        text.chars().any(|letter| good(&letter))
            && text
                .chars()
                .all(|letter| good(&letter) || letter == ',' || letter == '_')
    };
    if let Some(hex) = body.strip_prefix("0x") {
        return digits(hex, char::is_ascii_hexdigit);
    }
    if let Some(binary) = body.strip_prefix("0b") {
        return digits(binary, |letter| matches!(letter, '0' | '1'));
    }
    let (mantissa, exponent) = match body.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let exponent_good = exponent.is_none_or(|text| {
        text.strip_prefix(['-', '+'])
            .is_some_and(|rest| digits(rest, char::is_ascii_digit))
    });
    match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            exponent_good
                && (whole.is_empty() || whole.starts_with(|letter: char| letter.is_ascii_digit()))
                && whole
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || letter == ',' || letter == '_')
                && fraction.chars().all(|letter| letter.is_ascii_digit())
                && !(whole.is_empty() && fraction.is_empty())
        }
        None => {
            exponent.is_none()
                && mantissa.starts_with(|letter: char| letter.is_ascii_digit())
                && digits(mantissa, char::is_ascii_digit)
        }
    }
}

/// `2026-11-23`, alone or with a time behind it.
fn is_date(string: &str) -> bool {
    let day = string.split([' ', 'T', 't']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split('-').collect();
    let number = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_digit())
    };
    let date = matches!(parts.as_slice(), [year, month, day]
        if number(year, 4, 4) && number(month, 1, 2) && number(day, 1, 2));
    date && (day.len() == string.len() || string[day.len() + 1..].contains(':'))
}

/// `12:30` or `1:12:30`, which old readers take for a number to the base of sixty.
fn is_base_sixty(string: &str) -> bool {
    let body = string.strip_prefix(['-', '+']).unwrap_or(string);
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|letter: char| letter.is_ascii_digit())
        && first
            .chars()
            .all(|letter| letter.is_ascii_digit() || letter == '_')
        && (1..=2).contains(&rest.len())
        && rest.iter().all(|part| {
            part.parse::<u8>()
                .is_ok_and(|value| value < 60 && part.len() <= 2)
        })
}

/// `0` and octal digits, a point and a digit: quoted whatever follows, for instance 0.0.0.0.
fn starts_as_old_float(string: &str) -> bool {
    let rest = string
        .strip_prefix('0')
        .map(|rest| rest.trim_start_matches(|letter| ('0'..='7').contains(&letter)));
    let mut letters = rest.unwrap_or_default().chars();
    letters.next() == Some('.') && letters.next().is_some_and(|letter| letter.is_ascii_digit())
}

/// Whether the text cannot be mistaken for markup.
fn may_be_plain(string: &str) -> bool {
    let bad_first = string.starts_with([
        '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ',
    ]);
    let lone_mark = ["- ", "? ", ": "].iter().any(|mark| string.starts_with(mark));
    !(bad_first
        || lone_mark
        || string.ends_with([' ', ':', '\n'])
        || string.contains(": ")
        || string.contains(" #")
        || string.starts_with("---")
        || string.starts_with("..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(string: &str) -> String {
        let text = yaml_render(&Value::Record(vec![("K".into(), Value::Text(string.into()))]));
        text["---\nK: ".len()..].trim_end_matches('\n').to_owned()
    }

    #[test]
    fn texts_are_quoted_where_needed() {
        for (string, expected) in [
            ("abc", "abc"),
            ("", "''"),
            ("12", "'12'"),
            ("0.10", "'0.10'"),
            ("0,100,101", "'0,100,101'"),
            ("22,80,443", "'22,80,443'"),
            ("60000:61000", "60000:61000"),
            ("12:30", "'12:30'"),
            ("02:00:c0:00:02:12", "02:00:c0:00:02:12"),
            ("192.0.2.2", "192.0.2.2"),
            ("0.0.0.0", "'0.0.0.0'"),
            ("YES", "'YES'"),
            ("y", "\"y\""),
            ("-1", "\"-1\""),
            ("/etc/hostname", "\"/etc/hostname\""),
            ("(\"A\" @> 0)", "(\"A\" @> 0)"),
            ("\"a\" b", "'\"a\" b'"),
            ("2026-11-23", "'2026-11-23'"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("802.1Q", "802.1Q"),
            ("中文", "中文"),
            ("a\nb", "|-\n  a\n  b"),
        ] {
            assert_eq!(rendered(string), expected);
        }
    }

    #[test]
    fn long_texts_are_folded() {
        let long = format!("{} {}", "x".repeat(85), "y".repeat(10));
        assert_eq!(
            rendered(&long),
            format!("{}\n  {}", "x".repeat(85), "y".repeat(10))
        );
    }
}
