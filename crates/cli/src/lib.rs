//! The command line: `onevm`, `onehost`, … against any server that speaks the XML-RPC interface.
//!
//! Definitions (what subcommands, arguments and options there are) are in [`definitions`], what they do is
//! in `families`, one file per command family.

mod convert;
mod definition;
mod definitions;
mod error;
mod families;
mod family;
mod filter;
mod format;
mod help;
mod kind;
mod language;
mod layout;
mod list;
mod parse;
mod quota;
mod schedule;
mod session;
mod sources;
mod states;
mod table;
mod template_build;
mod template_text;
mod texts;
mod xml;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use plerion_client::Overrides;

use crate::definition::{ArgDef, ArgKind, Command, OptDef, OptKind, Subcommand};
use crate::error::CliError;
use crate::families::vdc;
use crate::family::{Argument, Input};
use crate::language::Language;
use crate::parse::Raw;
use crate::session::Session;

/// The names of all commands.
pub fn command_names() -> impl Iterator<Item = &'static str> {
    definitions::COMMANDS.iter().map(|command| command.name)
}

/// Carries out `command` (for instance `onevm`) with the words behind it, prints what there is to say, and
/// gives the exit status.
pub fn command_main(command: &str, args: &[String]) -> ExitCode {
    command_run(command, args, jiff::Timestamp::now().as_second())
}

/// [`command_main`] at a given time (seconds since 1970), for comparing outputs.
pub fn command_run(command: &str, args: &[String], now: i64) -> ExitCode {
    let language = Language::from_environment();
    let outcome = match definitions::command_find(command) {
        Some(command) => dispatch(command, args, now, language),
        None => {
            let names: Vec<&str> = command_names().collect();
            Err(CliError::text(format!(
                "There is no command '{command}'. There are: {}.",
                names.join(", ")
            )))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            if !text.is_empty() {
                eprintln!("{text}");
            }
            ExitCode::from(error.exit_status())
        }
    }
}

fn dispatch(
    command: &'static Command,
    args: &[String],
    now: i64,
    language: Language,
) -> Result<(), CliError> {
    let quiet = Session::new(Overrides::default(), false, now, language);
    if let Some(only) = subcommand_find(command, "") {
        return subcommand_run(command, only, args, now, language);
    }
    let Some(first) = args.first() else {
        return quiet.print(&help::command_help(command, language));
    };
    match first.as_str() {
        "-h" | "--help" | "help" => {
            let named = args.get(1).and_then(|name| subcommand_find(command, name));
            return quiet.print(&match named {
                Some(subcommand) => help::subcommand_help(command, subcommand, language),
                None => help::command_help(command, language),
            });
        }
        "-V" | "--version" => return quiet.print(&help::version()),
        _ => {}
    }
    let Some(subcommand) = subcommand_find(command, first) else {
        // Success, as scripts of the old command line know it.
        eprintln!("Command '{}' not found", args.join(" "));
        return quiet.print(&help::command_help(command, language));
    };
    subcommand_run(command, subcommand, &args[1..], now, language)
}

/// Carries out a subcommand with the words behind it. (That of a command without subcommands has no name.)
fn subcommand_run(
    command: &'static Command,
    subcommand: &'static Subcommand,
    args: &[String],
    now: i64,
    language: Language,
) -> Result<(), CliError> {
    let quiet = Session::new(Overrides::default(), false, now, language);
    let raw = parse::raw_parse(subcommand, args)?;
    let given = |long: &str| {
        raw.options
            .iter()
            .rev()
            .find(|(name, _)| *name == long)
            .map(|(_, value)| value.clone())
    };
    if given("help").is_some() {
        return quiet.print(&help::subcommand_help(command, subcommand, language));
    }
    if given("version").is_some() {
        return quiet.print(&help::version());
    }
    let overrides = Overrides {
        endpoint: given("endpoint"),
        user: given("user"),
        password: given("password"),
    };
    let mut session = Session::new(overrides, given("verbose").is_some(), now, language);
    let outcome = input_resolve(&mut session, command, subcommand, raw)
        .and_then(|input| (subcommand.run)(&mut session, &input));
    if let Err(CliError::Usage(_)) = &outcome {
        session.print(&help::subcommand_help(command, subcommand, language))?;
    }
    outcome
}

fn subcommand_find(command: &'static Command, name: &str) -> Option<&'static Subcommand> {
    command
        .subcommands
        .iter()
        .find(|subcommand| subcommand.name == name)
}

/// Checks the words against the definition and turns names into ids.
fn input_resolve(
    session: &mut Session,
    command: &'static Command,
    subcommand: &Subcommand,
    raw: Raw,
) -> Result<Input, CliError> {
    let mut options = Vec::new();
    for (name, value) in raw.options {
        let value = match subcommand.all_options().find(|option| option.long == name) {
            Some(option) => option_resolve(session, option, &value)?,
            None => value,
        };
        options.push((name, value));
    }
    arguments_count(subcommand, raw.args.len())?;
    let mut args = Vec::new();
    for (index, text) in raw.args.iter().enumerate() {
        args.push(argument_resolve(
            session,
            subcommand,
            &subcommand.args[index],
            index,
            text,
        )?);
    }
    Ok(Input {
        family: command.family(),
        args,
        options,
    })
}

fn option_resolve(session: &mut Session, option: &OptDef, value: &str) -> Result<String, CliError> {
    match option.kind {
        OptKind::Object(kind) => session
            .id_resolve(kind, value)
            .map(|id| id.to_string())
            .map_err(|error| match error {
                CliError::Text(text) => {
                    CliError::text(format!("{text}\noption {}: Parsing error", option.long))
                }
                other => other,
            }),
        _ => parse::value_check(option, value),
    }
}

fn arguments_count(subcommand: &Subcommand, given: usize) -> Result<(), CliError> {
    let needed = subcommand.args_needed();
    if given < needed {
        return Err(CliError::Usage(match needed {
            1 => format!("Command {} requires one parameter to run", subcommand.name),
            _ => format!(
                "Command {} requires {} parameters to run.",
                subcommand.name,
                subcommand.args.len()
            ),
        }));
    }
    if given > subcommand.args.len() {
        let labels: Vec<String> = subcommand
            .args
            .iter()
            .map(|arg| format!("<{}>", arg.label))
            .collect();
        return Err(CliError::text(format!(
            "Wrong number of arguments\nThe arguments should be: {}",
            labels.join(" ")
        )));
    }
    Ok(())
}

fn argument_resolve(
    session: &mut Session,
    subcommand: &Subcommand,
    definition: &ArgDef,
    index: usize,
    text: &str,
) -> Result<Argument, CliError> {
    let mismatch = |what: &str| {
        CliError::text(format!(
            "command {}: argument {index} must be one of {what}",
            subcommand.name
        ))
    };
    Ok(match definition.kind {
        ArgKind::Text => Argument::Text(text.to_owned()),
        ArgKind::Number => Argument::Id(text.parse().map_err(|_| mismatch("a whole number"))?),
        ArgKind::Object(kind) => Argument::Id(session.id_resolve(kind, text)?),
        ArgKind::ObjectOrAll(_) if text.eq_ignore_ascii_case(vdc::ALL_WORD) => {
            Argument::Id(vdc::ALL_RESOURCES)
        }
        ArgKind::ObjectOrAll(kind) => Argument::Id(session.id_resolve(kind, text)?),
        ArgKind::Objects(kind) => Argument::Ids(session.ids_resolve(kind, text)?),
        ArgKind::File if std::path::Path::new(text).is_file() => Argument::Text(text.to_owned()),
        ArgKind::File if definition.optional => return Err(mismatch("file, ")),
        ArgKind::File => return Err(mismatch("file")),
    })
}
