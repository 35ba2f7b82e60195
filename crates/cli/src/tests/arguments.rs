//! Arguments: how many, of what kind, and what is said when they do not fit. Nothing here reaches a server.

use plerion_client::Overrides;

use crate::definitions::{COMMANDS, command_find};
use crate::error::CliError;
use crate::family::{Argument, Input};
use crate::language::Language;
use crate::parse::raw_parse;
use crate::session::Session;
use crate::{help, input_resolve, subcommand_find};

fn resolve(line: &[&str]) -> Result<Input, CliError> {
    let overrides = Overrides {
        endpoint: Some("http://127.0.0.1:1/RPC2".into()),
        user: Some("a".into()),
        password: Some("b".into()),
    };
    let mut session = Session::new(overrides, false, super::NOW, Language::English);
    let command = command_find(line[0]).expect("a command");
    let subcommand = subcommand_find(command, line[1]).expect("a subcommand");
    let words: Vec<String> = line[2..].iter().map(|word| (*word).to_owned()).collect();
    input_resolve(&mut session, command, subcommand, raw_parse(subcommand, &words)?)
}

#[test]
fn ids_and_ranges_need_no_server() {
    assert_eq!(
        resolve(&["onevm", "show", "7"]).expect("good").args,
        [Argument::Id(7)]
    );
    assert_eq!(
        resolve(&["onevm", "stop", "1..3"]).expect("good").ids(0),
        [1, 2, 3]
    );
    assert_eq!(resolve(&["onevm", "stop", "5,1"]).expect("good").ids(0), [5, 1]);
    let input = resolve(&["onevm", "chown", "1", "2"]).expect("good");
    assert_eq!((input.id(1), input.id(2)), (2, -1));
    assert_eq!(resolve(&["oneuser", "show"]).expect("good").id(0), -1);
}

#[test]
fn names_ask_the_server() {
    let error = resolve(&["onevm", "show", "web"]).expect_err("nobody listens");
    assert!(
        matches!(
            error,
            CliError::Client(plerion_client::ClientError::Connect { .. })
        ),
        "{error}"
    );
}

#[test]
fn misfits_are_said_as_ever() {
    for (line, expected) in [
        (
            &["onevm", "show"][..],
            "Command show requires one parameter to run",
        ),
        (
            &["onevm", "deploy", "2"],
            "Command deploy requires 3 parameters to run.",
        ),
        (
            &["oneuser", "create"],
            "Command create requires one parameter to run",
        ),
        (
            &["onevm", "show", "0", "1"],
            "Wrong number of arguments\nThe arguments should be: <vmid>",
        ),
        (
            &["onevm", "create", "/no/file"],
            "command create: argument 0 must be one of file, ",
        ),
        (
            &["onezone", "create", "/no/file"],
            "command create: argument 0 must be one of file",
        ),
        (
            &["onevm", "disk-detach", "0", "x"],
            "command disk-detach: argument 1 must be one of a whole number",
        ),
        (
            &["onevm", "delete-chart", "0", "x"],
            "command delete-chart: argument 1 must be one of a whole number",
        ),
        (
            &["onevm", "update-chart", "0", "x"],
            "command update-chart: argument 1 must be one of a whole number",
        ),
        (
            &["onevm", "create", "--memory", "1x"],
            "Memory value malformed\noption memory: Parsing error",
        ),
        (
            &["oneimage", "create", "--type", "X"],
            "Type should be: OS, CDROM, DATABLOCK, KERNEL, RAMDISK, CONTEXT, BACKUP, FILESYSTEM\noption type: Parsing error",
        ),
    ] {
        let error = resolve(line).expect_err("a misfit");
        assert_eq!((error.to_string().as_str(), error.exit_status()), (expected, 255));
    }
}

#[test]
fn help_names_every_subcommand_and_option() {
    for command in COMMANDS {
        for language in [Language::English, Language::Chinese] {
            let all = help::command_help(command, language);
            for subcommand in command.subcommands {
                assert!(
                    all.contains(&format!("\n  {} ", subcommand.name)),
                    "{}",
                    subcommand.name
                );
                let one = help::subcommand_help(command, subcommand, language);
                for option in subcommand.all_options() {
                    assert!(one.contains(&format!("--{}", option.long)), "{one}");
                }
            }
        }
    }
}
