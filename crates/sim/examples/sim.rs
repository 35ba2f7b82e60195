//! The simulator alone: `cargo run --release -p plerion-sim --example sim -- --seeds 100`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    plerion_sim::sim_main(&args)
}
