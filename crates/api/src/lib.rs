//! The API of the front-end. The table in `methods` is the one source of what can be called: dispatch, rights,
//! documentation. [`xmlrpc`] carries calls over HTTP; another transport would use the same table.

mod accounting;
mod acl;
mod backupjob;
mod caches;
mod console;
mod decode;
mod document;
mod hook;
mod host_cache;
mod image;
mod info;
mod marketplace;
mod method;
mod methods;
mod monitoring;
mod order;
mod pool;
mod pool_done;
mod pool_filter;
mod pool_found;
mod quota;
mod reject;
mod sched_action;
mod search;
mod secgroup;
mod service;
mod short_cache;
mod showback;
mod solo;
mod sql;
mod system;
mod user;
mod vdc;
mod vm_device;
mod vmgroup;
mod vnet;
mod vntemplate;
mod vrouter;
pub mod xmlrpc;

pub use console::{ConsoleSettings, PageDirectories, SerialLines, Tunnels};
pub use method::{Method, Right};
pub use methods::methods;
pub use service::ApiService;
