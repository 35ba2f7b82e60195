//! Placeholder head of plerion-drivers.
