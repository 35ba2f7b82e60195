//! Placeholder head of plerion-store.
