//! Measuring: what the host is, how much of it and of its datastores is used, and by which VM.

pub(crate) mod facts;
mod guests;
mod host;
mod numa;
mod pci;
mod prober;
mod pruner;
mod sampler;

pub(crate) use prober::Prober;
pub(crate) use sampler::Sampler;
