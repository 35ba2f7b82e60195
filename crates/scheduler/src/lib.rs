//! Placeholder head of plerion-scheduler.
