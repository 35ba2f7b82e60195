//! The running front-end: the writer, the outbox dispatcher, host links, monitoring, scheduling, authentication.
//!
//! [`Core`] is the heart, without threads: it applies orders and commits them. [`Dispatcher`] is what becomes of
//! intents, without threads. [`Engine`] runs both with threads around them; the simulator runs them by itself.

mod auth;
mod auth_certificate;
mod auth_conf;
mod auth_external;
mod auth_key;
mod auth_ldap;
mod auth_password;
mod auth_said;
mod auth_script;
mod auth_service;
mod auth_service_certificate;
mod auth_token;
mod auth_verdict;
mod back_off;
mod child;
mod clock;
mod coordinator;
mod core;
mod dispatcher;
mod engine;
mod hook_run;
mod hooks;
mod host_silence;
mod host_watch;
mod intake;
mod pci_conf;
mod probe_files;
mod probe_intake;
mod sample_history;
mod session_cache;
mod slots;
mod space;
mod stranger;
mod timer;
mod token;
mod vm_files;
mod wake;
mod woken;
mod writer;

pub use auth::Authenticator;
pub use auth_external::{AuthPlaces, Registry};
pub use auth_password::password_hash;
pub use clock::{Clock, SystemClock};
pub use core::{Core, CoreError};
pub use dispatcher::{Dispatch, Dispatcher};
pub use engine::{Engine, EngineError, EngineSettings, First, Snapshot};
pub use hook_run::HookSettings;
pub use host_silence::HostSilence;
pub use host_watch::unwanted;
pub use intake::{Intake, Sampled, dummy_report};
pub use plerion_store::{
    DoneRange, DoneVm, SampleReader, ShowbackRow, SqlAnswer, Stay, StoreError, StoreReader, showback_slot,
};
pub use sample_history::SamplesKept;
pub use token::token_hash;
pub use vm_files::VmFilesSettings;
pub use writer::Answer;
