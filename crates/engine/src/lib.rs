//! Placeholder head of plerion-engine.
