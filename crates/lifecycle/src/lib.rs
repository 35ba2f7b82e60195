//! Placeholder head of plerion-lifecycle.
