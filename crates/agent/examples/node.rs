//! Runs the agent alone: `node node <subcommand> …`, the way the main binary calls it. For the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "node" => plerion_agent::node_main(rest),
        _ => {
            eprintln!("usage: node node pipe|daemon|stdio|send|receive|probe|root …");
            ExitCode::from(2)
        }
    }
}
