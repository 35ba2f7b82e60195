//! Everything that runs on a host: the agent that does actions, watches domains and measures.
//!
//! The agent is synchronous: threads, blocking calls, bounded queues. Only this crate talks to libvirt, qemu-img, ip
//! and the file systems of datastores. It trusts neither the paths nor the names in an action: everything is checked
//! again here, and external programs are run by argument vector, never through a shell.
//!
//! - `command`: the subcommands of `plerion node`
//! - `pipe`, `server`, `session`: the channel to the front-end
//! - `epoch`, `journal`, `evidence`, `runner`: what makes an action happen once
//! - `storage`, `hypervisor`, `network`, `monitor`: what actions and samples are about
//! - `migrate`: running domains from host to host
//! - `lease`: this host's leases on shared datastores, and what is seen of those of others
//! - `script`: the scripts of drivers that are not built in
//! - `process`, `limits`, `roots`, `names`, `state`, `fault`: common ground

mod act;
mod agent;
mod command;
mod epoch;
mod evidence;
mod fault;
mod hypervisor;
mod journal;
mod lease;
mod limits;
mod migrate;
mod monitor;
mod names;
mod network;
mod pipe;
mod place;
mod process;
mod roots;
mod runner;
mod script;
mod server;
mod session;
mod state;
mod storage;

pub use command::node_main;
