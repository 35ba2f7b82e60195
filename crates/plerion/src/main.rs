//! The one binary: the front-end, the agent of hosts, and the command line, by the name it is called by or by its first
//! argument.

mod auth_file;
mod configuration;
mod database;
mod one_key;
mod places;
mod serve;
mod service_auth;
mod tls;

use std::process::ExitCode;

/// Gives memory back that the system's allocator keeps: each password that is hashed takes 19 MiB for a moment, and a
/// flood of wrong ones would otherwise leave gigabytes behind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "usage: plerion COMMAND [ARGUMENTS]

  serve           run the front-end in the foreground
  node …          run on a host (started by the front-end)
  sim …           run the whole front-end against simulated hosts and faults, from a seed
  methods         print the table of API methods
  version         print the version
  onevm, onehost, oneimage, …   the command line; also by links of these names

Environment of serve: ONE_LOCATION (a directory that holds everything: etc/, var/), ONE_AUTH (file with
oneadmin's user:password), PLERION_LOG (error, warn, info, debug, trace).";

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let arguments: Vec<String> = arguments.collect();
    if name == "plerion-node-root" {
        return plerion_agent::node_main(&["root".to_owned()]);
    }
    if name.starts_with("one") {
        return plerion_cli::command_main(&name, &arguments);
    }
    let Some((command, rest)) = arguments.split_first() else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    match command.as_str() {
        "serve" => serve::serve_main(),
        "node" => plerion_agent::node_main(rest),
        "sim" => plerion_sim::sim_main(rest),
        "methods" => methods_print(),
        "version" | "--version" | "-V" => {
            println!("plerion {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        one if one.starts_with("one") => plerion_cli::command_main(one, rest),
        other => {
            eprintln!("plerion: there is no command {other}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}

/// The method table as documentation.
fn methods_print() -> ExitCode {
    let mut methods: Vec<_> = plerion_api::methods().values().collect();
    methods.sort_by(|a, b| a.name.cmp(&b.name));
    for method in methods {
        println!(
            "{}\t{}\t{:?}\t{}",
            method.name, method.parameters, method.right, method.summary
        );
    }
    ExitCode::SUCCESS
}
