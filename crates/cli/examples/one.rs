//! The command line without the main binary: `one onevm list`.
//!
//! `TRIAL_NOW` (seconds since 1970) stands for the time, for comparing outputs.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(command) = words.next() else {
        eprintln!("Usage: one COMMAND [ARGUMENT...]");
        return ExitCode::FAILURE;
    };
    let args: Vec<String> = words.collect();
    match std::env::var("TRIAL_NOW").ok().and_then(|text| text.parse().ok()) {
        Some(now) => plerion_cli::command_run(&command, &args, now),
        None => plerion_cli::command_main(&command, &args),
    }
}
