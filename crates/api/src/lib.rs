//! Placeholder head of plerion-api.
