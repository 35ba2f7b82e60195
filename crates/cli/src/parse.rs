//! A command line taken apart: options and arguments, checked against the definition.

use crate::definition::{OptDef, OptKind, Subcommand};
use crate::error::CliError;

/// Options and arguments of a command line, not resolved yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Options in the order given.
    pub options: Vec<(&'static str, String)>,
    /// Everything else.
    pub args: Vec<String>,
}

/// Options every subcommand takes.
pub const GLOBAL_OPTIONS: [OptDef; 6] = [
    OptDef::flag(Some('v'), "verbose"),
    OptDef::flag(Some('h'), "help"),
    OptDef::flag(Some('V'), "version"),
    OptDef::value(None, "user", OptKind::Text, "name"),
    OptDef::value(None, "password", OptKind::Text, "password"),
    OptDef::value(None, "endpoint", OptKind::Text, "endpoint"),
];

/// Sorts a command line into options and arguments.
pub fn raw_parse(subcommand: &Subcommand, words: &[String]) -> Result<Raw, CliError> {
    let mut raw = Raw::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            raw.args.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = long_find(subcommand, name)?;
            let value = value_take(option, word, inline, &mut words)?;
            raw.options.push((option.long, value));
        } else if word.len() > 1 && word.starts_with('-') {
            shorts_parse(subcommand, word, &mut words, &mut raw)?;
        } else {
            raw.args.push(word.clone());
        }
    }
    Ok(raw)
}

type Words<'a> = std::iter::Peekable<std::slice::Iter<'a, String>>;

/// `-f x`, `-fx`, and flags together as in `-xv`.
fn shorts_parse(
    subcommand: &Subcommand,
    word: &str,
    words: &mut Words<'_>,
    raw: &mut Raw,
) -> Result<(), CliError> {
    let mut letters = word[1..].chars();
    while let Some(letter) = letters.next() {
        let option = every_option(subcommand)
            .find(|option| option.short == Some(letter))
            .ok_or_else(|| CliError::text(format!("invalid option: -{letter}")))?;
        if option.kind == OptKind::Flag {
            raw.options.push((option.long, String::new()));
            continue;
        }
        let rest = letters.as_str().trim_start_matches('=');
        let inline = (!rest.is_empty()).then(|| rest.to_owned());
        let value = value_take(option, word, inline, words)?;
        raw.options.push((option.long, value));
        break;
    }
    Ok(())
}

/// The subcommand's own options first: they may use a letter that is global elsewhere.
fn every_option(subcommand: &Subcommand) -> impl Iterator<Item = &'static OptDef> {
    subcommand.all_options().chain(GLOBAL_OPTIONS.iter())
}

/// The option of that name, or the only one that begins so.
fn long_find(subcommand: &Subcommand, name: &str) -> Result<&'static OptDef, CliError> {
    if let Some(option) = every_option(subcommand).find(|option| option.long == name) {
        return Ok(option);
    }
    let mut begun = every_option(subcommand).filter(|option| option.long.starts_with(name));
    match (begun.next(), begun.next()) {
        (Some(option), None) if !name.is_empty() => Ok(option),
        (Some(_), Some(_)) => Err(CliError::text(format!("ambiguous option: --{name}"))),
        _ => Err(CliError::text(format!("invalid option: --{name}"))),
    }
}

fn value_take(
    option: &OptDef,
    word: &str,
    inline: Option<String>,
    words: &mut Words<'_>,
) -> Result<String, CliError> {
    match (option.kind, inline) {
        (OptKind::Flag, None) => Ok(String::new()),
        (OptKind::Flag, Some(_)) => Err(CliError::text(format!("needless argument: {word}"))),
        (_, Some(value)) => Ok(value),
        (OptKind::Maybe, None) => Ok(words
            .next_if(|next| !next.starts_with('-'))
            .cloned()
            .unwrap_or_default()),
        (_, None) => words
            .next()
            .cloned()
            .ok_or_else(|| CliError::text(format!("missing argument: {word}"))),
    }
}

/// Checks a value that needs no server; gives its canonical text.
pub fn value_check(option: &OptDef, value: &str) -> Result<String, CliError> {
    let bad = || CliError::text(format!("invalid argument: --{} {value}", option.long));
    match option.kind {
        OptKind::Number => value
            .parse::<i32>()
            .map(|number| number.to_string())
            .map_err(|_| bad()),
        OptKind::Float => value.parse::<f64>().map(|_| value.to_owned()).map_err(|_| bad()),
        OptKind::Memory => memory_parse(value).map(|mib| mib.to_string()).ok_or_else(|| {
            let what = if option.long == "memory" { "Memory" } else { "Size" };
            CliError::text(format!(
                "{what} value malformed\noption {}: Parsing error",
                option.long
            ))
        }),
        OptKind::ImageType => {
            let upper = value.to_ascii_uppercase();
            if crate::states::image_type_names().any(|name| name == upper) {
                return Ok(upper);
            }
            let names: Vec<_> = crate::states::image_type_names().collect();
            Err(CliError::text(format!(
                "Type should be: {}\noption {}: Parsing error",
                names.join(", "),
                option.long
            )))
        }
        _ => Ok(value.to_owned()),
    }
}

/// An amount of memory in MiB.
pub fn memory_parse(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, unit) = match lower.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')) {
        Some(at) => lower.split_at(at),
        None => (lower.as_str(), "m"),
    };
    let factor = match unit.strip_suffix('b').unwrap_or(unit) {
        "k" => 1.0 / 1024.0,
        "m" => 1.0,
        "g" => 1024.0,
        "t" => 1024.0 * 1024.0,
        _ => return None,
    };
    let value: f64 = digits.parse().ok()?;
    let mib = value * factor;
    #[expect(clippy::cast_possible_truncation, reason = "checked against the range")]
    (mib.is_finite() && mib < 1e12).then_some(mib as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::command_find;

    fn parse(line: &str) -> Result<Raw, CliError> {
        let words: Vec<String> = line.split('|').map(str::to_owned).collect();
        let command = command_find(&words[0]).expect("a command");
        let subcommand = command
            .subcommands
            .iter()
            .find(|entry| entry.name == words[1])
            .expect("a subcommand");
        raw_parse(subcommand, &words[2..])
    }

    #[test]
    fn options_and_arguments_in_any_order() {
        let raw = parse("onevm|list|-l|ID,NAME|--csv|alice|-fSTAT=runn|--csv-del=;|-xv").expect("good");
        assert_eq!(raw.args, ["alice"]);
        let options: Vec<_> = raw
            .options
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            options,
            [
                ("list", "ID,NAME"),
                ("csv", ""),
                ("filter", "STAT=runn"),
                ("csv-del", ";"),
                ("xml", ""),
                ("verbose", "")
            ]
        );
    }

    #[test]
    fn negative_values_prefixes_and_the_end_of_options() {
        assert_eq!(
            parse("onevm|resize|2|--cpu|-1").expect("good").options,
            [("cpu", "-1".to_owned())]
        );
        assert_eq!(
            parse("onevm|list|--no-he").expect("good").options,
            [("no-header", String::new())]
        );
        assert_eq!(
            parse("onevm|rename|2|--|--odd").expect("good").args,
            ["2", "--odd"]
        );
        assert_eq!(
            parse("onehost|create|h|-i|kvm|-v|kvm").expect("good").options[1].0,
            "vm"
        );
        assert_eq!(
            parse("onevm|list|--expand").expect("good").options,
            [("expand", String::new())]
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (line, expected) in [
            ("onevm|list|--bogus", "invalid option: --bogus"),
            ("onevm|list|-Q", "invalid option: -Q"),
            ("onevm|list|--csv=1", "needless argument: --csv=1"),
            ("onevm|list|-l", "missing argument: -l"),
            ("onevm|list|--no", "ambiguous option: --no"),
        ] {
            assert_eq!(parse(line).expect_err(line).to_string(), expected);
        }
    }

    #[test]
    fn memory_has_units() {
        for (text, expected) in [
            ("512", Some(512)),
            ("1g", Some(1024)),
            ("2GB", Some(2048)),
            ("512k", Some(0)),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(memory_parse(text), expected, "{text}");
        }
    }
}
