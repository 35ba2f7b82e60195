//! What intents mean for hosts, and the links to them.

mod backup;
mod common;
mod disk_save;
mod disk_snapshot;
mod failure;
mod greeting;
mod migrate;
mod orphans;
mod records;
mod scripts;
