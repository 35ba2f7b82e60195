//! Plans for small clouds.

mod affinity;
mod autostart;
mod choice;
mod failure;
mod limits;
mod moves;
mod numa;
mod pci;
mod properties;
mod reasons;
mod rights;
mod support;
