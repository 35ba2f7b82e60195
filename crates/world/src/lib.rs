//! Placeholder head of plerion-world.
