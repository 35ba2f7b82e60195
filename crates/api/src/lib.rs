//! Placeholder head of plerion-api.

pub mod xmlrpc;
