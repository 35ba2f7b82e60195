//! `plerion-bench`: measures a real front-end (`plerion serve`, started in a directory of its own) over HTTP and prints
//! one table: what, aim, what a 7.4.0 server did on the same work, what was measured here.

mod cloud;
mod load;
mod machine;
mod options;
mod report;
mod response;
mod rows;
mod server;
mod slow;
mod statistics;
mod templates;
mod wire;
mod yardstick;

use std::process::ExitCode;

use crate::machine::Machine;
use crate::options::Options;
use crate::report::Report;

/// Errors are texts for the one who runs the program.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{}", options::HELP);
        return ExitCode::SUCCESS;
    }
    match Options::parse(&arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plerion-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what is wanted. The rows that were measured before an error are printed, too.
fn run(options: &Options) -> Result<()> {
    let machine = Machine::read(&options.directory)?;
    println!("{}", machine.line());
    let mut report = Report::new(options.quick);
    let result = rows::run(options, &mut report);
    print!("{}", report.table());
    println!("load average at the end: {}", machine::load_average()?);
    result
}
