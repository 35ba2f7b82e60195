//! Outputs of whole subcommands for small answers in `tests/data`.

mod arguments;
mod lists;
mod shows;

use crate::definitions::command_find;
use crate::family::Input;
use crate::parse::raw_parse;

/// The time of all outputs, in seconds since 1970.
const NOW: i64 = 1_800_000_000;

/// The input of a command line, words separated by blanks, nothing resolved.
fn input_of(line: &str) -> Input {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let command = command_find(&words[0]).expect("a command");
    let subcommand = command
        .subcommands
        .iter()
        .find(|entry| entry.name == words[1])
        .expect("a subcommand");
    let raw = raw_parse(subcommand, &words[2..]).expect("good options");
    Input {
        family: command.family(),
        args: Vec::new(),
        options: raw.options,
    }
}
