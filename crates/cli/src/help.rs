//! Help: what a command can do, and how its subcommands are called.

use std::fmt::Write;

use crate::definition::{Command, OptDef, OptKind, Subcommand};
use crate::format;
use crate::language::Language;
use crate::parse::GLOBAL_OPTIONS;
use crate::texts;

/// How wide the names of subcommands and options are.
const NAME_WIDTH: usize = 34;

/// The version of the program.
pub fn version() -> String {
    format!("Plerion {}\n", env!("CARGO_PKG_VERSION"))
}

/// All subcommands of a command, a line each.
pub fn command_help(command: &Command, language: Language) -> String {
    let words = texts::headings(language);
    let mut text = format!(
        "{}: {} {} [{}]\n\n{}:\n",
        words.usage, command.name, words.subcommand, words.rest, words.subcommands
    );
    for subcommand in command.subcommands {
        let about = texts::subcommand_about(command, subcommand.name, language);
        let _ = writeln!(
            text,
            "  {} {about}",
            format::pad(subcommand.name, NAME_WIDTH - 2, false)
        );
    }
    let _ = write!(text, "\n{}:\n", words.options);
    options_write(&mut text, &mut GLOBAL_OPTIONS.iter(), language);
    let _ = write!(text, "\n{}\n", words.more.replace("{}", command.name));
    text
}

/// One subcommand with its arguments and options.
pub fn subcommand_help(command: &Command, subcommand: &Subcommand, language: Language) -> String {
    let words = texts::headings(language);
    let name = format!("{} {}", command.name, subcommand.name);
    let mut text = format!("{}: {}", words.usage, name.trim_end());
    for arg in subcommand.args {
        let _ = if arg.optional {
            write!(text, " [<{}>]", arg.label)
        } else {
            write!(text, " <{}>", arg.label)
        };
    }
    let _ = write!(
        text,
        "\n\n{}\n\n{}:\n",
        texts::subcommand_about(command, subcommand.name, language),
        words.options
    );
    let own: Vec<&OptDef> = subcommand.all_options().collect();
    let global = GLOBAL_OPTIONS.iter().filter(|option| {
        own.iter()
            .all(|known| known.long != option.long && (known.short.is_none() || known.short != option.short))
    });
    options_write(&mut text, &mut subcommand.all_options().chain(global), language);
    text
}

fn options_write(text: &mut String, options: &mut dyn Iterator<Item = &'static OptDef>, language: Language) {
    for option in options {
        let short = option
            .short
            .map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match option.kind {
            OptKind::Flag => String::new(),
            _ => format!(" {}", option.value),
        };
        let name = format!("{short}--{}{value}", option.long);
        let _ = writeln!(
            text,
            "  {} {}",
            format::pad(&name, NAME_WIDTH - 2, false),
            texts::option_about(option.long, language)
        );
    }
}
