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
use std::time::Instant;

use crate::machine::{Machine, Process};
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

/// Above this share of the processors for other programs, figures say more of those than of the server.
const OTHERS_MAX: f64 = 0.1;

/// Measures what is wanted. The rows that were measured before an error are printed, too.
fn run(options: &Options) -> Result<()> {
    let machine = Machine::read(&options.directory)?;
    println!("{}", machine.line());
    let mut report = Report::new(options.quick);
    let (begun, busy) = (Instant::now(), machine::busy_s()?);
    let result = rows::run(options, &mut report);
    // All servers have ended: they count as children.
    let own = Process(std::process::id()).cpu_with_children_s()?;
    let others = (machine::busy_s()? - busy - own) / (begun.elapsed().as_secs_f64() * machine.cores as f64);
    print!("{}", report.table());
    if others > OTHERS_MAX {
        println!(
            "other programs used {:.0} % of the processors meanwhile: measure again on a quiet machine",
            others * 100.0
        );
    }
    println!("load average at the end: {}", machine::load_average()?);
    result
}
