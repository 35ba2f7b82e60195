//! The simulator: the whole front-end in one thread, with made-up hosts, time and chance; one seed is one run.
//!
//! What is under test is the real thing: [`plerion_engine::Core`] over a store, the dispatcher with the plans of the
//! drivers, the intake, the scheduler. Around it are agents that behave as the protocol says ([`node`]), a network that
//! loses and delays ([`network`]), callers ([`workload`]) who remember what was acknowledged ([`ledger`]), and faults
//! ([`faults`], [`write`]). After every commit and every start of a domain it is checked what must hold ([`checks`]);
//! at the end nothing breaks any more, and everything must come to rest ([`rest`]).

mod agents;
mod checks;
mod clock;
mod command;
mod coordinate;
mod coverage;
mod effects;
mod faults;
mod fences;
mod files;
mod front_end;
mod half;
mod ledger;
mod migrate;
mod network;
mod node;
mod plant;
mod profile;
mod queue;
mod random;
mod report;
mod rest;
mod restarts;
mod rows;
mod schedule;
mod sim_store;
mod simulation;
mod snapshots;
mod table;
mod trace;
mod workload;
mod workload_device;
mod write;

pub use command::sim_main;
pub use plant::Bug;
#[cfg(feature = "planted-bugs")]
pub use report::seed_run_planted;
pub use report::{Report, seed_run};
